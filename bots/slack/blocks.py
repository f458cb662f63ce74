"""Block Kit around an answer: its text, the ways to rate it, to repeat it and to stop it. Pure.

https://docs.slack.dev/reference/block-kit/blocks/context-actions-block
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from core.adapter import Part

FEEDBACK: Final = "talkwarden_feedback"
REGENERATE: Final = "talkwarden_regenerate"
STOP: Final = "talkwarden_stop"
METADATA: Final = "talkwarden_part"
ORDER: Final = "talkwarden_order"
REVIEW: Final = "talkwarden_review_"
APPROVE: Final = "talkwarden_approve_"
ANSWERS: Final = {"allow": "Allow", "decline": "Decline"}
"""What may be said of a call that waits -> the button's label."""
VERDICTS: Final = {
    "right": "Right",
    "wrong": "Wrong",
    "delete": "Delete message",
    "timeout": "Time out",
    "appeal": "Appeal",
}
"""What may be said of a case -> the button's label."""
_DRASTIC: Final = frozenset({"delete", "timeout"})
BLANK: Final = "\u200b"
"""What a part of nothing but white space shows: Slack refuses an empty text."""

Block = dict[str, Any]


def text_of(part: Part) -> str:
    """The part's text as Slack takes it."""
    return part.text if part.text.strip() else BLANK


def content(part: Part) -> dict[str, Any]:
    """The arguments that make a message show the part. `text` is what notifications show."""
    text = text_of(part)
    return {"text": text, "blocks": [{"type": "markdown", "text": text}, *buttons(part)]}


def buttons(part: Part) -> list[Block]:
    """What stands below the part."""
    if part.question:
        found = [_button(label, APPROVE + word, part.question) for word, label in ANSWERS.items()]
        return [_actions(*found)]
    if not (part.has_feedback and part.is_last):
        return []
    if not part.is_final:
        return [_actions(_button("Stop", STOP, part.turn))]
    return [
        {"type": "context_actions", "elements": [_feedback(part.turn)]},
        _actions(_button("Regenerate", REGENERATE, part.turn)),
    ]


def metadata(part: Part) -> dict[str, Any]:
    """What names the part, for the case that its post has an unknown outcome."""
    return {"event_type": METADATA, "event_payload": {"key": part.key}}


def review(case: str, verbs: Sequence[str]) -> list[Block]:
    """The buttons of an alert or a warning: the verb is in the id, the case in the value."""
    buttons = []
    for verb in verbs:
        button = _button(VERDICTS[verb], REVIEW + verb, case)
        buttons.append(button | ({"style": "danger"} if verb in _DRASTIC else {}))
    return [_actions(*buttons)] if buttons else []


def meaning(action: str) -> tuple[str, str] | None:
    """The command and its first word, of a button on a case or a call; None for any other."""
    for name, prefix, words in (("review", REVIEW, VERDICTS), ("approve", APPROVE, ANSWERS)):
        word = action.removeprefix(prefix)
        if word in words and word != action:
            return name, word
    return None


def order_metadata(order: str) -> dict[str, Any]:
    """What names an alert, for the case that its post has an unknown outcome."""
    return {"event_type": ORDER, "event_payload": {"key": order}}


def _actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements)}


def _button(label: str, action: str, value: str) -> Block:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "text": text, "action_id": action, "value": value}


def _feedback(turn: str) -> Block:
    def thumb(label: str, value: str) -> Block:
        text = {"type": "plain_text", "text": label}
        return {"text": text, "accessibility_label": label, "value": f"{turn} {value}"}

    return {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": thumb("Good answer", "up"),
        "negative_button": thumb("Bad answer", "down"),
    }
