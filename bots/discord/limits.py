"""When a post or an edit may go: Discord's limits as its headers tell them, finals first.

https://discord.com/developers/docs/topics/rate-limits: no number there may be relied on. What is
assumed until the first headers arrive is what clients observe.
"""

from __future__ import annotations

from typing import Final

from bots.discord.handles import Handle
from bots.discord.rest import Rest
from core.adapter import Target, Urgency
from core.pacer import Pacer, Route

CREATE: Final = ("POST", "/channels/{channel_id}/messages")
EDIT: Final = ("PATCH", "/channels/{channel_id}/messages/{message_id}")

STREAM_EVERY: Final = 1.2
"""Seconds between two drafts of growing answers in a channel, shared by all of them."""
GLOBAL: Final = Route("global", rate=38.0, burst=8)
"""Discord lets a bot make 50 calls a second; in none do we make more than 46 of this kind."""
ASSUMED: Final = (5, 1.0)
"""Calls at once, and calls a second after that."""


class Limits:
    """Paces one bot's calls; with `is_on` False only a stream's own rhythm is kept."""

    def __init__(self, rest: Rest, *, is_on: bool) -> None:
        self._rest = rest
        self._is_on = is_on
        self._pacer = Pacer()
        self._shapes: dict[tuple[str, str], tuple[int, float]] = {}

    async def wait(
        self,
        target: Target,
        channel: str,
        handle: Handle | None,
        urgency: Urgency,
        *,
        is_edit: bool,
    ) -> None:
        """Return when the call may go. Cancellable."""
        rhythm = Route(
            f"draft:{channel if self._is_on else target.conversation}", 1 / STREAM_EVERY, 1
        )
        routes = self._routes(channel, handle, is_edit=is_edit) if self._is_on else []
        if urgency is Urgency.EDIT:
            routes.append(rhythm)
        if routes:
            await self._pacer.acquire(routes, urgency)
        if urgency is Urgency.POST:
            self._pacer.try_acquire([rhythm], Urgency.EDIT)  # the next draft comes a beat later

    def learn(self, kind: tuple[str, str], channel: str) -> None:
        """Take over what the last response on this route said."""
        slots = self._rest.slots(*kind, channel)
        if slots is None or slots.expires is None:
            return
        if slots.remaining == slots.limit - 1 and slots.reset_after > 0:
            self._shapes[kind] = (slots.limit, slots.limit / slots.reset_after)
        self._pacer.observe(f"{kind[0]}:{channel}", slots.remaining, slots.reset_in)

    def throttle(self, kind: tuple[str, str], channel: str, seconds: float) -> None:
        """Discord answered 429."""
        self._pacer.throttle(f"{kind[0]}:{channel}", seconds)

    def _routes(self, channel: str, handle: Handle | None, *, is_edit: bool) -> list[Route]:
        if handle is not None:
            # an interaction's answer has a limit of its own and does not count globally
            return [Route(f"hook:{handle.interaction}", ASSUMED[1], ASSUMED[0])]
        kind = EDIT if is_edit else CREATE
        burst, rate = self._shapes.get(kind, ASSUMED)
        return [Route(f"{kind[0]}:{channel}", rate, burst), GLOBAL]
