"""A Slack adapter on a simulated workspace, with an intake that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from bots.simulators.slack import SlackChannel, SlackOptions, SlackSimulator, SlackUser
from bots.slack.adapter import SlackAdapter
from core.adapter import Part, Target, Ways
from core.config_schema import SlackConfig
from core.messages import Author, ConversationId, Event, Place
from core.secret import Secret

ALICE = SlackUser(id="U0ALICE", name="alice", real_name="Alice", is_admin=True)
BOB = SlackUser(id="U0BOB", name="bob", real_name="Bob")
EVE = SlackUser(id="U0EVE", name="eve", real_name="Eve", team_id="T0OTHER", is_admin=True)
GENERAL = SlackChannel(id="C0GENERAL", name="general", members=["U0ALICE", "U0BOB", "U0EVE"])
DM = SlackChannel(id="D0ALICE", kind="im", user="U0ALICE")


class Kept:
    """Implements core.adapter.Intake; `failing` raises instead of storing."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.unread: list[str] = []
        self.memory: dict[str, str] = {}
        self.located: dict[str, ConversationId] = {}
        self.failing: Exception | None = None
        self.delay = 0.0
        self.agreed = Ways()
        self._changed = asyncio.Event()

    async def accept(self, event: Event) -> bool:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failing:
            raise self.failing
        self.events.append(event)
        self._changed.set()
        return True

    async def conversation_of(self, place: Place, message_id: str) -> ConversationId | None:
        return self.located.get(message_id)

    async def recall(self, key: str) -> str | None:
        return self.memory.get(key)

    async def remember(self, key: str, value: str) -> None:
        self.memory[key] = value

    def ways(self, place: Place) -> Ways:
        return self.agreed

    def unreadable(self, platform: str, why: str) -> None:
        self.unread.append(why)
        self._changed.set()

    async def until(self, condition: Callable[[Kept], Any]) -> None:
        async with asyncio.timeout(5):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


class Rig:
    """Everything a test needs."""

    def __init__(self, sim: SlackSimulator, adapter: SlackAdapter, intake: Kept) -> None:
        self.sim, self.adapter, self.intake = sim, adapter, intake
        self.running: asyncio.Task[None] | None = None
        self.connections = 2

    async def event(self, index: int = -1, count: int = 1) -> Any:
        await self.intake.until(lambda kept: len(kept.events) >= count)
        return self.intake.events[index]

    def target(
        self, thread: str | None = None, channel: str = "C0GENERAL", **fields: Any
    ) -> Target:
        place = Place("slack", self.sim.team_id, channel, thread, is_private=channel[0] == "D")
        conversation = ConversationId(f"slack:{self.sim.team_id}:{channel}:{thread}")
        fields.setdefault("asker", Author("U0ALICE", "Alice"))
        return Target(conversation=conversation, place=place, **fields)


def part(text: str, *, final: bool = False, index: int = 0, last: bool = True) -> Part:
    return Part("turn1", index, text, is_last=last, is_final=final, has_feedback=True)


@contextlib.asynccontextmanager
async def rig(
    *, is_running: bool = True, options: dict[str, Any] | None = None, **config: Any
) -> AsyncIterator[Rig]:
    chosen = SlackOptions(
        **{"users": (ALICE, BOB, EVE), "channels": (GENERAL, DM), **(options or {})}
    )
    async with SlackSimulator(chosen) as sim:
        settings: dict[str, Any] = {
            "bot_token": Secret(sim.bot_token),
            "app_token": Secret(sim.app_token),
            "signing_secret": Secret(sim.signing_secret),
            "mode": chosen.mode,
            "api_url": sim.api_url,
            "port": 0,
        }
        adapter, intake = SlackAdapter(SlackConfig(**{**settings, **config})), Kept()
        async with adapter:
            made = Rig(sim, adapter, intake)
            made.connections = config.get("connections", 2)
            if is_running:
                made.running = asyncio.create_task(adapter.run(intake))
                await _ready(made)
            try:
                yield made
            finally:
                if made.running:
                    made.running.cancel()
                    await asyncio.gather(made.running, return_exceptions=True)


async def _ready(made: Rig) -> None:
    if made.sim.options.mode == "socket":
        await made.sim.wait_connected(made.connections)
        return
    await until(lambda: made.adapter.address)
    host, port = made.adapter.address
    made.sim.point_at(f"http://{host}:{port}/slack/events")


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
