"""What was posted, and what was about to be, as the database remembers it."""

from __future__ import annotations

from fakes.events import conversation

from core.outbox import adopt_op, intend_op, parts_op, sent_op, withdrawn_op
from core.storage import Op, Store, query

TALK = conversation()


async def states(store: Store, turn: str) -> list[tuple[int, str, str | None]]:
    """(part, state, message) of a turn."""
    found = await store.read(parts_op(turn))
    return [(part, row["state"], row["message"]) for part, row in found.items()]


async def test_a_part_goes_from_intent_to_confirmed(store: Store) -> None:
    """Intended, sent with the platform's id, confirmed with its turn."""

    def confirm() -> Op[None]:
        yield query("outbox.confirm", turn="t")

    await store.write(intend_op("t", 0, TALK, 1.0))
    await store.write(intend_op("t", 1, TALK, 1.0))
    assert await states(store, "t") == [(0, "intent", None), (1, "intent", None)]
    await store.write(sent_op("t", 0, "m0"))
    await store.write(confirm())
    assert await states(store, "t") == [(0, "confirmed", "m0"), (1, "intent", None)]


async def test_an_intent_is_made_once(store: Store) -> None:
    """A second intent neither forgets the message nor moves the time of the first attempt."""
    await store.write(intend_op("t", 0, TALK, 1.0))
    await store.write(sent_op("t", 0, "m0"))
    await store.write(intend_op("t", 0, TALK, 2.0))
    assert await states(store, "t") == [(0, "sent", "m0")]
    assert (await store.read(parts_op("t")))[0]["attempted_at"] == 1.0


async def test_a_withdrawn_part_can_be_intended_anew(store: Store) -> None:
    """After a withdrawal an intent is one again, without the message that is gone."""
    await store.write(intend_op("t", 0, TALK, 1.0))
    await store.write(sent_op("t", 0, "m0"))
    await store.write(withdrawn_op("t", 0))
    assert await states(store, "t") == [(0, "withdrawn", "m0")]
    await store.write(intend_op("t", 0, TALK, 2.0))
    assert await states(store, "t") == [(0, "intent", None)]


async def test_an_adopting_turn_takes_what_is_shown(store: Store) -> None:
    """Another turn's messages are taken over, but not those that are gone or never were."""
    for part in range(3):
        await store.write(intend_op("old", part, TALK, 1.0))
    await store.write(sent_op("old", 0, "m0"))
    await store.write(sent_op("old", 1, "m1"))
    await store.write(withdrawn_op("old", 1))
    adopted = await store.write(adopt_op("new", "old", TALK, 2.0))
    assert list(adopted) == [0]
    assert await states(store, "new") == [(0, "sent", "m0")]
