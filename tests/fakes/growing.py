"""Deliveries of one turn, and a text that grows under them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fakes.adapter import FakeAdapter
from fakes.events import ALICE, conversation, place

from core.adapter import Target
from core.delivery import Delivery
from core.outbox import intend_op, parts_op
from core.storage import Row, Store

TURN = "turn"

TARGET = Target(conversation(), place(), asker=ALICE)

LONG = "".join(f"{number:04d} " for number in range(50))  # 250 characters


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
