"""Where and how members reach the bot in Slack, and who is answered."""

from __future__ import annotations

import asyncio
from typing import Any

from scenario.harness import Options
from scenario.slack_side import (
    ALICE,
    BOB,
    COMMAND,
    DM,
    ROOM,
    answer,
    answers,
    ask,
    prompt_texts,
    slack_world,
    text_of_answer,
    whispers,
)

from bots.simulators.slack import ALL_SCOPES, SlackChannel, SlackUser
from bots.slack.interactions import SHORTCUT

EVE = SlackUser(id="U0EVE", name="eve", real_name="Eve", team_id="T0OTHER", is_admin=True)


async def test_each_question_of_an_agents_dm_has_its_thread() -> None:
    """With the agent surface, a question in a DM is answered in a thread of its own, which is a
    conversation of its own."""
    async with slack_world() as w:
        first = await ask(w, "my cat is called Tom", channel=DM)
        second = await ask(w, "what is my cat called?", channel=DM)
        third = await ask(w, "and in here?", channel=DM, thread_ts=first.thread_ts)

        assert first.thread_ts != second.thread_ts
        assert third.thread_ts == first.thread_ts
        assert "Tom" not in str(w.requests("what is my cat called?")[0]["messages"])
        assert "Tom" in prompt_texts(w)


async def test_a_dm_without_the_agent_surface_is_one_conversation() -> None:
    """Without the agent surface a DM is one conversation, answered without threads."""
    async with slack_world(settings={"slack.agent": False}) as w:
        first = await ask(w, "my cat is called Tom", channel=DM)
        second = await ask(w, "what is my cat called?", channel=DM)

        assert (first.thread_ts, second.thread_ts) == (None, None)
        assert "Tom" in prompt_texts(w)


async def test_a_mention_opens_a_thread() -> None:
    """A mention in a channel is answered in its thread; who asks is told to the model, the call
    at the start is not, and other mentions are names."""
    async with slack_world() as w:
        question = await w.say_slack(f"say hi to <@{BOB}> in <#{ROOM}>, &lt;please&gt;")
        found = await answer(w, question)

        assert found.thread_ts == question
        assert "Alice: say hi to @Bob in #general, <please>" in prompt_texts(w)
        assert w.slack.bot_user_id not in prompt_texts(w)


async def test_threads_that_the_bot_is_part_of() -> None:
    """In its threads a follow-up needs no mention, from anybody; one that calls somebody else,
    and a thread without the bot, are left alone."""
    async with slack_world() as w:
        root = (await ask(w, "a question")).thread_ts or ""
        follow_up = await w.slack.say(ROOM, BOB, "and what else?", thread_ts=root)
        await answer(w, follow_up)
        other = await w.slack.say(ROOM, ALICE, f"<@{BOB}> do you agree?", thread_ts=root)
        plain = await w.slack.say(ROOM, ALICE, "just talking")
        reply = await w.slack.say(ROOM, BOB, "to you only", thread_ts=plain)
        await w.idle()

        assert answers(w, other) == answers(w, plain) == answers(w, reply) == []
        assert len(w.requests()) == 2
        await ask(w, "sum up", thread_ts=root)
        assert "Alice: @Bob do you agree?" in prompt_texts(w)


async def test_other_bots_and_external_people() -> None:
    """Neither another bot's mention nor its reply in our thread starts a turn; people of other
    organisations are not answered by the model unless the configuration lets them."""
    shared = SlackChannel(id="C0SHARED", name="shared", members=[ALICE, EVE.id], is_ext_shared=True)
    for allowed in (False, True):
        async with slack_world(settings={"access.external_users": allowed}) as w:
            w.slack.add_user(EVE)
            w.slack.add_channel(shared)
            root = (await ask(w, "a question")).thread_ts or ""
            await w.slack.say(ROOM, "", "beep", thread_ts=root, bot_id="B0OTHER")
            await w.say_slack("beep", user="", bot_id="B0OTHER", subtype="bot_message")
            asked = await w.say_slack("hello", channel="C0SHARED", user=EVE.id)
            changed = await w.say_slack("persona: evil", channel="C0SHARED", user=EVE.id)
            await w.idle()

            assert len(w.requests()) == (2 if allowed else 1)
            assert [bool(w.requests("hello")), len(answers(w, asked, "C0SHARED"))] == [allowed, 1]
            assert w.rows("SELECT count(*) FROM settings") == [(0,)]
            assert (
                "persona"
                not in "".join(text_of_answer(each) for each in answers(w, changed, "C0SHARED"))
                or not allowed
            )


async def test_message_shortcut() -> None:
    """ "Ask talkwarden about this" answers in the message's thread, and tells the model whose words
    they are, even where they are a reply to somebody else."""
    async with slack_world() as w:
        root = await w.slack.say(ROOM, BOB, "the deploy failed")
        reply = await w.slack.say(ROOM, BOB, "exit code 137, why?", thread_ts=root)
        pressed = await w.slack.shortcut(SHORTCUT, ROOM, reply, ALICE)
        found = await answer(w, reply)

        assert pressed.acked
        assert found.thread_ts == root
        assert "Bob: exit code 137, why?" in prompt_texts(w)


async def test_slash_commands() -> None:
    """/talkwarden knows every command; what is private is shown to the asker alone."""
    async with slack_world(settings={"model.choices": ["better"]}) as w:
        await ask(w, "a question")
        said = {}
        for text in ("", "help", "usage", "model", "persona", "stop", "model nonsense"):
            before = len(whispers(w))
            pressed = await w.slack.slash(COMMAND, text, ROOM, ALICE)
            assert pressed.acked
            await w.until(lambda before=before: len(whispers(w)) > before)
            said[text] = whispers(w)[-1]
        posted = len(w.slack.own_messages(ROOM))
        for number, text in enumerate(("reset", "model better", "model default"), posted + 1):
            await w.slack.slash(COMMAND, text, ROOM, ALICE)
            await w.until(lambda number=number: len(w.slack.own_messages(ROOM)) == number)
            said[text] = text_of_answer(w.slack.own_messages(ROOM)[-1])

        assert said[""] == said["help"]
        assert "`reset`" in said["help"]
        assert "tokens today" in said["usage"]
        assert "`better`" in said["model"]
        assert said["persona"].startswith("I was told:")
        assert "not writing" in said["stop"]
        assert "can't use" in said["model nonsense"]
        assert "afresh" in said["reset"]
        assert said["model better"].startswith("`better`")
        assert said["model default"].startswith("Back")
        assert len(w.requests()) == 1


async def test_asking_by_slash_command() -> None:
    """/talkwarden ask, or any other words, is a question that is answered in the channel; from a
    channel that the bot is not in, too."""
    async with slack_world() as w:
        w.slack.add_channel(SlackChannel(id="C0AWAY", members=[ALICE], bot_is_member=False))
        for channel, text in (
            (ROOM, "ask what is up?"),
            (ROOM, "who am I"),
            ("C0AWAY", "and here"),
        ):
            await w.slack.slash(COMMAND, text, channel, ALICE)
            words = text.removeprefix("ask ")
            await w.until(
                lambda: [each for each in w.slack.own_messages(channel) if words in each.text]  # noqa: B023
            )
        await w.idle()

        assert len(w.requests()) == 3
        assert "ask what" not in str(w.requests()[0]["messages"])
        assert whispers(w) == []


async def test_commands_by_mention_inside_a_thread() -> None:
    """Inside a thread, where no slash command works, the same commands are typed after the bot's
    name: reset forgets the thread, help is for the asker alone."""
    async with slack_world() as w:
        root = (await ask(w, "my cat is called Tom")).thread_ts or ""
        done = await ask(w, "reset", thread_ts=root)
        await w.say_slack("help", thread_ts=root)
        await w.until(lambda: whispers(w))
        await ask(w, "what is my cat called?", thread_ts=root)

        assert "afresh" in done.displayed
        assert "`persona`" in whispers(w)[0]
        assert w.slack.ephemerals[0].thread_ts == root
        assert "Tom" not in prompt_texts(w)
        assert len(w.requests()) == 2


async def test_who_may_change_model_and_persona() -> None:
    """A workspace admin may change model and persona, a member may not; the change is kept over a
    restart."""
    async with slack_world(settings={"model.choices": ["gpt-9-mini"]}) as w:
        for text in ("persona: You are a pirate.", "model gpt-9-mini"):
            await w.say_slack(text, user=BOB)
        await w.until(lambda: len(whispers(w, BOB)) == 2)
        await ask(w, "persona: You are a parrot.")
        await ask(w, "model gpt-9-mini")
        await w.restart()
        await ask(w, "who are you?", user=BOB)

        assert all("needs the permission" in text for text in whispers(w, BOB))
        assert w.prompt[0]["content"] == "You are a parrot."
        assert w.requests()[-1]["model"] == "gpt-9-mini"


async def test_app_home() -> None:
    """The App Home shows help and the member's own usage, not another's."""
    async with slack_world() as w:
        await ask(w, "a question")
        await w.idle()
        for user in (ALICE, BOB):
            await w.slack.open_home(user)
        await w.until(lambda: len(w.slack.views) == 2)
        shown = {user: str(view) for user, view in w.slack.views.items()}

        assert "/talkwarden" in shown[ALICE]
        assert "You used 0 tokens today" in shown[BOB]
        assert "tokens today" in shown[ALICE]
        assert "You used 0 tokens" not in shown[ALICE]


async def test_suggested_prompts() -> None:
    """Opening the agent's Messages tab suggests prompts, and each of them is a question or a
    command."""
    async with slack_world() as w:
        await w.slack.open_home(ALICE, tab="messages")
        await w.until(lambda: w.slack.workspace.prompts)

        prompts = w.slack.workspace.prompts[DM]["prompts"]
        assert 1 <= len(prompts) <= 4
        assert "`reset`" in (await ask(w, prompts[-1]["message"], channel=DM)).displayed


async def test_workspace_without_the_agent_feature() -> None:
    """A workspace without the feature, or an app without its scope, gets answers all the same:
    DMs are one conversation, also after a restart, and nothing is asked for twice."""

    async def without(**options: Any) -> None:
        async with slack_world(model=Options(mode="echo", first_delay=0.9), **options) as w:
            await w.slack.open_home(ALICE, tab="messages")
            await w.idle()
            assert "hello" in (await ask(w, "hello")).displayed
            w.model.options = Options(mode="echo")
            await w.restart()
            await w.slack.open_home(ALICE, tab="messages")
            assert (await ask(w, "and in private", channel=DM)).thread_ts is None
            refused = [each.method for each in w.slack.calls if each.error]
            assert len(refused) == len(set(refused))

    await asyncio.gather(
        without(agent_app=False),
        without(agent_app=False, agent_sessions=False),
        without(scopes=ALL_SCOPES - {"assistant:write"}),
    )


async def test_ways_of_answering() -> None:
    """Per channel: every message answered without a mention, a whole channel as one conversation
    without threads, and places where nobody is answered."""
    settings = {
        "channels.C0EVERY": {"mode": "every"},
        "channels.C0WHOLE": {"whole_channel": True},
        "channels.C0OFF": {"enabled": False},
        "access.deny_channels": ["C0DENIED"],
        "access.direct_messages": False,
    }
    async with slack_world(settings=settings) as w:
        for name in ("C0EVERY", "C0WHOLE", "C0OFF", "C0DENIED"):
            w.slack.add_channel(SlackChannel(id=name, name=name.lower(), members=[ALICE, BOB]))
        every = await w.slack.say("C0EVERY", BOB, "nobody called")
        first = await w.say_slack("my cat is called Tom", channel="C0WHOLE")
        off = await w.say_slack("hello", channel="C0OFF")
        denied = await w.say_slack("hello", channel="C0DENIED")
        private = await w.say_slack("hello", channel=DM)
        await w.idle()
        await w.say_slack("what is it called?", channel="C0WHOLE", user=BOB)
        await w.idle()

        assert [each.thread_ts for each in answers(w, every, "C0EVERY")] == [every]
        assert answers(w, first, "C0WHOLE") == []
        assert [each.thread_ts for each in w.slack.own_messages("C0WHOLE")] == [None, None]
        assert "Tom" in prompt_texts(w)
        assert answers(w, off, "C0OFF") == []
        assert "not allowed" in answers(w, denied, "C0DENIED")[0].displayed
        assert "direct messages" in answers(w, private, DM)[0].displayed
        assert len(w.requests()) == 3
