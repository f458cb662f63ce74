"""Reads a thread back: a part whose post has an unknown outcome, and what stood before a question.

https://docs.slack.dev/reference/methods/conversations.replies
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from bots.slack.api import Api
from bots.slack.blocks import METADATA
from bots.slack.events import people_in, to_post
from bots.slack.names import Names
from bots.slack.people import Json, Me
from core.adapter import Part, Target, Urgency
from core.errors import PermissionDenied, TargetGone
from core.messages import Message
from core.telemetry import logger

_log = logger("talkwarden.slack.history")

PAGE: Final = 200
PAGES: Final = 5
SLACK: Final = 5.0  # seconds that Slack's clock and ours may differ
_TOLD: Final = frozenset({"", "file_share", "thread_broadcast", "me_message", "bot_message"})


class History:
    """Reads within the limits of conversations.*."""

    def __init__(self, api: Api, names: Names) -> None:
        self._api = api
        self._names = names

    async def find(self, target: Target, part: Part, since: float, me: Me) -> tuple[str, bool]:
        """The ts of the part's message ("" if there is none), and whether it is a stream.

        A stream gets its metadata when it ends: our message without any, posted since, is one
        that an earlier process left open. Raises PlatformError.
        """
        orphan = ""
        try:
            async for message in self._since(target, since - SLACK):
                if not me.wrote(message):
                    continue
                metadata = message.get("metadata") or {}
                if metadata.get("event_type") != METADATA:
                    orphan = orphan or str(message["ts"])
                elif (metadata.get("event_payload") or {}).get("key") == part.key:
                    return str(message["ts"]), False
        except PermissionDenied as exc:
            _log.warning("Can't see whether an answer was posted.", error=str(exc))
            return "", False
        except TargetGone:
            return "", False
        return orphan, bool(orphan)

    async def before(self, target: Target, limit: int, me: Me) -> AsyncIterator[Message]:
        """The thread's (or DM's) messages before the question, oldest first, its root always."""
        found = await self._before(target, limit)
        kind = "im" if target.place.is_private else "channel"
        for message in found:
            if message["ts"] != target.reply_to and (message.get("subtype") or "") in _TOLD:
                if wait := self._names.learn(people_in(message)):
                    await wait
                yield to_post(message, target.place.channel, kind, me, self._names)

    async def _before(self, target: Target, limit: int) -> list[Json]:
        latest = target.reply_to if _is_ts(target.reply_to) else None
        if not target.place.thread:
            if not target.place.is_private:
                return []
            args = {"channel": target.place.channel, "latest": latest, "limit": limit}
            return list(reversed((await self._read("conversations.history", args))["messages"]))
        last: deque[Json] = deque(maxlen=limit)
        root: Json | None = None
        args = {"channel": target.place.channel, "ts": target.place.thread, "latest": latest}
        async for message in self._pages("conversations.replies", args):
            if root is None:
                root = message
            last.append(message)
        if root is None or not last or last[0]["ts"] == root["ts"]:
            return list(last)
        return [root, *list(last)[1:]]

    async def _since(self, target: Target, since: float) -> AsyncIterator[Json]:
        args: dict[str, Any] = {
            "channel": target.place.channel,
            "oldest": f"{since:.6f}",
            "include_all_metadata": "true",
        }
        method = "conversations.history"
        if target.place.thread:
            method, args["ts"] = "conversations.replies", target.place.thread
        async for message in self._pages(method, args):
            if float(message["ts"]) >= since:
                yield message

    async def _pages(self, method: str, args: dict[str, Any]) -> AsyncIterator[Json]:
        cursor: str | None = None
        for _ in range(PAGES):
            page = await self._read(method, {**args, "limit": PAGE, "cursor": cursor})
            for message in page["messages"]:
                yield message
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    async def _read(self, method: str, args: dict[str, Any]) -> Any:
        await self._api.limits.pacer.acquire([self._api.limits.of(method)], Urgency.FINAL)
        return await self._api.get(method, args)


def _is_ts(value: str | None) -> bool:
    return bool(value) and str(value).replace(".", "", 1).isdigit()
