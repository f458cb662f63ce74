"""Reads messages back from Discord: after an outage, before a question, after a lost answer.

None of it happens in steady state. https://discord.com/developers/docs/resources/message
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from bots.discord import events, failures, handles
from bots.discord.directory import Directory
from bots.discord.events import Me
from bots.discord.handles import EPOCH_MS
from bots.discord.posting import channel_of, nonce_of, opens_thread
from bots.discord.rest import Rest
from bots.discord.session import Tail
from core.adapter import Part, Target
from core.errors import PlatformError, TargetGone
from core.messages import Message
from core.telemetry import logger

log = logger("talkwarden.discord")

Json = Mapping[str, Any]

PAGE: Final = 100
NONCE_WINDOW: Final = 90.0
"""Seconds in which a repeated post surely returns the first one ("the past few minutes")."""
MISSED_PAGES: Final = 3
MISSED_AGE: Final = 86_400.0
"""Seconds: what was said longer ago in an outage is not answered any more."""
CHANNELS_AT_ONCE: Final = 4
CHAIN_STEPS: Final = 25
"""Calls for one reply chain; each brings two messages."""

_MESSAGES: Final = "/channels/{channel_id}/messages"
_MESSAGE: Final = "/channels/{channel_id}/messages/{message_id}"


def snowflake(seconds: float) -> str:
    """The smallest id of that moment."""
    return str(max(0, int(seconds * 1000) - EPOCH_MS) << 22)


class History:
    """Reads as the bot `me`; texts come empty where Discord withholds them."""

    def __init__(self, rest: Rest, directory: Directory, me: Me) -> None:
        self._rest = rest
        self._directory = directory
        self._me = me

    async def catch_up(
        self, tails: Sequence[Tail], store: Callable[[Json], Awaitable[None]]
    ) -> None:
        """Hand over what was posted after each channel's last known message, oldest first."""
        at_once = asyncio.Semaphore(CHANNELS_AT_ONCE)

        async def one(tail: Tail) -> None:
            async with at_once:
                try:
                    await self._missed(tail, store)
                except PlatformError as exc:
                    log.warning("discord.catch_up", channel=tail.channel, error=str(exc))

        async with asyncio.TaskGroup() as group:
            for tail in tails:
                group.create_task(one(tail))

    async def before(self, target: Target, limit: int) -> AsyncIterator[Message]:
        """What stands before the question in its thread, DM or reply chain, oldest first."""
        place = target.place
        if place.thread or place.is_private:
            found = await self._page(
                channel_of(target), limit=min(limit, PAGE), before=target.reply_to
            )
        else:
            found = await self._chain(place.channel, target.reply_to or "", limit)
        for data in found:
            message = self._read(data, target)
            if message is not None:
                yield message

    async def find(self, target: Target, part: Part, since: float, *, again: bool) -> str | None:
        """The id of a part that may have been posted at `since` (seconds since the epoch)."""
        handle = handles.decode(target.handle)
        if handle is not None and target.is_only_for_asker:
            if handle.is_button or part.index or not handle.is_private:
                return handle.interaction  # can't be looked up: taken as shown, never repeated
            return None  # filled in again, which changes nothing
        if handle is not None and not handle.is_button and not part.index and handle.is_alive():
            return None
        if again and time.time() - since < NONCE_WINDOW:
            return None
        start = target.reply_to or snowflake(since - 5)
        try:
            own = [data async for data in self._own_after(channel_of(target), start)]
        except TargetGone:
            return None
        return _match(own, nonce_of(part), target, part.index)

    async def _missed(self, tail: Tail, store: Callable[[Json], Awaitable[None]]) -> None:
        last = max(tail.last, snowflake(time.time() - MISSED_AGE), key=int)
        for _ in range(MISSED_PAGES):
            page = await self._page(tail.channel, after=last)
            for data in page:
                if tail.guild:
                    data["guild_id"] = tail.guild
                    data["member"] = await self._member(tail.guild, data)
                await store(data)
            if len(page) < PAGE:
                return
            last = page[-1]["id"]
        log.warning("discord.catch_up.cut", channel=tail.channel, read=MISSED_PAGES * PAGE)

    async def _member(self, guild: str, data: Json) -> Json:
        """The author's roles, which a message read later does not carry."""
        called = any(user["id"] == self._me.user for user in data.get("mentions") or ())
        if not called or data.get("webhook_id"):
            return {}
        try:
            with failures.translated():
                found: Json = await self._rest.call(
                    "GET",
                    "/guilds/{guild_id}/members/{user_id}",
                    guild_id=guild,
                    user_id=data["author"]["id"],
                )
        except PlatformError:
            return {}
        return found

    async def _own_after(self, channel: str, start: str) -> AsyncIterator[Json]:
        for _ in range(MISSED_PAGES):
            page = await self._page(channel, after=start)
            for data in page:
                if data["author"]["id"] == self._me.user and data["type"] in events.POSTS:
                    yield data
            if len(page) < PAGE:
                return
            start = page[-1]["id"]

    async def _chain(self, channel: str, question: str, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        key: str | None = question
        for _ in range(min(CHAIN_STEPS, limit)):
            if not key or len(found) >= limit:
                break
            data = await self._message(channel, key)
            if data is None:
                break
            if key != question:
                found.append(data)
            key = _reference(data)
            parent = data.get("referenced_message")
            if parent:
                found.append(parent)
                key = _reference(parent)
        return found[:limit][::-1]

    async def _message(self, channel: str, key: str) -> dict[str, Any] | None:
        try:
            with failures.translated():
                data: dict[str, Any] = await self._rest.call(
                    "GET", _MESSAGE, channel_id=channel, message_id=key
                )
        except TargetGone:
            return None
        return data

    async def _page(
        self,
        channel: str,
        *,
        limit: int = PAGE,
        after: str | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """One page, oldest first."""
        query: dict[str, Any] = {"limit": limit}
        query |= {"after": after} if after else {}
        query |= {"before": before} if before else {}
        with failures.translated():
            page: list[dict[str, Any]] = await self._rest.call(
                "GET", _MESSAGES, params=query, channel_id=channel
            )
        return sorted(page, key=lambda data: int(data["id"]))

    def _read(self, data: dict[str, Any], target: Target) -> Message | None:
        place = target.place
        if data.get("type") == 21 and data.get("referenced_message"):
            data = data["referenced_message"]  # a thread begins with the message it is about
        if not place.is_private:
            data = {**data, "guild_id": place.workspace}
        message = events.past(data, self._directory, self._me)
        if message is None:
            return None
        return replace(message, conversation=target.conversation, place=place)


def _reference(data: Json) -> str | None:
    return (data.get("message_reference") or {}).get("message_id")


def _match(own: Sequence[Json], nonce: str, target: Target, index: int) -> str | None:
    """The part among the bot's own messages: by its nonce, else by the question and the order."""
    for data in own:
        if data.get("nonce") == nonce:
            return str(data["id"])
    first: int | None = 0  # of a thread that was opened for this very answer
    if not opens_thread(target):
        first = next((at for at, data in enumerate(own) if _answers(data, target.reply_to)), None)
    if first is None:
        return None
    at = first + index
    between = own[first + 1 : at + 1]
    if at >= len(own) or any(_reference(data) for data in between):
        return None  # another answer came in between: its parts can't be told from ours
    return str(own[at]["id"])


def _answers(data: Json, reply_to: str | None) -> bool:
    gesture = (data.get("interaction_metadata") or data.get("interaction") or {}).get("id")
    return reply_to is not None and reply_to in (_reference(data), gesture)
