"""The course of a call: retries, fallbacks and answers that are taken up again."""

from __future__ import annotations

import asyncio
import time

import pytest
from fakes.asking import ASK, SAYS, TEXT, Pauses, client_of, target, text_of

from bots.simulators.completions import CompletionsSimulator, Options, Scripted, ToolCall
from bots.simulators.completions.options import FaultKind
from core.completions.client import CompletionsClient
from core.completions.types import (
    ChatRequest,
    Timeouts,
)
from core.errors import (
    BadReply,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    StreamBroken,
)


@pytest.mark.parametrize("kind", ["429", "500", "503", "malformed", "html", "disconnect"])
async def test_failures_before_the_first_delta_are_retried(kind: FaultKind) -> None:
    """Nothing was visible, so the same target is asked again."""
    async with CompletionsSimulator(SAYS) as model, client_of(model) as client:
        model.fail(kind, times=2)

        assert await text_of(client) == TEXT
        assert await client_text(client) == TEXT
        assert len(model.requests) == 4


async def client_text(client: CompletionsClient) -> str:
    return (await client.complete(ASK)).text


async def test_pauses_follow_the_policy_and_the_endpoint() -> None:
    """Full jitter doubles up to its cap; Retry-After is waited for, with a little jitter."""
    pauses = Pauses()
    retry = pauses.policy(attempts=5, base=1.0, cap=3.0)
    async with (
        CompletionsSimulator(SAYS) as model,
        CompletionsClient([target(model)], retry=retry) as client,
    ):
        model.fail("500", times=3)
        model.fail("429", retry_after=20.0)
        assert await text_of(client, deadline=60) == TEXT

    assert pauses.taken == [1.0, 2.0, 3.0, 22.0]


@pytest.mark.parametrize(
    ("kind", "error", "asked"),
    [
        ("500", ModelUnavailable, 3),
        ("disconnect", ModelUnavailable, 3),
        ("429", ModelRateLimited, 3),
        ("malformed", BadReply, 3),
        ("html", BadReply, 3),
        ("quota", ModelRefused, 1),
        ("status", ModelRefused, 1),
        ("context", ContextTooLong, 1),
        ("filter", ContentRefused, 1),
    ],
)
async def test_what_lasts_is_raised(kind: FaultKind, error: type[ModelError], asked: int) -> None:
    """Retryable failures end after the attempts, final ones at once."""
    async with CompletionsSimulator(SAYS) as model, client_of(model) as client:
        model.fail(kind, times=9, status=422)

        with pytest.raises(ModelError) as caught:
            await text_of(client)

        assert type(caught.value) is error
        assert len(model.requests) == asked


async def test_a_pause_beyond_the_deadline_is_not_taken() -> None:
    """The error says at once how long to wait, rather than let the member wait in vain."""
    async with CompletionsSimulator(SAYS) as model, client_of(model) as client:
        model.fail("429", retry_after=30.0)

        with pytest.raises(ModelRateLimited) as caught:
            await text_of(client, deadline=5.0)

    assert caught.value.retry_after == 30.0
    assert caught.value.status == 429


async def test_a_refused_connection_is_retried_and_named() -> None:
    """Nobody listens: tried as often as the policy says, then the endpoint is named."""
    async with CompletionsSimulator() as model:
        gone = target(model)
    pauses = Pauses()
    async with CompletionsClient([gone], retry=pauses.policy()) as client:
        with pytest.raises(ModelUnavailable, match="one: ConnectError"):
            await text_of(client)

    assert len(pauses.taken) == 2


@pytest.mark.parametrize(
    ("after", "timeouts", "error"),
    [
        (0, Timeouts(first=0.1), ModelUnavailable),
        (2, Timeouts(idle=0.1), StreamBroken),
    ],
)
async def test_silence_ends_the_attempt(
    after: int, timeouts: Timeouts, error: type[ModelError]
) -> None:
    """A model that says nothing, or stops in the middle, is given up after its time."""
    async with (
        CompletionsSimulator(SAYS) as model,
        client_of(model, timeouts=timeouts, attempts=1, resumes=0) as client,
    ):
        model.fail("hang", after=after)

        with pytest.raises(error):
            await text_of(client)


async def test_the_deadline_bounds_everything() -> None:
    """Retries, silence and slow streams all end at the deadline."""
    async with (
        CompletionsSimulator(Options(tokens=100, duration=30)) as model,
        client_of(model) as client,
    ):
        began = time.monotonic()
        with pytest.raises(StreamBroken) as caught:
            await text_of(client, deadline=0.5)

    assert time.monotonic() - began < 1.0
    assert caught.value.partial == "word0"


@pytest.mark.parametrize("kind", ["cut", "reset", "bad_chunk", "stream_error", "no_finish", "hang"])
async def test_a_broken_stream_reports_the_partial_text(kind: FaultKind) -> None:
    """When no attempt is left, the error holds what was already handed out."""
    async with (
        CompletionsSimulator(SAYS) as model,
        client_of(model, timeouts=Timeouts(idle=0.1), resumes=0) as client,
    ):
        model.fail(kind, after=3)

        with pytest.raises(StreamBroken) as caught:
            await text_of(client)

    assert caught.value.partial == "One two three"
    assert isinstance(caught.value.__cause__, ModelError)


@pytest.mark.parametrize("kind", ["cut", "reset", "bad_chunk", "stream_error", "no_finish"])
@pytest.mark.parametrize(
    "more",
    [
        " four five six seven eight.",
        "three four five six seven eight.",
        "two three four five six seven eight.",
        TEXT,
    ],
)
async def test_a_broken_answer_goes_on_at_the_next_target(kind: FaultKind, more: str) -> None:
    """The next model sees the partial text; what it repeats is not shown twice."""
    goes_on = Options(mode="script", script=(Scripted(more),))
    async with CompletionsSimulator(SAYS) as one, CompletionsSimulator(goes_on) as two:
        async with client_of(one, two) as client:
            one.fail(kind, after=3)
            async with client.stream(ASK) as stream:
                text = "".join([delta.text async for batch in stream for delta in batch])

        assert text == stream.text == TEXT
        assert (stream.endpoint, stream.model) == ("two", "model-two")
        messages = two.requests[0].body["messages"]
        assert messages[:2] == one.requests[0].body["messages"]
        assert messages[2] == {"role": "assistant", "content": "One two three"}
        assert messages[3]["role"] == "user"


async def test_without_a_fallback_the_same_target_goes_on() -> None:
    """One endpoint that cuts its streams still gives the whole answer."""
    async with CompletionsSimulator(Options(tokens=12)) as model, client_of(model) as client:
        model.fail("cut", times=2, after=3)

        assert await text_of(client) == " ".join(f"word{number}" for number in range(12))


async def test_another_answer_is_not_appended() -> None:
    """A model that starts all over with other words would repeat what is visible: broken."""
    begun = "Here is the list of fruit: apples, pears, plums"
    other = "Here is the list of fruit in season: cherries"
    says = Options(mode="script", script=(Scripted(begun), Scripted(other)))
    async with CompletionsSimulator(says) as model, client_of(model) as client:
        model.fail("cut", after=8)

        with pytest.raises(StreamBroken) as caught:
            await text_of(client)

    assert caught.value.partial == "Here is the list of fruit: apples, pears,"


async def test_half_a_tool_call_is_not_continued() -> None:
    """A call that broke off is reported, since no model can complete it."""
    says = Options(mode="script", script=(Scripted(tool_calls=(ToolCall("f", '{"a": 1}'),)),))
    async with CompletionsSimulator(says) as model, client_of(model) as client:
        model.fail("cut", after=1)

        with pytest.raises(StreamBroken):
            await text_of(client)
        assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("kind", "status", "asked"), [("status", 401, 1), ("status", 404, 1), ("quota", 429, 1)]
)
async def test_what_concerns_one_target_goes_to_the_next(
    kind: FaultKind, status: int, asked: int
) -> None:
    """A wrong key, model or quota is final for its target only."""
    async with CompletionsSimulator(SAYS) as one, CompletionsSimulator(SAYS) as two:
        async with client_of(one, two) as client:
            one.fail(kind, status=status)
            assert await text_of(client) == TEXT

        assert (len(one.requests), len(two.requests)) == (asked, 1)


async def test_a_long_pause_sends_us_to_the_fallback() -> None:
    """A member does not wait twenty seconds while another model is free; nor do the next ones."""
    async with CompletionsSimulator(SAYS) as one, CompletionsSimulator(SAYS) as two:
        async with client_of(one, two) as client:
            one.fail("429", retry_after=20.0)
            assert await text_of(client) == TEXT
            assert await text_of(client) == TEXT

        assert (len(one.requests), len(two.requests)) == (1, 2)


async def test_a_failing_target_is_passed_over_for_a_while() -> None:
    """The circuit opens after failures in a row, and closes after its pause."""
    policy = {"attempts": 1, "breaker_failures": 2, "breaker_pause": 0.3}
    async with CompletionsSimulator(SAYS) as one, CompletionsSimulator(SAYS) as two:
        async with client_of(one, two, **policy) as client:
            one.fail("500", times=2)
            for _ in range(4):
                assert await text_of(client) == TEXT
            assert (len(one.requests), len(two.requests)) == (2, 4)

            await asyncio.sleep(0.3)
            assert await text_of(client) == TEXT

        assert (len(one.requests), len(two.requests)) == (3, 4)


async def test_a_chosen_model_goes_first() -> None:
    """The request's model picks its targets; an unknown one is asked of the first endpoint."""
    async with CompletionsSimulator(SAYS) as one, CompletionsSimulator(SAYS) as two:
        async with client_of(one, two) as client:
            await text_of(client, ask=ChatRequest(ASK.messages, model="model-two"))
            await text_of(client, ask=ChatRequest(ASK.messages, model="brand-new"))

        assert [request.body["model"] for request in two.requests] == ["model-two"]
        assert [request.body["model"] for request in one.requests] == ["brand-new"]
