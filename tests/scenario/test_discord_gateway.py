"""A gateway that drops, restarts and forgets, and what was said meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from scenario.harness import Options, World, together, world

from bots.discord import gateway

ECHO = Options(mode="echo")


async def all_answered_once(w: World, questions: list[int]) -> None:
    """Each question has exactly one answer, and there is nothing else."""
    await w.until(lambda: all(w.reply_to(each) for each in questions), within=20)
    await w.idle()
    assert sorted(each.reference or 0 for each in w.replies()) == sorted(questions)


async def during(trouble: Callable[[World], None], *, is_resumed: bool) -> None:
    """Ask before, in the middle of and after a trouble."""
    async with world(model=ECHO, settings={"discord.limits": False}) as w:
        await w.ask("warm up")
        await w.settled()
        (before,) = w.discord.sessions
        is_back = w.connected()
        questions = [w.replies()[0].reference or 0, await w.say("before")]
        trouble(w)
        for number in range(4):
            questions.append(await w.say(f"meanwhile {number}"))
            await asyncio.sleep(0.02)
        await w.until(is_back, within=20)
        questions.append(await w.say("after"))
        await all_answered_once(w, questions)
        assert bool(before.resumed) is is_resumed


async def test_a_resumed_session_loses_and_doubles_nothing() -> None:
    """A TCP reset, a close and operation 7 end in a RESUME that replays what was missed."""
    await together(
        during(lambda w: w.discord.drop_gateway(), is_resumed=True),
        during(lambda w: w.discord.close_gateway(4000), is_resumed=True),
        during(lambda w: w.discord.reconnect(), is_resumed=True),
        during(lambda w: w.discord.invalidate(resumable=True), is_resumed=True),
    )


async def test_a_session_that_is_gone_is_caught_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """After operation 9 and codes that end a session, missed messages are read over REST."""
    monkeypatch.setattr(gateway, "IDENTIFY_EVERY", 0.2)
    await together(
        during(lambda w: w.discord.invalidate(), is_resumed=False),
        during(lambda w: w.discord.close_gateway(4009), is_resumed=False),
    )


async def test_a_gateway_that_drops_again_and_again() -> None:
    """Five drops in the middle of twenty questions: each is answered once."""
    async with world(model=ECHO, settings={"discord.limits": False}) as w:
        await w.ask("warm up")
        questions = [w.replies()[0].reference or 0]
        for number in range(20):
            questions.append(await w.say(f"number {number}"))
            if number % 4 == 1:
                w.discord.drop_gateway()
            await asyncio.sleep(0.05)
        await all_answered_once(w, questions)


async def test_what_was_said_while_it_was_down_is_answered() -> None:
    """Stopped for a moment, the bot answers by RESUME; for longer, by reading the channel."""

    async def down(*, is_forgotten: bool) -> None:
        async with world(model=ECHO) as w:
            first = await w.ask("warm up")
            await w.idle()
            await w.stop()
            questions = [first.reference or 0, await w.say("anybody there?")]
            questions.append(await w.discord.say("general", "bob", "hm", reply_to=first.id))
            if is_forgotten:
                for session in list(w.discord.sessions):
                    w.discord.gateway.end(session)
            await w.start()
            await all_answered_once(w, questions)

    await together(down(is_forgotten=False), down(is_forgotten=True))


async def test_edits_and_deletions_of_a_break_count() -> None:
    """What was changed while the connection was lost is changed in the history."""
    async with world(model=ECHO) as w:
        dm = w.discord.dm("bob")
        first = await w.discord.say(dm, "bob", "the code is 1234")
        await w.answer(first)
        second = await w.discord.say(dm, "bob", "my name is Bob")
        await w.answer(second)
        await w.idle()
        await w.stop()
        await w.discord.edit(first, "the code is gone")
        await w.discord.delete(second)
        await w.start()
        await w.idle()
        await w.answer(await w.discord.say(dm, "bob", "what do you know?"))
        users = [each["content"] for each in w.prompt if each["role"] == "user"]
        assert users == ["the code is gone", "what do you know?"]


async def test_the_same_event_twice_is_answered_once() -> None:
    """A message that Discord delivers again is recognised."""
    async with world(model=ECHO) as w:
        question = await w.say("hello")
        await w.answer(question)
        w.discord.poster.post(w.discord.message(question))
        await w.idle()
        assert len(w.replies()) == 1
        assert len(w.requests()) == 1


async def test_unreadable_events_are_counted_and_change_nothing() -> None:
    """Payloads that are not Discord's are counted, and what follows them is answered."""
    async with world(model=ECHO) as w:
        publish = w.discord.gateway.publish
        for payload in ({}, {"id": "1"}, {"id": None, "channel_id": 7, "author": "nobody"}):
            publish("MESSAGE_CREATE", payload)
            publish("INTERACTION_CREATE", payload)
            publish("MESSAGE_UPDATE", payload)
            publish("MESSAGE_DELETE", payload)
            publish("GUILD_CREATE", payload)
        publish("SOMETHING_NEW", {"id": "1"})
        assert (await w.ask("hello")).content == "Alice: hello"
        counted = w.app.counters.as_dict()
        assert sum(counted[key] for key in counted if key.startswith("events.unreadable")) >= 6
