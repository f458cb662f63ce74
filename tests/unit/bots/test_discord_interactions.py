"""Commands, menus and buttons through the real gateway, answered by their own tokens."""

from __future__ import annotations

import asyncio
import time

import pytest
from discord_rig import Keeper, connected, part, target, until

from bots.discord import handles
from bots.simulators.discord import DiscordOptions, DiscordSimulator
from bots.simulators.discord import permissions as perms
from core.commands import BUTTONS, NAMES
from core.errors import TargetGone
from core.messages import Command, Message


async def test_ask_is_answered_in_place() -> None:
    """/ask is deferred once it is stored, then shows the answer; later parts are messages."""
    keeper = Keeper(delay=0.02)
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        asked = await sim.slash("general", "bob", "ask", {"question": "what is a bollard?"})
        await until(lambda: keeper.events)
        (question,) = keeper.of(Message)
        where = target(question)
        first = await adapter.post(where, part("A post", is_last=False))
        await adapter.post(where, part("on a quay.", index=1))
        await adapter.edit(where, first, part("A short post", is_last=False))

        assert question.text == "what is a bollard?"
        assert question.is_addressed
        assert question.author.name == "Bob"
        assert not question.author.may_configure
        assert asked.content == "A short post"
        assert not asked.ephemeral
        assert [each.content for each in sim.bot_messages("general")] == [
            "A short post",
            "on a quay.",
        ]
        assert await adapter.find(where, part(""), time.time() - 60) is None


async def test_an_answer_does_not_overtake_its_deferral() -> None:
    """A post that comes as soon as the event is stored waits until Discord knows the deferral."""
    keeper = Keeper()
    async with (
        DiscordSimulator(DiscordOptions(latency=0.03)) as sim,
        connected(sim, keeper) as adapter,
    ):
        asked = await sim.slash("general", "bob", "ask", {"question": "quick?"})
        await until(lambda: keeper.events)
        await adapter.post(target(keeper.events[0]), part("quick."))

        assert asked.content == "quick."
        assert len(sim.bot_messages("general")) == 1


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_orders_are_answered_privately(name: str) -> None:
    """Every other command is an order, and only its author sees the answer."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        done = await sim.slash("general", "alice", name)
        await until(lambda: keeper.events)
        (order,) = keeper.of(Command)
        await adapter.post(target(order, is_only_for_asker=True), part("done"))

        assert (order.name, order.argument) == (name, "")
        assert order.author.may_configure
        assert done.ephemeral
        assert done.content == "done"


async def test_options_are_arguments() -> None:
    """What is typed into an option is the order's argument."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        await sim.slash("general", "alice", "model", {"name": "gpt-9"})
        await sim.slash("general", "alice", "persona", {"text": "a pirate"})
        await sim.slash("general", "alice", "usage", {"whose": "server"})
        await until(lambda: len(keeper.events) == 3)

    assert [each.argument for each in keeper.of(Command)] == ["gpt-9", "a pirate", "server"]


async def test_orders_mean_the_latest_conversation() -> None:
    """/stop in a channel means the conversation that its author had there last."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        call = f"<@{sim.bot_user_id}> hello"
        await sim.say("general", "alice", call)
        await sim.say("general", "bob", call)
        await sim.slash("general", "alice", "stop")
        await until(lambda: len(keeper.events) == 3)

    alices, bobs = keeper.of(Message)
    (stop,) = keeper.of(Command)
    assert stop.conversation == alices.conversation != bobs.conversation


async def test_models_are_completed() -> None:
    """The model's option is completed with what the core offers, at most 25 of it."""

    def choices(kind: str, typed: str, place: object) -> list[str]:
        return [f"{kind}-{typed}-{number}" for number in range(40)]

    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper, choices=choices):
        typing = await sim.autocomplete("general", "alice", "model", {"name": "gp"}, "name")
        await until(lambda: typing.choices)

    assert [each["value"] for each in typing.choices][:2] == ["model-gp-0", "model-gp-1"]
    assert len(typing.choices) == 25
    assert not keeper.events


async def test_asks_about_a_message() -> None:
    """The menu entry quotes the message, which the bot could not read otherwise."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        about = await sim.say("general", "bob", "lorem ipsum")
        asked = await sim.context_menu("Ask about this", about, "alice")
        await until(lambda: keeper.events)
        (question,) = keeper.of(Message)
        await adapter.post(target(question), part("Latin."))

        assert question.quoted == "Bob: lorem ipsum"
        assert question.parent == str(about)
        assert question.is_addressed
        assert asked.content == "Latin."


@pytest.mark.parametrize(
    ("custom_id", "name", "argument"),
    [
        ("tw:stop:t1", "stop", "t1"),
        ("tw:again:t1", "regenerate", "t1"),
        ("tw:up:t1", "feedback", "t1 up"),
        ("tw:down:t1", "feedback", "t1 down"),
    ],
)
async def test_buttons_outlive_a_restart(custom_id: str, name: str, argument: str) -> None:
    """A button of an answer that another process posted still works."""
    keeper = Keeper()
    is_final = name != "stop"
    async with DiscordSimulator() as sim:
        async with connected(sim, keeper) as adapter:
            await sim.say("general", "alice", f"<@{sim.bot_user_id}> hello")
            await until(lambda: keeper.events)
            where = target(keeper.events[0])
            shown = part("hi", is_final=is_final, has_feedback=True)
            posted = int(await adapter.post(where, shown))
            keeper.conversations[str(posted)] = where.conversation
        async with connected(sim, keeper) as adapter:
            clicked = await sim.click(posted, custom_id, "bob")
            await until(lambda: len(keeper.events) == 2)
            (order,) = keeper.of(Command)
            await adapter.post(target(order, is_only_for_asker=True), part("Thanks.", turn="t2"))

            assert name in NAMES | BUTTONS
            assert (order.name, order.argument) == (name, argument)
            assert order.conversation == where.conversation
            assert [each.content for each in clicked.followups] == ["Thanks."]
            assert clicked.followups[0].ephemeral
            assert [each.content for each in sim.bot_messages("general")] == ["hi"]


async def test_a_refusal_is_private_after_all() -> None:
    """What concerns the asker only is not shown where an answer to all was promised."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        asked = await sim.slash("general", "bob", "ask", {"question": "?"})
        await until(lambda: keeper.events)
        where = target(keeper.events[0], is_only_for_asker=True)
        await adapter.post(where, part("Not you."))

        assert not sim.bot_messages("general")
        assert [(each.content, each.ephemeral) for each in asked.followups] == [("Not you.", True)]


async def test_a_dead_token_ends_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """After fourteen minutes an answer to all is a message; a private one is not shown at all."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        await sim.slash("general", "bob", "ask", {"question": "?"})
        await sim.slash("general", "bob", "usage")
        await until(lambda: len(keeper.events) == 2)
        monkeypatch.setattr(handles, "LIFETIME", -1)
        question, order = target(keeper.events[0]), target(keeper.events[1])
        posted = await adapter.post(question, part("late"))
        await adapter.edit(question, posted, part("late, and complete"))
        assert sim.bot_messages("general")[-1].content == "late, and complete"
        with pytest.raises(TargetGone):
            await adapter.post(order, part("12 tokens"))


async def test_parts_of_a_command_are_withdrawn() -> None:
    """Every part goes, those that are messages of the channel too; twice is no error."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        asked = await sim.slash("general", "bob", "ask", {"question": "?"})
        ordered = await sim.slash("general", "alice", "reset")
        await until(lambda: len(keeper.events) == 2)
        where, secret = (target(event) for event in keeper.events)
        posted = [await adapter.post(where, part(text, index=n)) for n, text in enumerate("ab")]
        told = [await adapter.post(secret, part(text, index=n)) for n, text in enumerate("cd")]
        await adapter.edit(secret, told[1], part("d.", index=1))
        assert [each.content for each in ordered.followups] == ["d."]
        assert ordered.followups[0].ephemeral
        for _ in range(2):
            for message_id in posted:
                await adapter.withdraw(where, message_id)
            for message_id in told:
                await adapter.withdraw(secret, message_id)

        assert not sim.bot_messages("general")
        assert asked.original is not None
        assert asked.original.deleted
        assert ordered.followups[0].deleted


async def test_answers_where_the_bot_may_not_write() -> None:
    """Further parts are follow-ups in a channel that the bot has no access to."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper) as adapter:
        asked = await sim.slash("general", "bob", "ask", {"question": "long?"})
        await until(lambda: keeper.events)
        await sim.deny("general", perms.SEND_MESSAGES)
        where = target(keeper.events[0])
        await adapter.post(where, part("one", is_last=False))
        second = await adapter.post(where, part("two", index=1, is_final=False))
        await adapter.edit(where, second, part("two.", index=1))

        assert asked.content == "one"
        assert [each.content for each in asked.followups] == ["two."]


async def test_only_what_is_stored_is_acknowledged() -> None:
    """An interaction that can't be stored is not deferred: its user is told by Discord."""
    keeper = Keeper()
    async with DiscordSimulator() as sim, connected(sim, keeper):
        keeper.is_full = True
        asked = await sim.slash("general", "bob", "ask", {"question": "?"})
        await asyncio.sleep(0.1)

        assert asked.answered is None
        keeper.is_full = False
        await until(lambda: asked.answered is not None)
