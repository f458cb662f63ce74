"""What members see when the model is down, slow, over its limit, or talks nonsense."""

from __future__ import annotations

from typing import Any

import pytest
from scenario.harness import Options, World, buttons, text_of, together, world

from bots.simulators.completions import CompletionsSimulator
from bots.simulators.completions.options import Scripted

WORDS = 20
WHOLE = " ".join(f"word{number}" for number in range(WORDS))
TOKENS = Options(tokens=WORDS)
QUICK = {"model.retries": 1, "model.idle_timeout": 0.3}

PASSING: dict[str, dict[str, Any]] = {
    "429": {"retry_after": 0.05},
    "500": {},
    "503": {},
    "malformed": {},
    "html": {},
    "disconnect": {},
    "hang": {"after": 0},
    "cut": {},
    "reset": {},
    "bad_chunk": {},
    "stream_error": {},
    "no_finish": {},
}


async def recovers(kind: str, more: dict[str, Any]) -> None:
    """One failure, then one whole answer in one message."""
    async with world(model=TOKENS, settings=QUICK) as w:
        w.model.fail(kind, **more)  # type: ignore[arg-type]
        answer = await w.ask("hello")
        assert answer.content == WHOLE, kind
        await w.idle()
        assert len(w.replies()) == 1, kind
        assert len(w.requests()) == 2, kind


async def test_a_passing_failure_of_the_model_is_not_noticed() -> None:
    """Over its limit, down, malformed, silent or cut mid-stream: asked again, answered whole."""
    await together(*(recovers(kind, more) for kind, more in PASSING.items()))


LASTING = {
    "429": "over its rate limit",
    "quota": "rejected my request",
    "500": "did not answer in time",
    "503": "did not answer in time",
    "status": "rejected my request",
    "context": "longer than the model can read",
    "filter": "declined to answer",
    "malformed": "can't read",
    "html": "can't read",
    "disconnect": "did not answer in time",
    "hang": "did not answer in time",
    "cut": "broke off",
    "bad_chunk": "broke off",
    "no_finish": "broke off",
}


async def gives_up(kind: str, sentence: str) -> None:
    """Failures without an end: one honest sentence, and the next question works."""
    async with world(model=TOKENS, settings=QUICK) as w:
        after = 0 if kind == "hang" else 3
        w.model.fail(kind, times=50, after=after, status=404)  # type: ignore[arg-type]
        answer = await w.ask("hello", within=15)
        assert sentence in answer.content, (kind, answer.content)
        assert not buttons(answer, "tw:stop:")
        await w.idle()
        assert len(w.replies()) == 1
        w.model.reset()
        again = await w.discord.say("general", "alice", "again?", reply_to=answer.id)
        assert (await w.answer(again)).content == WHOLE, kind


@pytest.mark.parametrize("kinds", [sorted(LASTING)[:7], sorted(LASTING)[7:]])
async def test_a_lasting_failure_is_one_honest_sentence(kinds: list[str]) -> None:
    """Whatever is wrong, nobody is left with an unfinished answer, and nothing is stuck."""
    await together(*(gives_up(kind, LASTING[kind]) for kind in kinds))


async def test_what_was_visible_stays_when_a_stream_breaks_for_good() -> None:
    """The words that members have read are kept, with the sentence after them."""
    async with world(model=Options(tokens=60, duration=1.0), settings=QUICK) as w:
        w.model.fail("cut", times=50, after=20)
        answer = await w.ask("hello")
        assert answer.content.startswith("word0 word1")
        assert "broke off" in answer.content
        shown = answer.history[0].text
        assert answer.content.startswith(shown.rstrip())


async def test_unusual_but_readable_replies_are_taken() -> None:
    """No [DONE], null fields, ids as numbers, a document instead of a stream: answered at once."""

    async def taken(kind: str) -> None:
        async with world(model=TOKENS) as w:
            w.model.fail(kind)  # type: ignore[arg-type]
            assert (await w.ask("hello")).content == WHOLE, kind
            assert len(w.requests()) == 1, kind

    await together(*map(taken, ("no_done", "nulls", "int_ids", "not_streamed")))


async def test_a_parameter_that_a_server_does_not_know_is_left_out() -> None:
    """A server that refuses stream_options is asked again without them, and remembered so."""
    async with world(model=Options(tokens=WORDS, knows_stream_options=False)) as w:
        assert (await w.ask("hello")).content == WHOLE
        await w.ask("hello")
        assert ["stream_options" in body for body in w.requests()] == [True, False, False]


async def test_the_fallback_is_asked_when_the_main_model_fails() -> None:
    """Another model at the same endpoint, then another endpoint, in the configured order."""
    async with CompletionsSimulator(TOKENS) as other:
        fallbacks = [{"model": "small"}, {"base_url": other.base_url, "model": "spare"}]
        settings = {**QUICK, "model.fallbacks": fallbacks, "model.retries": 0}
        async with world(model=TOKENS, settings=settings) as w:
            w.model.fail("500", times=2)
            assert (await w.ask("hello")).content == WHOLE
            assert [body["model"] for body in w.requests()] == ["offline", "small"]
            assert [each.body["model"] for each in other.requests] == ["spare"]


async def test_the_fallback_goes_on_in_the_middle_of_a_visible_answer() -> None:
    """A stream that breaks after words were read is continued by another, nothing repeated."""
    async with CompletionsSimulator(Options(tokens=60)) as other:
        settings = {**QUICK, "model.fallbacks": [{"base_url": other.base_url}]}
        async with world(model=Options(tokens=60, duration=1.0), settings=settings) as w:
            w.model.fail("cut", after=30)
            answer = await w.ask("hello")
            assert answer.content == " ".join(f"word{number}" for number in range(60))
            partial = text_of(other.requests[0].body["messages"][-2])
            assert partial.split()[-1] == "word29"


async def test_a_model_that_is_too_slow_is_given_up_at_the_deadline() -> None:
    """The turn's deadline bounds everything, however often a byte arrives."""
    settings = {"engine.turn_deadline": 0.6}
    async with world(model=Options(tokens=400, duration=30), settings=settings) as w:
        answer = await w.ask("hello", within=5)
        assert "did not answer in time" in answer.content


async def test_an_empty_answer_is_told() -> None:
    """A model that says nothing leaves a sentence, not an empty message."""
    async with world(model=Options(mode="script", script=(Scripted(""),))) as w:
        assert "empty answer" in (await w.ask("hello")).content


async def test_an_answer_cut_at_its_length_limit_says_so() -> None:
    """finish_reason "length" is told to the reader."""
    cut = Scripted("half an answ", finish_reason="length")
    async with world(model=Options(mode="script", script=(cut,))) as w:
        answer = await w.ask("hello")
        assert answer.content.startswith("half an answ")
        assert "length limit" in answer.content


async def thinking(w: World) -> str:
    """The answer of a model that reasons in a field, and one that does in its text."""
    reasoned = await w.ask("hello")
    inline = await w.ask("hello")
    return f"{reasoned.content}\n{inline.content}"


async def test_reasoning_is_hidden_unless_asked_for() -> None:
    """Neither reasoning_content nor <think> is shown by default; both are when configured."""
    script = (
        Scripted("Noon.", reasoning="The moon is full."),
        Scripted("<think>The sun is up.</think>Dusk."),
    )

    async def said(*, shown: bool) -> str:
        settings = {"model.show_reasoning": shown}
        async with world(model=Options(mode="script", script=script), settings=settings) as w:
            return await thinking(w)

    hidden, shown = await together(said(shown=False), said(shown=True))
    assert hidden == "Noon.\nDusk."
    assert "The moon is full." in shown
    assert "The sun is up." in shown


async def test_the_key_goes_to_its_own_host_only() -> None:
    """The model's key is sent to the endpoint that it belongs to, and to no fallback elsewhere."""
    async with CompletionsSimulator(TOKENS) as other:
        settings = {"model.fallbacks": [{"base_url": other.base_url}], "model.retries": 0}
        async with world(settings=settings, is_started=False) as w:
            w.environ["OPENAI_API_KEY"] = "sk-for-the-main-one-only"
            await w.start()
            w.model.fail("500")
            assert await w.ask("hello")
            assert [each.has_key for each in w.model.requests] == [True]
            assert [each.has_key for each in other.requests] == [False]
