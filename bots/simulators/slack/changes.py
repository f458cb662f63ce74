"""Waiting for the simulated workspace to reach a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Re-evaluates waiting predicates after each turn of the loop in which something changed."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._scheduled = False

    def notify(self) -> None:
        """Say that something changed; cheap when nobody waits."""
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._evaluate)

    async def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:  # noqa: ASYNC109
        """Return the predicate's first true value; raise TimeoutError when there is none."""
        value = predicate()
        if value:
            return value
        found: list[T] = []

        def check() -> bool:
            value = predicate()
            if value:
                found.append(value)
            return bool(value)

        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = check
        try:
            async with asyncio.timeout(timeout):
                await future
        finally:
            self._waiting.pop(future, None)
        return found[0]

    def _evaluate(self) -> None:
        self._scheduled = False
        for future, check in list(self._waiting.items()):
            if future.done():
                continue
            try:
                reached = check()
            except Exception as exc:  # noqa: BLE001 - the waiter sees its predicate's own error
                future.set_exception(exc)
            else:
                if reached:
                    future.set_result(None)
