"""REST of the simulated Discord: errors, limits, threads, faults, files, the intent rules."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import discord
import pytest
from unit.bots.test_discord_simulator import Bot, pointed_at, running, until

from bots.simulators.discord import (
    Bucket,
    ChannelOptions,
    DiscordOptions,
    DiscordSimulator,
    GuildOptions,
    MemberOptions,
)
from bots.simulators.discord import permissions as perms

MESSAGES = "/channels/{channel_id}/messages"


class Rest:
    """A bare REST client, for what discord.py would not send."""

    def __init__(self, sim: DiscordSimulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bot {more.pop('token', self.sim.token)}"}
        url = f"{self.sim.api_url}{path}"
        if body is not None:
            more["json"] = body
        async with self.session.request(method, url, headers=headers, **more) as reply:
            data = await reply.json() if reply.status != 204 else None
            return reply.status, data, reply.headers


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """Starts simulators without a bot; each comes with a bare REST client."""
    started: list[DiscordSimulator] = []
    async with aiohttp.ClientSession() as session:

        async def start(**options: Any) -> tuple[DiscordSimulator, Rest]:
            sim = DiscordSimulator(DiscordOptions(**options))
            await sim.start()
            started.append(sim)
            return sim, Rest(sim, session)

        yield start
    for sim in started:
        await sim.close()


def row(*items: Any) -> dict[str, Any]:
    return {"type": 1, "components": list(items)}


def button(custom_id: str, label: str = "x") -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": label, "custom_id": custom_id}


V2 = 1 << 15


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        ({"content": "x" * 2001}, 50035, "content"),
        ({"content": ""}, 50006, None),
        ({}, 50006, None),
        ({"content": "x", "nonce": "n" * 26}, 50035, "nonce"),
        ({"embeds": [{"title": "x" * 257}]}, 50035, "embeds"),
        ({"embeds": [{"description": "x" * 4096}, {"description": "x" * 1905}]}, 50035, "embeds"),
        ({"embeds": [{}] * 11}, 50035, "embeds"),
        ({"content": "x", "components": [row(button("a"))] * 6}, 50035, "components"),
        ({"content": "x", "components": [row(button("a"), button("a"))]}, 50035, "components"),
        ({"content": "x", "components": [row(button("a" * 101))]}, 50035, "components"),
        ({"content": "x", "components": [row(button("a", "l" * 81))]}, 50035, "components"),
        ({"content": "x", "flags": V2, "components": [row(button("a"))]}, 50035, "content"),
        ({"flags": V2, "components": [{"type": 10, "content": "x" * 4001}]}, 50035, "components"),
        ({"flags": V2, "components": [{"type": 10, "content": "x"}] * 41}, 50035, "components"),
        ({"content": "x", "message_reference": {"message_id": "5"}}, 50035, "message_reference"),
    ],
)
async def test_what_breaks_a_limit_is_refused(
    serve: Any, body: dict[str, Any], code: int, where: str | None
) -> None:
    """A body beyond Discord's limits gets Discord's code, names the field and posts nothing."""
    sim, rest = await serve()
    status, data, _ = await rest("POST", f"/channels/{sim.channel_id('general')}/messages", body)
    assert (status, data["code"]) == (400, code)
    assert where is None or where in data["errors"]
    assert sim.messages("general") == []


async def test_what_is_just_within_the_limits_passes(serve: Any) -> None:
    """2000 characters, a nonce of 25 and 4000 characters of text displays are accepted."""
    sim, rest = await serve()
    path = f"/channels/{sim.channel_id('general')}/messages"
    ok = {"content": "x" * 2000, "nonce": "n" * 25, "enforce_nonce": True}
    assert (await rest("POST", path, ok))[0] == 200
    v2 = {"flags": V2, "components": [{"type": 10, "content": "y" * 2000}] * 2}
    assert (await rest("POST", path, v2))[0] == 200
    first, second = sim.bot_messages("general")
    assert first.first_text is not None
    assert second.text == "y" * 2000 + "\n" + "y" * 2000


async def test_who_may_not_gets_discords_codes(serve: Any) -> None:
    """Unknown places, missing access, missing permission, closed doors, others' messages."""
    sim, rest = await serve(
        members=(MemberOptions(name="alice"), MemberOptions(name="bob", accepts_dms=False)),
        guilds=(
            GuildOptions(
                channels=(
                    ChannelOptions(name="general"),
                    ChannelOptions(name="secret", bot_denied=perms.VIEW_CHANNEL),
                    ChannelOptions(name="quiet", bot_denied=perms.SEND_MESSAGES),
                    ChannelOptions(name="posts", kind="forum"),
                )
            ),
        ),
    )
    at = {name: f"/channels/{sim.channel_id(name)}" for name in ("general", "secret", "quiet")}
    forum = f"/channels/{sim.channel_id('posts')}/messages"
    hers = await sim.say("general", "alice", "mine")
    hello = {"content": "hello"}

    async def code(method: str, path: str, body: Any = None) -> tuple[int, int]:
        status, data, _ = await rest(method, path, body)
        return status, data["code"]

    assert await code("POST", "/channels/1/messages", hello) == (404, 10003)
    assert await code("POST", f"{at['secret']}/messages", hello) == (403, 50001)
    assert await code("POST", f"{at['quiet']}/messages", hello) == (403, 50013)
    assert await code("POST", f"/channels/{sim.dm('bob')}/messages", hello) == (403, 50007)
    assert await code("POST", forum, hello) == (400, 40058)
    assert await code("PATCH", f"{at['general']}/messages/{hers}", hello) == (403, 50005)
    assert await code("GET", f"{at['general']}/messages/5") == (404, 10008)
    assert await code("GET", "/no/such/route") == (404, 0)
    await sim.deny("general", perms.MANAGE_MESSAGES)
    assert await code("DELETE", f"{at['general']}/messages/{hers}") == (403, 50013)
    status, _, headers = await rest("GET", "/users/@me", token="wrong")
    assert status == 401
    assert headers["Content-Type"] == "application/json"
    assert sim.api.invalid_requests == 6


async def test_threads_open_once_archive_and_lock() -> None:
    """A message has one thread, whose id is its own; archived ones reopen unless locked."""
    async with running() as (sim, bot):
        asked = await sim.say("general", "alice", "a question")
        message = await until(lambda: bot.seen and bot.seen[0])
        thread = await message.create_thread(name="answer")
        assert thread.id == asked
        assert (await until(lambda: bot.get_channel(asked))) is not None
        with pytest.raises(discord.HTTPException) as caught:
            await message.create_thread(name="again")
        assert caught.value.code == 160004
        sent = await thread.send("in here")
        await sim.archive(asked)
        with pytest.raises(discord.HTTPException) as caught:
            await sent.edit(content="changed")
        assert caught.value.code == 50083
        await thread.send("reopened")
        assert not sim.channel(asked).thread.archived  # type: ignore[union-attr]
        await sim.archive(asked, locked=True)
        with pytest.raises(discord.HTTPException) as caught:
            await thread.send("no")
        assert caught.value.code == 160005
        assert [each.content for each in sim.bot_messages(asked)] == ["", "in here", "reopened"]


async def test_forum_posts_by_people_and_by_the_bot() -> None:
    """A forum post is a thread whose first message has its id, whoever wrote it."""
    async with running() as (sim, bot):
        post = await sim.forum_post("questions", "bob", "How?", "How do I?")
        first = await until(lambda: bot.seen and bot.seen[0])
        assert first.id == first.channel.id == post
        assert isinstance(first.channel, discord.Thread)
        assert first.channel.parent_id == sim.channel_id("questions")
        await first.channel.send("Like this.")
        assert [each.content for each in sim.bot_messages(post)] == ["Like this."]
        forum: Any = bot.get_channel(sim.channel_id("questions"))
        made = await forum.create_thread(name="News", content="Hear ye")
        assert made.message.id == made.thread.id
        assert [each.content for each in sim.messages(made.thread.id)] == ["Hear ye"]


async def test_files_go_both_ways_and_addresses_expire() -> None:
    """Attachments are downloadable by their signed address until it expires or is changed."""
    async with running(DiscordOptions(attachment_lifetime=60.0)) as (sim, bot):
        await sim.say("general", "alice", "look", attachments=[("a.txt", b"hello")])
        message = await until(lambda: bot.seen and bot.seen[0])
        (attachment,) = message.attachments
        assert attachment.content_type == "text/plain; charset=utf-8"
        assert await attachment.read() == b"hello"
        async with aiohttp.ClientSession() as session:
            for bad in (attachment.url.replace("hm=", "hm=0"), _expired(attachment.url)):
                async with session.get(bad) as reply:
                    assert reply.status == 404
        await message.channel.send("back", file=discord.File(io.BytesIO(b"%PDF"), "b.pdf"))
        (sent,) = sim.bot_messages("general")
        assert [(each.filename, each.data) for each in sent.attachments] == [("b.pdf", b"%PDF")]


def _expired(url: str) -> str:
    before, _, rest = url.partition("ex=")
    return f"{before}ex={int(time.time()) - 10:x}&{rest.partition('&')[2]}"


async def test_history_is_paged_as_discord_pages_it() -> None:
    """before, after and around are exclusive of each other, deleted messages are left out."""
    async with running() as (sim, bot):
        ids = [await sim.say("general", "alice", str(n)) for n in range(7)]
        await sim.delete(ids[3])
        channel: Any = bot.get_channel(sim.channel_id("general"))

        async def texts(**query: Any) -> list[str]:
            return [each.content async for each in channel.history(**query)]

        def at(index: int) -> discord.Object:
            return discord.Object(ids[index])

        assert await texts(limit=2) == ["6", "5"]
        assert await texts(limit=2, before=at(5)) == ["4", "2"]
        assert await texts(limit=2, after=at(1), oldest_first=True) == ["2", "4"]
        assert sorted(await texts(limit=3, around=at(1))) == ["0", "1", "2"]


async def test_pings_are_what_allowed_mentions_leave() -> None:
    """Without allowed_mentions everything pings; with none, nothing does; replies by choice."""
    async with running() as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        alice = sim.user_id("alice")
        asked = await sim.say("general", "alice", "ping me")
        text = f"@everyone <@{alice}>"
        await channel.send(text)
        nobody = discord.AllowedMentions.none()
        await channel.send(text, allowed_mentions=nobody)
        message = await until(lambda: bot.seen and bot.seen[0])
        await message.reply("you", allowed_mentions=nobody, mention_author=True)
        loud, silent, reply = sim.bot_messages("general")
        assert loud.pings.everyone
        assert loud.pings.users == {alice}
        assert not silent.pings
        assert reply.pings.replied_user == alice
        assert reply.reference == asked


async def test_content_is_blank_without_the_intent() -> None:
    """Without MESSAGE_CONTENT only mentions, replies to the bot, direct and own messages show."""
    intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
    options = DiscordOptions(message_content=False)
    async with running(options, Bot(intents)) as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        own = (await channel.send("mine")).id
        await sim.say("general", "alice", "not for you", attachments=[("a.txt", b"x")])
        await sim.say("general", "alice", f"<@{sim.bot_user_id}> for you")
        await sim.say("general", "alice", "a reply", reply_to=own)
        await sim.say("general", "alice", "a reply without a ping", reply_to=own, ping=False)
        await sim.say(sim.dm("alice"), "alice", "in private")
        await until(lambda: len(bot.seen) == 6)
        assert [each.content for each in bot.seen] == [
            "mine",
            "",
            f"<@{sim.bot_user_id}> for you",
            "a reply",
            "",
            "in private",
        ]
        assert bot.seen[1].attachments == []
        assert bot.seen[4].reference is not None
        assert bot.seen[4].reference.resolved.content == "mine"  # type: ignore[union-attr]
        history = [each.content async for each in channel.history(limit=10)]
        assert history[-1] == "mine"
        assert history[-2] == ""


async def test_limits_answer_429_until_the_window_ends(serve: Any) -> None:
    """The sixth message in the window gets 429 with Via, scope and retry_after; other channels
    and edits have buckets of their own; who does not wait is counted."""
    sim, rest = await serve(
        rate_limits=True,
        buckets={"create": Bucket(5, 0.4)},
        guilds=(GuildOptions(extra_text_channels=1),),
    )
    path = f"/channels/{sim.channel_id('general')}/messages"
    for left in (4, 3, 2, 1, 0):
        status, sent, headers = await rest("POST", path, {"content": "x"})
        assert status == 200
        assert headers["X-RateLimit-Remaining"] == str(left)
    status, data, headers = await rest("POST", path, {"content": "x"})
    assert status == 429
    assert headers["Via"]
    assert headers["X-RateLimit-Scope"] == "user"
    assert 0 < data["retry_after"] <= 0.4
    assert data["global"] is False
    other = f"/channels/{sim.channel_id('c0')}/messages"
    assert (await rest("POST", other, {"content": "x"}))[0] == 200
    assert (await rest("PATCH", f"{path}/{sent['id']}", {"content": "y"}))[0] == 200
    assert sim.ignored_rate_limits == 0
    time_left = data["retry_after"]
    await asyncio.sleep(0.15)
    assert (await rest("POST", path, {"content": "x"}))[0] == 429
    assert sim.ignored_rate_limits == 1
    await asyncio.sleep(time_left)
    assert (await rest("POST", path, {"content": "x"}))[0] == 200


async def test_the_global_limit_spares_interactions(serve: Any) -> None:
    """50 requests a second in all, whatever the route; interaction routes are not counted."""
    _, rest = await serve(rate_limits=True, global_limit=3, buckets={"other": Bucket(100, 1.0)})
    for _ in range(3):
        assert (await rest("GET", "/users/@me"))[0] == 200
    status, data, headers = await rest("GET", "/users/@me")
    assert status == 429
    assert data["global"] is True
    assert headers["X-RateLimit-Global"] == "true"
    assert headers["X-RateLimit-Scope"] == "global"
    assert (await rest("POST", "/interactions/1/x/callback", {"type": 4}))[0] == 404


async def test_discordpy_waits_for_the_limits() -> None:
    """discord.py sends eight messages through a bucket of five without ignoring a 429."""
    options = DiscordOptions(rate_limits=True, buckets={"create": Bucket(5, 0.2)})
    async with running(options) as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        for number in range(8):
            await channel.send(str(number))
        assert len(sim.bot_messages("general")) == 8
        assert sim.ignored_rate_limits == 0


async def test_ordered_failures_happen_once() -> None:
    """A status, a drop before and a drop after performing: each hits its number of requests."""
    async with running() as (sim, bot):
        channel: Any = bot.get_channel(sim.channel_id("general"))
        sim.fail("POST", MESSAGES, status=403, json={"code": 200000, "message": "Blocked"})
        with pytest.raises(discord.Forbidden) as caught:
            await channel.send("a")
        assert caught.value.code == 200000
        sim.fail("POST", MESSAGES, drop_before=True)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await channel.send("b")
        assert sim.bot_messages("general") == []
        sim.fail("POST", MESSAGES, drop_after=True)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await channel.send("c", nonce="same")
        assert len(sim.bot_messages("general")) == 1
        await channel.send("c", nonce="same")
        assert len(sim.bot_messages("general")) == 1
        sim.fail("POST", MESSAGES, status=429, retry_after=0.05, times=2)
        await channel.send("d")
        assert [call.status for call in sim.calls if call.route == MESSAGES] == [
            403,
            0,
            0,
            200,
            429,
            429,
            200,
        ]


async def test_nonces_are_forgotten_after_their_window(serve: Any) -> None:
    """The same nonce makes a new message when the window is over, or is not enforced."""
    sim, rest = await serve(nonce_window=0.1)
    path = f"/channels/{sim.channel_id('general')}/messages"
    body = {"content": "x", "nonce": "n", "enforce_nonce": True}
    first = (await rest("POST", path, body))[1]
    assert (await rest("POST", path, body))[1]["id"] == first["id"]
    assert (await rest("POST", path, body | {"enforce_nonce": False}))[1]["id"] != first["id"]
    await asyncio.sleep(0.11)
    await rest("POST", path, body)
    assert len(sim.bot_messages("general")) == 3


async def test_reactions_typing_and_members() -> None:
    """Reactions, typing indicators and timeouts arrive; administrators cannot be timed out."""
    options = DiscordOptions(bot_permissions=perms.ALL & ~perms.ADMINISTRATOR)
    async with running(options) as (sim, bot):
        asked = await sim.say("general", "bob", "hm")
        message = await until(lambda: bot.seen and bot.seen[0])
        await message.add_reaction("👍")
        async with message.channel.typing():
            pass
        assert [(each.message_id, each.emoji) for each in sim.reactions] == [(asked, "👍")]
        assert [each.channel_id for each in sim.typing] == [message.channel.id]
        await message.remove_reaction("👍", discord.Object(sim.bot_user_id))
        assert sim.reactions == []
        guild = message.guild
        bob = await guild.fetch_member(sim.user_id("bob"))
        await bob.timeout(discord.utils.utcnow())
        alice = await guild.fetch_member(sim.user_id("alice"))
        with pytest.raises(discord.Forbidden):
            await alice.timeout(discord.utils.utcnow())
        await bob.ban(reason="spam")
        with pytest.raises(discord.NotFound):
            await guild.fetch_member(sim.user_id("bob"))


async def test_a_wrong_token_is_refused() -> None:
    """discord.py reports a login failure."""
    async with DiscordSimulator() as sim:
        with pointed_at(sim):
            client = Bot()
            with pytest.raises(discord.LoginFailure):
                await client.login("wrong")
            await client.close()


async def test_a_link_preview_is_no_edit() -> None:
    """Discord's own MESSAGE_UPDATE for a link preview leaves edited_timestamp empty."""
    async with running() as (sim, bot):
        asked = await sim.say("general", "alice", "see http://example.org")
        await sim.unfurl(asked, "http://example.org")
        event = (await until(lambda: bot.raw))[0]
        assert event.data["edited_timestamp"] is None
        assert event.data["embeds"]
        assert not sim.message(asked).edited


async def test_unknown_routes_are_a_mistake_of_the_test() -> None:
    """Counting or failing a route that does not exist raises instead of never matching."""
    sim = DiscordSimulator()
    with pytest.raises(LookupError):
        sim.count("POST /channels/{id}/messages")
    with pytest.raises(LookupError):
        sim.fail("GET", "/nowhere", status=500)


async def test_nonsense_gets_an_answer(serve: Any) -> None:
    """Bodies and queries that make no sense get 400 and JSON, never a broken connection."""
    sim, rest = await serve()
    path = f"/channels/{sim.channel_id('general')}/messages"
    for body in ({"content": 5}, {"content": "x", "flags": "y"}, {"attachments": [{"id": "a"}]}):
        assert (await rest("POST", path, body))[0] == 400
    assert (await rest("POST", path, data=b"{"))[1]["code"] == 50109
    assert (await rest("GET", f"{path}?limit=x"))[0] == 400
    assert (await rest("GET", f"{path}?limit=101"))[0] == 400
