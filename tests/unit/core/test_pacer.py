from __future__ import annotations

import asyncio
import time

import pytest

from core.adapter import Urgency
from core.pacer import Pacer, Route

FAST = Route("fast", 100.0, 1)
FINAL, POST, EDIT = Urgency.FINAL, Urgency.POST, Urgency.EDIT


async def test_a_burst_is_free_and_the_rest_waits() -> None:
    """A bucket lets its burst through at once and then one call per 1/rate."""
    pacer, route = Pacer(), Route("r", 100.0, 3)
    started = time.monotonic()
    for _ in range(3):
        await pacer.acquire([route], FINAL)
    burst = time.monotonic() - started
    for _ in range(3):
        await pacer.acquire([route], FINAL)

    assert burst < 0.01
    assert 0.025 <= time.monotonic() - started < 0.2


async def test_urgent_waiters_go_first_and_equals_in_order() -> None:
    """Finals overtake posts, posts overtake edits, and equals keep their order."""
    pacer, went = Pacer(), []
    await pacer.acquire([FAST], FINAL)

    async def call(name: str, urgency: Urgency) -> None:
        await pacer.acquire([FAST], urgency)
        went.append(name)

    async with asyncio.TaskGroup() as group:
        for name, urgency in [("e", EDIT), ("p1", POST), ("f", FINAL), ("p2", POST)]:
            group.create_task(call(name, urgency))

    assert went == ["f", "p1", "p2", "e"]


async def test_drafts_leave_tokens_for_finals() -> None:
    """An edit can't take the last quarter of a bucket, a post not the last tenth."""
    pacer, route = Pacer(), Route("r", 0.001, 20)
    edits = sum(pacer.try_acquire([route], EDIT) for _ in range(30))
    posts = sum(pacer.try_acquire([route], POST) for _ in range(30))
    finals = sum(pacer.try_acquire([route], FINAL) for _ in range(30))

    assert (edits, posts, finals) == (15, 3, 2)


async def test_all_routes_are_charged_or_none() -> None:
    """A call that one limit holds back takes nothing from the other."""
    pacer, closed, open_ = Pacer(), Route("a", 0.001, 1), Route("b", 0.001, 1)
    assert pacer.try_acquire([closed], FINAL)

    assert not pacer.try_acquire([open_, closed], FINAL)
    assert pacer.try_acquire([open_], FINAL)


async def test_a_waiter_on_one_route_does_not_hold_up_others() -> None:
    """A blocked route blocks only the calls that need it."""
    pacer, slow = Pacer(), Route("slow", 0.001, 1)
    await pacer.acquire([slow], FINAL)
    waiting = asyncio.create_task(pacer.acquire([slow], FINAL))
    await asyncio.sleep(0)
    await asyncio.wait_for(pacer.acquire([FAST], EDIT), 1)

    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_cancelled_wait_costs_nothing() -> None:
    """A draft that gives up leaves its place and its token to the next one."""
    pacer, route = Pacer(), Route("r", 20.0, 1)
    await pacer.acquire([route], FINAL)
    draft = asyncio.create_task(pacer.acquire([route], POST))
    await asyncio.sleep(0)
    final = asyncio.create_task(pacer.acquire([route], FINAL))
    await asyncio.sleep(0)
    draft.cancel()
    started = time.monotonic()
    await final

    assert time.monotonic() - started < 0.15
    assert draft.cancelled() or await asyncio.gather(draft, return_exceptions=True)


async def test_cancelled_in_the_moment_it_was_let_through() -> None:
    """A token that was granted to a call which is cancelled at once is given back."""
    pacer, route = Pacer(), Route("r", 0.001, 1)
    await pacer.acquire([route], FINAL)
    draft = asyncio.create_task(pacer.acquire([route], POST))
    await asyncio.sleep(0)
    pacer._buckets["r"].tokens = 1.0
    pacer._pump()
    draft.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draft

    assert pacer.try_acquire([route], FINAL)


async def test_a_real_429_stops_the_route() -> None:
    """After a throttle nobody passes before its time, and then they do."""
    pacer = Pacer()
    pacer.throttle("fast", 0.05)
    started = time.monotonic()
    assert not pacer.try_acquire([FAST], FINAL)
    await pacer.acquire([FAST], FINAL)

    assert 0.045 <= time.monotonic() - started < 0.3


async def test_a_throttle_reaches_those_who_wait() -> None:
    """A pause that is announced while a call waits holds that call back too."""
    pacer, route = Pacer(), Route("r", 50.0, 1)
    await pacer.acquire([route], FINAL)
    waiting = asyncio.create_task(pacer.acquire([route], FINAL))
    await asyncio.sleep(0)
    started = time.monotonic()
    pacer.throttle("r", 0.1)
    await waiting

    assert time.monotonic() - started >= 0.095


async def test_headers_lower_what_is_left() -> None:
    """What the platform says is left counts, also when it says nothing is."""
    pacer, route = Pacer(), Route("r", 0.001, 10)
    assert pacer.try_acquire([route], FINAL)
    pacer.observe("r", 1, 60)
    assert pacer.try_acquire([route], FINAL)
    assert not pacer.try_acquire([route], FINAL)
    pacer.observe("r", 0, 0.03)
    await asyncio.wait_for(pacer.acquire([route], FINAL), 1)


async def test_keys_are_bounded() -> None:
    """Old buckets are forgotten; one with a waiter is not."""
    pacer, slow = Pacer(max_keys=10), Route("slow", 0.001, 1)
    await pacer.acquire([slow], FINAL)
    waiting = asyncio.create_task(pacer.acquire([slow], FINAL))
    await asyncio.sleep(0)
    for number in range(100):
        await pacer.acquire([Route(f"k{number}", 1.0, 1)], FINAL)

    assert len(pacer) == 10
    assert "slow" in pacer._buckets
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not pacer._waiters


async def test_a_hundred_drafts_do_not_hold_up_a_final() -> None:
    """However many wait, the next free slot is the final's."""
    pacer = Pacer()
    await pacer.acquire([FAST], FINAL)
    drafts = [asyncio.create_task(pacer.acquire([FAST], EDIT)) for _ in range(100)]
    await asyncio.sleep(0)
    await pacer.acquire([FAST], FINAL)

    assert sum(draft.done() for draft in drafts) <= 1
    for draft in drafts:
        draft.cancel()
    await asyncio.gather(*drafts, return_exceptions=True)
    assert not pacer._waiters


async def test_a_waiter_that_is_being_cancelled_disturbs_nobody() -> None:
    """A cancelled waiter that has not left yet is passed over, and the next one gets the slot."""
    pacer, route = Pacer(), Route("r", 50.0, 1)
    await pacer.acquire([route], FINAL)
    first = asyncio.create_task(pacer.acquire([route], EDIT))
    second = asyncio.create_task(pacer.acquire([route], EDIT))
    await asyncio.sleep(0)
    first.cancel()
    third = asyncio.create_task(pacer.acquire([Route("free", 1.0, 1)], EDIT))
    pacer.observe("r", 1, 0.0)  # looks at every waiter while the first is half gone

    await asyncio.wait_for(asyncio.gather(second, third), 1.0)
    assert first.cancelled() or first.done()
