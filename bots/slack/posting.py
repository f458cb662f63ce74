"""Makes parts visible: a native stream within its budget, else a message that is updated.

Who may write when: a stream's start, its appends and its stop have limits of their own, and so
have posts and updates; a draft takes what is left, a final text comes first (`core.pacer`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from typing import Any, Final

from bots.slack import blocks
from bots.slack.api import Api
from bots.slack.status import Status
from bots.slack.streams import Growing, Streams, pause_until
from core.adapter import Part, Target, Urgency
from core.errors import PermissionDenied, PlatformError, TargetGone

INTERVAL: Final = 1.2  # seconds between two drafts of one message
REMEMBERED: Final = 4096
RESPONDED: Final = "response"
"""The id of what went to a response_url: Slack tells none."""

_OUTSIDE = frozenset({"not_in_channel", "channel_not_found"})
_NAMESPACE: Final = uuid.UUID("6f0c2d1c-5a0e-4d5b-9a8d-3c1f7a2b9e44")


class Poster:
    """The messages of one workspace. Raises PlatformError."""

    def __init__(self, api: Api, streams: Streams, status: Status) -> None:
        self._api = api
        self._pacer = api.limits.pacer
        self._streams = streams
        self._status = status
        self._granted: OrderedDict[str, None] = OrderedDict()
        self._closed_channels: OrderedDict[str, None] = OrderedDict()

    async def pace(self, target: Target, urgency: Urgency, ts: str | None) -> None:
        """Return when the post or edit fits the limits."""
        if ts is not None:
            await self._pace_edit(target, urgency, ts)
        elif urgency is Urgency.FINAL:
            self._granted.pop(target.conversation, None)
            method = "chat.postEphemeral" if _is_private(target) else "chat.postMessage"
            await self._acquire(urgency, method, target.place.channel)
        elif _is_private(target) or self._is_closed(target):
            await asyncio.Event().wait()  # shown once, when it is complete
        elif self._streams.can(target) and self._try_start():
            self._remember(self._granted, target.conversation)
        else:
            # an update is set aside as well: a draft is worth nothing if it can't be completed
            await self._acquire(urgency, ("chat.postMessage", "chat.update"), target.place.channel)

    async def post(self, target: Target, part: Part) -> str:
        """Create the part's message; return its ts."""
        if _is_private(target):
            return await self._whisper(target, part)
        is_granted = target.conversation in self._granted
        self._granted.pop(target.conversation, None)
        try:
            ts = None
            if is_granted and not part.is_final:
                ts = await self._streams.start(target, part)
            if ts is None:
                ts = await self._create(target, part)
        except (PermissionDenied, TargetGone) as exc:
            if exc.code not in _OUTSIDE or not target.handle:
                raise
            # asked from a channel that the bot is not in: the gesture's own address answers
            self._remember(self._closed_channels, target.place.channel)
            if not part.is_final:
                raise
            return await self._respond(target, part, "in_channel")
        self._status.posted(target)
        return ts

    async def edit(self, target: Target, ts: str, part: Part) -> None:
        """Make the message show the part."""
        if ts == RESPONDED:
            return
        growing = self._streams.get(target, ts)
        is_done = False
        if growing is not None and growing.is_stream:
            is_done = await self._feed(target, ts, growing, part)
            if not is_done:  # a second call, which `pace` could not foresee
                await self._acquire(Urgency.FINAL, "chat.update", target.place.channel)
        if not is_done:
            await self._update(target, ts, part)
            if growing is not None:
                growing.wrote_at = time.monotonic()
        if part.is_final:
            self._streams.forget(target, ts)

    async def withdraw(self, target: Target, ts: str) -> None:
        """Delete one of our messages."""
        self._streams.forget(target, ts)
        args = {"channel": target.place.channel, "ts": ts}
        try:
            await self._api.paced("chat.delete", args)
        except TargetGone:
            return
        except PlatformError as exc:
            if exc.code != "streaming_state_conflict":
                raise
            await self._streams.stop(target, ts)
            await self._api.paced("chat.delete", args)

    async def adopt(self, target: Target, ts: str) -> None:
        """End a stream that an earlier process left open, so that it can be updated."""
        await self._streams.stop(target, ts)

    # drafts and finals

    async def _pace_edit(self, target: Target, urgency: Urgency, ts: str) -> None:
        if ts == RESPONDED:
            return
        growing = self._streams.get(target, ts)
        is_stream = growing is not None and growing.is_stream
        if urgency is not Urgency.FINAL:
            if growing is not None:
                await pause_until(growing.wrote_at + INTERVAL)
            method = "chat.appendStream" if is_stream else "chat.update"
        else:
            method = "chat.stopStream" if is_stream else "chat.update"
        await self._acquire(urgency, method, target.place.channel)

    async def _feed(self, target: Target, ts: str, growing: Growing, part: Part) -> bool:
        if not part.is_final:
            return await self._streams.append(target, ts, growing, part)
        session = self._status.ending(target) if part.is_last else None
        is_done = await self._streams.finish(target, ts, growing, part, session)
        if session:
            self._status.ended(target)
        return is_done

    async def _update(self, target: Target, ts: str, part: Part) -> None:
        args = {
            "channel": target.place.channel,
            "ts": ts,
            **blocks.content(part),
            "metadata": blocks.metadata(part),
        }
        try:
            await self._api.call("chat.update", args)
        except PlatformError as exc:
            if exc.code != "streaming_state_conflict":
                raise
            await self._streams.stop(target, ts)
            await self._api.paced("chat.update", args)

    async def _create(self, target: Target, part: Part) -> str:
        args = {
            "channel": target.place.channel,
            "thread_ts": target.place.thread,
            **blocks.content(part),
            "metadata": blocks.metadata(part),
            # undocumented as a key against doubles, but Slack's error tables know of it
            "client_msg_id": str(uuid.uuid5(_NAMESPACE, part.key)),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        ts = str((await self._api.call("chat.postMessage", args))["ts"])
        if not part.is_final:
            self._streams.note(target, ts, Growing())
        return ts

    async def _whisper(self, target: Target, part: Part) -> str:
        if target.handle:
            return await self._respond(target, part, "ephemeral")
        assert target.asker is not None
        answer = await self._api.call(
            "chat.postEphemeral",
            {
                "channel": target.place.channel,
                "user": target.asker.id,
                "thread_ts": target.place.thread,
                **blocks.content(part),
            },
        )
        return str(answer["message_ts"])

    async def _respond(self, target: Target, part: Part, kind: str) -> str:
        assert target.handle is not None
        body: dict[str, Any] = {
            "response_type": kind,
            "replace_original": False,
            **blocks.content(part),
        }
        if target.place.thread:
            body["thread_ts"] = target.place.thread
        await self._api.respond(target.handle, body)
        return RESPONDED

    # limits

    async def _acquire(
        self, urgency: Urgency, methods: str | tuple[str, ...], channel: str
    ) -> None:
        names = (methods,) if isinstance(methods, str) else methods
        await self._pacer.acquire([self._api.limits.of(name, channel) for name in names], urgency)

    def _try_start(self) -> bool:
        return self._pacer.try_acquire([self._api.limits.of("chat.startStream")], Urgency.POST)

    def _is_closed(self, target: Target) -> bool:
        return bool(target.handle) and target.place.channel in self._closed_channels

    @staticmethod
    def _remember(kept: OrderedDict[str, None], key: str) -> None:
        kept[key] = None
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)


def _is_private(target: Target) -> bool:
    """In a direct message everything is private already, and can be found again."""
    if not target.is_only_for_asker or target.place.is_private:
        return False
    return target.handle is not None or target.asker is not None
