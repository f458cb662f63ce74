"""The simulated Discord as the real discord.py sees it: gateway, messages, people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import discord
import yarl

from bots.simulators.discord import DiscordOptions, DiscordSimulator

INTENTS = discord.Intents(
    guilds=True, guild_messages=True, dm_messages=True, message_content=True, guild_reactions=True
)


class Bot(discord.Client):
    """Keeps what discord.py dispatches."""

    def __init__(self, intents: discord.Intents = INTENTS, **more: Any) -> None:
        # How long the client waits for one more GUILD_CREATE before it is ready.
        super().__init__(intents=intents, max_messages=None, guild_ready_timeout=0.02, **more)
        self.seen: list[discord.Message] = []
        self.events: list[str] = []
        self.raw: list[Any] = []

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        return None

    async def on_socket_event_type(self, name: str) -> None:
        self.events.append(name)

    async def on_message(self, message: discord.Message) -> None:
        self.seen.append(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.raw.append(event)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self.raw.append(event)

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        self.raw.append(event)


@contextmanager
def pointed_at(sim: DiscordSimulator) -> Iterator[None]:
    """discord.py talks to the simulator instead of Discord."""
    route, socket = discord.http.Route, discord.gateway.DiscordWebSocket
    before = route.BASE, socket.DEFAULT_GATEWAY
    route.BASE, socket.DEFAULT_GATEWAY = sim.api_url, yarl.URL(sim.gateway_url)
    try:
        yield
    finally:
        route.BASE, socket.DEFAULT_GATEWAY = before


@asynccontextmanager
async def running(
    options: DiscordOptions | None = None, bot: Bot | None = None
) -> AsyncIterator[tuple[DiscordSimulator, Bot]]:
    """A simulator with a connected bot."""
    async with DiscordSimulator(options) as sim:
        with pointed_at(sim):
            client = bot or Bot()
            task = asyncio.create_task(client.start(sim.token))
            try:
                await asyncio.wait_for(_ready(client, task), 5)
                yield sim, client
            finally:
                await client.close()
                await asyncio.gather(task, return_exceptions=True)


async def _ready(client: Bot, task: asyncio.Task[None]) -> None:
    while not client.is_ready():
        if task.done():
            task.result()
        await asyncio.sleep(0.005)


async def until(predicate: Any, seconds: float = 3.0) -> Any:
    """Polls the client's side, which has no event to wait for."""
    async with asyncio.timeout(seconds):
        while not (value := predicate()):  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.005)
    return value


async def test_client_becomes_ready_with_the_directory() -> None:
    """discord.py logs in, becomes ready and knows the guild, its channels and its own member."""
    async with running() as (sim, bot):
        guild = bot.get_guild(sim.guild_id)
        assert guild is not None
        assert {channel.name for channel in guild.channels} == {"general", "questions"}
        assert isinstance(guild.get_channel(sim.channel_id("questions")), discord.ForumChannel)
        assert bot.user is not None
        assert bot.user.id == sim.bot_user_id == bot.application_id
        assert guild.me.guild_permissions.send_messages
        assert not guild.me.guild_permissions.administrator
        assert bot.application_flags.gateway_message_content_limited


async def test_a_message_travels_both_ways() -> None:
    """A member's message reaches on_message; the bot's reply, its edits and its deletion reach
    the simulator with author, reference and nonce."""
    async with running() as (sim, bot):
        asked = await sim.say("general", "alice", f"<@{sim.bot_user_id}> hello")
        message = await until(lambda: bot.seen and bot.seen[0])
        assert message.id == asked
        assert message.author.name == "alice"
        assert isinstance(message.author, discord.Member)
        assert message.author.guild_permissions.administrator
        assert bot.user in message.mentions
        reply = await message.reply("hi", mention_author=False)
        await reply.edit(content="hi there")
        (answer,) = sim.bot_messages("general")
        assert answer.content == "hi there"
        assert answer.reference == asked
        assert answer.author_id == sim.bot_user_id
        assert answer.nonce is not None
        assert answer.edited
        assert [version.text for version in answer.history] == ["hi", "hi there"]
        assert sim.message(asked).sent is not None
        await reply.delete()
        assert sim.bot_messages("general") == []
        assert answer.deleted


async def test_edits_and_deletes_by_people_are_dispatched() -> None:
    """A person's edit, deletion and bulk deletion arrive as raw events."""
    async with running() as (sim, bot):
        ids = [await sim.say("general", "bob", f"number {n}") for n in range(3)]
        await sim.edit(ids[0], "changed")
        await sim.delete(ids[0])
        await sim.bulk_delete(ids[1:])
        await until(lambda: len(bot.raw) == 3)
        assert bot.raw[0].data["content"] == "changed"
        assert bot.raw[0].data["edited_timestamp"]
        assert bot.raw[1].message_id == ids[0]
        assert bot.raw[2].message_ids == set(ids[1:])


async def test_resume_replays_what_was_missed() -> None:
    """After a TCP reset the client resumes its session and gets the events it missed."""
    async with running() as (sim, bot):
        sim.drop_gateway()
        await sim.wait_for(lambda: not sim.sessions[0].connected)
        missed = await sim.say("general", "alice", "while you were away")
        await sim.wait_for(lambda: sim.sessions[0].resumed == 1)
        assert (await until(lambda: bot.seen and bot.seen[0])).id == missed
        await until(lambda: "RESUMED" in bot.events)
        assert sim.gateway.identifies == 1


async def test_the_same_nonce_makes_one_message() -> None:
    """Two sends with one nonce yield one message, returned twice."""
    async with running() as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        first = await channel.send("once", nonce="abc")
        second = await channel.send("once", nonce="abc")
        assert first.id == second.id
        assert len(sim.bot_messages("general")) == 1
        assert sim.count("POST /channels/{channel_id}/messages") == 2
