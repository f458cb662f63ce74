"""The address of an interaction's answer, as a string that survives a restart.

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

LIFETIME: Final = 14 * 60.0
"""Seconds that a token is used; Discord takes it for fifteen minutes."""
ANSWER_WITHIN: Final = 3.0
"""Seconds in which an interaction has to be answered or deferred."""

EPOCH_MS: Final = 1_420_070_400_000
COMMAND, COMPONENT = 2, 3


class Handle(msgspec.Struct, frozen=True, array_like=True):
    """Where an interaction is answered."""

    application: str
    interaction: str
    token: str
    is_button: bool = False
    """`@original` is then the message with the button, not an answer of its own."""
    is_private: bool = False
    """The answer was promised to the asker alone, which can't be changed later."""

    def encode(self) -> str:
        """As `core.messages` carries it."""
        return msgspec.json.encode(self).decode()

    @property
    def created_at(self) -> float:
        """Seconds since the epoch."""
        return sent_at(self.interaction)

    def is_alive(self) -> bool:
        """The token still takes answers."""
        return time.time() - self.created_at < LIFETIME


def decode(handle: str | None) -> Handle | None:
    """The handle of a target; None for none."""
    return msgspec.json.decode(handle, type=Handle) if handle else None


def of(data: Mapping[str, Any], *, is_private: bool) -> Handle:
    """The handle of an interaction's payload."""
    return Handle(
        application=data["application_id"],
        interaction=data["id"],
        token=data["token"],
        is_button=data["type"] == COMPONENT,
        is_private=is_private,
    )


def sent_at(snowflake: str) -> float:
    """When an id was made, in seconds since the epoch."""
    return ((int(snowflake) >> 22) + EPOCH_MS) / 1000
