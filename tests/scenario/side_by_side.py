"""Scenarios that mostly wait run at the same time, each reported as the test that it is.

    @slow
    async def test_something() -> None: ...

The first such test of a file starts them all; each awaits its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

Scenario = Callable[[], Coroutine[Any, Any, None]]

AT_ONCE = 8

SCENARIOS: dict[str, dict[str, Scenario]] = {}
"""By module and name."""


def slow(scenario: Scenario) -> Callable[..., Coroutine[Any, Any, None]]:
    """Run this test beside the other slow ones of its file."""
    name = scenario.__name__
    SCENARIOS.setdefault(scenario.__module__, {})[name] = scenario

    async def test(side_by_side: Mapping[str, Awaitable[None]]) -> None:
        await side_by_side[name]

    test.__name__, test.__qualname__, test.__doc__ = name, name, scenario.__doc__
    marked: Callable[..., Coroutine[Any, Any, None]] = pytest.mark.asyncio(loop_scope="module")(
        test
    )
    return marked


def start(module: str, names: set[str]) -> dict[str, asyncio.Task[None]]:
    """Begin the scenarios of a module that were selected."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario) -> None:
        async with room:
            await scenario()

    found = SCENARIOS.get(module, {})
    return {name: asyncio.create_task(one(found[name])) for name in found if name in names}
