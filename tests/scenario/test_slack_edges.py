"""What goes wrong or comes unexpected on Slack's side of the bot."""

from __future__ import annotations

import asyncio

import pytest
from scenario.harness import Options, bot_process
from scenario.slack_side import (
    ALICE,
    BOB,
    COMMAND,
    DM,
    ROOM,
    answer,
    answers,
    ask,
    draft,
    is_complete,
    prompt_texts,
    slack_world,
    text_of_answer,
    whispers,
)

from bots.simulators.slack import SlackChannel
from bots.slack.interactions import SHORTCUT

AWAY = SlackChannel(id="C0AWAY", name="away", members=[ALICE], bot_is_member=False)


@pytest.mark.parametrize("stream", [True, False])
async def test_answer_deleted_while_it_grows(*, stream: bool) -> None:
    """An answer that somebody deletes while it is written is not posted anew, and the thread goes
    on."""
    settings = {"slack.stream": stream}
    async with slack_world(model=Options(tokens=40, duration=1.4), settings=settings) as w:
        question = await w.say_slack("a long one")
        live = await draft(w, question)
        await w.slack.delete(ROOM, live.ts)
        await w.idle()
        assert answers(w, question) == []
        w.model.options = Options(mode="echo")

        assert "still there?" in (await ask(w, "still there?", thread_ts=question)).displayed


async def test_gestures_where_the_bot_is_no_member() -> None:
    """In a channel without the bot the shortcut is answered through its own address, commands in
    private."""
    async with slack_world() as w:
        w.slack.add_channel(AWAY)
        asked = await w.slack.say("C0AWAY", ALICE, "exit code 137, why?")
        await w.slack.shortcut(SHORTCUT, "C0AWAY", asked, ALICE)
        await w.until(lambda: answers(w, asked, "C0AWAY"))
        await w.slack.slash(COMMAND, "help", "C0AWAY", ALICE)
        await w.until(lambda: whispers(w))
        await w.idle()

        assert "Alice: exit code 137, why?" in prompt_texts(w)
        assert len(w.slack.own_messages("C0AWAY")) == 1
        assert "`reset`" in whispers(w)[0]


async def test_a_mention_without_words() -> None:
    """A bare mention is answered, and one in a thread makes the model read what stands there."""
    async with slack_world() as w:
        root = await w.slack.say(ROOM, BOB, "exit code 137, why?")
        bare = await w.slack.say(ROOM, ALICE, f"<@{w.slack.bot_user_id}>", thread_ts=root)
        found = await answer(w, bare)

        assert is_complete(found)
        assert "Bob: exit code 137, why?" in prompt_texts(w)


async def test_group_messages_and_odd_posts() -> None:
    """A group DM, a reply that is also sent to the channel, and a /me message work like other
    messages; joins and topics are no messages."""
    async with slack_world() as w:
        group = SlackChannel(id="G0GROUP", kind="mpim", members=[ALICE, BOB])
        w.slack.add_channel(group)
        await ask(w, "in a group", channel="G0GROUP")
        root = (await ask(w, "a question")).thread_ts or ""
        both = await w.say_slack("to all", thread_ts=root, subtype="thread_broadcast")
        acted = await w.slack.say(ROOM, BOB, "is happy", thread_ts=root, subtype="me_message")
        await asyncio.gather(answer(w, both), answer(w, acted))
        await w.slack.say(DM, ALICE, "has joined", subtype="channel_join")
        await w.slack.say(ROOM, ALICE, "a topic", thread_ts=root, subtype="channel_topic")
        await w.idle()

        assert len(w.requests()) == 4
        assert w.slack.unacked == []


async def test_socket_mode_switched_off() -> None:
    """When Socket Mode is switched off, or the app is removed, Slack ends with words that say what
    to do, and the other platform goes on."""
    async with (
        slack_world(is_started=False, platforms=("slack", "discord")) as w,
        bot_process(w) as bot,
    ):
        w.slack.disconnect("link_disabled")
        await w.until(lambda: "Socket Mode is switched off" in bot.log)

        assert "hello" in (await w.ask("hello")).content
        assert "Traceback" not in bot.log
        assert await bot.terminate() == 0


async def test_wrong_bot_token() -> None:
    """A wrong bot token ends Slack with plain words, without the token, and exit code 1."""
    async with (
        slack_world(is_started=False) as w,
        bot_process(w, is_started=False, SLACK_BOT_TOKEN="xoxb-wrong") as bot,
    ):
        await bot.launch()

        assert await bot.wait() == 1
        assert "SLACK_BOT_TOKEN" in bot.log
        assert "xoxb-wrong" not in bot.log
        assert "Traceback" not in bot.log


async def test_slack_is_down_at_the_start() -> None:
    """When Slack fails at the start the bot tries again by itself."""
    async with slack_world(is_started=False) as w:
        w.slack.fail("auth.test", status=503)
        w.slack.fail("apps.connections.open", status=503)
        await w.start()

        assert "hello" in (await ask(w, "hello")).displayed


async def test_model_fails_in_the_middle_of_a_stream() -> None:
    """When the model's stream breaks, what was shown stays, one sentence says that it is not all,
    and the message is complete."""
    async with slack_world(
        model=Options(tokens=40, duration=1.0), settings={"model.retries": 0}
    ) as w:
        w.model.fail("cut", after=20)
        w.model.fail("500", times=9)
        question = await w.say_slack("a long one")
        found = await answer(w, question)
        await w.idle()

        assert answers(w, question) == [found]
        assert 1 <= found.displayed.count("word") <= 20
        assert len(text_of_answer(found).splitlines()[-1]) > 20
        assert found.stream == "completed"


async def test_the_same_client_id_after_a_restart() -> None:
    """A message that Slack sends again after a restart, under its client_msg_id too, is known."""
    async with slack_world() as w:
        first = await w.say_slack("asked once", client_msg_id="one")
        await answer(w, first)
        await w.restart()
        for delivery in list(w.slack.deliveries[:2]):
            await w.slack.redeliver(delivery.event_id or "")
        again = await w.say_slack("asked once", client_msg_id="one")
        await w.idle()

        assert answers(w, again) == []
        assert len(w.requests()) == len(w.slack.own_messages()) == 1
