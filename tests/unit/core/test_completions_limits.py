"""Rate limits: never passed, waited for until a deadline, in turn of the conversations."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.completions.limits import Left, Limits, Rate, reported
from core.completions.types import Endpoint, Target
from core.errors import ModelError, ModelRateLimited

MAIN = Target(Endpoint("main", "http://x/v1"), "m")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def headers(limit: int, remaining: int, reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": reset,
    }


async def test_without_limits_nothing_waits() -> None:
    """An endpoint of which nothing is known costs nothing and stores nothing."""
    limits = Limits()
    turn = await limits.enter(MAIN, "a", 10**9, 0.0)
    turn.replied({})
    turn.used(5)

    assert not limits.is_limited(MAIN)
    assert limits.left(MAIN) == Left(None, None)


async def test_what_is_left_of_configured_limits() -> None:
    """Requests and tokens count; an estimate is corrected; time gives back."""
    clock = Clock()
    limits = Limits({"main": [Rate(60, requests=3, tokens=100), Rate(3600, requests=50)]}, clock)
    turn = await limits.enter(MAIN, "a", 60, 0.0)
    assert limits.left(MAIN) == Left(2, 40)
    turn.used(10)
    assert limits.left(MAIN) == Left(2, 90)
    clock.now += 61
    assert limits.left(MAIN) == Left(3, 100)


async def test_no_patience_is_a_clear_refusal() -> None:
    """When the wait is longer than the deadline, the error says at once how long it would be."""
    clock = Clock()
    limits = Limits({"main": [Rate(60, requests=1)]}, clock)
    await limits.enter(MAIN, "a", 1, 0.0)
    with pytest.raises(ModelRateLimited) as caught:
        await limits.enter(MAIN, "a", 1, 5.0)

    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    assert 59 <= caught.value.retry_after <= 61


async def test_waiting_ends_in_a_turn() -> None:
    """A short window is waited for, and the requests keep their distance."""
    limits = Limits({"main": [Rate(0.2, requests=2)]})
    loop = asyncio.get_running_loop()
    times = []

    async def one() -> None:
        await limits.enter(MAIN, "a", 1, 5.0)
        times.append(loop.time())

    await asyncio.gather(*(one() for _ in range(6)))

    for earlier, later in zip(times, times[2:], strict=False):
        assert later - earlier >= 0.19


async def test_conversations_take_turns() -> None:
    """One that asks ten times does not keep one waiting that asks once."""
    limits = Limits({"main": [Rate(0.05, requests=1)]})
    order: list[str] = []

    async def one(key: str) -> None:
        await limits.enter(MAIN, key, 1, 10.0)
        order.append(key)

    busy = [asyncio.create_task(one("busy")) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.gather(*busy, one("quiet"))

    assert order.index("quiet") <= 2


async def test_who_goes_away_makes_room() -> None:
    """A cancelled waiter and one whose patience ends are not served, and nobody hangs."""
    limits = Limits({"main": [Rate(0.1, requests=1)]})
    await limits.enter(MAIN, "a", 1, 1.0)
    gone = asyncio.create_task(limits.enter(MAIN, "b", 1, 5.0))
    await asyncio.sleep(0)
    gone.cancel()
    last = asyncio.create_task(limits.enter(MAIN, "c", 1, 5.0))
    await asyncio.gather(gone, return_exceptions=True)
    await last

    assert limits.left(MAIN) == Left(0, None)


async def test_headers_teach_the_limit() -> None:
    """What the endpoint says is left holds until the moment it says."""
    clock = Clock()
    limits = Limits(clock=clock)
    (await limits.enter(MAIN, "a", 1, 0.0)).replied(headers(100, 2, "10s"))
    assert limits.left(MAIN) == Left(2, None)
    await limits.enter(MAIN, "a", 1, 0.0)
    await limits.enter(MAIN, "a", 1, 0.0)
    with pytest.raises(ModelRateLimited) as caught:
        await limits.enter(MAIN, "a", 1, 0.0)
    assert caught.value.retry_after == pytest.approx(0.1, abs=0.01)
    clock.now += 10
    assert limits.left(MAIN) == Left(100, None)


async def test_requests_under_way_are_not_in_the_report() -> None:
    """A reply knows nothing of the requests that left after its own."""
    clock = Clock()
    limits = Limits(clock=clock)
    (await limits.enter(MAIN, "a", 1, 0.0)).replied(headers(10, 9, "60s"))
    first, second = [await limits.enter(MAIN, "a", 1, 0.0) for _ in range(2)]
    first.replied(headers(10, 8, "60s"))
    assert limits.left(MAIN) == Left(7, None)
    second.close()
    second.close()
    assert limits.gate(MAIN).under_way == 0


@pytest.mark.parametrize("name", ["limit", "remaining", "reset"])
@pytest.mark.parametrize("bad", ["", "many", "inf", "nan", "1e3", "1m30", "9" * 400])
async def test_odd_headers_are_no_limit(name: str, bad: str) -> None:
    """A header that is no number teaches nothing."""
    limits = Limits()
    turn = await limits.enter(MAIN, "a", 1, 0.0)
    turn.replied({**headers(10, 0, "60s"), f"x-ratelimit-{name}-requests": bad})
    await limits.enter(MAIN, "a", 1, 0.0)
    assert limits.left(MAIN) == Left(None, None)


def test_less_than_nothing_may_be_left() -> None:
    """A proxy that counts on below 0 means 0; a limit below 0 means nothing."""
    assert reported(headers(10, -3, "6s"), "requests") == (10, 0, 6)
    assert reported(headers(-1, 0, "6s"), "requests") is None


async def test_a_pause_that_one_is_told_holds_for_all() -> None:
    """After a 429 nobody asks until the endpoint wants to be asked."""
    clock = Clock()
    limits = Limits(clock=clock)
    turn = await limits.enter(MAIN, "a", 1, 0.0)
    turn.failed(ModelError("other"))
    turn.failed(ModelRateLimited(retry_after=7.0))
    with pytest.raises(ModelRateLimited) as caught:
        await limits.enter(MAIN, "b", 1, 1.0)
    assert caught.value.retry_after == pytest.approx(7.0)
    clock.now += 7
    await limits.enter(MAIN, "b", 1, 0.0)


@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 50)), max_size=80),
    requests=st.integers(1, 10),
    tokens=st.integers(20, 100),
)
def test_no_window_holds_more_than_is_allowed(
    steps: list[tuple[float, int]], requests: int, tokens: int
) -> None:
    """Whatever the rhythm: in each span of a minute at most a minute's worth is let in."""

    async def run() -> None:
        clock = Clock()
        limits = Limits({"main": [Rate(60, requests, tokens)]}, clock)
        let_in: list[tuple[float, int]] = []
        for pause, size in steps:
            clock.now += pause
            try:
                await limits.enter(MAIN, "a", size, 0.0)
            except ModelRateLimited:
                continue
            let_in.append((clock.now, min(size, tokens)))
        for start, _ in let_in:
            inside = [size for at, size in let_in if start <= at < start + 60]
            assert len(inside) <= requests
            assert sum(inside) <= tokens

    asyncio.run(run())


async def test_many_conversations_share_evenly() -> None:
    """With three conversations of equal hunger, none is ever two turns ahead."""
    limits = Limits({"main": [Rate(0.02, requests=1)]})
    order: list[str] = []

    async def one(key: str) -> None:
        await limits.enter(MAIN, key, 1, 10.0)
        order.append(key)

    await asyncio.gather(*(one(key) for key in "aaaabbbbcccc"))

    for count in itertools.accumulate(([key] for key in order[1:]), lambda a, b: a + b):
        seen = Counter(count)
        assert max(seen.values()) - min(seen[key] for key in "abc") <= 2
