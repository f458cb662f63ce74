"""An interaction as a test sees it: what the user did, and what the bot made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bots.simulators.discord.model import (
    Channel,
    DiscordMessage,
    Json,
    User,
    Version,
)

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
# Kinds of the bot's first answer.
PONG, MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, CHOICES, OPEN_MODAL = 1, 4, 5, 6, 7, 8, 9


@dataclass(slots=True, eq=False)
class Interaction:
    """Times are time.monotonic; `expired` means that no answer came within three seconds.

    `original` is the message of the first answer (or the one the clicked component sits on),
    `raw` every body the bot sent for this interaction, the callback first.
    """

    id: int
    token: str
    kind: int
    channel: Channel
    user: User
    data: Json
    created: float
    source: DiscordMessage | None = None
    sent: float | None = None
    answered: float | None = None
    response_type: int | None = None
    ephemeral: bool = False
    expired: bool = False
    original: DiscordMessage | None = None
    followups: list[DiscordMessage] = field(default_factory=list)
    choices: list[Json] = field(default_factory=list)
    modal: Json | None = None
    raw: list[Any] = field(default_factory=list)

    @property
    def deferred(self) -> bool:
        """Whether the user still sees "thinking"."""
        return self.original is not None and bool(self.original.flags & (1 << 7))

    @property
    def content(self) -> str:
        """What the answer shows now."""
        return self.original.text if self.original is not None else ""

    @property
    def contents(self) -> list[Version]:
        """Every text the answer has shown, with its time."""
        return self.original.history if self.original is not None else []
