"""Shows that the assistant works: the agent session with its Stop button, and the thread's status.

Both exist only where the workspace has the agent feature; without it nothing is shown.
https://docs.slack.dev/ai/agent-sessions
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final

from bots.slack.api import Api
from core.adapter import Activity, Target, Urgency
from core.errors import PlatformError, RateLimited
from core.telemetry import logger

_log = logger("talkwarden.slack.status")

SESSION: Final = "agents.sessions.setStatus"
STATUS: Final = "assistant.threads.setStatus"
THINKING: Final = "is thinking…"
BUSY: Final = 4096  # threads remembered as busy

Key = tuple[str, str]


class Status:
    """What members see of running turns. Never raises."""

    def __init__(self, api: Api, *, is_on: bool) -> None:
        self._api = api
        self._has = {SESSION: is_on, STATUS: is_on}
        self._busy: dict[str, OrderedDict[Key, None]] = {
            SESSION: OrderedDict(),
            STATUS: OrderedDict(),
        }
        self._posted: OrderedDict[Key, None] = OrderedDict()
        self._clearing: set[asyncio.Task[None]] = set()

    async def indicate(self, target: Target, activity: Activity) -> None:
        """Show or clear it."""
        channel, thread = target.place.channel, target.place.thread
        if not thread:
            return
        asker = target.asker.id if target.asker else None
        if activity is Activity.WORKING:
            self._posted.pop((channel, thread), None)
            processing = {"status": "processing", "initiator_user_id": asker}
            await self._set(SESSION, (channel, thread), processing, busy=True)
            if (channel, thread) not in self._posted:  # else there is more to see than a status
                await self._set(STATUS, (channel, thread), {"status": THINKING}, busy=True)
            return
        for method, idle in ((SESSION, "active"), (STATUS, "")):
            if (channel, thread) in self._busy[method]:
                self._clear(method, (channel, thread), idle)

    def ending(self, target: Target) -> str | None:
        """The status that ends the thread's session, for the call that ends its stream."""
        key = (target.place.channel, target.place.thread or "")
        return "active" if key in self._busy[SESSION] else None

    def ended(self, target: Target) -> None:
        """That call was made."""
        self._busy[SESSION].pop((target.place.channel, target.place.thread or ""), None)

    def posted(self, target: Target) -> None:
        """A message in the thread clears its status."""
        key = (target.place.channel, target.place.thread or "")
        self._busy[STATUS].pop(key, None)
        _keep(self._posted, key)

    async def close(self) -> None:
        """Give up what still waits for a limit."""
        for task in self._clearing:
            task.cancel()
        await asyncio.gather(*self._clearing, return_exceptions=True)

    def _clear(self, method: str, key: Key, status: str) -> None:
        """Clear it as soon as the limit lets it, which the end of a turn does not wait for."""

        async def clear() -> None:
            await self._api.limits.pacer.acquire([self._api.limits.of(method)], Urgency.FINAL)
            await self._set(method, key, {"status": status}, busy=False)

        task = asyncio.create_task(clear())
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _set(self, method: str, key: Key, args: dict[str, Any], *, busy: bool) -> None:
        if not self._has[method] or (busy and not self._api.may(method)):
            return
        channel, thread = key
        try:
            await self._api.call(method, {"channel_id": channel, "thread_ts": thread, **args})
        except PlatformError as exc:
            if not (exc.retryable or isinstance(exc, RateLimited)) and busy:
                self._has[method] = exc.code in {"channel_not_found", "not_in_channel"}
                _log.info("The workspace shows no status.", method=method, code=exc.code)
            return
        self._busy[method].pop(key, None)
        if busy:
            _keep(self._busy[method], key)


def _keep(keys: OrderedDict[Key, None], key: Key) -> None:
    keys[key] = None
    if len(keys) > BUSY:
        keys.popitem(last=False)
