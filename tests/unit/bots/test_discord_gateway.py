"""What reaches the intake through the real gateway: in order, once, and across restarts."""

from __future__ import annotations

import asyncio
import json

import pytest
from discord_rig import Keeper, config, connected, listening, part, target, until

from bots.discord import gateway, pipeline, session
from bots.discord.adapter import DiscordAdapter
from bots.simulators.discord import DiscordOptions, DiscordSimulator
from core.config_schema import DiscordConfig
from core.errors import ConfigError, CredentialsRejected
from core.messages import Deleted, Edited, Message
from core.secret import Secret


def call(sim: DiscordSimulator) -> str:
    return f"<@{sim.bot_user_id}>"


async def test_order_and_names() -> None:
    """Messages arrive in their order, mentions read as names, the bot's own name is left out."""
    keeper = Keeper(delay=0.001)
    async with DiscordSimulator() as sim, connected(sim, keeper):
        bob, general = sim.user_id("bob"), sim.channel_id("general")
        for number in range(50):
            text = (
                f"{call(sim)} {number}: ask <@{bob}> in <#{general}> <:wave:1> <@&{sim.guild_id}>"
            )
            await sim.say("general", "alice", text)
        await until(lambda: len(keeper.events) == 50)

    assert [f"{n}: ask @Bob in #general :wave: @@everyone" for n in range(50)] == keeper.texts
    first = keeper.of(Message)[0]
    assert first.is_addressed
    assert first.author.name == "Alice"
    assert first.author.may_configure
    assert first.place.channel_name == "general"


async def test_a_restart_resumes() -> None:
    """What is posted while no process runs arrives after a restart, through RESUME."""
    keeper = Keeper()
    async with DiscordSimulator() as sim:
        async with connected(sim, keeper):
            await sim.say("general", "alice", f"{call(sim)} before")
            await until(lambda: keeper.events)
        await sim.say("general", "alice", f"{call(sim)} meanwhile")
        async with connected(sim, keeper):
            await until(lambda: len(keeper.events) == 2)
            resumed = sim.sessions[0].resumed

    assert keeper.texts == ["before", "meanwhile"]
    assert resumed == 1
    assert len(sim.sessions) <= 1
    second = keeper.of(Message)[1]
    assert second.author.may_configure  # asked from the REST API: a resumed session tells nothing
    assert second.place.channel_name == "general"


async def test_a_lost_session_is_caught_up() -> None:
    """Where Discord has forgotten the session, the known channels are read."""
    keeper = Keeper()
    async with DiscordSimulator() as sim:
        async with connected(sim, keeper):
            await sim.say("general", "alice", f"{call(sim)} before")
            await until(lambda: keeper.events)
        sim.invalidate()
        for number in range(130):
            await sim.say("general", "bob", f"{call(sim)} missed {number}")
        async with connected(sim, keeper):
            await until(lambda: len(keeper.events) == 131)

    assert keeper.texts == ["before", *(f"missed {number}" for number in range(130))]


async def test_the_sequence_waits_for_the_store() -> None:
    """Nothing that is not stored is passed over: a process that dies then gets it again."""
    keeper = Keeper()
    async with DiscordSimulator() as sim:
        async with connected(sim, keeper) as adapter:
            await sim.say("general", "alice", f"{call(sim)} one")
            await until(lambda: keeper.events)
            keeper.is_full = True
            await sim.say("general", "alice", f"{call(sim)} two")
            await asyncio.sleep(0.05)
            for task in list(adapter._pipeline._tasks):
                task.cancel()  # dies in the middle of the write
        keeper.is_full = False
        assert keeper.texts == ["one"]
        async with connected(sim, keeper):
            await until(lambda: len(keeper.events) == 2)

    assert keeper.texts == ["one", "two"]


async def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that can't be stored is tried again until it is."""
    monkeypatch.setattr(pipeline, "RETRY_FIRST", 0.01)
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        keeper.is_full = True
        await sim.say("general", "alice", f"{call(sim)} hello")
        await asyncio.sleep(0.05)
        assert not keeper.events
        keeper.is_full = False
        await until(lambda: keeper.events)


@pytest.mark.parametrize("trouble", ["reconnect", "drop_gateway", "resumable", "invalidate"])
async def test_trouble_loses_nothing(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects, resets and invalid sessions neither lose nor repeat a message."""
    monkeypatch.setattr(gateway, "IDENTIFY_EVERY", 0.1)
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        await sim.say("general", "alice", f"{call(sim)} one")
        await until(lambda: keeper.events)
        if trouble == "resumable":
            sim.invalidate(resumable=True)
        else:
            getattr(sim, trouble)()
        await sim.say("general", "alice", f"{call(sim)} two")
        await until(lambda: len(keeper.events) == 2)

    assert keeper.texts == ["one", "two"]


async def test_a_short_queue_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the intake is slow the gateway is read no further, and nothing is lost."""
    monkeypatch.setattr(pipeline, "QUEUE", 3)
    monkeypatch.setattr(pipeline, "AT_ONCE", 2)
    keeper = Keeper(delay=0.002)
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        for number in range(60):
            await sim.say("general", "alice", f"{call(sim)} {number}")
        longest = 0
        while len(keeper.events) < 60:
            longest = max(longest, adapter._pipeline._queue.qsize())
            await asyncio.sleep(0.001)

    assert keeper.texts == [str(number) for number in range(60)]
    assert longest <= 4


async def test_edits_and_deletions() -> None:
    """New versions and deletions of known messages arrive; previews and unknown ones do not."""
    keeper = Keeper(delay=0.01)
    async with (
        DiscordSimulator(DiscordOptions()) as sim,
        connected(sim, keeper, profile="moderator"),
    ):
        known = await sim.say("general", "alice", f"{call(sim)} colour")
        await sim.edit(known, f"{call(sim)} color")
        await sim.unfurl(known, "https://example.org")
        await sim.delete(known)
        several = [await sim.say("general", "bob", f"spam {n}") for n in range(3)]
        await sim.bulk_delete(several)
        await until(lambda: len(keeper.of(Deleted)) == 4)

    post, edit, deletion = keeper.of(Message)[0], keeper.of(Edited)[0], keeper.of(Deleted)[0]
    assert len(keeper.of(Edited)) == 1
    assert edit.text == "color"
    assert post.conversation == edit.conversation == deletion.conversation
    assert {event.id for event in keeper.of(Deleted)} == {str(key) for key in (known, *several)}


async def test_the_missing_intent_is_named() -> None:
    """The moderator profile without its intent ends with the page where to turn it on."""
    async with DiscordSimulator(DiscordOptions(message_content=False)) as sim:
        with pytest.raises(ConfigError, match=f"applications/{sim.application_id}/bot"):
            async with connected(sim, Keeper(), profile="moderator"):
                pass


async def test_a_wrong_token_is_named() -> None:
    """A rejected token ends the start with plain words."""
    async with DiscordSimulator() as sim:
        wrong = DiscordConfig(token=Secret("wrong.token.here"), api_url=sim.api_url)
        with pytest.raises(CredentialsRejected, match="DISCORD_TOKEN"):
            async with DiscordAdapter(wrong):
                pass


async def test_a_new_session_is_saved_at_once() -> None:
    """Who is killed in the first second after the start can be resumed all the same."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        await until(lambda: session.SESSION_KEY in keeper.kept, within=0.5)
        assert json.loads(keeper.kept[session.SESSION_KEY])["session"] == sim.sessions[0].id


async def test_the_session_is_saved_while_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves a session that is at most a moment old."""
    monkeypatch.setattr(session, "SAVE_EVERY", 0.02)
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        await sim.say("general", "alice", f"{call(sim)} hello")
        await until(lambda: session.SESSION_KEY in keeper.kept and keeper.events)
        await asyncio.sleep(0.1)
        saved = json.loads(keeper.kept[session.SESSION_KEY])
        assert saved["sequence"] == sim.sessions[0].sequence


async def test_calls_work_without_the_gateway() -> None:
    """An adapter answers before it listens and after it has stopped to."""
    keeper = Keeper()
    async with DiscordSimulator() as sim:
        adapter = DiscordAdapter(config(sim))
        async with adapter:
            async with listening(sim, adapter, keeper):
                await sim.say("general", "alice", f"{call(sim)} hello")
                await until(lambda: keeper.events)
            await adapter.post(target(keeper.events[0]), part("late"))
        assert [each.text for each in sim.bot_messages("general")] == ["late"]


async def test_the_hash_spares_the_registration() -> None:
    """Commands are registered once, and not again by the next process."""
    keeper = Keeper()
    async with DiscordSimulator() as sim:
        for _ in range(2):
            async with connected(sim, keeper):
                pass
        assert sim.count("PUT /applications/{application_id}/commands") == 1
