"""What was said is kept for ever, and the window of it changes only at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from fakes.events import ALICE, conversation, deleted, edited, message, place
from hypothesis import given
from hypothesis import strategies as st

from core.attachments import ImageContent
from core.completions.types import ChatMessage
from core.history import (
    MAX_IMAGES,
    Entry,
    Past,
    append_op,
    backfill_op,
    fit,
    forget_answer_op,
    forget_op,
    load_op,
    locate_op,
    move_window_op,
    past_op,
    revise_op,
    revise_seq_op,
    seq_of_op,
    to_messages,
)
from core.messages import Author
from core.outbox import intend_op, sent_op
from core.storage import Op, Row, Store, query

TALK = conversation()
HERE = place()


def said(text: str, key: str | None = None, **more: object) -> Entry:
    """A member's message."""
    return Entry("user", text, author=ALICE, platform_id=key, **more)  # type: ignore[arg-type]


def texts(entries: Sequence[Entry]) -> list[str]:
    """The contents, in order."""
    return [entry.content for entry in entries]


async def append(store: Store, *entries: Entry) -> int:
    """Append to the conversation; the newest seq."""
    return await store.write(append_op(TALK, HERE, entries, 1.0))


async def test_an_unknown_conversation_is_empty(store: Store) -> None:
    """Nothing was said where nobody spoke."""
    assert await store.read(load_op(TALK)) == Past()


async def test_entries_come_back_in_order_and_whole(store: Store) -> None:
    """What is appended is read as it was, each entry following the one before."""
    image = ImageContent("a.png", "image/png", "AAAA")
    await append(store, said("one", "1"), Entry("assistant", "two", turn="t"))
    await append(store, said("three", "3", images=(image,)))
    past = await store.read(load_op(TALK))
    assert texts(past.branch()) == ["one", "two", "three"]
    assert [entry.seq for entry in past.entries] == [1, 2, 3]
    assert [entry.parent for entry in past.entries] == [0, 1, 2]
    assert past.entries[2].images == (image,)
    assert past.entries[0].author == Author("U1", "Alice")
    assert past.is_participating
    assert past.knows("3")
    assert not past.knows("2")


async def test_a_message_is_appended_once(store: Store) -> None:
    """A message that is there already stays as it is; its seq is given back."""
    assert await append(store, said("one", "1")) == 1
    assert await append(store, said("other text", "1")) == 1
    assert await append(store, said("one", "1"), said("two", "2")) == 2
    assert texts((await store.read(load_op(TALK))).entries) == ["one", "two"]


async def test_an_edit_is_a_new_version(store: Store) -> None:
    """The window shows the newest version; every version stays stored."""
    post = message("one", key="1")
    await append(store, said("one", "1"), said("two", "2"))
    for text in ("uno", "uno", "eins"):
        await store.write(revise_op(edited(post, text), text, 2.0, is_deleted=False))
    past = await store.read(load_op(TALK))
    assert texts(past.branch()) == ["eins", "two"]

    def versions() -> Op[list[Row]]:
        return (yield query("history.window", conversation=TALK, start=0))

    assert len(await store.read(versions())) == 2


async def test_a_deleted_message_leaves_its_place(store: Store) -> None:
    """What is deleted is not sent any more, and what followed it still follows."""
    image = ImageContent("a.png", "image/png", "AAAA")
    post = message("one", key="1")
    await append(store, said("one", "1", images=(image,)), said("two", "2"))
    await store.write(revise_op(deleted(post), "", 2.0, is_deleted=True))
    past = await store.read(load_op(TALK))
    assert [entry.is_deleted for entry in past.branch()] == [True, False]
    assert past.entries[0].images == ()
    window = to_messages(past.branch(), has_names=True, has_vision=True)
    assert [each.content for each in window] == ["Alice: two"]


async def test_a_change_of_something_unknown_changes_nothing(store: Store) -> None:
    """An edit of a message that was never stored is ignored."""
    await store.write(revise_op(edited(message(key="9"), "x"), "x", 2.0, is_deleted=False))
    assert await store.read(load_op(TALK)) == Past()


async def test_a_branch_follows_its_parents(store: Store) -> None:
    """A reply to an earlier message continues from there, without what came between."""
    await append(store, said("one", "1"), said("two", "2"), said("three", "3"))
    await append(store, replace(said("other", "4"), parent=1), said("end", "5"))
    past = await store.read(load_op(TALK))
    assert texts(past.branch()) == ["one", "other", "end"]
    assert texts(past.branch(3)) == ["one", "two", "three"]
    assert past.branch(99) == []


async def test_an_answer_is_found_by_its_parts(store: Store) -> None:
    """A reply to any part of an answer is a reply to the answer, once it is complete."""
    await append(store, said("one", "1"), Entry("assistant", "two", turn="t"))

    def post() -> Op[None]:
        yield from intend_op("t", 0, TALK, 1.0)
        yield from sent_op("t", 0, "m1")

    await store.write(post())
    assert await store.read(seq_of_op(TALK, "m1")) is None

    def confirm() -> Op[None]:
        yield query("outbox.confirm", turn="t")

    await store.write(confirm())
    assert await store.read(seq_of_op(TALK, "m1")) == 2
    assert await store.read(seq_of_op(TALK, "1")) == 1
    assert (await store.read(past_op(TALK, "m1")))[1] == 2
    assert await store.read(locate_op(HERE, "m1")) == TALK
    assert await store.read(locate_op(HERE, "1")) == TALK
    assert await store.read(locate_op(place("C2"), "1")) is None
    assert await store.read(locate_op(place("C1", "W2"), "m1")) is None


async def test_a_withdrawn_answer_is_forgotten(store: Store) -> None:
    """Deleting a turn's answer takes it, and only it, out of the window."""
    await append(store, said("one", "1"), Entry("assistant", "two", turn="t"))
    await store.write(forget_answer_op(TALK, "t", 2.0))
    await store.write(forget_answer_op(TALK, "unknown", 2.0))
    past = await store.read(load_op(TALK))
    assert [entry.is_deleted for entry in past.entries] == [False, True]


async def test_a_reset_begins_anew_and_never_goes_back(store: Store) -> None:
    """After a reset nothing said before is loaded; the window never moves back."""
    await append(store, said("one", "1"), said("two", "2"))
    await store.write(forget_op(TALK))
    assert (await store.read(load_op(TALK))).entries == ()
    await append(store, said("three", "3"))
    await store.write(move_window_op(TALK, 1))
    past = await store.read(load_op(TALK))
    assert texts(past.branch()) == ["three"]
    assert past.start == 3


async def test_a_backfill_comes_before_what_follows_and_once(store: Store) -> None:
    """A thread's beginning is put in order before the question, instead of what was overheard."""
    await append(store, said("overheard", "2"))
    thread = [said("root", "1"), said("overheard", "2"), said("late", "3")]
    for _ in range(2):
        await store.write(backfill_op(TALK, HERE, thread, 1.0))
    await append(store, said("question", "4"))
    past = await store.read(load_op(TALK))
    assert past.is_backfilled
    assert texts(past.branch()) == ["root", "overheard", "late", "question"]
    assert await append(store, said("overheard", "2")) == past.entries[1].seq


async def test_an_empty_backfill_keeps_what_was_overheard(store: Store) -> None:
    """Where a platform has nothing to tell, what was recorded stays in the window."""
    await append(store, said("overheard", "2"))
    await store.write(backfill_op(TALK, HERE, [], 1.0))
    past = await store.read(load_op(TALK))
    assert past.is_backfilled
    assert texts(past.branch()) == ["overheard"]


async def test_deleting_by_seq_is_told_once(store: Store) -> None:
    """A second deletion adds no version."""
    await append(store, said("one", "1"))
    for _ in range(2):
        await store.write(revise_seq_op(TALK, 1, "", 2.0, is_deleted=True))

    def version() -> Op[list[Row]]:
        return (
            yield query(
                "history.revise", conversation=TALK, seq=1, content="b", is_deleted=0, now=3.0
            )
        )

    assert (await store.write(version()))[0]["version"] == 2


def size_of(message: ChatMessage) -> int:
    """A token a character, and 100 an image."""
    content = message.content or ""
    if isinstance(content, str):
        return len(content) + 1
    return 101 + sum(len(getattr(part, "text", "")) for part in content)


def test_only_the_newest_images_are_sent() -> None:
    """Of many images those of the newest messages reach the model; without vision none."""
    image = ImageContent("a.png", "image/png", "AAAA")
    entries = [said(f"m{number}", images=(image, image)) for number in range(6)]
    window = to_messages(entries, has_names=False, has_vision=True)
    sent = [len(each.content) - 1 for each in window if isinstance(each.content, tuple)]
    assert sum(sent) == MAX_IMAGES
    assert isinstance(window[0].content, str)
    assert all(
        isinstance(each.content, str)
        for each in to_messages(entries, has_names=False, has_vision=False)
    )


def test_images_count_against_the_budget() -> None:
    """An image is not free: what does not fit with it is dropped."""
    image = ImageContent("a.png", "image/png", "AAAA")
    path = [said("a", seq=1, images=(image,)), said("b", seq=2, images=(image,)), said("c")]
    kept, start = fit(path, 0, 150, size_of)
    assert texts(kept) == ["c"]
    assert start == 3


def test_names_are_told_where_several_speak() -> None:
    """A member's name stands before the text, the assistant's never does."""
    entries = [said("one"), Entry("assistant", "two"), Entry("user", "three")]
    shown = [each.content for each in to_messages(entries, has_names=True, has_vision=False)]
    assert shown == ["Alice: one", "two", "three"]
    hidden = [each.content for each in to_messages(entries, has_names=False, has_vision=False)]
    assert hidden == ["one", "two", "three"]


def test_a_window_does_not_begin_with_a_deleted_question() -> None:
    """When a block is dropped the first that stays is a question that can be seen."""
    path = [
        said("x" * 50, seq=1),
        Entry("assistant", "y" * 50, seq=2),
        said("", seq=3, is_deleted=True),
        Entry("assistant", "z" * 10, seq=4),
        said("q", seq=5),
    ]
    kept, start = fit(path, 0, 80, size_of)
    assert (texts(kept), start) == (["q"], 5)


turns = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 90), st.booleans()), min_size=1, max_size=40
)


@given(turns, st.integers(60, 400))
def test_the_window_is_stable_and_within_budget(
    talk: list[tuple[int, int, bool]], budget: int
) -> None:
    """From turn to turn the serialised window only grows at its end, until a block is dropped
    down to half the budget; the newest question is always there, no answer stands in front."""
    stored: list[Entry] = []
    start, before = 0, b""
    for question, answer, has_context in talk:
        if has_context:
            stored.append(said("c" * (question // 2), seq=len(stored) + 1))
        asked = said("q" * question)
        kept, moved = fit([*stored, asked], start, budget, size_of)
        window = to_messages(kept, has_names=True, has_vision=False)
        body = msgspec.json.encode(window)[:-1]
        total = sum(map(size_of, window))
        assert kept[-1] is asked
        assert kept[0].role == "user"
        if moved == start:
            assert total <= budget or len(kept) == 1
            assert body.startswith(before)
        else:
            assert moved > start
            assert total <= budget // 2 or len(kept) == 1
        assert [entry for entry in stored if entry.seq >= moved] == kept[:-1]
        start, before = moved, body
        stored.append(replace(asked, seq=len(stored) + 1))
        stored.append(Entry("assistant", "a" * answer, seq=len(stored) + 1))


@pytest.mark.parametrize("budget", [0, 1, 50])
def test_the_question_is_sent_however_small_the_budget(budget: int) -> None:
    """A question that is larger than the budget is still the window."""
    kept, _ = fit([said("old", seq=1), said("x" * 500)], 0, budget, size_of)
    assert [len(entry.content) for entry in kept] == [500]
