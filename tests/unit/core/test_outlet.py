"""The way out of a streamed reply: each text judged, each choice ended, nothing told twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.moderation.gate import StreamGate, Violation
from core.moderation.rules import LocalRules
from core.moderation.specs import RuleSpec
from core.outlet import Outlet
from core.passing import passed

RULES = LocalRules.build(
    [
        RuleSpec("no", action="refuse", terms=("badword",)),
        RuleSpec("soft", action="redact", terms=("hush",)),
    ]
)
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "offline"}


def outlet(*, shows_usage: bool = True) -> Outlet:
    return Outlet(lambda: StreamGate(RULES), is_scored=False, shows_usage=shows_usage)


def chunk(delta: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return msgspec.json.encode({**HEAD, "choices": [choice]})


def shown(out: Outlet, *chunks: bytes) -> list[Any]:
    """The documents of all that comes out."""
    found = [payload for each in chunks for payload in out.feed(each)]
    return [msgspec.json.decode(payload) for payload in (*found, *out.end())]


DELTAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"content": "bad"}, {"content": "word "}),
    ({"refusal": "bad"}, {"refusal": "word "}),
    ({"reasoning": "bad"}, {"reasoning": "word "}),
    ({"audio": {"transcript": "bad"}}, {"audio": {"transcript": "word "}}),
    ({"function_call": {"arguments": "bad"}}, {"function_call": {"arguments": "word "}}),
    ({"tool_calls": [{"index": 0, "custom": {"name": "f", "input": "bad"}}]},
     {"tool_calls": [{"index": 0, "custom": {"input": "word "}}]}),
    ({"tool_calls": [{"index": 0, "function": {"name": "bad"}}]},
     {"tool_calls": [{"index": 0, "function": {"name": "word"}}]}),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "bad", "index": 0}]},
     {"reasoning_details": [{"type": "reasoning.text", "text": "word ", "index": 0}]}),
    ({}, {"annotations": [{"type": "url_citation", "url_citation": {"title": "badword"}}]}),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), DELTAS)
def test_every_text_of_a_stream_is_judged(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A word is found in each field, cut in two as well."""
    with pytest.raises(Violation):
        shown(outlet(), chunk(one), chunk(other), chunk({}, finish="stop"))


@pytest.mark.parametrize(("one", "other"), DELTAS)
def test_clean_texts_leave_as_they_came(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The same fields with other words lose nothing and keep their bytes."""
    made = [chunk(one), chunk(other), chunk({}, finish="stop")]
    chunks = [payload.replace(b"bad", b"fine") for payload in made]
    out = outlet()
    found = [payload for each in chunks for payload in out.feed(each)] + out.end()
    assert found == chunks


def test_a_tools_name_holds_nothing_back() -> None:
    """What it is called with follows at once, not at the end of the answer."""
    named = chunk({"tool_calls": [{"index": 0, "function": {"name": "find", "arguments": ""}}]})
    assert outlet().feed(named) == [named]


def test_log_probabilities_go_with_what_is_masked() -> None:
    """Each chunk that holds a part of the word loses its tokens; the others keep theirs."""
    found = shown(
        outlet(),
        chunk({"content": "say "}, logprobs={"content": [{"token": "say "}]}),
        chunk({"content": "hu"}, logprobs={"content": [{"token": "hu"}]}),
        chunk({"content": "sh"}, logprobs={"content": [{"token": "sh"}]}),
        chunk({"content": " now"}, logprobs={"content": [{"token": " now"}]}, finish="stop"),
    )
    choices = [each["choices"][0] for each in found]
    assert "".join(each["delta"]["content"] for each in choices) == "say ████ now"
    assert ["logprobs" in each for each in choices] == [True, False, False, True]


def test_speech_goes_with_a_masked_transcript() -> None:
    """The bytes that say the word do not leave beside its mask."""
    said = chunk({"audio": {"transcript": "hush ", "data": "AAAA"}})
    assert shown(outlet(), said)[0]["choices"][0]["delta"]["audio"] == {"transcript": "████ "}


def test_after_a_masked_transcript_nothing_more_is_spoken() -> None:
    """The speech may come later than its transcript; what is written goes on."""
    found = shown(
        outlet(),
        chunk({"audio": {"data": "AAAA"}}),
        chunk({"audio": {"transcript": "hush "}}),
        chunk({"audio": {"data": "BBBB"}}),
        chunk({"audio": {"transcript": "now", "data": "CCCC"}}, finish="stop"),
    )
    spoken = [each["choices"][0]["delta"]["audio"] for each in found]
    assert spoken == [{"data": "AAAA"}, {"transcript": "████ "}, {}, {"transcript": "now"}]


def stopped(out: Outlet, *chunks: bytes, usage: Any = None) -> list[Any]:
    """The endings that follow a violation."""
    with pytest.raises(Violation):
        shown(out, *chunks)
    return [msgspec.json.decode(payload) for payload in out.stopped(usage)]


def test_every_choice_under_way_is_ended() -> None:
    """Those that have ended are not ended again; nothing but the head of the first is kept."""
    found = stopped(
        outlet(shows_usage=False),
        chunk({"content": "one "}, 0),
        chunk({"content": "two "}, 1),
        chunk({}, 1, "stop"),
        chunk({"role": "assistant"}, 2),
        chunk({"content": "badword "}, 3),
    )
    ends = [
        {**HEAD, "choices": [{"index": index, "delta": {}, "finish_reason": "content_filter"}]}
        for index in (0, 2, 3)
    ]
    assert found == ends


def test_an_ending_that_was_held_back_is_made_up_for() -> None:
    """A choice whose own ending never left gets one, though the model had ended it."""
    held = chunk({"content": "bad"}, 0)
    last = chunk({}, 1, "stop")
    found = stopped(
        outlet(), held, chunk({"content": "fine"}, 1), last, chunk({"content": "word "})
    )
    assert [each["choices"][0]["index"] for each in found] == [0, 1]


def test_the_ending_of_a_text_completion_has_its_shape() -> None:
    """Even where nothing was let out before."""
    head = {"id": "c2", "object": "text_completion", "created": 8, "model": "m"}
    first = msgspec.json.encode({**head, "choices": [{"index": 0, "text": "badword "}]})
    ending = {"index": 0, "text": "", "finish_reason": "content_filter"}
    assert stopped(outlet(), first) == [{**head, "choices": [ending]}]


def test_the_usage_follows_the_endings_where_it_was_asked_for() -> None:
    """A chunk of its own without choices, as the endpoint would have sent."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    violating = chunk({"content": "badword "})
    asked = stopped(outlet(), violating, usage=usage)
    assert asked[-1] == {**HEAD, "choices": [], "usage": usage}
    assert len(stopped(outlet(shows_usage=False), violating, usage=usage)) == 1


async def test_what_is_out_comes_once_when_the_end_breaks_a_rule() -> None:
    """A term that only the end makes certain ends the answer, and repeats nothing of it."""
    given = [chunk({"content": "hello "}), chunk({"content": "badword"})]

    async def chunks() -> AsyncIterator[list[bytes]]:
        yield given

    walk = passed(chunks(), outlet(), lambda: None, is_scored=False)
    first, *endings = [payload async for batch in walk for payload in batch]

    assert first == given[0]
    assert [msgspec.json.decode(each)["choices"][0]["finish_reason"] for each in endings] == [
        "content_filter"
    ]
