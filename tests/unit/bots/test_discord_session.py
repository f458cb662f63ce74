"""How far the gateway's events are durable, and what a new process makes of it."""

from __future__ import annotations

import asyncio

import pytest
from discord_rig import Keeper

from bots.discord import session
from bots.discord.session import SESSION_KEY, TAILS_KEY, Journal, Mark, Tail


def journal(keeper: Keeper, *, bot: str = "1", intents: int = 7) -> Journal:
    return Journal(keeper, bot=bot, intents=intents)


def mark(sequence: int) -> Mark:
    return Mark("s", "ws://localhost", sequence)


async def test_the_mark_moves_with_the_oldest_open_event() -> None:
    """An event that is stored early does not pass one before it that is not."""
    found = journal(Keeper())
    one, two, three = (found.open(mark(number)) for number in (1, 2, 3))
    found.close(three)
    assert found.durable is None
    found.close(one)
    assert found.durable == mark(1)
    found.close(two)
    assert found.durable == mark(3)
    assert len(found) == 0


async def test_another_process_goes_on() -> None:
    """A saved session is resumed by the same bot with the same intents, while it is fresh."""
    keeper = Keeper()
    first = journal(keeper)
    first.close(first.open(mark(5)), Tail("10", "20", "30"))
    await first.save()

    second = journal(keeper)
    assert await second.load() == mark(5)
    assert second.tails == [Tail("10", "20", "30")]
    assert second.follows("10")
    assert await journal(keeper, bot="2").load() is None
    assert await journal(keeper, intents=8).load() is None


async def test_an_old_session_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long pause the session is gone; the channels are read instead."""
    keeper = Keeper()
    first = journal(keeper)
    first.close(first.open(mark(5)), Tail("10", "20", "30"))
    await first.save()
    monkeypatch.setattr(session, "RESUME_WITHIN", -1)

    second = journal(keeper)
    assert await second.load() is None
    assert second.tails


@pytest.mark.parametrize("text", ["", "{", "[]", '{"session": 1}', '{"session": "s"}'])
async def test_foreign_state_is_no_state(text: str) -> None:
    """What another version has left behind is left out."""
    keeper = Keeper()
    keeper.kept = {SESSION_KEY: text, TAILS_KEY: text}
    assert await journal(keeper).load() is None


async def test_tails_are_few_and_go_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channels that were busy last are kept, each with its newest message."""
    monkeypatch.setattr(session, "MAX_TAILS", 2)
    found = journal(Keeper())
    for number, tail in enumerate(
        [Tail("1", "", "10"), Tail("2", "", "20"), Tail("1", "", "9"), Tail("3", "", "30")]
    ):
        found.close(found.open(mark(number)), tail)
    assert found.tails == [Tail("1", "", "10"), Tail("3", "", "30")]


async def test_nothing_new_is_not_written() -> None:
    """An idle bot leaves the database alone."""
    keeper = Keeper()
    found = journal(keeper)
    found.close(found.open(mark(1)))
    await found.save()
    before = keeper.kept[SESSION_KEY]
    await asyncio.sleep(0.002)
    await found.save()
    assert keeper.kept[SESSION_KEY] == before
