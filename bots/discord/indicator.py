"""Shows that the bot is typing while it works.

Discord shows it for ten seconds. https://discord.com/developers/docs/resources/channel
"""

from __future__ import annotations

import asyncio
from typing import Final

from bots.discord import failures
from bots.discord.rest import Rest
from core.errors import PlatformError
from core.telemetry import logger

log = logger("talkwarden.discord")

AFTER: Final = 0.4
"""Seconds of work before it shows: an answer that comes sooner needs none, and no call."""
EVERY: Final = 8.0
AT_MOST: Final = 300.0
"""Seconds after which an answer that never ended stops to show."""


class Indicator:
    """One typing indicator per channel, however many answers are under way there."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._working: dict[str, set[str]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}

    def start(self, channel: str, who: str) -> None:
        """Somebody works on an answer in this channel."""
        self._working.setdefault(channel, set()).add(who)
        if channel not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[channel] = loop.call_later(AFTER, self._begin, channel)

    def stop(self, channel: str, who: str) -> None:
        """The answer is there, or will not come."""
        working = self._working.get(channel, set())
        working.discard(who)
        if not working:
            self._working.pop(channel, None)
            if timer := self._timers.pop(channel, None):
                timer.cancel()
            for task, shown in self._tasks.items():
                if shown == channel:
                    task.cancel()

    async def close(self) -> None:
        """Stop everywhere."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, channel: str) -> None:
        task = asyncio.get_running_loop().create_task(self._show(channel))
        self._tasks[task] = channel
        task.add_done_callback(self._tasks.pop)

    async def _show(self, channel: str) -> None:
        try:
            async with asyncio.timeout(AT_MOST):
                while True:
                    with failures.translated():
                        await self._rest.call(
                            "POST", "/channels/{channel_id}/typing", channel_id=channel
                        )
                    await asyncio.sleep(EVERY)
        except (PlatformError, TimeoutError) as exc:
            log.debug("discord.typing", channel=channel, error=str(exc))
