"""What members see of an answer: every part once, and in the end exactly the whole text."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fakes.adapter import LIMIT, FakeAdapter
from fakes.events import ALICE, PLATFORM, conversation, place
from fakes.waiting import until
from hypothesis import given, settings
from hypothesis import strategies as st

from core import delivery as deliveries
from core.adapter import Capabilities, Target, Urgency
from core.delivery import Delivery
from core.errors import (
    PermissionDenied,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    StoreUnavailable,
    TargetGone,
)
from core.outbox import intend_op, parts_op
from core.storage import Row, Store
from core.storage.sqlite import SqliteStore

TURN = "turn"
TARGET = Target(conversation(), place(), asker=ALICE)
LONG = "".join(f"{number:04d} " for number in range(50))  # 250 characters


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and gathering without their waits."""
    monkeypatch.setattr(deliveries, "MAX_PAUSE", 0.001)
    monkeypatch.setattr(deliveries, "GATHER", 0.0)
    monkeypatch.setattr(deliveries, "STALE", 0.0)


class Growing:
    """A text that is cleared piece by piece for a delivery that follows it."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failures: list[Exception] = []
        self._next = ""
        self.whole = ""
        delivery.follow(self.ready, self._clear, self.failures.append)

    async def _clear(self) -> str:
        piece, self._next = self._next, ""
        return piece

    def add(self, text: str) -> None:
        """More of the answer."""
        self._next += text
        self.whole += text
        self.delivery.grow()


def delivery_on(
    store: Store, adapter: FakeAdapter, *, target: Target = TARGET, **more: Any
) -> Delivery:
    """The delivery of one turn."""
    return Delivery(adapter, target, TURN, store, **more)


async def rows(store: Store) -> Mapping[int, Row]:
    """The turn's outbox by part."""
    return await store.read(parts_op(TURN))


async def intended(store: Store, part: int = 0) -> None:
    """An intent that an earlier process left."""
    await store.write(intend_op(TURN, part, TARGET.conversation, 1.0))


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


async def test_a_post_of_unknown_outcome_is_found_not_repeated(sqlite_store: SqliteStore) -> None:
    """If the platform carried a post out without saying so, the message is found."""
    adapter = FakeAdapter()
    adapter.lose("post")
    await delivery_on(sqlite_store, adapter).finish("hello")
    assert adapter.texts() == ["hello"]
    assert adapter.names().count("post") == 1
    assert (await rows(sqlite_store))[0]["message"] == "p1"


async def test_a_draft_of_unknown_outcome_is_found_by_the_next(sqlite_store: SqliteStore) -> None:
    """A draft's lost post does not become two messages when more text comes."""
    adapter = FakeAdapter()
    adapter.lose("post")
    adapter.fail("find", PlatformUnavailable(), PlatformUnavailable())
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    for letter in "abcdef":
        answer.add(letter)
        await asyncio.sleep(0.005)
    await delivery.finish(answer.whole)
    assert adapter.texts() == ["abcdef"]


async def test_a_look_that_fails_is_never_taken_for_an_absence(sqlite_store: SqliteStore) -> None:
    """While it can't be found out whether a post was carried out, it is not repeated."""
    adapter = FakeAdapter()
    adapter.lose("post")
    adapter.fail("find", *[PlatformUnavailable()] * 3)
    await delivery_on(sqlite_store, adapter).finish("hello")
    assert adapter.texts() == ["hello"]
    assert adapter.names().count("post") == 1


async def test_a_look_that_hangs_does_not_lead_to_a_second_post(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when our own patience ends during the look, the next attempt looks first."""
    monkeypatch.setattr(deliveries, "CALL_TIMEOUT", 0.05)
    adapter = FakeAdapter()
    adapter.lose("post")
    find, hung = adapter.find, []

    async def hanging(*args: Any) -> str | None:
        if not hung:
            hung.append(True)
            await asyncio.sleep(1)
        return await find(*args)

    adapter.find = hanging  # type: ignore[method-assign]
    await delivery_on(sqlite_store, adapter).finish("hello")
    assert adapter.names().count("post") == 1
    assert adapter.texts() == ["hello"]


async def test_a_post_that_was_not_carried_out_is_repeated(sqlite_store: SqliteStore) -> None:
    """A lost call that left no message is made again."""
    adapter = FakeAdapter()
    adapter.fail("post", PlatformUnavailable(), RateLimited(retry_after=0.001))
    await delivery_on(sqlite_store, adapter).finish("hello")
    assert adapter.texts() == ["hello"]


async def test_a_rate_limit_delays_and_loses_nothing(sqlite_store: SqliteStore) -> None:
    """Edits that are refused for a while are made later."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add("a")
    await until(lambda: adapter.shown)
    adapter.fail("edit", *[RateLimited(retry_after=0.001)] * 4)
    answer.add("b")
    await delivery.finish("abc")
    assert adapter.texts() == ["abc"]


async def test_an_outage_that_lasts_is_raised(sqlite_store: SqliteStore) -> None:
    """When a call fails again and again the turn is told, to be tried as a whole later."""
    adapter = FakeAdapter()
    adapter.fail("edit", *[RateLimited(retry_after=0.0)] * 10)
    await intended(sqlite_store)
    adapter.fail("post", *[RateLimited(retry_after=0.0)] * 10)
    with pytest.raises(RateLimited):
        await delivery_on(sqlite_store, adapter).finish("a")


async def test_a_draft_that_fails_does_not_end_the_turn(sqlite_store: SqliteStore) -> None:
    """Whatever happens to a draft, the final text is tried."""
    adapter = FakeAdapter()
    adapter.fail("post", PermissionDenied(), RateLimited(retry_after=9), TargetGone())
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    for letter in "abcd":
        answer.add(letter)
        await asyncio.sleep(0.003)
    assert not answer.failures
    await delivery.finish("abcd")
    assert adapter.texts() == ["abcd"]


async def test_a_final_refusal_is_raised(sqlite_store: SqliteStore) -> None:
    """A right that is missing is not tried again."""
    adapter = FakeAdapter()
    adapter.fail("post", PermissionDenied("no"))
    with pytest.raises(PlatformError):
        await delivery_on(sqlite_store, adapter).finish("a")
    assert adapter.names() == ["post"]


async def test_an_answer_that_a_member_deleted_is_not_posted_again(
    sqlite_store: SqliteStore,
) -> None:
    """What somebody took away in the middle stays away."""
    adapter = FakeAdapter()
    delivery = delivery_on(sqlite_store, adapter)
    answer = Growing(delivery)
    answer.ready.set_result(None)
    answer.add("a")
    await until(lambda: adapter.shown)
    adapter.shown.clear()
    await delivery.finish("abc")
    assert not adapter.shown
    assert adapter.names().count("post") == 1


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


async def test_a_withdrawn_part_can_come_back(sqlite_store: SqliteStore) -> None:
    """A part that was withdrawn and is needed again is posted anew, with an intent again."""
    adapter = FakeAdapter()
    await delivery_on(sqlite_store, adapter).finish(LONG)
    await delivery_on(sqlite_store, adapter, known=await rows(sqlite_store)).finish("short")
    known = await rows(sqlite_store)
    states: list[str] = []

    class Crash(Exception):
        """The process ends here."""

    def crash(part: object) -> None:
        raise Crash

    adapter.before_post = crash
    with pytest.raises(Crash):
        await delivery_on(sqlite_store, adapter, known=known).finish(LONG)
    states = [row["state"] for row in (await rows(sqlite_store)).values()]
    assert states[1] == "intent"
    adapter.before_post = lambda part: None
    await delivery_on(sqlite_store, adapter, known=await rows(sqlite_store)).finish(LONG)
    assert adapter.whole == LONG


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


class TestForTheAskerAlone:
    """Answers that are shown to one person, where the platform can't say what became of them."""

    private = replace(TARGET, is_only_for_asker=True)

    async def test_an_unknown_outcome_is_not_repeated(self, sqlite_store: SqliteStore) -> None:
        """A private answer whose outcome is lost is neither repeated nor looked for."""
        adapter = FakeAdapter()
        adapter.lose("post")
        await delivery_on(sqlite_store, adapter, target=self.private).finish("secret")
        assert [call.name for call in adapter.calls if call.name != "pace"] == ["post"]

    async def test_a_restart_does_not_repeat_it(self, sqlite_store: SqliteStore) -> None:
        """Neither one of unknown outcome nor one that was shown appears again after a restart."""
        for lost in (True, False):
            adapter = FakeAdapter()
            if lost:
                adapter.lose("post")
            turn = f"turn-{lost}"
            first = Delivery(adapter, self.private, turn, sqlite_store)
            await first.finish("secret")
            known = await sqlite_store.read(parts_op(turn))
            again = Delivery(adapter, self.private, turn, sqlite_store, known=known)
            await again.finish("secret")
            assert adapter.names() == ["post"]

    async def test_a_clear_refusal_is_tried_again(self, sqlite_store: SqliteStore) -> None:
        """A rate limit is a clear no: the answer is posted afterwards."""
        adapter = FakeAdapter()
        adapter.fail("post", RateLimited(retry_after=0.001))
        await delivery_on(sqlite_store, adapter, target=self.private).finish("secret")
        assert adapter.texts() == ["secret"]

    async def test_where_it_is_idempotent_it_is_like_any_other(
        self, sqlite_store: SqliteStore
    ) -> None:
        """A platform that can tell is asked."""
        adapter = FakeAdapter(Capabilities(PLATFORM, can_repeat_private=True, part_limit=LIMIT))
        adapter.lose("post")
        await delivery_on(sqlite_store, adapter, target=self.private).finish("secret")
        assert adapter.texts() == ["secret"]
        assert "find" in [call.name for call in adapter.calls]


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
    await until(lambda: failures)
    assert isinstance(failures[0], StoreUnavailable)
    await delivery.abandon()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.lists(st.sampled_from(["lose", "fail", "limit"]), max_size=6),
)
def test_whatever_fails_the_text_ends_whole_and_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[int], faults: list[str]
) -> None:
    """Under any mix of lost outcomes, failures and crashes the members end with the text."""
    deliveries.MAX_PAUSE = deliveries.GATHER = deliveries.STALE = 0.0
    path = tmp_path_factory.mktemp("db") / "t.db"

    async def deliver() -> None:
        chance = random.Random(seed)
        adapter = FakeAdapter()
        for fault in faults:
            name = chance.choice(["post", "edit", "find", "withdraw"])
            if fault == "lose" and name in {"post", "edit"}:
                adapter.lose(name)
            else:
                limit = RateLimited(retry_after=0.0)
                adapter.fail(name, limit if fault == "limit" else PlatformUnavailable())
        async with SqliteStore(path) as store:
            text = ""
            known: Mapping[int, Row] = {}
            for _ in range(chance.randint(1, 2)):  # the second time after a crash
                delivery = Delivery(adapter, TARGET, TURN, store, known=known)
                answer = Growing(delivery)
                answer.ready.set_result(None)
                text = ""
                for number, size in enumerate(steps):
                    piece = chr(97 + number) * size
                    text += piece
                    answer.add(piece)
                    await asyncio.sleep(chance.choice([0, 0, 0.002]))
                await delivery.abandon()
                known = await store.read(parts_op(TURN))
            for _ in range(3):  # as the engine tries a turn again
                with suppress(PlatformUnavailable, RateLimited):
                    await Delivery(adapter, TARGET, TURN, store, known=known).finish(text)
                    break
                known = await store.read(parts_op(TURN))
        assert adapter.whole == text
        keys = [posted.part.key for posted in adapter.shown.values()]
        assert len(set(keys)) == len(keys)

    asyncio.run(deliver())
