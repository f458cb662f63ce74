"""Waiting with one timer: the same outcomes as with a timer for each wait."""

from __future__ import annotations

import asyncio

import pytest

from core.completions.patience import Patience


async def test_what_comes_in_time_is_given() -> None:
    """However often it is waited, and however the limits differ."""
    patience = Patience()
    for limit in (1.0, 0.5, 2.0, 0.2):
        assert await patience.wait(asyncio.sleep(0.01, "block"), limit) == "block"
    patience.close()


@pytest.mark.parametrize("limits", [(0.05,), (5.0, 0.05), (0.05, 0.08), (0.2, 0.05)])
async def test_the_last_wait_ends_by_its_own_limit(limits: tuple[float, ...]) -> None:
    """A timer that was armed for an earlier wait neither cuts a later one short nor outlasts it."""
    patience, loop = Patience(), asyncio.get_running_loop()
    for limit in limits[:-1]:
        await patience.wait(asyncio.sleep(0.04), limit)
    began = loop.time()
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.Event().wait(), limits[-1])
    assert limits[-1] - 0.01 <= loop.time() - began < limits[-1] + 0.5
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    patience.close()


async def test_who_is_cancelled_hears_of_that() -> None:
    """A cancellation from outside is not taken for the end of patience."""
    patience = Patience()

    async def wait() -> None:
        await patience.wait(asyncio.Event().wait(), 5.0)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.close()


async def test_a_pause_between_waits_is_nobodys_silence() -> None:
    """The timer that comes due between two waits ends neither."""
    patience = Patience()
    assert await patience.wait(asyncio.sleep(0.0, 1), 0.03) == 1
    await asyncio.sleep(0.06)
    assert await patience.wait(asyncio.sleep(0.02, 2), 0.2) == 2
    patience.close()
