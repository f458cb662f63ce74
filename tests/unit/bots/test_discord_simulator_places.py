"""Commands registered, guilds, threads and webhooks of the simulated Discord."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from discord import app_commands
from unit.bots.test_discord_simulator import INTENTS, Bot, running, until
from unit.bots.test_discord_simulator_rest import serve

from bots.simulators.discord import (
    ChannelOptions,
    DiscordOptions,
    GuildOptions,
    MemberOptions,
    RoleOptions,
)
from bots.simulators.discord import permissions as perms

__all__ = ["serve"]


def command(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "does it", "type": 1} | more


async def test_commands_are_kept_by_scope_and_name(serve: Any) -> None:
    """Overwriting keeps the ids of known names; single commands come, change and go."""
    sim, rest = await serve()
    base = f"/applications/{sim.application_id}/commands"
    first = (await rest("PUT", base, [command("ask"), command("old")]))[1]
    second = (await rest("PUT", base, [command("ask", description="better")]))[1]
    assert second[0]["id"] == first[0]["id"]
    assert sim.command_syncs == 2
    assert [each["description"] for each in sim.commands] == ["better"]
    status, made, _ = await rest("POST", base, command("new"))
    assert status == 201
    assert (await rest("POST", base, command("new")))[0] == 200
    one = f"{base}/{made['id']}"
    assert (await rest("GET", one))[1]["name"] == "new"
    assert (await rest("PATCH", one, {"name": "newer"}))[1]["name"] == "newer"
    assert (await rest("DELETE", one))[0] == 204
    assert (await rest("GET", one))[1]["code"] == 10063
    guild = f"/applications/{sim.application_id}/guilds/{sim.guild_id}/commands"
    await rest("PUT", guild, [command("local")])
    assert {each["name"] for each in sim.commands} == {"ask", "local"}
    assert [each["name"] for each in (await rest("GET", base))[1]] == ["ask"]


@pytest.mark.parametrize(
    "bad",
    [
        [command("Upper")],
        [command("two words")],
        [command("x" * 33)],
        [command("a", description="")],
        [command("a"), command("a")],
        [{"name": "m" * 33, "type": 3}],
        [command("a", options=[{"name": "", "description": "d", "type": 3}])],
        [command("a", options=[{"name": "o", "description": "", "type": 3}])],
        [command("a", options=[{"name": "o", "description": "d", "type": 3}] * 26)],
        [
            command(
                "a",
                options=[
                    {
                        "name": "o",
                        "description": "d",
                        "type": 3,
                        "choices": [{"name": "c", "value": "c"}] * 26,
                    }
                ],
            )
        ],
    ],
)
async def test_commands_beyond_the_limits_are_refused(serve: Any, bad: Any) -> None:
    """A refused overwrite leaves the registered commands as they were."""
    sim, rest = await serve()
    base = f"/applications/{sim.application_id}/commands"
    await rest("PUT", base, [command("keep")])
    status, data, _ = await rest("PUT", base, bad)
    assert (status, data["code"]) == (400, 50035)
    assert [each["name"] for each in sim.commands] == ["keep"]


async def test_too_many_commands_and_foreign_applications(serve: Any) -> None:
    """100 slash commands and 15 message commands fit, one more is 30032."""
    sim, rest = await serve()
    base = f"/applications/{sim.application_id}/commands"
    many = [command(f"c{number}") for number in range(100)]
    assert (await rest("PUT", base, many))[0] == 200
    assert (await rest("PUT", base, [*many, command("more")]))[1]["code"] == 30032
    menus = [{"name": f"m{number}", "type": 3} for number in range(16)]
    assert (await rest("PUT", base, menus))[1]["code"] == 30032
    assert (await rest("PUT", "/applications/5/commands", []))[1]["code"] == 50001


async def test_subcommands_resolved_options_and_user_menus() -> None:
    """Subcommands, members as options, user commands and selects reach discord.py's callbacks."""
    bot = Bot()
    tree = app_commands.CommandTree(bot)
    group = app_commands.Group(name="mod", description="Moderation")

    @group.command(name="warn", description="Warn")
    async def warn(i: discord.Interaction, who: discord.User, times: int = 1) -> None:
        await i.response.send_message(f"{who.name} x{times}")

    @tree.context_menu(name="Greet")
    async def greet(i: discord.Interaction, who: discord.Member) -> None:
        select: Any = discord.ui.Select(custom_id="pick", options=[discord.SelectOption(label="a")])

        async def picked(j: discord.Interaction) -> None:
            await j.response.send_message(select.values[0])

        select.callback = picked
        view = discord.ui.View().add_item(select)
        await i.response.send_message(f"hello {who.name}", view=view)

    tree.add_command(group)
    async with running(bot=bot) as (sim, _):
        await tree.sync()
        warned = await sim.slash("general", "alice", "mod warn", {"who": "bob", "times": 2})
        await sim.wait_for(lambda: warned.content)
        assert warned.content == "bob x2"
        with pytest.raises(LookupError):
            await sim.slash("general", "alice", "mod warn", {})
        with pytest.raises(LookupError):
            await sim.slash("general", "alice", "unknown")
        greeted = await sim.user_menu("Greet", "general", "bob", "alice")
        await sim.wait_for(lambda: greeted.content)
        assert greeted.content == "hello bob"
        assert greeted.original is not None
        chosen = await sim.click(greeted.original.id, "pick", "alice", ["a"])
        await sim.wait_for(lambda: chosen.content)
        assert chosen.content == "a"


async def test_followups_are_read_changed_and_removed() -> None:
    """Original response and followups can be read, edited and deleted by their own routes."""
    bot = Bot()
    tree = app_commands.CommandTree(bot)
    seen: list[discord.Interaction] = []

    @tree.command(name="go", description="Go")
    async def go(i: discord.Interaction) -> None:
        seen.append(i)

    async with running(bot=bot) as (sim, _):
        await tree.sync()
        record = await sim.slash("general", "alice", "go")
        i = await until(lambda: seen and seen[0])
        await i.response.defer(thinking=True)
        # Discord fills a deferred answer with the first followup.
        first = await i.followup.send("one", wait=True)
        assert record.original is not None
        assert first.id == record.original.id
        more = await i.followup.send("two", wait=True)
        assert (await i.followup.fetch_message(more.id)).content == "two"
        await more.edit(content="three")
        assert record.followups[0].content == "three"
        await more.delete()
        assert record.followups[0].deleted
        assert (await i.original_response()).content == "one"
        await i.delete_original_response()
        with pytest.raises(discord.NotFound) as caught:
            await i.edit_original_response(content="gone")
        assert caught.value.code == 10008


async def test_the_directory_over_rest() -> None:
    """Guild, roles, members, channels, users, guild list and application as discord.py reads."""
    options = DiscordOptions(
        guild_members=True,
        members=(
            MemberOptions(name="alice", administrator=True),
            MemberOptions(name="carol", nick="Caz", roles=("crew",)),
            MemberOptions(name="robot", bot=True),
        ),
        guilds=(GuildOptions(roles=(RoleOptions(name="crew", permissions=perms.MANAGE_GUILD),)),),
    )
    bot = Bot(INTENTS | discord.Intents(members=True), chunk_guilds_at_startup=False)
    async with running(options, bot) as (sim, _):
        guild = await bot.fetch_guild(sim.guild_id)
        names = {member.name async for member in guild.fetch_members(limit=10)}
        assert names >= {"alice", "carol", "robot"}
        carol = await guild.fetch_member(sim.user_id("carol"))
        assert carol.nick == "Caz"
        assert carol.guild_permissions.manage_guild
        assert {role.name for role in await guild.fetch_roles()} >= {"crew", "@everyone"}
        assert {each.name for each in await guild.fetch_channels()} == {"general", "questions"}
        assert (await bot.fetch_user(sim.user_id("robot"))).bot
        assert [each.name async for each in bot.fetch_guilds()] == ["Harbour"]
        assert (await bot.fetch_channel(sim.channel_id("general"))).id
        info = await bot.application_info()
        assert info.id == sim.application_id
        alice = await (await bot.fetch_user(sim.user_id("alice"))).create_dm()
        assert alice.id == sim.dm("alice")


async def test_members_are_kicked_and_unbanned(serve: Any) -> None:
    """Kick and ban need their permission; administrators are out of reach."""
    sim, rest = await serve(bot_permissions=perms.ALL & ~perms.ADMINISTRATOR)
    guild = f"/guilds/{sim.guild_id}"
    bob, alice = sim.user_id("bob"), sim.user_id("alice")
    assert (await rest("DELETE", f"{guild}/members/{alice}"))[1]["code"] == 50013
    assert (await rest("DELETE", f"{guild}/members/{bob}"))[0] == 204
    assert (await rest("GET", f"{guild}/members/{bob}"))[1]["code"] == 10007
    assert (await rest("PUT", f"{guild}/bans/{bob}", {}))[0] == 204
    assert (await rest("DELETE", f"{guild}/bans/{bob}"))[0] == 204
    assert (await rest("GET", "/guilds/5"))[1]["code"] == 10004
    assert (await rest("GET", "/users/5"))[1]["code"] == 10013
    assert (await rest("POST", "/users/@me/channels", {"recipient_id": "5"}))[1]["code"] == 10013


async def test_threads_without_a_message(serve: Any) -> None:
    """Private by default, listed while active, left, archived, removed."""
    sim, rest = await serve(bot_permissions=perms.ALL & ~perms.ADMINISTRATOR)
    base = f"/channels/{sim.channel_id('general')}"
    status, private, _ = await rest("POST", f"{base}/threads", {"name": "hidden"})
    assert (status, private["type"]) == (201, 12)
    public = (await rest("POST", f"{base}/threads", {"name": "open", "type": 11}))[1]
    assert [each.kind for each in sim.messages("general")] == [18]
    active = (await rest("GET", f"/guilds/{sim.guild_id}/threads/active"))[1]["threads"]
    assert {each["name"] for each in active} == {"hidden", "open"}
    thread = f"/channels/{public['id']}"
    assert (await rest("DELETE", f"{thread}/thread-members/@me"))[0] == 204
    assert (await rest("PUT", f"{thread}/thread-members/@me"))[0] == 204
    renamed = (await rest("PATCH", thread, {"name": "shut", "archived": True}))[1]
    assert renamed["thread_metadata"]["archived"]
    assert (await rest("PATCH", thread, {"name": "again"}))[1]["code"] == 50083
    archived = (await rest("GET", f"{base}/threads/archived/public"))[1]["threads"]
    assert [each["name"] for each in archived] == ["shut"]
    assert (await rest("POST", f"{thread}/threads", {"name": "deeper"}))[1]["code"] == 50024
    assert (await rest("POST", f"{base}/threads", {"name": ""}))[1]["code"] == 50035
    odd = {"name": "x", "auto_archive_duration": 7}
    assert (await rest("POST", f"{base}/threads", odd))[1]["code"] == 50035
    assert (await rest("DELETE", thread))[0] == 200
    assert (await rest("GET", thread))[1]["code"] == 10003
    assert (await rest("PATCH", base, {"name": "renamed"}))[1]["name"] == "renamed"


async def test_private_threads_are_seen_by_their_members_only(serve: Any) -> None:
    """After leaving a private thread the bot gets 50001 for it."""
    sim, rest = await serve(
        bot_permissions=perms.ALL & ~perms.ADMINISTRATOR & ~perms.MANAGE_THREADS
    )
    base = f"/channels/{sim.channel_id('general')}"
    made = (await rest("POST", f"{base}/threads", {"name": "hidden"}))[1]
    assert (await rest("DELETE", f"/channels/{made['id']}/thread-members/@me"))[0] == 204
    assert (await rest("GET", f"/channels/{made['id']}"))[1]["code"] == 50001


async def test_a_forum_may_require_a_tag(serve: Any) -> None:
    """Without a tag the post is refused with 40067, with one it is made."""
    forum = ChannelOptions(name="posts", kind="forum", require_tag=True, tags=("bug",))
    sim, rest = await serve(guilds=(GuildOptions(channels=(forum,)),))
    path = f"/channels/{sim.channel_id('posts')}"
    post = {"name": "p", "message": {"content": "first"}}
    assert (await rest("POST", f"{path}/threads", post))[1]["code"] == 40067
    tag = (await rest("GET", path))[1]["available_tags"][0]["id"]
    status, made, _ = await rest("POST", f"{path}/threads", post | {"applied_tags": [tag]})
    assert status == 201
    assert made["message"]["content"] == "first"


async def test_bulk_deletion_has_its_rules(serve: Any) -> None:
    """2 to 100 messages, younger than 14 days, with permission, not in direct messages."""
    sim, rest = await serve()
    path = f"/channels/{sim.channel_id('general')}/messages/bulk-delete"
    ids = [str(await sim.say("general", "bob", "x")) for _ in range(3)]
    assert (await rest("POST", path, {"messages": ids[:1]}))[1]["code"] == 50035
    assert (await rest("POST", path, {"messages": ["1", *ids]}))[1]["code"] == 50034
    assert (await rest("POST", path, {"messages": ids}))[0] == 204
    assert all(message.deleted for message in sim.messages("general"))
    direct = f"/channels/{sim.dm('bob')}/messages/bulk-delete"
    assert (await rest("POST", direct, {"messages": ids}))[1]["code"] == 50003
    his = await sim.say(sim.dm("bob"), "bob", "private")
    path = f"/channels/{sim.dm('bob')}/messages/{his}"
    assert (await rest("DELETE", path))[1]["code"] == 50003


async def test_webhooks_bots_typing_and_reactions_of_people() -> None:
    """What webhooks and other bots write is marked so; people react and type."""
    intents = INTENTS | discord.Intents(guild_typing=True)
    async with running(bot=Bot(intents)) as (sim, bot):
        hooked = await sim.say("general", "GitHub", "pushed", webhook_id=77)
        await sim.say("general", "bob", "beep", bot=True)
        await until(lambda: len(bot.seen) == 2)
        assert bot.seen[0].webhook_id == 77
        assert bot.seen[0].author.name == "GitHub"
        assert bot.seen[1].author.bot
        await sim.react(hooked, "alice", "🎉")
        await sim.start_typing("general", "alice")
        await until(lambda: "TYPING_START" in bot.events)
        message = await bot.seen[0].channel.fetch_message(hooked)
        assert [each.emoji for each in message.reactions] == ["🎉"]
        assert [user.name async for user in message.reactions[0].users()] == ["alice"]
        await sim.unreact(hooked, "alice", "🎉")
        await until(lambda: "MESSAGE_REACTION_REMOVE" in bot.events)
        opened = await sim.create_thread("general", "aside", user="bob")
        assert await until(lambda: bot.get_channel(opened))


async def test_only_those_with_the_permission_mention_everyone(serve: Any) -> None:
    """@everyone counts from an administrator and is mere text from others."""
    sim, _ = await serve()
    loud = await sim.say("general", "alice", "@everyone up")
    quiet = await sim.say("general", "bob", "@everyone down")
    assert sim.message(loud).mention_everyone
    assert not sim.message(quiet).mention_everyone
