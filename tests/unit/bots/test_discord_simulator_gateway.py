"""Gateway of the simulated Discord: what clients must survive, and its rules on a bare socket."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest
from unit.bots.test_discord_simulator import INTENTS, Bot, pointed_at, running, until

from bots.simulators.discord import Bucket, DiscordOptions, DiscordSimulator, GuildOptions

GUILD_MESSAGES, MESSAGE_CONTENT = 1 << 9, 1 << 15


class Wire:
    """A gateway client without manners."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.inflate = zlib.decompressobj()

    async def send(self, op: int, data: Any = None) -> None:
        await self.ws.send_json({"op": op, "d": data})

    async def next(self) -> dict[str, Any]:
        message = await self.ws.receive(timeout=3)
        if message.type is aiohttp.WSMsgType.BINARY:
            assert message.data.endswith(b"\x00\x00\xff\xff")
            return dict(json.loads(self.inflate.decompress(message.data)))
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return dict(json.loads(message.data))

    async def until(self, name: str) -> dict[str, Any]:
        while (event := await self.next())["t"] != name:
            pass
        return event

    async def close_code(self) -> int | None:
        while not self.ws.closed:
            await self.ws.receive(timeout=3)
        return self.ws.close_code

    async def identify(self, sim: DiscordSimulator, **more: Any) -> dict[str, Any]:
        await self.send(2, {"token": sim.token, "intents": GUILD_MESSAGES, "properties": {}} | more)
        return dict((await self.until("READY"))["d"])


@asynccontextmanager
async def wire(sim: DiscordSimulator, query: str = "v=10&encoding=json") -> AsyncIterator[Wire]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{sim.gateway_url}?{query}", autoclose=True) as ws,
    ):
        yield Wire(ws)


async def test_identify_and_resume_on_a_bare_socket() -> None:
    """Sequences count up; a dropped session is resumed with exactly the missed events."""
    async with DiscordSimulator() as sim:
        async with wire(sim) as first:
            hello = await first.next()
            assert hello["op"] == 10
            assert hello["d"]["heartbeat_interval"] == 41250
            ready = await first.identify(sim, intents=GUILD_MESSAGES | MESSAGE_CONTENT)
            assert ready["user"]["id"] == str(sim.bot_user_id)
            await sim.say("general", "alice", "one")
            one = await first.until("MESSAGE_CREATE")
            await first.ws.close(code=4000)
        await sim.wait_for(lambda: not sim.sessions[0].connected)
        await sim.say("general", "alice", "two")
        async with wire(sim, "v=10&encoding=json&compress=zlib-stream") as second:
            await second.next()
            state = {"session_id": ready["session_id"], "seq": one["s"], "token": sim.token}
            await second.send(6, state)
            two = await second.next()
            assert (two["t"], two["s"], two["d"]["content"]) == (
                "MESSAGE_CREATE",
                one["s"] + 1,
                "two",
            )
            assert (await second.next())["t"] == "RESUMED"
            assert sim.sessions[0].resumed == 1


async def test_a_session_closed_with_1000_cannot_be_resumed() -> None:
    """After 1000 or 1001 from the client, and after the window, RESUME gets operation 9."""
    async with DiscordSimulator(DiscordOptions(resume_window=0.05)) as sim:
        for code in (1000, 1001, 4000):
            async with wire(sim) as first:
                await first.next()
                ready = await first.identify(sim)
                await first.ws.close(code=code)
            if code == 4000:
                await asyncio.sleep(0.06)
            async with wire(sim) as second:
                await second.next()
                state = {"session_id": ready["session_id"], "seq": 1, "token": sim.token}
                await second.send(6, state)
                assert await second.next() == {"t": None, "s": None, "op": 9, "d": False}


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (2, {"token": "wrong", "intents": 1}, 4004),
        (2, {"intents": 1 << 15}, 4014),
        (2, {"intents": 1 << 40}, 4013),
        (2, {"intents": 1, "shard": [2, 2]}, 4010),
        (6, {"token": "wrong"}, 4004),
        (3, {}, 4003),
        (99, {}, 4001),
        (3, {"x": "y" * 5000}, 4002),
    ],
)
async def test_wrong_payloads_close_with_their_code(op: int, data: Any, code: int) -> None:
    """Each mistake has its close code."""
    async with DiscordSimulator(DiscordOptions(message_content=False)) as sim, wire(sim) as socket:
        await socket.next()
        await socket.send(op, {"token": sim.token} | data)
        assert await socket.close_code() == code


async def test_too_many_sends_close_the_connection() -> None:
    """More payloads than the limit in its window end in 4008."""
    options = DiscordOptions(gateway_sends=Bucket(5, 60.0))
    async with DiscordSimulator(options) as sim, wire(sim) as socket:
        for _ in range(6):
            await socket.send(1, None)
        assert await socket.close_code() == 4008


async def test_a_client_without_heartbeats_is_closed() -> None:
    """Who does not send heartbeats is cut off with 4009."""
    options = DiscordOptions(heartbeat_interval=0.05)
    async with DiscordSimulator(options) as sim, wire(sim) as socket:
        await socket.next()
        assert await socket.close_code() == 4009


async def test_every_session_gets_every_event_of_its_shard() -> None:
    """Two sessions of one shard both get an event; another shard's session does not."""
    options = DiscordOptions(guilds=(GuildOptions(name="A"), GuildOptions(name="B")))
    async with (
        DiscordSimulator(options) as sim,
        wire(sim) as one,
        wire(sim) as two,
        wire(sim) as other,
    ):
        mine = (sim.guild_id >> 22) % 2
        for socket, shard in ((one, mine), (two, mine), (other, 1 - mine)):
            await socket.identify(sim, shard=[shard, 2])
        await sim.say("general", "alice", "hello")
        assert (await one.until("MESSAGE_CREATE"))["d"]["content"] == ""
        assert (await two.until("MESSAGE_CREATE"))["d"]["author"]["username"] == "alice"
        sent = sum(len(session.buffer) for session in sim.sessions)
        assert sent == 5


async def test_discordpy_survives_op7_op9_and_close_codes() -> None:
    """The real client resumes after operation 7, a resumable 9 and code 4000, and identifies
    anew when its session is invalid."""
    async with running() as (sim, bot):
        for count, trouble in enumerate(
            (sim.reconnect, lambda: sim.invalidate(resumable=True), lambda: sim.close_gateway(4000))
        ):
            trouble()
            await until(lambda n=count + 1: bot.events.count("RESUMED") == n)
            await sim.wait_for(lambda: sim.sessions[0].connected)
        assert sim.gateway.identifies == 1
        sim.invalidate()
        await until(lambda: bot.events.count("READY") == 2)
        assert sim.gateway.identifies == 2
        asked = await sim.say("general", "alice", "still there?")
        assert (await until(lambda: bot.seen and bot.seen[0])).id == asked


async def test_discordpy_notices_a_zombie() -> None:
    """Without heartbeat acknowledgements the client gives the connection up and resumes."""
    bot = Bot(heartbeat_timeout=0.3)
    async with running(DiscordOptions(heartbeat_interval=0.1), bot) as (sim, _):
        sim.stop_acking_heartbeats()
        await sim.wait_for(lambda: not sim.sessions or not sim.sessions[0].connected)
        sim.stop_acking_heartbeats(stopped=False)
        await until(lambda: "RESUMED" in bot.events or bot.events.count("READY") == 2, 5.0)


async def test_a_missing_portal_toggle_is_reported() -> None:
    """discord.py raises PrivilegedIntentsRequired when the portal has MESSAGE_CONTENT off."""
    async with DiscordSimulator(DiscordOptions(message_content=False)) as sim:
        with pointed_at(sim):
            client = Bot(INTENTS)
            with pytest.raises(discord.PrivilegedIntentsRequired):
                await client.start(sim.token)
            await client.close()


async def test_own_process_is_driven_over_http() -> None:
    """Started by hand it tells its addresses in one line and obeys the control interface."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bots.simulators.discord",
        "--json-options",
        '{"guilds": [{"extra_text_channels": 2}]}',
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession() as session:

        async def post(name: str, body: Any) -> Any:
            async with session.post(f"{told['control_url']}/{name}", json=body) as reply:
                return await reply.json()

        async def get(name: str) -> Any:
            async with session.get(f"{told['control_url']}/{name}") as reply:
                return await reply.json()

        said = await post("say", {"channel": "c1", "user": "alice", "text": "hi"})
        assert said["content"] == "hi"
        await post("edit", {"id": said["id"], "text": "hi!"})
        (message,) = await get("messages?channel=c1")
        assert message["text"] == "hi!"
        assert message["monotonic"]["created"] < message["monotonic"]["last_change"]
        assert message["wall"]["created"] > 1e9
        refused = await post("say", {"channel": "nowhere", "user": "alice", "text": "hi"})
        assert refused["error"] == "LookupError"
        assert (await get("state"))["sessions"] == []
        await post("reset", {})
        assert await get("messages?channel=c1") == []
    process.terminate()
    assert await process.wait() == 0


async def test_sharded_client_asks_for_the_gateway() -> None:
    """AutoShardedClient learns its shards from GET /gateway/bot and gets its guild's events."""
    async with DiscordSimulator() as sim:
        with pointed_at(sim):
            client = discord.AutoShardedClient(intents=INTENTS)
            task = asyncio.create_task(client.start(sim.token))
            await sim.wait_for(lambda: sim.sessions and sim.sessions[0].connected)
            assert sim.count("GET /gateway/bot") == 1
            assert sim.sessions[0].shard == (0, 1)
            await client.close()
            await asyncio.gather(task, return_exceptions=True)


async def test_members_are_chunked_on_request() -> None:
    """Operation 8 brings members by name."""
    options = DiscordOptions(guild_members=True)
    bot = Bot(INTENTS | discord.Intents(members=True), chunk_guilds_at_startup=False)
    async with running(options, bot) as (sim, _):
        guild = bot.get_guild(sim.guild_id)
        assert guild is not None
        (found,) = await guild.query_members("bo")
        assert found.id == sim.user_id("bob")


async def test_a_client_may_identify_again_after_an_invalid_session() -> None:
    """After operation 9 the same socket takes a new IDENTIFY; a second one otherwise is 4005."""
    async with DiscordSimulator() as sim, wire(sim) as socket:
        await socket.next()
        first = await socket.identify(sim)
        sim.invalidate()
        assert (await socket.next())["op"] == 9
        again = await socket.identify(sim)
        assert again["session_id"] != first["session_id"]
        await socket.send(2, {"token": sim.token, "intents": 1})
        assert await socket.close_code() == 4005


async def test_own_events_can_be_left_out() -> None:
    """With echo_own_events off the bot does not hear of its own messages."""
    async with running(DiscordOptions(echo_own_events=False)) as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        sent = await channel.send("mine")
        await sent.edit(content="still mine")
        await sim.say("general", "alice", "hers")
        await until(lambda: bot.seen)
        assert [each.content for each in bot.seen] == ["hers"]
        assert bot.raw == []
