from __future__ import annotations

from typing import Any

from core.history import Entry, append_op, load_op
from core.messages import Author, ConversationId, Place
from core.retention import erase_op
from core.storage import Store

PLACE = Place("slack", "T1", "C1")


async def test_what_is_old_is_erased_and_what_is_new_stays(store: Store) -> None:
    """Erasing takes messages of before the time in every conversation, and only those."""
    old, both = ConversationId("slack:T1:C1:1"), ConversationId("slack:T1:C1:2")

    def say(text: str, key: str) -> Any:
        return [Entry("user", text, author=Author("U1", "Alice"), platform_id=key)]

    await store.write(append_op(old, PLACE, say("old", "1"), 100.0))
    await store.write(append_op(both, PLACE, say("also old", "2"), 100.0))
    await store.write(append_op(both, PLACE, say("new", "3"), 300.0))
    await store.write(erase_op(200.0))

    assert (await store.read(load_op(old))).entries == ()
    kept = await store.read(load_op(both))
    assert [entry.content for entry in kept.entries] == ["new"]
    assert [entry.content for entry in kept.branch()] == ["new"]
