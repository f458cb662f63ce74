"""Messages that still grow: what they show, and Slack's native text streams.

A stream lives five minutes, however often it is appended to; after four it becomes an ordinary
message that is updated. https://docs.slack.dev/reference/methods/chat.startStream
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from bots.slack import blocks
from bots.slack.api import Api
from bots.slack.render import showable
from core.adapter import Part, Target, Urgency
from core.errors import PermissionDenied, PlatformError, RateLimited, TargetGone

LIFE: Final = 240.0  # seconds; Slack ends a stream after 300
GROWING: Final = 4096  # messages remembered as growing

_OVER = frozenset({"message_not_in_streaming_state", "message_not_found"})


@dataclass(slots=True)
class Growing:
    """A message whose answer is not complete; `shown` is what a stream shows for certain."""

    is_stream: bool = False
    shown: str = ""
    started: float = field(default_factory=time.monotonic)
    wrote_at: float = field(default_factory=time.monotonic)
    is_doubtful: bool = False
    """A call broke: the stream may show more than `shown`."""
    is_stopped: bool = False
    """The member pressed Stop; what was not shown yet is not shown before the end."""


class Streams:
    """Starts, feeds and ends native streams. Raises PlatformError."""

    def __init__(self, api: Api, team: str, *, is_on: bool) -> None:
        self._api = api
        self._team = team
        self._is_on = is_on
        self._growing: OrderedDict[tuple[str, str], Growing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._growing)

    def can(self, target: Target) -> bool:
        """A stream needs a thread and somebody of this workspace to stream to."""
        asker = target.asker
        return bool(
            self._is_on
            and target.place.thread
            and asker is not None
            and not asker.is_bot
            and not asker.is_external
        )

    def get(self, target: Target, ts: str) -> Growing | None:
        """The message's state, if it still grows."""
        return self._growing.get((target.place.channel, ts))

    def note(self, target: Target, ts: str, growing: Growing) -> None:
        """Remember that a message grows."""
        self._growing[target.place.channel, ts] = growing
        if len(self._growing) > GROWING:
            self._growing.popitem(last=False)

    def forget(self, target: Target, ts: str) -> None:
        """The message is complete."""
        self._growing.pop((target.place.channel, ts), None)

    async def start(self, target: Target, part: Part) -> str | None:
        """Open a stream with the part's text; None where the workspace has no streams."""
        assert target.asker is not None
        first = showable(part.text, 0) or part.text
        try:
            answer = await self._api.call(
                "chat.startStream",
                {
                    "channel": target.place.channel,
                    "thread_ts": target.place.thread,
                    "recipient_user_id": target.asker.id,
                    "recipient_team_id": self._team,
                    "markdown_text": first,
                },
            )
        except PlatformError as exc:
            if exc.retryable or isinstance(exc, (PermissionDenied, TargetGone)):
                raise
            self._is_on = False
            return None
        ts = str(answer["ts"])
        self.note(target, ts, Growing(is_stream=True, shown=first))
        return ts

    async def append(self, target: Target, ts: str, growing: Growing, part: Part) -> bool:
        """Show what is new; False: it takes an update from now on."""
        if growing.is_stopped:
            return True
        is_old = time.monotonic() - growing.started > LIFE
        if growing.is_doubtful or is_old or not part.text.startswith(growing.shown):
            await self.stop(target, ts)
            growing.is_stream = False
            return False
        more = showable(part.text, len(growing.shown))
        if not more:
            return True
        growing.is_doubtful = True  # until the call has returned
        try:
            args = {"channel": target.place.channel, "ts": ts, "markdown_text": more}
            await self._api.call("chat.appendStream", args)
        except RateLimited:
            growing.is_doubtful = False
            raise
        except PlatformError as exc:
            if exc.code == "stopped_by_user":
                growing.is_stopped, growing.is_doubtful = True, False
                return True
            if exc.code not in _OVER:
                raise
            growing.is_stream = False
            return False
        growing.is_doubtful = False
        growing.shown += more
        growing.wrote_at = time.monotonic()
        return True

    async def finish(
        self, target: Target, ts: str, growing: Growing, part: Part, session: str | None
    ) -> bool:
        """End the stream with the rest of its text; False: it takes an update to be right."""
        is_right = not growing.is_doubtful and part.text.startswith(growing.shown)
        rest = part.text[len(growing.shown) :] if is_right else ""
        ending: dict[str, Any] = {
            "markdown_text": rest or None,
            "blocks": blocks.buttons(part) or None,
            "metadata": blocks.metadata(part),
            "session_status": session,
        }
        was_doubtful, growing.is_doubtful = growing.is_doubtful, True
        try:  # should the call break, an update puts it right
            was_live = await self._stop(target, ts, ending)
        except RateLimited:
            growing.is_doubtful = was_doubtful
            raise
        growing.is_stream = False
        return was_live and is_right

    async def stop(self, target: Target, ts: str) -> bool:
        """End a stream as it is, within the limit; False when it was over already."""
        await self._api.limits.pacer.acquire(
            [self._api.limits.of("chat.stopStream")], Urgency.FINAL
        )
        return await self._stop(target, ts, {})

    async def _stop(self, target: Target, ts: str, ending: dict[str, Any]) -> bool:
        args = {"channel": target.place.channel, "ts": ts, **ending}
        try:
            await self._api.call("chat.stopStream", args)
        except PlatformError as exc:
            if exc.code in _OVER:
                return False
            if args.get("session_status") and exc.code in {"invalid_status", "feature_disabled"}:
                return await self._stop(target, ts, {**ending, "session_status": None})
            raise
        return True


async def pause_until(moment: float) -> None:
    """Sleep until a moment of time.monotonic()."""
    wait = moment - time.monotonic()
    if wait > 0:
        await asyncio.sleep(wait)
