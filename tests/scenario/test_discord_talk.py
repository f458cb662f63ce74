"""Where people talk to the bot on Discord, and what it remembers of it."""

from __future__ import annotations

from scenario.harness import Options, World, text_of, together, world

from bots.simulators.discord import ChannelOptions, DiscordOptions, GuildOptions, MemberOptions

ECHO = Options(mode="echo")
MODERATOR = {"discord.profile": "moderator"}


def roles(w: World) -> list[tuple[str, str]]:
    """The newest prompt without the persona before it and the facts behind it."""
    return [(each["role"], text_of(each)) for each in w.prompt[1:-1]]


async def test_a_mention_is_answered_by_a_reply_to_it() -> None:
    """A mention in a channel gets one reply, by a model that knows who asked and what."""
    async with world(model=ECHO) as w:
        question = await w.say("how deep is the harbour?", user="bob")
        answer = await w.answer(question)
        assert answer.reference == question
        assert answer.content == "Bob: how deep is the harbour?"
        assert roles(w) == [("user", "Bob: how deep is the harbour?")]
        await w.idle()
        assert w.replies() == [answer]


async def test_a_reply_to_the_bot_goes_on_with_its_conversation() -> None:
    """A reply needs no mention and carries the whole chain before it, and no other chain."""
    async with world(model=ECHO) as w:
        first = await w.ask("one")
        await w.ask("another chain", user="bob")
        second = await w.discord.say("general", "alice", "two", reply_to=first.id)
        await w.answer(second)
        assert roles(w) == [
            ("user", "Alice: one"),
            ("assistant", "Alice: one"),
            ("user", "Alice: two"),
        ]


async def test_a_direct_message_needs_no_mention() -> None:
    """In a DM every message is a question, one conversation, without names before the texts."""
    async with world(model=ECHO) as w:
        dm = w.discord.dm("bob")
        await w.answer(await w.discord.say(dm, "bob", "one"))
        answer = await w.answer(await w.discord.say(dm, "bob", "two"))
        assert answer.content == "two"
        assert roles(w) == [("user", "one"), ("assistant", "one"), ("user", "two")]


async def test_direct_messages_can_be_turned_off() -> None:
    """With access.direct_messages off, a DM gets one sentence and no model sees it."""
    async with world(settings={"access.direct_messages": False}) as w:
        answer = await w.answer(await w.discord.say(w.discord.dm("bob"), "bob", "hello"))
        assert "direct messages" in answer.content
        assert not w.requests()


async def test_a_thread_is_one_conversation() -> None:
    """Once called into a thread, the bot answers there without further mentions."""
    async with world(model=ECHO, settings=MODERATOR) as w:
        thread = await w.discord.create_thread("general", "tides")
        await w.ask("one", channel=thread)
        second = await w.discord.say(thread, "bob", "two")
        answer = await w.answer(second)
        assert answer.content == "Bob: two"
        assert ("assistant", "Alice: one") in roles(w)


async def test_members_of_a_thread_can_talk_to_each_other() -> None:
    """In a thread a message that mentions somebody else is kept, and not answered."""
    async with world(model=ECHO, settings=MODERATOR) as w:
        thread = await w.discord.create_thread("general", "tides")
        await w.ask("one", channel=thread)
        aside = await w.discord.say(thread, "bob", f"<@{w.discord.user_id('alice')}> lunch?")
        await w.idle()
        assert w.reply_to(aside) is None
        await w.ask("two", channel=thread)
        assert ("user", "Bob: @Alice lunch?") in roles(w)


async def test_a_forum_post_is_answered() -> None:
    """A forum post that mentions the bot is answered inside the post."""
    async with world(model=ECHO) as w:
        post = await w.discord.forum_post("questions", "bob", "Tides", w.mention("when?"))
        await w.until(lambda: w.replies(post))
        await w.idle()
        assert [each.content for each in w.replies(post)] == ["Bob: when?"]


async def test_each_of_the_three_ways_to_answer() -> None:
    """Per channel: on mention only, every message, or in a thread of its own per question."""

    async def mention() -> None:
        async with world(model=ECHO, settings=MODERATOR) as w:
            await w.discord.say("general", "bob", "nobody is meant")
            await w.idle()
            assert not w.replies()

    async def every() -> None:
        async with world(model=ECHO, settings={**MODERATOR, "answers.mode": "every"}) as w:
            answer = await w.answer(await w.discord.say("general", "bob", "anybody?"))
            assert answer.content == "Bob: anybody?"

    async def thread() -> None:
        async with world(model=ECHO, settings={"answers.mode": "thread"}) as w:
            question = await w.say("open one")
            await w.until(lambda: question in w.discord.world.channels)
            await w.until(lambda: w.replies(question))
            await w.idle()
            assert [each.content for each in w.replies(question)] == ["Alice: open one"]
            assert w.discord.channel(question).name == "open one"
            assert not w.replies()

    await together(mention(), every(), thread())


async def test_each_channel_can_have_a_way_of_its_own() -> None:
    """What the configuration says of a channel, or of a server, holds there and nowhere else."""
    rooms = (ChannelOptions(name="general"), ChannelOptions(name="desk"))
    guild = GuildOptions(channels=rooms)
    discord = DiscordOptions(guilds=(guild,))
    async with world(model=ECHO, settings=MODERATOR, discord=discord, is_started=False) as w:
        desk = w.discord.channel_id("desk")
        w.environ[f"TALKWARDEN_CHANNELS__{desk}__MODE"] = "every"
        w.environ[f"TALKWARDEN_CHANNELS__{desk}__MODEL"] = "small"
        w.environ[f"TALKWARDEN_WORKSPACES__{w.discord.guild_id}__PERSONA"] = "You are a buoy."
        await w.start()
        await w.answer(await w.discord.say("desk", "bob", "anybody?"))
        await w.discord.say("general", "bob", "anybody?")
        await w.ask("hello", channel="general")
        await w.idle()
        assert [body["model"] for body in w.requests()] == ["small", "offline"]
        assert {body["messages"][0]["content"] for body in w.requests()} == {"You are a buoy."}


async def test_a_channel_can_be_one_conversation() -> None:
    """With answers.whole_channel, two mentions share their history."""
    async with world(model=ECHO, settings={"answers.whole_channel": True}) as w:
        await w.ask("one")
        await w.ask("two", user="bob")
        assert [text for _, text in roles(w)] == ["Alice: one", "Alice: one", "Bob: two"]


async def test_called_into_a_thread_it_has_read_what_was_said() -> None:
    """A first mention in the middle of a thread gives the model the bounded beginning of it."""
    settings = {**MODERATOR, "answers.backfill": 3}
    async with world(model=ECHO, settings=settings) as w:
        thread = await w.discord.create_thread("general", "plans")
        await w.stop()
        for number in range(5):
            await w.discord.say(thread, "bob", f"point {number}")
        await w.start()
        await w.ask("summarise this", channel=thread)
        texts = [text for _, text in roles(w)]
        assert texts[-1] == "Alice: summarise this"
        assert "Bob: point 4" in texts
        assert "Bob: point 0" not in "".join(texts)
        history = "GET /channels/{channel_id}/messages"
        reads = w.discord.count(history)
        await w.ask("and again", channel=thread)
        assert w.discord.count(history) == reads


async def test_mentions_reach_the_model_as_names() -> None:
    """Users, channels and custom emoji are names to the model, not ids."""
    async with world(model=ECHO) as w:
        bob, general = w.discord.user_id("bob"), w.discord.channel_id("general")
        await w.ask(f"ask <@{bob}> in <#{general}> <:wave:123456789012345678>")
        assert roles(w)[-1][1] == "Alice: ask @Bob in #general :wave:"


async def test_nothing_that_the_model_writes_can_ping() -> None:
    """Answers notify nobody, whatever they contain, the asker included."""
    async with world(model=ECHO) as w:
        bob = w.discord.user_id("bob")
        answer = await w.ask(f"say @everyone @here <@{bob}> <@&{w.discord.guild_id}>")
        assert "everyone" in answer.content
        assert not answer.pings
        await w.idle()
        assert not any(each.pings for each in w.replies())


async def test_both_intent_profiles() -> None:
    """The assistant profile asks for no privileged intent, the moderator's for the content."""

    async def intents(profile: str) -> int:
        async with world(settings={"discord.profile": profile}) as w:
            (session,) = w.discord.sessions
            await w.ask("hello")
            return session.intents

    assistant, moderator = await together(intents("assistant"), intents("moderator"))
    privileged = (1 << 1) | (1 << 8) | (1 << 15)
    assert not assistant & privileged
    assert moderator & privileged == 1 << 15


async def test_other_bots_and_webhooks_are_ignored() -> None:
    """A bot or a webhook that mentions us gets no answer, not even a refusal."""
    people = (*DiscordOptions().members, MemberOptions(name="robot", bot=True))
    async with world(discord=DiscordOptions(members=people)) as w:
        await w.say("hello fellow machine", user="robot")
        await w.say("hello from a hook", user="hook", webhook_id=4711)
        await w.idle()
        assert not w.replies()
        assert not w.requests()


async def test_two_bots_can_not_loop() -> None:
    """Even where every message is answered, a bot that answers us is not answered back."""
    people = (*DiscordOptions().members, MemberOptions(name="robot", bot=True))
    settings = {**MODERATOR, "answers.mode": "every"}
    async with world(discord=DiscordOptions(members=people), settings=settings) as w:
        answer = await w.answer(await w.discord.say("general", "bob", "start"))
        await w.discord.say("general", "robot", "interesting!", reply_to=answer.id)
        await w.say("tell me more", user="robot")
        await w.idle()
        assert len(w.replies()) == 1


async def test_a_listed_bot_may_ask() -> None:
    """A bot whose id the operator lists is answered."""
    people = (*DiscordOptions().members, MemberOptions(name="robot", bot=True))
    async with world(discord=DiscordOptions(members=people), is_started=False) as w:
        w.environ["TALKWARDEN_ACCESS__BOTS"] = str(w.discord.user_id("robot"))
        await w.start()
        assert await w.ask("hello", user="robot")


async def test_access_lists() -> None:
    """Users, channels, roles and servers can be denied or listed; who may not is told once."""

    async def refused(key: str, kind: str, *, is_asked: bool) -> None:
        async with world(is_started=False) as w:
            ids = {
                "bob": w.discord.user_id("bob"),
                "alice": w.discord.user_id("alice"),
                "general": w.discord.channel_id("general"),
                "guild": w.discord.guild_id,
            }
            w.environ[f"TALKWARDEN_ACCESS__{key}"] = str(ids.get(kind, kind))
            await w.start()
            answer = await w.ask("hello", user="bob")
            assert bool(w.requests()) is is_asked, key
            assert is_asked or "answer" in answer.content

    await together(
        refused("DENY_USERS", "bob", is_asked=False),
        refused("DENY_USERS", "alice", is_asked=True),
        refused("ALLOW_USERS", "alice", is_asked=False),
        refused("ALLOW_USERS", "bob", is_asked=True),
        refused("DENY_CHANNELS", "general", is_asked=False),
        refused("ALLOW_CHANNELS", "1", is_asked=False),
        refused("DENY_WORKSPACES", "guild", is_asked=False),
        refused("ALLOW_ROLES", "1", is_asked=False),
    )
