"""What a person may have to decide: a held text, an alert, an action that could not be done.

A case is opened in the transaction that stores its verdict, under an id that is the same after
any crash. What it keeps of the text is masked as the history is, and of any secret besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from core.messages import Author, ConversationId, Edited, Message, Place
from core.moderation.ladder import Terms
from core.moderation.secrets import scanner
from core.moderation.verdicts import Verdict, mask
from core.storage import Op, Row, query

if TYPE_CHECKING:
    from core.judged import Judged

Direction: TypeAlias = Literal["in", "out"]
State: TypeAlias = Literal["quiet", "open", "decided", "appealed"]

MAX_TEXT = 4_000
"""Characters that a case keeps of a text."""
BEFORE_HIT = 1_000
"""Of these, how many stand before the first hit of a longer text."""
CONTEXT = 3
"""Messages before it that a moderator is shown."""
MAX_LINE = 200
"""Characters of each of them."""
END = 2**62  # above every seq

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True):
    """One message of the context."""

    name: str
    text: str


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a case from the start; no secret is in it."""

    conversation: ConversationId
    place: Place
    author: Author | None = None
    message_id: str | None = None
    what: str = "message"
    """What `message_id` names, as in `core.adapter.Order`."""
    text: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    """Where in `text` the rules hit."""
    rules: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    by_rules: tuple[str, ...] = ()
    """Categories whose score is not a scorer's: a rule's hit counts as 1."""
    decision: str = ""
    reason: str = ""
    context: tuple[Line, ...] = ()
    """The few messages before it, oldest first; none of a private conversation."""
    timeout: int = 86_400
    """Seconds that the button means."""

    @property
    def category(self) -> str:
        """What it is about most of all."""
        return max(self.scores, key=lambda name: self.scores[name], default="")

    @property
    def scored(self) -> dict[str, float]:
        """The scores that a scorer gave: all that thresholds are about."""
        return {name: each for name, each in self.scores.items() if name not in self.by_rules}


_decode_file = msgspec.json.Decoder(File).decode
_decode_event = msgspec.json.Decoder(Message | Edited).decode


@dataclass(frozen=True, slots=True)
class Case:
    """One row."""

    id: str
    subject: str
    direction: Direction
    author_id: str
    review: str
    """The review channel; empty: none is configured."""
    file: File
    event: Message | Edited | None
    """A held message, to be let through."""
    state: State
    decision: str
    earlier: str
    """The decision that the author appealed against."""
    decided_by: str
    decided_name: str
    decided_at: float
    appealed_at: float

    @property
    def is_decided(self) -> bool:
        """A moderator has spoken, and the author has not appealed since."""
        return bool(self.decision)

    @property
    def key(self) -> str:
        """Names what the next decision leads to: one appeal makes it another decision."""
        return f"review {self.id} appeal" if self.appealed_at else f"review {self.id}"


def case_id(subject: str) -> str:
    """Names the case of a verdict: the same after any crash; goes into a button."""
    return digest("case", subject)


def digest(*words: str) -> str:
    """Twenty hexadecimal digits that stand for these words."""
    return blake2b("\0".join(words).encode(), digest_size=10).hexdigest()


def file_of(found: Judged, context: Sequence[Line], terms: Terms) -> File:
    """What is kept of a text and its verdict."""
    verdict = found.verdict
    text, spans = _joined(found.texts, verdict)
    return File(
        found.conversation,
        found.place,
        Author(found.author.id, without_secrets(found.author.name), is_bot=found.author.is_bot),
        found.message or None,
        found.what,
        text,
        spans,
        tuple(dict.fromkeys(hit.rule for hit in verdict.hits)),
        {name: round(score, 3) for name, score in verdict.categories.items() if score >= 0.01},
        tuple(dict.fromkeys(hit.category for hit in verdict.hits)),
        verdict.decision,
        verdict.reason,
        tuple(context),
        terms.ladder.review_timeout,
    )


def _joined(texts: Sequence[str], verdict: Verdict) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The texts in one, masked and cut, and where the hits are in it."""
    pieces, spans, at = [], [], 0
    for part, text in enumerate(texts):
        hits = [hit for hit in verdict.hits if hit.part == part]
        if not text.strip():
            continue
        hidden = [(hit.start, hit.end) for hit in hits if hit.action == "redact"]
        pieces.append(without_secrets(mask(text, hidden)))
        spans += [(at + hit.start, at + hit.end) for hit in hits]
        at += len(text) + 1
    whole = "\n".join(pieces)
    start = max(0, min(spans)[0] - BEFORE_HIT) if spans and len(whole) > MAX_TEXT else 0
    cut = whole[start : start + MAX_TEXT]
    moved = ((low - start, min(high - start, len(cut))) for low, high in spans)
    return cut, tuple(span for span in moved if 0 <= span[0] < span[1])


def without_secrets(text: str) -> str:
    """The text with keys, tokens and passwords masked, whatever the rules say of them."""
    return mask(text, ((found.start, found.end) for found in scanner()(text)))


def open_op(found: Judged, terms: Terms, *, state: State, now: float) -> Op[str]:
    """Open the case of a verdict, or wake a quiet one; its id."""
    verdict, place = found.verdict, found.place
    context = yield from _context_op(found)
    held = found.event if verdict.decision == "hold" else None
    case = case_id(found.subject)
    yield query(
        "cases.open",
        id=case,
        subject=found.subject,
        direction=found.direction,
        platform=place.platform,
        workspace=place.workspace,
        author_id=found.author.id,
        review=terms.review,
        file=_encode(file_of(found, context, terms)).decode(),
        event="" if held is None else _encode(_kept(held, verdict)).decode(),
        state=state,
        now=now,
    )
    return case


def _kept(event: Message | Edited, verdict: Verdict) -> Message | Edited:
    """A held message as it may be let through: what has to be masked is not kept."""

    def masked(text: str, part: int) -> str:
        hits = (hit for hit in verdict.hits if hit.part == part and hit.action == "redact")
        return without_secrets(mask(text, ((hit.start, hit.end) for hit in hits)))

    return msgspec.structs.replace(
        event, text=masked(event.text, 0), quoted=masked(event.quoted, 1)
    )


def _context_op(found: Judged) -> Op[list[Line]]:
    if found.place.is_private or found.what != "message":
        return []
    seq, talk = END, found.conversation
    if found.message:
        own = yield query("history.by_platform", platform_id=found.message, conversation=talk)
        seq = own[0]["seq"] if own else END
    rows = yield query("cases.before", conversation=talk, seq=seq, most=CONTEXT)
    return [
        Line(
            row["author_name"] or ("the assistant" if row["role"] == "assistant" else ""),
            without_secrets(row["content"])[:MAX_LINE],
        )
        for row in reversed(rows)
    ]


def get_op(case: str) -> Op[Case | None]:
    """The case with this id."""
    rows = yield query("cases.get", id=case)
    return to_case(rows[0]) if rows else None


def to_case(row: Row) -> Case:
    """Read a row of cases.get."""
    return Case(
        row["id"],
        row["subject"],
        row["direction"],
        row["author_id"],
        row["review"],
        _decode_file(row["file"]),
        _decode_event(row["event"]) if row["event"] else None,
        row["state"],
        row["decision"],
        row["earlier"],
        row["decided_by"],
        row["decided_name"],
        row["decided_at"],
        row["appealed_at"],
    )
