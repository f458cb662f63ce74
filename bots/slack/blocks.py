"""Block Kit around an answer: its text, the ways to rate it, to repeat it and to stop it. Pure.

https://docs.slack.dev/reference/block-kit/blocks/context-actions-block
"""

from __future__ import annotations

from typing import Any, Final

from core.adapter import Part

FEEDBACK: Final = "talkwarden_feedback"
REGENERATE: Final = "talkwarden_regenerate"
STOP: Final = "talkwarden_stop"
METADATA: Final = "talkwarden_part"
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
