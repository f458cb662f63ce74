"""The real Discord adapter on the simulated Discord, with an intake that keeps what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from bots.discord.adapter import DiscordAdapter
from bots.simulators.discord import DiscordSimulator
from core.adapter import Part, Target, Ways
from core.config_schema import DiscordConfig
from core.errors import StoreUnavailable
from core.messages import ConversationId, Event, Message, Place
from core.secret import Secret

E = TypeVar("E", bound=Event)
T = TypeVar("T")


class Keeper:
    """An intake in memory: outlives adapters, as a database does. `delay` is one commit."""

    def __init__(self, *, delay: float = 0.0) -> None:
        self.events: list[Event] = []
        self.kept: dict[str, str] = {}
        self.conversations: dict[str, ConversationId] = {}
        self.unread: list[str] = []
        self.delay = delay
        self.is_full = False
        self.agreed = Ways()

    async def accept(self, event: Event) -> bool:
        """Store an event after `delay`, unless it is there already."""
        await asyncio.sleep(self.delay)
        if self.is_full:
            raise StoreUnavailable("the disk is full")
        version = getattr(event, "version", "")
        for known in self.events:
            same = (known.id, type(known), getattr(known, "version", ""))
            if same == (event.id, type(event), version):
                return False
        self.events.append(event)
        self.conversations.setdefault(event.id, event.conversation)
        return True

    async def conversation_of(self, place: Place, message_id: str) -> ConversationId | None:
        """Where a message belongs."""
        return self.conversations.get(message_id)

    async def recall(self, key: str) -> str | None:
        """An adapter's own state."""
        return self.kept.get(key)

    async def remember(self, key: str, value: str) -> None:
        """Keep an adapter's own state."""
        self.kept[key] = value

    def ways(self, place: Place) -> Ways:
        """How every channel is answered."""
        return self.agreed

    def unreadable(self, platform: str, why: str) -> None:
        """Note what could not be read."""
        self.unread.append(why)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def texts(self) -> list[str]:
        """What members wrote."""
        return [event.text for event in self.of(Message)]


async def until(predicate: Callable[[], T], within: float = 5.0) -> T:
    """The predicate's first true value; looked at every few milliseconds."""
    async with asyncio.timeout(within):
        while not (value := predicate()):  # noqa: ASYNC110 - anything may be asked for
            await asyncio.sleep(0.002)
    return value


def config(sim: DiscordSimulator, **more: Any) -> DiscordConfig:
    """The simulator's addresses and token."""
    return DiscordConfig(token=Secret(sim.token), api_url=sim.api_url, **more)


@asynccontextmanager
async def connected(
    sim: DiscordSimulator, keeper: Keeper, *, choices: Any = None, **more: Any
) -> AsyncIterator[DiscordAdapter]:
    """An adapter that listens, until the end of the block or its own."""
    given = {"choices": choices} if choices else {}
    adapter = DiscordAdapter(config(sim, **more), **given)
    async with adapter, listening(sim, adapter, keeper):
        yield adapter


@asynccontextmanager
async def listening(
    sim: DiscordSimulator, adapter: DiscordAdapter, keeper: Keeper
) -> AsyncIterator[None]:
    """Run an adapter and wait until its gateway session is up and its commands are known."""
    running = asyncio.create_task(adapter.run(keeper))

    def is_up() -> bool:
        if running.done():
            running.result()
        wants_commands = adapter._config.sync_commands
        return bool(
            adapter._gateway.last
            and any(session.connected for session in sim.sessions)
            and (not wants_commands or "discord.commands" in keeper.kept)
        )

    try:
        await until(is_up)
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def target(event: Any, **more: Any) -> Target:
    """Where the answer to an event goes."""
    question = event.id if isinstance(event, Message) else None
    return Target(
        event.conversation,
        event.place,
        reply_to=question,
        handle=getattr(event, "handle", None),
        asker=event.author,
        **more,
    )


def part(text: str, *, turn: str = "t1", index: int = 0, **more: Any) -> Part:
    """A part that is complete unless said otherwise."""
    return Part(turn, index, text, **{"is_final": True, **more})
