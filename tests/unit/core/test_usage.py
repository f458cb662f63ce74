"""The ledger of tokens and money, and the limits of a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.completions.types import Usage
from core.config import Price, UsageConfig
from core.messages import Author, Place
from core.storage import Op, Store
from core.storage.sqlite import SqliteStore
from core.usage import KEYS, Bill, Ledger, Totals, cost, day_of

NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC
DAY = 86_400.0
ROOM = Place("slack", "T1", "C1")
OTHER_ROOM = Place("slack", "T1", "C2")
OTHER_TEAM = Place("slack", "T2", "C3")
ANN, BEN = Author("U1", "Ann"), Author("U2", "Ben")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A real database."""
    async with SqliteStore(tmp_path / "usage.db") as store:
        yield store


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def ledger(store: Store, clock: Clock | None = None, **config: int) -> Ledger:
    """A ledger with a price of one per token, and these limits."""
    prices = {"m": Price(input=1e6, output=2e6)}
    return Ledger(UsageConfig(prices=prices, **config), store, clock=clock or Clock())


def bill(
    turn: str, tokens: int = 10, *, place: Place = ROOM, author: Author = ANN, at: float = NOON
) -> Bill:
    """A call that read and wrote as many tokens each."""
    return Bill(turn, 1, place, author, "m", Usage(tokens, tokens), at)


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("gpt-4o", Usage(1_000_000, 100_000), 3.5),
        ("gpt-4o", Usage(1_000_000, 0, cached_tokens=400_000), 2.0),
        ("gpt-4o", Usage(100, 0, cached_tokens=1_000_000), 0.000125),
        ("gpt-4o", Usage(0, 10, reasoning_tokens=10), 0.0001),
        ("gpt-4o-2024-08-06", Usage(1_000_000, 0), 2.5),
        ("gpt-4o-mini", Usage(1_000_000, 0), 0.0),
        ("plain", Usage(1_000_000, 0, cached_tokens=500_000), 1.0),
        ("plain:latest", Usage(1_000_000, 0), 1.0),
        ("unknown", Usage(5, 5), 0.0),
    ],
)
def test_cost(model: str, usage: Usage, expected: float) -> None:
    """Cached tokens have their own price, reasoning is output, snapshots cost as their model."""
    prices = {"gpt-4o": Price(input=2.5, cached_input=1.25, output=10), "plain": Price(input=1)}

    assert cost(prices, model, usage) == pytest.approx(expected)


async def test_totals_per_author_channel_and_workspace(store: Store) -> None:
    """Each sum holds exactly the bills of its author, channel, workspace and days."""
    books = ledger(store)
    await books.record(bill("a", 1))
    await books.record(bill("b", 2, author=BEN))
    await books.record(bill("c", 4, place=OTHER_ROOM))
    await books.record(bill("d", 8, place=OTHER_TEAM))
    await books.record(bill("e", 16, at=NOON - DAY))
    today, week = day_of(NOON), day_of(NOON - 7 * DAY)

    assert await books.spent(ROOM, ANN, today) == Totals(13, 0, 13, 39.0, 3)
    assert (await books.spent(ROOM, ANN, today, whose="channel")).tokens == 6
    assert (await books.spent(ROOM, ANN, today, whose="workspace")).tokens == 14
    assert (await books.spent(ROOM, ANN, today, since=week)).tokens == 58
    assert await books.spent(ROOM, Author("U9"), today) == Totals()


async def test_a_bill_counts_once(store: Store) -> None:
    """A call recorded again, as after a crash, changes neither the table nor the running total."""
    books = ledger(store, daily_tokens_per_user=30)
    assert await books.exceeded(ROOM, ANN) is None
    await books.record(bill("a"))
    await books.record(bill("a"))

    assert (await books.spent(ROOM, ANN, books.today())).tokens == 20
    assert await books.exceeded(ROOM, ANN) is None


async def test_record_op_is_part_of_a_transaction(store: Store) -> None:
    """A bill of a transaction that fails is not on the books."""
    books = ledger(store)

    def failing() -> Op[None]:
        yield from books.record_op(bill("a"))
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(failing())
    assert await books.spent(ROOM, ANN, books.today()) == Totals()


async def test_a_users_limit(store: Store) -> None:
    """Who has used up the day's tokens hears so until midnight UTC; others go on."""
    clock = Clock()
    books = ledger(store, clock, daily_tokens_per_user=20)
    await books.record(bill("a"))
    sentence = await books.exceeded(OTHER_TEAM, ANN)

    assert sentence is not None
    assert "20 tokens" in sentence
    assert await books.exceeded(ROOM, BEN) is None
    clock.now += DAY / 2
    assert await books.exceeded(ROOM, ANN) is None


async def test_a_workspaces_limit(store: Store) -> None:
    """Everyone of the workspace shares its limit."""
    books = ledger(store, daily_tokens_per_workspace=40)
    await books.record(bill("a"))
    assert await books.exceeded(ROOM, BEN) is None
    await books.record(bill("b", place=OTHER_ROOM))

    assert await books.exceeded(ROOM, BEN) is not None
    assert await books.exceeded(OTHER_TEAM, BEN) is None


class CountingStore:
    """Counts the reads of a store."""

    def __init__(self, store: Store, *, is_exclusive: bool = True) -> None:
        self._store = store
        self.is_exclusive = is_exclusive
        self.reads = 0

    async def read(self, op: Op[Totals]) -> Totals:
        """Count and pass on."""
        self.reads += 1
        return await self._store.read(op)


async def test_limits_read_once_a_day_and_key(store: Store) -> None:
    """However many ask at once, one read fills the running total, and bills keep it."""
    await ledger(store).record(bill("a"))
    counting = CountingStore(store)
    books = ledger(counting, daily_tokens_per_workspace=50)  # type: ignore[arg-type]  # reads only
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(books.exceeded(ROOM, ANN))
    books.count(bill("b", 15))

    assert await books.exceeded(ROOM, BEN) is not None
    assert counting.reads == 1


async def test_a_shared_database_is_read_again(store: Store) -> None:
    """Where others write too, their bills count half a minute later."""
    clock = Clock()
    shared = CountingStore(store, is_exclusive=False)
    books = ledger(shared, clock, daily_tokens_per_user=20)  # type: ignore[arg-type]  # reads only
    assert await books.exceeded(ROOM, ANN) is None
    await ledger(store).record(bill("a"))
    clock.now += 31

    assert await books.exceeded(ROOM, ANN) is not None


async def test_without_limits_nothing_is_read(store: Store) -> None:
    """An installation without limits pays nothing for them."""
    counting = CountingStore(store)
    books = ledger(counting)  # type: ignore[arg-type]  # reads only

    assert await books.exceeded(ROOM, ANN) is None
    assert counting.reads == 0


async def test_running_totals_are_bounded() -> None:
    """Old keys make room, and are read again when they are needed."""

    class Nothing:
        is_exclusive = True

        async def read(self, op: Op[Totals]) -> Totals:
            op.close()
            return Totals()

    books = ledger(Nothing(), daily_tokens_per_user=1)  # type: ignore[arg-type]  # reads only
    for number in range(KEYS + 5):
        await books.exceeded(ROOM, Author(f"U{number}"))

    assert len(books._running) == KEYS
