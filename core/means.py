"""What every answer needs, and one answer's own facts; they hold, and do nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.adapter import Adapter, Target
from core.completions.client import CompletionsClient
from core.completions.tokens import TokenCounters
from core.config import Config
from core.engine import Batch
from core.judged import Judged
from core.messages import Author, Place
from core.moderation import Moderation, Scope
from core.settings import Resolved
from core.storage import Row, Store

if TYPE_CHECKING:
    from core.tools.turns import Tools


INDICATIONS = 8
"""At once: when hundreds of answers begin together, these calls would make all of them late, and
most are no longer needed when their turn comes."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Means:
    """What every answer needs."""

    config: Config
    store: Store
    client: CompletionsClient
    moderation: Moderation
    counters: TokenCounters
    clock: Callable[[], float] = time.time
    enforce: Callable[[], None] = _nothing
    """Called when actions may have been planned, and are durable."""
    tools: Tools | None = None
    """What the model may call; None: nothing, and then none of it is loaded."""
    indications: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(INDICATIONS))
    """For calls that show that an answer is under way."""

    def scope(self, place: Place, author: Author | None = None) -> Scope:
        """What moderation says holds there, for this person, now."""
        return self.moderation.at(place, author, now=self.clock())

    def act_on(self, judged: Iterable[Judged]) -> None:
        """These verdicts are durable: what they want done may be done."""
        if any(each.leads_on for each in judged):
            self.enforce()


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer to the items of a batch."""

    id: str
    batch: Batch
    target: Target
    adapter: Adapter
    place: Place
    asker: Author
    resolved: Resolved
    parts: Mapping[int, Row]
    """Outbox rows of an earlier attempt, or of the answer that is replaced."""
