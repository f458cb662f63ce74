"""The endpoint's scorer: few requests, every answer within its deadline, every failure named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

import pytest

from core.errors import BadReply, ModelRateLimited, ModelUnavailable
from core.moderation.breaker import Breaker
from core.moderation.scorer import OpenAIScorer, Scored, ScorerSettings, Unchecked


class Endpoint:
    """Scores a text by its length; slow, failing or answering nonsense on demand."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.delay = 0.0
        self.failures: list[Exception] = []
        self.reply: Callable[[Sequence[str]], Any] = lambda texts: [
            {"hate": len(text) / 1000, "brand/new": 0.5, "illicit": None} for text in texts
        ]
        self.in_flight = self.most_in_flight = 0

    async def moderate(self, inputs: Sequence[str]) -> Sequence[Mapping[str, float]]:
        self.requests.append(list(inputs))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            if self.failures:
                raise self.failures.pop(0)
            return cast("Sequence[Mapping[str, float]]", self.reply(inputs))
        finally:
            self.in_flight -= 1


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def make(endpoint: Endpoint) -> AsyncIterator[Callable[..., OpenAIScorer]]:
    made: list[OpenAIScorer] = []

    def build(**changes: Any) -> OpenAIScorer:
        made.append(OpenAIScorer(endpoint, ScorerSettings(**changes)))
        return made[-1]

    yield build
    for scorer in made:
        await scorer.aclose()


Make = Callable[..., OpenAIScorer]


def reason(scored: Scored) -> str:
    assert isinstance(scored, Unchecked)
    return scored.reason


async def test_names_and_numbers_come_through(make: Make) -> None:
    """Category names keep their slash, unknown ones pass, null ones are left out."""
    assert await make().score(["four"]) == [{"hate": 0.004, "brand/new": 0.5}]


async def test_blank_texts_are_not_sent(make: Make, endpoint: Endpoint) -> None:
    """An empty text has no scores and costs no request."""
    assert await make().score(["", " \n"]) == [{}, {}]
    assert endpoint.requests == []


async def test_concurrent_texts_share_requests(make: Make, endpoint: Endpoint) -> None:
    """While one request is in flight the rest waits, then goes in arrays of at most 32."""
    endpoint.delay = 0.02
    scorer = make(in_flight=1)
    first = asyncio.create_task(scorer.score(["first"]))
    await asyncio.sleep(0.005)
    rest = await asyncio.gather(*(scorer.score([f"text {n:03}"]) for n in range(70)))
    await first
    assert [len(each) for each in endpoint.requests] == [1, 32, 32, 6]
    assert endpoint.most_in_flight == 1
    assert all(result == [{"hate": 0.008, "brand/new": 0.5}] for result in rest)


async def test_an_answer_does_not_wait_for_its_question(make: Make, endpoint: Endpoint) -> None:
    """Two requests may be in flight, never more, and no text is sent by both."""
    endpoint.delay = 0.02
    scorer = make()
    first = asyncio.create_task(scorer.score(["the question"]))
    await asyncio.sleep(0.005)
    rest = [asyncio.create_task(scorer.score([f"text {n}"])) for n in range(9)]
    await asyncio.gather(first, *rest)
    assert endpoint.most_in_flight == 2
    sent = [text for request in endpoint.requests for text in request]
    assert len(sent) == len(set(sent)) == 10


async def test_a_text_is_asked_once(make: Make, endpoint: Endpoint) -> None:
    """The same text, waiting or answered before, is served without another request."""
    scorer = make()
    await asyncio.gather(*(scorer.score(["same", "same"]) for _ in range(5)))
    await scorer.score(["same"])
    assert endpoint.requests == [["same"]]


async def test_a_caller_can_not_change_the_cache(make: Make) -> None:
    """Scores handed out are the caller's own."""
    scorer = make()
    for _ in range(3):
        (scores,) = await scorer.score(["same"])
        assert isinstance(scores, dict)
        assert scores["hate"] == 0.004
        scores["hate"] = 1.0


async def test_the_cache_is_bounded(make: Make, endpoint: Endpoint) -> None:
    """The longest unused text is forgotten first."""
    scorer = make(cache=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await scorer.score([text])
    assert endpoint.requests == [["a"], ["b"], ["c"], ["b"]]


async def test_the_cache_can_be_switched_off(make: Make, endpoint: Endpoint) -> None:
    """With no room for it, nothing is remembered."""
    scorer = make(cache=0)
    await scorer.score(["a"])
    await scorer.score(["a"])
    assert endpoint.requests == [["a"], ["a"]]


async def test_the_deadline_holds(make: Make, endpoint: Endpoint) -> None:
    """A slow endpoint costs the deadline and little more; its late answer serves the next ask."""
    endpoint.delay = 0.15
    scorer = make(deadline=0.1)
    begin = time.monotonic()
    (late,) = await scorer.score(["slow"])
    assert time.monotonic() - begin < 0.2
    assert reason(late) == "no answer within 0.1 s"
    await asyncio.sleep(0.1)
    assert await scorer.score(["slow"]) == [{"hate": 0.004, "brand/new": 0.5}]
    assert len(endpoint.requests) == 1


async def test_a_hung_request_frees_its_place(make: Make, endpoint: Endpoint) -> None:
    """A request that never ends is given up after two deadlines, and the next is made."""
    endpoint.delay = 60
    scorer = make(deadline=0.03)
    await scorer.score(["hangs"])
    endpoint.delay = 0
    await asyncio.sleep(0.05)
    assert await scorer.score(["next"]) == [{"hate": 0.004, "brand/new": 0.5}]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ModelUnavailable(), "the scorer failed (ModelUnavailable)"),
        (BadReply(), "the scorer failed (BadReply)"),
    ],
)
async def test_a_failure_is_unchecked(
    make: Make, endpoint: Endpoint, failure: Exception, said: str
) -> None:
    """An endpoint that fails gives no scores and a reason, and is asked again next time."""
    endpoint.failures = [failure]
    scorer = make()
    assert reason((await scorer.score(["text"]))[0]) == said
    assert await scorer.score(["text"]) == [{"hate": 0.004, "brand/new": 0.5}]


@pytest.mark.parametrize(
    "reply",
    [
        lambda texts: [],
        lambda texts: [{"hate": 0.1}] * (len(texts) + 1),
        lambda texts: [{"hate": "high"} for _ in texts],
        lambda texts: [{"hate": True} for _ in texts],
        lambda texts: [{"hate": float("nan")} for _ in texts],
        lambda texts: ["nonsense" for _ in texts],
    ],
)
async def test_nonsense_is_unchecked(
    make: Make, endpoint: Endpoint, reply: Callable[[Sequence[str]], Any]
) -> None:
    """A count that does not fit and values that are no numbers are never taken for scores."""
    endpoint.reply = reply
    assert reason((await make().score(["text"]))[0]) == "the scorer's answer can't be read"


async def test_a_short_pause_is_waited_for(make: Make, endpoint: Endpoint) -> None:
    """Told to come back within the deadline, the same texts are asked again and answered."""
    endpoint.failures = [ModelRateLimited(retry_after=0.05)]
    begin = time.monotonic()
    assert await make(deadline=1.0).score(["text"]) == [{"hate": 0.004, "brand/new": 0.5}]
    assert time.monotonic() - begin >= 0.045
    assert endpoint.requests == [["text"], ["text"]]


async def test_a_long_pause_is_kept_without_waiting(make: Make, endpoint: Endpoint) -> None:
    """Told to come back later than the deadline: no request until then, and no time lost."""
    endpoint.failures = [ModelRateLimited(retry_after=30)]
    endpoint.delay = 0.01
    scorer = make(in_flight=1)
    begin = time.monotonic()
    together = asyncio.create_task(scorer.score(["one"]))
    await asyncio.sleep(0.005)
    queued = await scorer.score(["two"])
    after = await scorer.score(["three"])
    assert time.monotonic() - begin < 0.5
    assert reason((await together)[0]) == "the scorer failed (ModelRateLimited)"
    assert reason(queued[0]) == "the scorer failed (ModelRateLimited)"
    assert reason(after[0]).startswith("the scorer failed (ModelRateLimited); not asked for ")
    assert endpoint.requests == [["one"]]


async def test_failures_in_a_row_rest_the_endpoint(make: Make, endpoint: Endpoint) -> None:
    """After so many failures it is left alone; after the rest one success mends it."""
    endpoint.failures = [ModelUnavailable() for _ in range(3)]
    scorer = make(failures=3, rest=2.0, deadline=0.2)
    for n in range(6):
        assert isinstance((await scorer.score([f"text {n}"]))[0], Unchecked)
    assert len(endpoint.requests) == 3


def test_the_breaker_counts_in_a_row_only() -> None:
    """A success forgives; a pause that was asked for is kept but is no failure."""
    breaker = Breaker(2, 10.0)
    breaker.failed("down", 100.0, None)
    breaker.succeeded()
    breaker.failed("down", 101.0, None)
    assert breaker.resting_until == 0.0
    breaker.failed("busy", 102.0, 3.0)
    assert (breaker.resting_until, breaker.reason) == (105.0, "busy")
    breaker.failed("down", 106.0, None)
    assert breaker.resting_until == 116.0
    breaker.failed("still down", 117.0, None)
    assert breaker.resting_until == 127.0


async def test_the_queue_is_bounded(make: Make, endpoint: Endpoint) -> None:
    """What does not fit into the queue is answered at once, as unchecked."""
    endpoint.delay = 0.01
    results = await make(queue=2).score(["a", "b", "c"])
    assert [isinstance(each, Unchecked) for each in results] == [False, False, True]


async def test_a_fault_of_ours_is_raised_and_does_not_stick(make: Make, endpoint: Endpoint) -> None:
    """An error that is no failure of the endpoint reaches the caller; the next text is asked."""
    endpoint.failures = [ZeroDivisionError()]
    scorer = make()
    with pytest.raises(ZeroDivisionError):
        await scorer.score(["text"])
    assert await scorer.score(["text"]) == [{"hate": 0.004, "brand/new": 0.5}]


async def test_closing_answers_who_waits(endpoint: Endpoint) -> None:
    """A scorer that is closed while a request is in flight leaves nobody waiting."""
    endpoint.delay = 60
    scorer = OpenAIScorer(endpoint)
    waiting = asyncio.create_task(scorer.score(["text"]))
    await asyncio.sleep(0.01)
    await scorer.aclose()
    assert reason((await waiting)[0]) == "the scorer is shutting down"


async def test_a_cancelled_caller_takes_nobody_along(make: Make, endpoint: Endpoint) -> None:
    """Others who wait for the same request, or the same text, get their scores."""
    endpoint.delay = 0.02
    scorer = make()
    first, second, third = (
        asyncio.create_task(scorer.score([text])) for text in ("same", "same", "more")
    )
    await asyncio.sleep(0.005)
    first.cancel()
    assert await second == await third == [{"hate": 0.004, "brand/new": 0.5}]
