"""Buttons under an answer. All they mean is in their id, so they outlive a restart.

https://discord.com/developers/docs/components/reference#button
"""

from __future__ import annotations

from typing import Any, Final

from core.adapter import Part

PREFIX: Final = "tw"
ID_LIMIT: Final = 100

_ROW, _BUTTON = 1, 2
_GREY = 2

MEANINGS: Final = {
    "stop": ("stop", ""),
    "again": ("regenerate", ""),
    "up": ("feedback", "up"),
    "down": ("feedback", "down"),
}
"""What is in a button's id -> the command, and what follows the turn in its argument."""


def rows(part: Part) -> list[dict[str, Any]]:
    """The components of a part; empty: it has none, or has them no more."""
    if not part.is_last:
        return []
    if not part.is_final:
        return _row(part, ("stop", "Stop", "⏹️"))
    if part.has_feedback:
        return _row(part, ("again", "Regenerate", "🔄"), ("up", "", "👍"), ("down", "", "👎"))
    return []


def meaning(custom_id: str) -> tuple[str, str] | None:
    """The command and its argument; None for a button that is not ours."""
    prefix, _, rest = custom_id.partition(":")
    action, _, turn = rest.partition(":")
    if prefix != PREFIX or action not in MEANINGS or not turn:
        return None
    name, more = MEANINGS[action]
    return name, f"{turn} {more}".rstrip()


def _row(part: Part, *buttons: tuple[str, str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for action, label, emoji in buttons:
        custom_id = f"{PREFIX}:{action}:{part.turn}"
        if len(custom_id) > ID_LIMIT:
            return []
        button = {"type": _BUTTON, "style": _GREY, "custom_id": custom_id}
        button |= {"label": label} if label else {}
        items.append(button | {"emoji": {"name": emoji}})
    return [{"type": _ROW, "components": items}]
