"""What was posted, and what was about to be: an intent before each post, the platform's id after.

A crash between the two leaves an intent without an id; `core.delivery` asks the platform for it
before it posts again.
"""

from __future__ import annotations

from core.messages import ConversationId
from core.storage import Op, Row, query


def intend_op(turn: str, part: int, conversation: ConversationId, now: float) -> Op[None]:
    """The part is about to be posted."""
    yield query("outbox.intend", turn=turn, part=part, conversation=conversation, now=now)


def sent_op(turn: str, part: int, message: str) -> Op[None]:
    """The part is the platform's message with this id."""
    yield query("outbox.sent", turn=turn, part=part, message=message)


def withdrawn_op(turn: str, part: int) -> Op[None]:
    """The part's message is deleted, or turned out never to have existed."""
    yield query("outbox.withdrawn", turn=turn, part=part)


def adopt_op(turn: str, other: str, conversation: ConversationId, now: float) -> Op[dict[int, Row]]:
    """Take over another turn's messages, to replace its answer where it stands."""
    parts = yield query("outbox.parts", turn=other)
    adopted: dict[int, Row] = {}
    for row in parts:
        if row["message"] is not None and row["state"] != "withdrawn":
            yield from intend_op(turn, row["part"], conversation, now)
            yield from sent_op(turn, row["part"], row["message"])
            adopted[row["part"]] = row
    return adopted


def parts_op(turn: str) -> Op[dict[int, Row]]:
    """The turn's rows by part."""
    rows = yield query("outbox.parts", turn=turn)
    return {row["part"]: row for row in rows}
