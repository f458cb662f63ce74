"""An answer's text as Discord messages. Pure.

Nothing is escaped: `allowed_mentions` keeps every mention from pinging, and Discord's Markdown
is what models write.
"""

from __future__ import annotations

from typing import Any, Final

from bots.discord import buttons
from core import parts
from core.adapter import Part

LIMIT: Final = 2000
"""Characters of one message, https://discord.com/developers/docs/resources/message."""

NO_PINGS: Final[dict[str, Any]] = {"parse": [], "replied_user": False}
NO_PREVIEWS: Final = 1 << 2
"""SUPPRESS_EMBEDS: a link that a model wrote is not fetched."""

BLANK: Final = "\u200b"
"""Discord takes no message of spaces only."""


def render(text: str) -> list[str]:
    """The texts of the parts; joined by `core.parts.join` they are the answer."""
    return parts.split(text, LIMIT, length=len if text.isascii() else _units)


def body(part: Part) -> dict[str, Any]:
    """What a message has to have in order to show this part."""
    return {
        "content": part.text if part.text.strip() else BLANK,
        "allowed_mentions": NO_PINGS,
        "components": buttons.rows(part),
    }


def _units(text: str) -> int:
    """Code units of UTF-16: never less than what Discord counts, whichever way it does."""
    return len(text) + sum(character > "\uffff" for character in text)
