"""What answers cost: a ledger of tokens and money, and the limits of a day (UTC)."""

from __future__ import annotations

import asyncio
import operator
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from core.completions.types import Usage
from core.config import Price, UsageConfig
from core.messages import Author, Place
from core.storage import Op, Store, query

Whose: TypeAlias = Literal["author", "channel", "workspace"]

KEYS = 10_000  # running totals kept in memory
SHARED_FOR = 30.0  # seconds that a total holds where other processes write to the database too

_SNAPSHOT = re.compile(r"[-@:](\d{4}[\d-]*|latest)")


@dataclass(frozen=True, slots=True)
class Bill:
    """One model call; (turn, attempt) is its identity."""

    turn: str
    attempt: int
    place: Place
    author: Author
    model: str
    usage: Usage
    at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over model calls; cached tokens are a part of the prompt's."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    calls: int = 0

    @property
    def tokens(self) -> int:
        """What limits count."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Totals) -> Totals:
        return Totals(*map(operator.add, astuple(self), astuple(other)))


def cost(prices: Mapping[str, Price], model: str, usage: Usage) -> float:
    """Money for one call; 0 for a model without a price.

    A price also serves the model's dated snapshots: "gpt-4o" for "gpt-4o-2024-08-06".
    """
    price = _price(prices, model)
    if price is None:
        return 0.0
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    fresh = usage.prompt_tokens - cached
    return (
        fresh * price.input + cached * cached_price + usage.completion_tokens * price.output
    ) / 1_000_000


def day_of(at: float) -> str:
    """The UTC day, YYYY-MM-DD, as the ledger names it."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


@dataclass(slots=True)
class _Running:
    tokens: int
    read_at: float


class Ledger:
    """Limits are checked before a call and filled after it: calls under way may pass them."""

    def __init__(
        self, config: UsageConfig, store: Store, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.config = config
        self._store = store
        self._clock = clock
        self._running: OrderedDict[tuple[str, ...], _Running] = OrderedDict()
        self._loading = asyncio.Lock()

    def today(self) -> str:
        """The current UTC day."""
        return day_of(self._clock())

    def cost(self, bill: Bill) -> float:
        """Money for a call, in the currency of the price table."""
        return cost(self.config.prices, bill.model, bill.usage)

    def record_op(self, bill: Bill) -> Op[bool]:
        """Store a bill as part of a transaction; False: it was there. Then call `count`."""
        rows = yield query(
            "usage.record",
            turn=bill.turn,
            attempt=bill.attempt,
            at=bill.at,
            day=day_of(bill.at),
            platform=bill.place.platform,
            workspace=bill.place.workspace,
            channel=bill.place.channel,
            author=bill.author.id,
            model=bill.model,
            prompt_tokens=bill.usage.prompt_tokens,
            cached_tokens=bill.usage.cached_tokens,
            completion_tokens=bill.usage.completion_tokens,
            cost=self.cost(bill),
        )
        return bool(rows)

    def count(self, bill: Bill) -> None:
        """Add a durable bill to the running totals that are in memory."""
        tokens = bill.usage.prompt_tokens + bill.usage.completion_tokens
        for whose in ("author", "workspace"):
            running = self._running.get(_key(bill.place, bill.author, day_of(bill.at), whose))
            if running is not None:
                running.tokens += tokens

    async def record(self, bill: Bill) -> None:
        """Store a bill in a transaction of its own and count it. Raises StoreError."""
        if await self._store.write(self.record_op(bill)):
            self.count(bill)

    async def spent(
        self, place: Place, author: Author, day: str, *, whose: Whose = "author", since: str = ""
    ) -> Totals:
        """The sums of a day, or of the days from `since` to it. Raises StoreError.

        An author's are those of the whole platform, since a person is one in every workspace.
        """
        return await self._store.read(_spent_op(place, author, whose, since or day, day))

    async def spent_by_workspace(self, platform: str, day: str, *, since: str) -> dict[str, Totals]:
        """The sums of the days from `since` to it, of each workspace with calls in them.

        Raises StoreError.
        """
        return await self._store.read(_by_workspace_op(platform, since, day))

    async def exceeded(self, place: Place, author: Author) -> str | None:
        """The sentence for an author who has to wait for the next day. Raises StoreError."""
        of_user = self.config.daily_tokens_per_user
        of_workspace = self.config.daily_tokens_per_workspace
        if of_user and await self._tokens(place, author, "author") >= of_user:
            return f"You have used up today's {of_user:,} tokens. {_NEXT_DAY}"
        if of_workspace and await self._tokens(place, author, "workspace") >= of_workspace:
            return f"Today's {of_workspace:,} tokens for everyone here are used up. {_NEXT_DAY}"
        return None

    async def _tokens(self, place: Place, author: Author, whose: Whose) -> int:
        day = self.today()
        key = _key(place, author, day, whose)
        if (known := self._known(key)) is not None:
            return known
        # One reader at a time: after a restart everybody asks for the same workspace's total.
        async with self._loading:
            if (known := self._known(key)) is not None:
                return known
            totals = await self.spent(place, author, day, whose=whose)
            self._running[key] = _Running(totals.tokens, self._clock())
            if len(self._running) > KEYS:
                self._running.popitem(last=False)
            return totals.tokens

    def _known(self, key: tuple[str, ...]) -> int | None:
        running = self._running.get(key)
        if running is None:
            return None
        if not self._store.is_exclusive and self._clock() - running.read_at > SHARED_FOR:
            return None
        self._running.move_to_end(key)
        return running.tokens


_NEXT_DAY = "They start anew at midnight UTC."


def _price(prices: Mapping[str, Price], model: str) -> Price | None:
    if model in prices:
        return prices[model]
    names = (
        name
        for name in prices
        if model.startswith(name) and _SNAPSHOT.fullmatch(model[len(name) :])
    )
    name = max(names, key=len, default=None)
    return None if name is None else prices[name]


def _key(place: Place, author: Author, day: str, whose: str) -> tuple[str, ...]:
    who = author.id if whose == "author" else place.workspace
    return (whose, place.platform, who, day)


def _spent_op(place: Place, author: Author, whose: Whose, since: str, day: str) -> Op[Totals]:
    limits = {"platform": place.platform, "since": since, "day": day}
    if whose == "author":
        limits["author"] = author.id
    else:
        limits["workspace"] = place.workspace
    if whose == "channel":
        limits["channel"] = place.channel
    rows = yield query(f"usage.of_{whose}", **limits)
    return Totals(**dict(rows[0]))


def _by_workspace_op(platform: str, since: str, day: str) -> Op[dict[str, Totals]]:
    rows = yield query("usage.by_workspace", platform=platform, since=since, day=day)
    found = (dict(row) for row in rows)
    return {row.pop("workspace"): Totals(**row) for row in found}
