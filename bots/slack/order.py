"""Keeps the events of a channel in order although some have to wait for a name."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Order:
    """A queue per channel, which exists only while somebody in it waits."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Future[None]] = {}

    async def turn(self, channel: str, work: Coroutine[Any, Any, None] | None) -> None:
        """Do the work, then return once all that came before in the channel has gone on.

        Whoever goes on keeps its place up to its next await.
        """
        before = self._last.get(channel)
        if work is None and before is None:
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[channel] = mine
        try:
            if work is not None:
                await work
            if before is not None:
                await asyncio.wait([before])
        finally:
            mine.set_result(None)
            if self._last.get(channel) is mine:
                del self._last[channel]
