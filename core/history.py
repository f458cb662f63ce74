"""What was said: append-only rows, and the window of them that the model is given.

The window is stable for the endpoint's prompt cache: a conversation's serialised messages stay
the same bytes from turn to turn and only grow at the end. When they pass the budget, a whole
block is dropped, down to half of it, so that the next many turns share a prefix again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from core.attachments import ImageContent
from core.completions.types import ChatMessage, ImagePart, ImageUrl, TextPart
from core.lanes import typed_lane
from core.messages import Author, ConversationId, Deleted, Edited, Place
from core.storage import Op, Row, query

MAX_IMAGES = 8  # the newest of a window; each is sent again on every turn


NOBODY = Author(id="")


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the history; `seq` is 0 until it is stored."""

    role: str
    content: str
    seq: int = 0
    parent: int | None = None
    """The seq it follows; None: whatever is newest when it is appended."""
    author: Author = NOBODY
    platform_id: str | None = None
    turn: str | None = None
    images: tuple[ImageContent, ...] = ()
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A conversation as stored: the entries from `start` on, oldest first."""

    start: int = 0
    is_backfilled: bool = False
    is_participating: bool = False
    """The assistant has answered here, or is about to."""
    entries: tuple[Entry, ...] = field(default=())

    def knows(self, platform_id: str) -> bool:
        """The message is among the entries."""
        return any(entry.platform_id == platform_id for entry in self.entries)

    def branch(self, head: int | None = None) -> list[Entry]:
        """The entries that lead to `head` (by default the newest), oldest first."""
        return branch_of(self.entries, head)


def branch_of(entries: Iterable[Entry], head: int | None = None) -> list[Entry]:
    """Of the entries those that lead to `head` (by default the newest), oldest first."""
    by_seq = {entry.seq: entry for entry in entries}
    seq = head if head is not None else max(by_seq, default=0)
    path = []
    while entry := by_seq.get(seq):
        path.append(entry)
        seq = entry.parent if entry.parent is not None else 0
    path.reverse()
    return path


def load_op(conversation: ConversationId) -> Op[Past]:
    """Read a conversation; an unknown one is empty."""
    rows = yield query("history.conversation", id=conversation)
    answered = yield query(
        "history.has_answer", conversation=conversation, commands=typed_lane(conversation)
    )
    if not rows:
        return Past(is_participating=bool(answered))
    start = rows[0]["window_start"]
    is_backfilled = bool(rows[0]["is_backfilled"])
    entries = yield query("history.window", conversation=conversation, start=start)
    images = yield query("history.images", conversation=conversation, start=start)
    return Past(start, is_backfilled, bool(answered), _entries(entries, images))


def all_entries_op(conversation: ConversationId) -> Op[list[Entry]]:
    """Every message of a conversation as it stands now, whether the window shows it or not."""
    rows = yield query("history.window", conversation=conversation, start=0)
    images = yield query("history.images", conversation=conversation, start=0)
    return list(_entries(rows, images))


def past_op(conversation: ConversationId, parent: str | None) -> Op[tuple[Past, int | None]]:
    """The conversation, and the seq of the message that a new one replies to in it."""
    past = yield from load_op(conversation)
    head = None
    if parent is not None:
        head = yield from seq_of_op(conversation, parent)
    return past, head


def append_op(
    conversation: ConversationId, place: Place, entries: Iterable[Entry], now: float
) -> Op[int]:
    """Append what is not there yet (by platform id or turn); return the newest one's seq."""
    yield query(
        "history.open",
        id=conversation,
        platform=place.platform,
        workspace=place.workspace,
        channel=place.channel,
        now=now,
    )
    rows = yield query("history.newest", conversation=conversation)
    newest = seq = int(rows[0]["seq"])
    for entry in entries:
        if entry.platform_id is not None:
            known = yield query(
                "history.by_platform", conversation=conversation, platform_id=entry.platform_id
            )
            if known:
                seq = int(known[0]["seq"])
                continue
        newest = seq = newest + 1
        yield from _append_one(conversation, seq, entry, now)
    return seq


def answer_op(conversation: ConversationId, place: Place, answer: Entry, now: float) -> Op[None]:
    """Append an answer; one whose question a reset has left behind is left behind with it."""
    seq = yield from append_op(conversation, place, (answer,), now)
    rows = yield query("history.conversation", id=conversation)
    if answer.parent is not None and rows[0]["window_start"] > answer.parent:
        yield query("history.move_window", id=conversation, start=seq + 1)


def backfill_op(
    conversation: ConversationId, place: Place, entries: Sequence[Entry], now: float
) -> Op[None]:
    """Put a thread's earlier messages before everything that follows; once a conversation.

    What was stored of the thread before is left out of the window from here on: the platform's
    own account is complete and in order.
    """
    rows = yield query("history.conversation", id=conversation)
    if rows and rows[0]["is_backfilled"]:
        return
    newest = yield query("history.newest", conversation=conversation)
    yield from append_op(conversation, place, (), now)
    seq = newest[0]["seq"]
    start = seq + 1
    for entry in entries:
        parent = seq if seq >= start else 0
        seq += 1
        yield from _append_one(conversation, seq, replace(entry, parent=parent), now)
    if entries:
        yield query("history.move_window", id=conversation, start=start)
    yield query("history.mark_backfilled", id=conversation)


def seq_of_op(conversation: ConversationId, platform_id: str) -> Op[int | None]:
    """The seq of the message, or of the answer that this message is a part of."""
    for name in ("history.by_platform", "history.answered_by"):
        rows = yield query(name, conversation=conversation, platform_id=platform_id)
        if rows:
            return int(rows[0]["seq"])
    return None


def revise_op(event: Edited | Deleted, content: str, now: float, *, is_deleted: bool) -> Op[bool]:
    """Store a new version, or the deletion, of the event's message; False: there is none."""
    seq = yield from seq_of_op(event.conversation, event.id)
    if seq is not None:
        yield from revise_seq_op(event.conversation, seq, content, now, is_deleted=is_deleted)
    return seq is not None


def forget_answer_op(conversation: ConversationId, turn: str, now: float) -> Op[None]:
    """Store the deletion of a turn's answer."""
    rows = yield query("history.by_turn", conversation=conversation, turn=turn)
    for row in rows:
        yield from revise_seq_op(conversation, row["seq"], "", now, is_deleted=True)


def revise_seq_op(
    conversation: ConversationId, seq: int, content: str, now: float, *, is_deleted: bool
) -> Op[None]:
    """Store a new version of the message with this seq, unless nothing changed."""
    yield query(
        "history.revise",
        conversation=conversation,
        seq=seq,
        content=content,
        is_deleted=int(is_deleted),
        now=now,
    )
    if is_deleted:
        yield query("history.forget_image", conversation=conversation, seq=seq)


def forget_op(conversation: ConversationId) -> Op[None]:
    """Begin the conversation anew: what was said stays stored, the model does not see it."""
    rows = yield query("history.newest", conversation=conversation)
    yield query("history.move_window", id=conversation, start=rows[0]["seq"] + 1)


def move_window_op(conversation: ConversationId, start: int) -> Op[None]:
    """From now on the window begins here; it never moves back."""
    yield query("history.move_window", id=conversation, start=start)


def locate_op(place: Place, platform_id: str) -> Op[ConversationId | None]:
    """The conversation that holds this platform message, an answer's parts included."""
    rows = yield query(
        "history.locate",
        message=platform_id,
        platform=place.platform,
        workspace=place.workspace,
        channel=place.channel,
    )
    return ConversationId(rows[0]["conversation"]) if rows else None


def fit(
    path: Sequence[Entry], start: int, budget: int, count: Callable[[ChatMessage], int]
) -> tuple[list[Entry], int]:
    """The newest entries of `path` within `budget` tokens and the seq where they begin.

    While everything from `start` on fits, `start` stays. Otherwise it moves on to half of the
    budget, to a question, so that no answer stands without what it answers. The last entry is
    always kept.
    """
    kept = [entry for entry in path if entry.seq >= start or not entry.seq]
    sizes = [count(as_chat(entry, has_names=True, image_budget=MAX_IMAGES)) for entry in kept]
    if sum(sizes) <= budget:
        return kept, start
    total, first = 0, len(kept) - 1
    for index in range(len(kept) - 1, -1, -1):
        total += sizes[index]
        if total > budget // 2:
            break
        if kept[index].role == "user" and not kept[index].is_deleted:
            first = index
    if not first:
        return kept, start
    # a question that is not stored yet will get a seq above those that it leaves behind
    behind = max(entry.seq for entry in kept[:first]) + 1
    return kept[first:], kept[first].seq or max(start, behind)


def as_chat(entry: Entry, *, has_names: bool, image_budget: int = 0) -> ChatMessage:
    """The wire form of an entry: the same bytes on every turn."""
    text = entry.content
    if has_names and entry.role == "user" and entry.author.name:
        text = f"{entry.author.name}: {text}"
    if not entry.images or not image_budget:
        return ChatMessage(entry.role, text)
    images = tuple(
        ImagePart(ImageUrl(f"data:{image.media_type};base64,{image.data_base64}"))
        for image in entry.images[:image_budget]
    )
    return ChatMessage(entry.role, (TextPart(text), *images))


def to_messages(
    entries: Sequence[Entry], *, has_names: bool, has_vision: bool
) -> list[ChatMessage]:
    """The window's messages; only the newest images are sent."""
    left = MAX_IMAGES if has_vision else 0
    messages = []
    for entry in reversed(entries):
        if entry.is_deleted:
            continue
        messages.append(as_chat(entry, has_names=has_names, image_budget=left))
        left = max(0, left - len(entry.images))
    messages.reverse()
    return messages


def _append_one(conversation: ConversationId, seq: int, entry: Entry, now: float) -> Op[None]:
    yield query(
        "history.append",
        conversation=conversation,
        seq=seq,
        platform_id=entry.platform_id,
        role=entry.role,
        author_id=entry.author.id,
        author_name=entry.author.name,
        content=entry.content,
        parent=seq - 1 if entry.parent is None else entry.parent,
        turn=entry.turn,
        now=now,
    )
    for position, image in enumerate(entry.images):
        yield query(
            "history.keep_image",
            conversation=conversation,
            seq=seq,
            position=position,
            name=image.name,
            media_type=image.media_type,
            data=image.data_base64,
        )


def _entries(rows: Sequence[Row], images: Sequence[Row]) -> tuple[Entry, ...]:
    pictures: dict[int, list[ImageContent]] = {}
    for row in images:
        pictures.setdefault(row["seq"], []).append(
            ImageContent(row["name"], row["media_type"], row["data"])
        )
    return tuple(
        Entry(
            role=row["role"],
            content=row["content"],
            seq=row["seq"],
            parent=row["parent"],
            author=Author(row["author_id"], row["author_name"]),
            platform_id=row["platform_id"],
            turn=row["turn"],
            images=tuple(pictures.get(row["seq"], ())),
            is_deleted=bool(row["is_deleted"]),
        )
        for row in rows
    )
