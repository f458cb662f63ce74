"""How long one reader waits for the next block: a timer that is moved on only when it is due.

`asyncio.timeout` makes and cancels a timer for each wait, which at hundreds of streams costs as
much as reading them. What a wait that is over raises, and when, is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Waits of one task after the other; `close` it with what is waited for."""

    __slots__ = ("_by", "_due", "_is_over", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._by = 0.0
        self._task: asyncio.Task[object] | None = None
        self._is_over = False

    async def wait(self, awaited: Awaitable[T], limit: float) -> T:
        """What is awaited. Raises TimeoutError after `limit` seconds."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._by = self._loop.time() + limit
        self._task = task
        if self._timer is None or self._due > self._by:
            self._arm()
        try:
            return await awaited
        except asyncio.CancelledError as exc:
            if self._is_over and task.uncancel() <= before:
                raise TimeoutError from exc
            raise
        finally:
            self._task = None
            self._is_over = False

    def close(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.close()
        self._due = self._by
        self._timer = self._loop.call_at(self._by, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait arms it anew
        if self._loop.time() < self._by:
            self._arm()
            return
        self._is_over = True
        self._task.cancel()
