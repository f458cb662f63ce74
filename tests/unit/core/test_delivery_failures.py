"""Deliveries whose calls fail, get lost or may be made only once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fakes.adapter import LIMIT, FakeAdapter
from fakes.events import PLATFORM
from fakes.growing import LONG, TARGET, TURN, Growing, delivery_on, intended, rows
from fakes.waiting import until
from hypothesis import given, settings
from hypothesis import strategies as st

from core import delivery as deliveries
from core.adapter import Capabilities
from core.delivery import Delivery
from core.errors import (
    PermissionDenied,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    TargetGone,
)
from core.outbox import parts_op
from core.storage import Row
from core.storage.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and gathering without their waits."""
    monkeypatch.setattr(deliveries, "MAX_PAUSE", 0.001)
    monkeypatch.setattr(deliveries, "GATHER", 0.0)
    monkeypatch.setattr(deliveries, "STALE", 0.0)


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
