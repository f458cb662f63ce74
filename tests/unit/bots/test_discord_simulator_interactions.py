"""Commands, buttons and forms of the simulated Discord, answered by the real discord.py."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord import app_commands
from unit.bots.test_discord_simulator import Bot, running, until

from bots.simulators.discord import DiscordOptions


class Form(discord.ui.Modal, title="Why?"):
    """A form with one field."""

    reason: Any = discord.ui.TextInput(label="Reason", custom_id="reason")

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"because {self.reason.value}", ephemeral=True)


class StopButton(discord.ui.DynamicItem[discord.ui.Button], template=r"stop:(?P<turn>\d+)"):
    """A button that needs no memory."""

    def __init__(self, turn: str) -> None:
        super().__init__(discord.ui.Button(label="Stop", custom_id=f"stop:{turn}"))
        self.turn = turn

    @classmethod
    async def from_custom_id(cls, _i: Any, _item: Any, match: Any) -> StopButton:
        return cls(match["turn"])

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.edit_message(content=f"stopped {self.turn}", view=None)


class CommandBot(Bot):
    """Registers one command of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = app_commands.CommandTree(self)
        self.interactions: list[discord.Interaction] = []
        self.tree.command(name="ask", description="Ask")(self._ask)
        self.tree.command(name="late", description="Too late")(self._late)
        self.tree.command(name="why", description="Opens a form")(self._why)
        self.tree.context_menu(name="Ask about this")(self._about)
        self.add_dynamic_items(StopButton)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def _ask(self, interaction: discord.Interaction, text: str, hidden: bool = False) -> None:
        await interaction.response.defer(thinking=True, ephemeral=hidden)
        await interaction.edit_original_response(content=f"you said {text}")
        await interaction.followup.send("more", wait=True)

    async def _late(self, interaction: discord.Interaction) -> None:
        self.interactions.append(interaction)

    async def _why(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form())

    async def _about(self, interaction: discord.Interaction, message: discord.Message) -> None:
        view = discord.ui.View(timeout=None).add_item(StopButton("7"))
        await interaction.response.send_message(f"about {message.content}", view=view)


async def _model(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=current.upper(), value=current)]


async def test_a_deferred_command_is_edited_and_followed_up() -> None:
    """Defer, edit and followup of a slash command show up in order, ephemeral as deferred."""
    bot = CommandBot()
    async with running(bot=bot) as (sim, _):
        assert sim.command_syncs == 1
        assert {command["name"] for command in sim.commands} >= {"ask", "late", "Ask about this"}
        open_one = await sim.slash("general", "alice", "ask", {"text": "hi"})
        await sim.wait_for(lambda: open_one.followups)
        assert open_one.response_type == 5
        assert open_one.content == "you said hi"
        assert [version.text for version in open_one.contents] == ["", "you said hi"]
        assert not open_one.deferred
        assert not open_one.ephemeral
        assert [each.content for each in sim.bot_messages("general")] == ["you said hi", "more"]
        hidden = await sim.slash("general", "bob", "ask", {"text": "psst", "hidden": True})
        await sim.wait_for(lambda: hidden.followups)
        assert hidden.ephemeral
        assert hidden.content == "you said psst"
        # A followup is ephemeral only if it says so itself.
        assert len(sim.bot_messages("general")) == 3


async def test_the_first_answer_must_come_in_time() -> None:
    """After the deadline the interaction is expired and an answer gets error 10062."""
    bot = CommandBot()
    async with running(DiscordOptions(interaction_deadline=0.05), bot) as (sim, _):
        late = await sim.slash("general", "alice", "late")
        await sim.wait_for(lambda: late.expired)
        with pytest.raises(discord.NotFound) as caught:
            await bot.interactions[0].response.send_message("hello?")
        assert caught.value.code == 10062


async def test_a_second_answer_is_refused() -> None:
    """Two processes that answer one interaction: the second one gets error 40060."""
    bot = CommandBot()
    async with running(bot=bot) as (sim, _):
        found = await sim.slash("general", "alice", "late")
        first = await until(lambda: bot.interactions and bot.interactions[0])
        await first.response.send_message("mine")
        first.response._response_type = None
        with pytest.raises(discord.HTTPException) as caught:
            await first.response.send_message("no, mine")
        assert caught.value.code == 40060
        assert found.content == "mine"


async def test_the_token_dies() -> None:
    """When the token's life is over, editing the original response fails with 50027."""
    bot = CommandBot()
    async with running(DiscordOptions(interaction_lifetime=0.3), bot) as (sim, _):
        await sim.slash("general", "alice", "late")
        found = await until(lambda: bot.interactions and bot.interactions[0])
        await found.response.defer()
        await asyncio.sleep(0.31)
        with pytest.raises(discord.HTTPException) as caught:
            await found.edit_original_response(content="too late")
        assert caught.value.code == 50027


async def test_context_menu_and_button() -> None:
    """A message command gets the message's content without the intent; the button on its answer
    works through a DynamicItem and updates the message it sits on."""
    bot = CommandBot()
    async with running(bot=bot) as (sim, _):
        about = await sim.say("general", "bob", "the tide")
        menu = await sim.context_menu("Ask about this", about, "alice")
        await sim.wait_for(lambda: menu.answered)
        assert menu.content == "about the tide"
        assert menu.original is not None
        with pytest.raises(LookupError):
            await sim.click(menu.original.id, "no such button", "alice")
        click = await sim.click(menu.original.id, "stop:7", "alice")
        await sim.wait_for(lambda: click.answered)
        assert click.response_type == 7
        assert menu.original.content == "stopped 7"
        assert menu.original.components == []


async def test_a_form_is_opened_and_sent() -> None:
    """A command opens a modal, its submission reaches the modal's callback."""
    bot = CommandBot()
    async with running(bot=bot) as (sim, _):
        opener = await sim.slash("general", "alice", "why")
        await sim.wait_for(lambda: opener.modal)
        with pytest.raises(LookupError):
            await sim.submit_modal(opener, {"nothing": "x"})
        sent = await sim.submit_modal(opener, {"reason": "I asked"})
        await sim.wait_for(lambda: sent.answered)
        assert sent.content == "because I asked"
        assert sent.ephemeral


async def test_autocomplete_brings_choices() -> None:
    """Typing in an option with autocomplete yields the bot's choices."""
    bot = CommandBot()

    @bot.tree.command(name="model", description="Choose")
    @app_commands.autocomplete(name=_model)
    async def model(interaction: discord.Interaction, name: str) -> None:
        await interaction.response.send_message(name)

    async with running(bot=bot) as (sim, _):
        typed = await sim.autocomplete("general", "alice", "model", {"name": "gp"}, "name")
        await sim.wait_for(lambda: typed.choices)
        assert typed.choices == [{"name": "GP", "value": "gp"}]


async def test_commands_in_direct_messages() -> None:
    """A global command works in the direct conversation with the bot."""
    bot = CommandBot()
    async with running(bot=bot) as (sim, _):
        found = await sim.slash(sim.dm("bob"), "bob", "ask", {"text": "quietly"})
        await sim.wait_for(lambda: found.content)
        assert sim.bot_messages(sim.dm("bob"))[0].content == "you said quietly"
