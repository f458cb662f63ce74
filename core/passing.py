"""Passes a streamed reply on while it is judged, and ends it where a rule says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from core.moderation import Violation
from core.outlet import Outlet
from core.telemetry import logger

Usage: TypeAlias = Callable[[], Mapping[str, Any] | None]
"""Tells what an answer that was stopped has cost so far."""

_log = logger("talkwarden.passing")


def passed(
    chunks: AsyncIterator[list[bytes]], outlet: Outlet, usage: Usage, *, is_scored: bool
) -> AsyncGenerator[list[bytes], None]:
    """The chunks that may be read, and the endings of an answer that moderation stops."""
    return _scored(chunks, outlet, usage) if is_scored else _checked(chunks, outlet, usage)


async def _checked(
    chunks: AsyncIterator[list[bytes]], outlet: Outlet, usage: Usage
) -> AsyncGenerator[list[bytes], None]:
    out: list[bytes] = []
    try:
        async for batch in chunks:
            out = []
            for payload in batch:
                out += outlet.feed(payload)
            if out:
                yield out
        out = []  # it is out: the endings must not bring it again
        out = outlet.end()
    except Violation as exc:
        out = [*out, *_endings(exc, outlet, usage)]
    if out:
        yield out


async def _scored(
    chunks: AsyncIterator[list[bytes]], outlet: Outlet, usage: Usage
) -> AsyncGenerator[list[bytes], None]:
    """As `_checked`, each piece once its verdict is there; the model writes on meanwhile."""
    news = asyncio.Event()

    async def read() -> None:
        try:
            async for batch in chunks:
                for payload in batch:
                    outlet.feed(payload)
                news.set()
            outlet.end()
        finally:
            news.set()

    reading = asyncio.create_task(read(), name="relayed answer")
    try:
        while True:
            await news.wait()
            news.clear()
            is_over = reading.done()
            if out := await outlet.clear():
                yield out
            if is_over:
                break
        await reading
    except Violation as exc:
        await given_up(reading)
        if endings := _endings(exc, outlet, usage):
            yield endings
    finally:
        await given_up(reading)


def _endings(exc: Violation, outlet: Outlet, usage: Usage) -> list[bytes]:
    _log.info("An answer was stopped by moderation.", why=exc.verdict.reason)
    return outlet.stopped(usage())


async def given_up(task: asyncio.Future[Any]) -> None:
    """End a task that nobody waits for any more."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
