"""What members see of an answer: every part once, and in the end exactly the whole text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from fakes.adapter import FakeAdapter
from fakes.growing import LONG, TARGET, Growing, delivery_on, intended, rows
from fakes.waiting import until

from core import delivery as deliveries
from core.adapter import Urgency
from core.delivery import Delivery
from core.errors import (
    PlatformUnavailable,
    StoreUnavailable,
    TargetGone,
)
from core.storage.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and gathering without their waits."""
    monkeypatch.setattr(deliveries, "MAX_PAUSE", 0.001)
    monkeypatch.setattr(deliveries, "GATHER", 0.0)
    monkeypatch.setattr(deliveries, "STALE", 0.0)


async def test_a_finished_text_is_shown_whole(sqlite_store: SqliteStore) -> None:
    """Each part is posted once, in order; the last is final and carries the buttons."""
    adapter = FakeAdapter()
    await delivery_on(sqlite_store, adapter, has_feedback=True).finish(LONG)
    assert adapter.whole == LONG
    assert adapter.names() == ["post"] * 3
    parts = [posted.part for posted in adapter.shown.values()]
    assert [(part.is_last, part.is_final, part.has_feedback) for part in parts] == [
        (False, True, True), (False, True, True), (True, True, True)
    ]  # fmt: skip
    found = await rows(sqlite_store)
    assert {part: row["message"] for part, row in found.items()} == {0: "p1", 1: "p2", 2: "p3"}
    assert {row["state"] for row in found.values()} == {"sent"}


async def test_an_intent_is_durable_before_its_post(sqlite_store: SqliteStore) -> None:
    """When a part is posted the database knows already that it may be."""
    adapter = FakeAdapter()
    known: list[bool] = []

    def look(part: object) -> None:
        import sqlite3

        connection = sqlite3.connect(sqlite_store._path)
        found = connection.execute("SELECT count(*) FROM outbox WHERE message IS NULL").fetchone()
        connection.close()
        known.append(bool(found[0]))

    adapter.before_post = look
    await delivery_on(sqlite_store, adapter).finish(LONG)
    assert known == [True, True, True]


async def test_an_intent_that_is_stored_is_not_stored_again(sqlite_store: SqliteStore) -> None:
    """Where the turn's own commit holds the intent, the first post waits for no other."""
    adapter = FakeAdapter()
    await intended(sqlite_store)
    delivery = delivery_on(sqlite_store, adapter)
    delivery.intend_first()
    submitted: list[object] = []
    submit = sqlite_store.submit
    sqlite_store.submit = lambda op: (submitted.append(op), submit(op))[1]  # type: ignore[method-assign]
    adapter.before_post = lambda part: submitted.append("post")
    await delivery.finish("short")
    assert submitted[0] == "post"


async def test_nothing_is_shown_before_it_is_ready(sqlite_store: SqliteStore) -> None:
    """However much was written, nothing appears until the turn is durable and judged."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.add("hello ")
    await asyncio.sleep(0.02)
    assert not adapter.calls
    assert not delivery.is_visible
    answer.ready.set_result(None)
    await until(lambda: adapter.texts() == ["hello "])
    assert delivery.is_visible
    await delivery.finish("hello world")
    assert adapter.whole == "hello world"


async def test_a_growing_answer_is_edited_and_drafts_are_merged(sqlite_store: SqliteStore) -> None:
    """While one draft waits for its slot, what comes meanwhile goes with it."""
    adapter = FakeAdapter(slots=asyncio.Semaphore(1))
    assert adapter.slots is not None
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add("a")
    await until(lambda: adapter.texts() == ["a"])
    for letter in "bcdefghij":
        answer.add(letter)
        await asyncio.sleep(0.001)
    adapter.slots.release()
    await until(lambda: adapter.texts() == ["abcdefghij"])
    assert len(adapter.names()) <= 3
    await delivery.finish(answer.whole)
    assert adapter.whole == answer.whole


async def test_the_final_text_overtakes_a_waiting_draft(sqlite_store: SqliteStore) -> None:
    """A draft that waits for a slot does not hold the finished text up."""
    adapter = FakeAdapter(slots=asyncio.Semaphore(1))
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add("a")
    await until(lambda: adapter.texts() == ["a"])
    answer.add("b")
    await until(lambda: adapter.calls[-1].name == "pace")
    async with asyncio.timeout(1):
        await delivery.finish("abc")
    assert adapter.whole == "abc"
    assert [call.text for call in adapter.calls if call.name == "edit"] == ["abc"]
    assert adapter.calls[-2].urgency is Urgency.FINAL


async def test_a_draft_is_never_shown_as_the_end(sqlite_store: SqliteStore) -> None:
    """Once the final text is known, nothing else is shown on the way to it."""
    for pause in range(12):
        adapter = FakeAdapter()
        delivery = Delivery(adapter, TARGET, f"turn{pause}", sqlite_store)
        answer = Growing(delivery)
        answer.ready.set_result(None)
        answer.add("draft one ")
        for _ in range(pause):
            await asyncio.sleep(0)
        answer.add("draft two ")
        await delivery.finish("the end")
        assert adapter.whole == "the end"
        finals = [posted.part for posted in adapter.shown.values() if posted.part.is_final]
        assert [part.text for part in finals] == ["the end"]
        ended = [version for posted in adapter.shown.values() for version in posted.versions]
        assert ended.count("the end") == 1
        assert len(ended) <= 3


async def test_an_abandoned_answer_shows_nothing_more(sqlite_store: SqliteStore) -> None:
    """After `abandon` not even what was cleared already appears."""
    for pause in range(6):
        adapter = FakeAdapter()
        delivery = Delivery(adapter, TARGET, f"turn{pause}", sqlite_store)
        answer = Growing(delivery)
        if pause:
            answer.ready.set_result(None)
        for _ in range(pause):
            await asyncio.sleep(0)
        answer.add("draft")
        async with asyncio.timeout(1):
            await delivery.abandon()
        seen = len(adapter.calls)
        if pause == 0:
            assert not adapter.names()
        await asyncio.sleep(0.005)
        assert len(adapter.calls) == seen
        answer.ready.cancel()


async def test_a_text_that_grows_over_the_limit_moves_on(sqlite_store: SqliteStore) -> None:
    """The first part is completed before the second appears; earlier parts lose the buttons."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    for start in range(0, len(LONG), 30):
        answer.add(LONG[start : start + 30])
        await asyncio.sleep(0.002)
    await delivery.finish(LONG)
    assert adapter.whole == LONG
    assert adapter.names().count("post") == 3
    assert [posted.part.is_last for posted in adapter.shown.values()] == [False, False, True]


async def test_a_shorter_final_text_withdraws_surplus_parts(sqlite_store: SqliteStore) -> None:
    """Messages that the final text has no part for are deleted, and noted as such."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add(LONG)
    await until(lambda: len(adapter.shown) == 3)
    await delivery.finish("withheld")
    assert adapter.texts() == ["withheld"]
    assert [row["state"] for row in (await rows(sqlite_store)).values()] == [
        "sent", "withdrawn", "withdrawn"
    ]  # fmt: skip


async def test_an_empty_final_text_withdraws_everything(sqlite_store: SqliteStore) -> None:
    """A turn whose text is nothing leaves nothing."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add(LONG)
    await until(lambda: len(adapter.shown) == 3)
    await delivery.finish("")
    assert not adapter.shown


async def test_a_resumed_turn_edits_the_same_messages(sqlite_store: SqliteStore) -> None:
    """What an earlier process posted is edited to the whole text, nothing is posted twice."""
    adapter = FakeAdapter()
    first = delivery_on(sqlite_store, adapter)
    answer = Growing(first)
    answer.ready.set_result(None)
    answer.add(LONG[:150])
    await until(lambda: len(adapter.shown) == 2)
    await first.abandon()
    known = await rows(sqlite_store)
    resumed = delivery_on(sqlite_store, adapter, known=known)
    assert resumed.is_visible
    await resumed.finish(LONG)
    assert adapter.whole == LONG
    assert adapter.names().count("post") == 3


@pytest.mark.parametrize("was_posted", [True, False])
async def test_a_resumed_intent_is_looked_for_first(
    sqlite_store: SqliteStore, was_posted: bool
) -> None:
    """A crash between post and its confirmation leads to a look, then to an edit or a post."""
    adapter = FakeAdapter()
    if was_posted:
        await delivery_on(sqlite_store, adapter).finish("hel")
    known = {0: {"part": 0, "message": None, "state": "intent", "attempted_at": 1.0}}
    await intended(sqlite_store)
    await delivery_on(sqlite_store, adapter, known=known).finish("hello")
    assert adapter.texts() == ["hello"]
    assert adapter.names() == (["post", "edit"] if was_posted else ["post"])


async def test_withdrawing_deletes_every_part(sqlite_store: SqliteStore) -> None:
    """A withdrawn turn leaves nothing, even where a message is gone already."""
    adapter = FakeAdapter()
    await delivery_on(sqlite_store, adapter).finish(LONG)
    del adapter.shown["p2"]
    adapter.fail("withdraw", TargetGone(), PlatformUnavailable())
    await delivery_on(sqlite_store, adapter, known=await rows(sqlite_store)).withdraw()
    states = [row["state"] for row in (await rows(sqlite_store)).values()]
    assert states == ["withdrawn"] * 3
    assert list(adapter.shown) in ([], ["p1"])


async def test_what_the_owner_has_to_know_is_told(sqlite_store: SqliteStore) -> None:
    """A failure of clearing, of the database or of `ready` reaches the turn's owner."""

    async def failing() -> None:
        raise StoreUnavailable

    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    failures: list[Exception] = []
    ready: Awaitable[None] = failing()

    async def clear() -> str:
        return ""

    delivery.follow(ready, clear, failures.append)
    delivery.grow()
    await until(lambda: failures)
    assert isinstance(failures[0], StoreUnavailable)
    await delivery.abandon()
