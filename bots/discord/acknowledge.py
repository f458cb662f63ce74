"""First answers to interactions, which Discord waits for three seconds.

https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-callback
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bots.discord import failures, handles, interactions
from bots.discord.commands import CHOICE_LIMIT, MAX_CHOICES
from bots.discord.posting import EPHEMERAL
from bots.discord.rest import Rest
from core.errors import PlatformError
from core.messages import Place
from core.telemetry import logger

log = logger("talkwarden.discord")

Choices = Callable[[str, str, Place], Sequence[str]]
"""What may stand in an option ("model"), given what was typed and where."""

_DEFER, _DEFER_UPDATE, _CHOICES = 5, 6, 8
_WITHIN: Final = handles.ANSWER_WITHIN
EXPECTED: Final = 1000
"""Interactions whose first answer may be waited for."""


class Acknowledger:
    """Tells Discord that an interaction has arrived."""

    def __init__(self, rest: Rest, choices: Choices) -> None:
        self._rest = rest
        self._choices = choices
        self._expected: dict[str, asyncio.Future[None]] = {}

    def expect(self, interaction: str) -> None:
        """An interaction came in: `settled` waits for its first answer from now on."""
        self._expected[interaction] = asyncio.get_running_loop().create_future()
        if len(self._expected) > EXPECTED:
            self._settle(next(iter(self._expected)))

    async def settled(self, interaction: str) -> None:
        """Wait until the first answer is out: an answer that overtakes it is refused."""
        first = self._expected.get(interaction)
        if first is not None:
            await asyncio.wait([first], timeout=_WITHIN)

    async def stored(self, data: Mapping[str, Any]) -> None:
        """The interaction is durable: show that it is being worked on."""
        body: dict[str, Any] = {"type": _DEFER}
        if data["type"] == interactions.COMPONENT:
            body = {"type": _DEFER_UPDATE}
        elif interactions.is_private(data):
            body["data"] = {"flags": EPHEMERAL}
        try:
            await self._answer(data, body)
        finally:
            self._settle(data["id"])

    async def complete(self, data: Mapping[str, Any]) -> None:
        """Answer what is typed into an option with what may stand there."""
        name, typed = interactions.focused(data)
        kind = data["data"]["name"] if name else ""
        found = self._choices(kind, typed, interactions.place_in(data)) if name else ()
        fitting = [choice for choice in found if len(choice) <= CHOICE_LIMIT][:MAX_CHOICES]
        choices = [{"name": choice, "value": choice} for choice in fitting]
        await self._answer(data, {"type": _CHOICES, "data": {"choices": choices}})

    def _settle(self, interaction: str) -> None:
        first = self._expected.pop(interaction, None)
        if first is not None and not first.done():
            first.set_result(None)

    async def _answer(self, data: Mapping[str, Any], body: dict[str, Any]) -> None:
        left = handles.sent_at(data["id"]) + _WITHIN - time.time()
        try:
            async with asyncio.timeout(max(left, 1.0)):
                with failures.translated():
                    await self._rest.call(
                        "POST",
                        "/interactions/{webhook_id}/{webhook_token}/callback",
                        json=body,
                        webhook_id=data["id"],
                        webhook_token=data["token"],
                    )
        except (PlatformError, TimeoutError) as exc:
            # too late, or done before a restart: the answer finds its way all the same
            log.info("discord.interaction", interaction=data["id"], error=str(exc))
