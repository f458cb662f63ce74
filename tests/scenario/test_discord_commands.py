"""Application commands, the menu entry and the buttons under an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from scenario.harness import Options, World, bot_process, buttons, text_of, together, world

from bots.simulators.discord import DiscordMessage, DiscordOptions, Interaction, MemberOptions

ECHO = Options(mode="echo")
SLOW = Options(tokens=40, duration=1.5)
CHOICES = {"model.choices": ["small", "large-1"]}


async def answered(
    w: World, command: str, user: str = "alice", channel: Any = "general", **options: Any
) -> Interaction:
    """Use a command and wait until its answer no longer says "thinking"."""
    await w.until(lambda: w.discord.commands)
    used = await w.discord.slash(channel, user, command, options)
    await w.until(lambda: used.content and not used.deferred)
    await w.idle()
    return used


async def test_ask_is_answered_for_everybody() -> None:
    """/ask answers in the channel, in the deferred response itself."""
    async with world(model=ECHO) as w:
        used = await answered(w, "ask", user="bob", question="how deep?")
        assert used.content == "Bob: how deep?"
        assert not used.ephemeral
        assert not used.expired
        assert not used.followups
        await w.until(lambda: len(w.replies()) == 1)


async def test_an_answer_to_ask_can_be_replied_to() -> None:
    """A reply to the answer of /ask goes on with that conversation."""
    async with world(model=ECHO) as w:
        used = await answered(w, "ask", question="one")
        assert used.original is not None
        await w.answer(await w.discord.say("general", "alice", "two", reply_to=used.original.id))
        assert "Alice: one" in [text_of(each) for each in w.prompt]


async def test_help_is_private_and_names_what_can_be_done() -> None:
    """/help is for the asker's eyes and lists the commands."""
    async with world() as w:
        used = await answered(w, "help", user="bob")
        assert used.ephemeral
        assert all(name in used.content for name in ("reset", "stop", "usage", "model", "persona"))
        assert not w.replies()


async def test_reset_begins_anew() -> None:
    """After /reset in a DM the model sees nothing of what was said before."""
    async with world(model=ECHO) as w:
        dm = w.discord.dm("bob")
        await w.answer(await w.discord.say(dm, "bob", "my secret"))
        await answered(w, "reset", user="bob", channel=dm)
        await w.answer(await w.discord.say(dm, "bob", "what do you know?"))
        assert "secret" not in str(w.prompt)


async def test_stop_ends_the_running_answer() -> None:
    """/stop keeps what is visible, says that it was stopped, and leaves no Stop button."""
    async with world(model=SLOW) as w:
        dm = w.discord.dm("bob")
        question = await w.discord.say(dm, "bob", "a long one")
        await w.draft(question)
        await answered(w, "stop", user="bob", channel=dm)
        answer = await w.answer(question)
        assert "(stopped)" in answer.content
        assert answer.content.startswith("word0")
        assert "word39" not in answer.content
        assert "not writing" in (await answered(w, "stop", user="bob", channel=dm)).content


async def test_a_command_that_is_typed_means_the_latest_answer() -> None:
    """ "@talkwarden stop", in the channel or as a reply, ends its author's latest answer there."""

    async def stopped(*, is_reply: bool) -> None:
        async with world(model=SLOW) as w:
            await w.ask("a first one", within=15)
            question = await w.say("a long one")
            draft = await w.draft(question)
            await w.say("stop", **({"reply_to": draft.id} if is_reply else {}))
            await w.until(lambda: "(stopped)" in draft.content)
            await w.until(lambda: w.replies()[-1].content == "Stopped.")

    await together(stopped(is_reply=False), stopped(is_reply=True))


async def test_a_manager_changes_the_model_and_it_is_kept() -> None:
    """/model changes the channel's model for everybody, in this channel only, past a restart."""
    async with world(model=ECHO, settings=CHOICES) as w:
        used = await answered(w, "model", name="large-1")
        assert "large-1" in used.content
        await w.ask("hello", user="bob")
        await w.restart()
        await w.ask("hello", user="bob")
        await w.answer(await w.discord.say(w.discord.dm("bob"), "bob", "hello"))
        assert [body["model"] for body in w.requests()] == ["large-1", "large-1", "offline"]
        await answered(w, "model", name="default")
        await w.ask("hello", user="bob")
        assert w.requests()[-1]["model"] == "offline"


async def test_an_unknown_model_is_refused_with_the_choices() -> None:
    """/model with a name that is not offered changes nothing and lists what is."""
    async with world(settings=CHOICES) as w:
        used = await answered(w, "model", name="largr-1")
        assert used.ephemeral
        assert "large-1" in used.content
        await w.ask("hello")
        assert w.requests()[-1]["model"] == "offline"


async def test_parameters_are_changed_in_chat() -> None:
    """/model temperature=0.2 reaches the request of this channel."""
    async with world() as w:
        await answered(w, "model", name="temperature=0.2")
        await w.ask("hello")
        assert w.requests()[-1]["temperature"] == 0.2


async def test_a_manager_changes_the_persona_and_it_is_kept() -> None:
    """/persona sets the system prompt of this channel, past a restart, until it is reset."""
    async with world() as w:
        await answered(w, "persona", text="You are a lighthouse.")
        await w.restart()
        await w.ask("hello")
        assert w.prompt[0] == {"role": "system", "content": "You are a lighthouse."}
        await answered(w, "persona", text="default")
        await w.ask("hello")
        assert "lighthouse" not in str(w.prompt[0])


async def test_who_may_not_configure_is_refused() -> None:
    """A member without the permission may look at model and persona, and change neither."""
    async with world(settings=CHOICES) as w:
        for command, option in (("model", {"name": "large-1"}), ("persona", {"text": "Rude."})):
            used = await answered(w, command, user="bob", **option)
            assert used.ephemeral
            assert "permission" in used.content
        assert "offline" in (await answered(w, "model", user="bob")).content
        await w.ask("hello")
        assert w.requests()[-1]["model"] == "offline"
        assert "Rude" not in str(w.prompt)


async def test_usage_counts_tokens_and_money() -> None:
    """/usage shows one's own tokens and their price; everybody's needs the permission."""
    settings = {"usage.prices": {"offline": {"input": 1000.0, "output": 1000.0}}}
    async with world(settings=settings) as w:
        assert "0 tokens" in (await answered(w, "usage", user="bob")).content
        await w.ask("hello", user="bob")
        await w.idle()
        own = await answered(w, "usage", user="bob")
        assert own.ephemeral
        assert "0 tokens" not in own.content.replace("0 tokens (", "")
        assert "USD" in own.content
        assert "permission" in (await answered(w, "usage", user="bob", whose="server")).content
        assert "This workspace used" in (await answered(w, "usage", whose="server")).content


async def test_a_daily_limit_is_told() -> None:
    """Who has used up a day's tokens is told so, and the model is not asked."""
    async with world(settings={"usage.daily_tokens_per_user": 10}) as w:
        await w.ask("hello", user="bob")
        await w.idle()
        answer = await w.ask("once more", user="bob")
        assert "used up" in answer.content
        assert len(w.requests()) == 1


async def test_autocomplete_offers_the_models() -> None:
    """Typing into /model's option offers what fits, in time."""
    async with world(settings=CHOICES) as w:
        await w.until(lambda: w.discord.commands)
        typed = await w.discord.autocomplete("general", "alice", "model", {"name": "LAR"}, "name")
        await w.until(lambda: typed.choices)
        assert typed.choices == [{"name": "large-1", "value": "large-1"}]
        assert not typed.expired


async def test_who_may_not_ask_is_refused_in_private() -> None:
    """A denied user's command is answered with one private sentence."""
    async with world(is_started=False) as w:
        w.environ["TALKWARDEN_ACCESS__DENY_USERS"] = str(w.discord.user_id("bob"))
        await w.start()
        await w.until(lambda: w.discord.commands)
        used = await w.discord.slash("general", "bob", "reset")
        await w.until(lambda: used.content and not used.deferred)
        assert used.ephemeral
        assert "not allowed" in used.content


async def test_ask_about_a_message() -> None:
    """The menu entry gives the model the message it was used on, without any privileged intent."""
    async with world(model=ECHO) as w:
        await w.until(lambda: w.discord.commands)
        message = await w.discord.say("general", "bob", "The tide turns at noon.")
        used = await w.discord.context_menu("Ask about this", message, "alice")
        await w.until(lambda: used.content and not used.deferred)
        assert "The tide turns at noon." in used.content
        assert not used.ephemeral


async def test_commands_are_registered_when_they_changed_and_not_at_every_start() -> None:
    """One bulk overwrite at the first start, none at the next, one when the hash differs."""
    async with world() as w:
        await w.until(lambda: w.rows("SELECT 1 FROM memory WHERE key = 'discord.commands'"))
        names = {each["name"] for each in w.discord.commands}
        expected = {"ask", "reset", "model", "persona", "usage", "stop", "help", "Ask about this"}
        assert names == expected
        await w.restart()
        await w.ask("hello")
        assert w.discord.command_syncs == 1
        await w.stop()
        w.rows("UPDATE memory SET value = 'older' WHERE key = 'discord.commands'")
        await w.start()
        await w.until(lambda: w.discord.command_syncs == 2)


async def press(w: World, message: DiscordMessage, prefix: str, user: str = "alice") -> Interaction:
    """Press the button whose id begins so."""
    return await w.discord.click(message.id, buttons(message, prefix)[0], user)


async def test_the_stop_button() -> None:
    """Stop under a growing answer ends it where it is."""
    async with world(model=SLOW) as w:
        question = await w.say("a long one")
        draft = await w.draft(question)
        await press(w, draft, "tw:stop:")
        answer = await w.answer(question)
        assert answer is draft
        assert "(stopped)" in answer.content


async def test_the_regenerate_button() -> None:
    """Regenerate writes the answer anew in its place, from the same question."""
    said = iter(["first try", "second try"])
    async with world() as w:
        w.model.answer = lambda body: next(said)
        answer = await w.ask("hello")
        await w.idle()
        await press(w, answer, "tw:again:")
        await w.until(lambda: answer.content == "second try")
        await w.idle()
        assert len(w.replies()) == 1
        asked = [body["messages"][:-1] for body in w.requests()]
        assert asked[0] == asked[1]


async def test_feedback_buttons_are_answered_in_private() -> None:
    """Thumbs are stored and thanked for, visible to nobody else."""
    async with world() as w:
        answer = await w.ask("hello")
        await w.idle()
        used = await press(w, answer, "tw:up:", user="bob")
        await w.until(lambda: used.followups)
        assert "Thank you" in used.followups[0].content
        assert used.followups[0].ephemeral
        assert w.rows("SELECT value FROM feedback") == [("up",)]


async def test_buttons_survive_a_restart_and_a_kill() -> None:
    """Regenerate works after SIGTERM, and Stop after SIGKILL on the answer that is taken up."""

    async def regenerate() -> None:
        said = iter(["first try", "second try"])
        async with world(is_started=False) as w, bot_process(w) as bot:
            w.model.answer = lambda body: next(said)
            answer = await w.ask("hello")
            await w.idle()
            assert await bot.terminate() == 0
            await bot.start()
            await press(w, answer, "tw:again:")
            await w.until(lambda: answer.content == "second try")

    async def stop() -> None:
        slow = Options(tokens=200, duration=8.0)
        async with world(is_started=False, model=slow) as w, bot_process(w) as bot:
            await w.settled()
            question = await w.say("a long one")
            draft = await w.draft(question)
            await bot.kill()
            await bot.start()
            await w.until(lambda: len(w.requests()) == 2)
            await asyncio.sleep(0.3)
            await press(w, draft, "tw:stop:")
            answer = await w.answer(question)
            assert answer is draft
            assert "(stopped)" in answer.content

    await together(regenerate(), stop())


async def test_an_interaction_is_acknowledged_in_time() -> None:
    """Each of many commands used at once is answered within Discord's three seconds."""
    people = (*DiscordOptions().members, MemberOptions(name="carol"))
    async with world(discord=DiscordOptions(members=people)) as w:
        await w.until(lambda: w.discord.commands)
        used = [
            await w.discord.slash("general", ("alice", "bob", "carol")[number % 3], "help", {})
            for number in range(30)
        ]
        await w.until(lambda: all(each.content and not each.deferred for each in used))
        assert not any(each.expired for each in used)
        assert all((each.answered or 9e9) - each.created < 1.0 for each in used)
