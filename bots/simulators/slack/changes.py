"""Waiting for the simulated workspace to reach a state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Predicates may also look at what the simulator cannot see change, such as the bot under test.
_POLL = 0.05  # seconds


class Changes:
    """Wakes waiting predicates after each turn of the loop in which something changed."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._scheduled = False

    def notify(self) -> None:
        """Say that something changed; cheap when nobody waits."""
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._wake)

    async def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:  # noqa: ASYNC109
        """Return the predicate's first true value; raise TimeoutError when there is none."""
        deadline = time.monotonic() + timeout
        loop = asyncio.get_running_loop()
        while not (value := predicate()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not reached within {timeout} s; last value {value!r}")
            changed: asyncio.Future[None] = loop.create_future()
            self._waiting.add(changed)
            try:
                await asyncio.wait((changed,), timeout=min(left, _POLL))
            finally:
                self._waiting.discard(changed)
        return value

    def _wake(self) -> None:
        self._scheduled = False
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)
