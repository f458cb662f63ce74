"""Buttons under an answer. All they mean is in their id, so they outlive a restart.

https://discord.com/developers/docs/components/reference#button
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

APPROVE: Final = "approve"
ANSWERS: Final = {"allow": ("Allow", 3), "decline": ("Decline", 4)}
"""What may be said of a call that waits -> the button's label and style."""

REVIEW: Final = "review"
VERDICTS: Final = {
    "right": ("Right", 2),
    "wrong": ("Wrong", 2),
    "delete": ("Delete message", 4),
    "timeout": ("Time out", 4),
    "appeal": ("Appeal", 2),
}
"""What may be said of a case -> the button's label and style."""


def rows(part: Part) -> list[dict[str, Any]]:
    """The components of a part; empty: it has none, or has them no more."""
    if not part.is_last:
        return []
    if part.question:
        return _styled(APPROVE, part.question, ANSWERS)
    if not part.is_final:
        return _row(part, ("stop", "Stop", "⏹️"))
    if part.has_feedback:
        return _row(part, ("again", "Regenerate", "🔄"), ("up", "", "👍"), ("down", "", "👎"))
    return []


def meaning(custom_id: str) -> tuple[str, str] | None:
    """The command and its argument; None for a button that is not ours."""
    prefix, _, rest = custom_id.partition(":")
    action, _, turn = rest.partition(":")
    words = {REVIEW: VERDICTS, APPROVE: ANSWERS}.get(action)
    if prefix == PREFIX and words is not None:
        word, _, about = turn.partition(":")
        return (action, f"{word} {about}") if word in words and about else None
    if prefix != PREFIX or action not in MEANINGS or not turn:
        return None
    name, more = MEANINGS[action]
    return name, f"{turn} {more}".rstrip()


def review(case: str, verbs: Sequence[str]) -> list[dict[str, Any]]:
    """The components of an alert or a warning."""
    return _styled(REVIEW, case, {verb: VERDICTS[verb] for verb in verbs})


def ids(components: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the buttons of a message mean."""
    rows = (row.get("components") or () for row in components)
    return [item["custom_id"] for row in rows for item in row if "custom_id" in item]


def _styled(kind: str, about: str, words: Mapping[str, tuple[str, int]]) -> list[dict[str, Any]]:
    items = []
    for word, (label, style) in words.items():
        custom_id = f"{PREFIX}:{kind}:{word}:{about}"
        items.append({"type": _BUTTON, "style": style, "custom_id": custom_id, "label": label})
    return [{"type": _ROW, "components": items}] if items else []


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
