"""An engine with its inbox, as one process has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fakes.waiting import until

from core.config_schema import Config
from core.engine import Batch, Engine
from core.inbox import Inbox
from core.settings import Settings
from core.storage import Store
from core.telemetry import Counters
from core.turns import (
    finish_rows_op,
    open_lanes_op,
)


@dataclass
class Process:
    """An engine with its inbox, as one process has them; it notes what it handles."""

    store: Store
    owner: str = "me"
    concurrency: int = 10
    per_workspace: int = 10
    handled: list[Batch] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    most: int = 0
    work: Callable[[Batch], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.engine = Engine(
            self.store, concurrency=self.concurrency, per_workspace=self.per_workspace,
            counters=Counters(), owner=self.owner,
        )  # fmt: skip
        self.engine.handle = self.handle
        self.inbox = Inbox(
            self.store, self.engine, limit=1000, counters=Counters(),
            settings=Settings(Config(), self.store),
        )  # fmt: skip

    async def handle(self, batch: Batch) -> None:
        """Note the batch, work, and finish its rows."""
        self.under_way[batch.lane] += 1
        assert self.under_way[batch.lane] == 1, "one lane, one batch"
        self.most = max(self.most, self.under_way.total())
        try:
            if self.work is not None:
                await self.work(batch)
            await self.store.write(finish_rows_op(batch.items))
            self.handled.append(batch)
        finally:
            self.under_way[batch.lane] -= 1

    def keys(self, lane: str = "") -> list[str]:
        """The ids of the handled events, in order."""
        found = (batch for batch in self.handled if not lane or batch.lane == lane)
        return [item.event.id for batch in found for item in batch.items]

    async def settled(self) -> None:
        """Wait until nothing runs and nothing is open."""
        await until(lambda: not self.engine.running)
        assert await self.store.read(open_lanes_op()) == []
