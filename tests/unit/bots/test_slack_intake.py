from __future__ import annotations

import asyncio
import time

import pytest
from slack_rig import Kept, part, rig, until

from bots.slack.interactions import ASK
from core.errors import ConfigError, CredentialsRejected, StoreUnavailable
from core.messages import Command, Deleted, Edited, Message
from core.secret import Secret

MODES = pytest.mark.parametrize("mode", ["socket", "http"])


@MODES
async def test_a_mention_arrives_with_its_names(mode: str) -> None:
    """A mention opens a thread and is read as people see it; both of its events are one post."""
    async with rig(options={"mode": mode}) as slack:
        ts = await slack.sim.say(
            "C0GENERAL", "U0ALICE", f"<@{slack.sim.bot_user_id}> ask <@U0BOB> about R&amp;D"
        )
        await slack.event(count=2)
        first, second = slack.intake.events

    assert isinstance(first, Message)
    assert first.text == "ask @Bob about R&D"
    assert first.author.name == "Alice"
    assert first.author.may_configure
    assert first.is_addressed
    assert first.is_new_thread
    assert first.conversation == f"slack:{slack.sim.team_id}:C0GENERAL:{ts}"
    assert (second.id, second.conversation, type(second)) == (ts, first.conversation, Message)
    assert slack.sim.unacked == []


@MODES
async def test_nothing_is_acknowledged_before_it_is_stored(mode: str) -> None:
    """While the intake fails, Slack gets no acknowledgement and delivers again."""
    options = {"mode": mode, "ack_timeout": 0.2, "retry_delays": (0.05, 0.1, 0.1)}
    async with rig(options=options) as slack:
        slack.intake.failing = StoreUnavailable("disk full")
        await slack.sim.say("D0ALICE", "U0ALICE", "hello")
        delivery = slack.sim.deliveries[0]
        await slack.sim.wait_for(lambda: delivery.attempts >= 2)
        assert delivery.acked_at is None
        slack.intake.failing = None
        await slack.event()
        await slack.sim.wait_for(lambda: delivery.acked_at is not None)

    assert slack.intake.unread == []


@MODES
async def test_unreadable_payloads_are_counted_and_acknowledged(mode: str) -> None:
    """A payload of no known shape is not delivered again and stops nobody."""
    async with rig(options={"mode": mode}) as slack:
        await slack.sim.deliver({"type": "message", "channel": 5})
        await slack.sim.deliver({"no": "type"})
        await slack.sim.deliver({"type": "reaction_added", "user": "U0BOB"})
        await slack.sim.wait_for(lambda: not slack.sim.unacked)
        await slack.intake.until(lambda kept: len(kept.unread) == 2)
        await slack.sim.deliver_raw("{ nonsense")
        await slack.intake.until(lambda kept: len(kept.unread) == 3)
        await slack.sim.say("D0ALICE", "U0ALICE", "still there?")

        assert (await slack.event()).text == "still there?"


async def test_requests_are_verified() -> None:
    """A wrong signature, or a right one that is old, is refused; the challenge is answered."""
    async with rig(options={"mode": "http"}) as slack:
        body = b'{"type":"event_callback","event":{"type":"x"}}'
        assert await slack.sim.post(body) == 200
        assert await slack.sim.post(body, signature="v0=00") == 401
        assert await slack.sim.post(body, timestamp=str(int(time.time()) - 400)) == 401
        assert await slack.sim.post(b"{ nonsense", signature="v0=00") == 401
        assert await slack.sim.verify_url()


async def test_edits_and_deletions_arrive_and_previews_do_not() -> None:
    """A changed text is an edit, a link preview is nothing, and a deletion names its message."""
    async with rig() as slack:
        ts = await slack.sim.say("D0ALICE", "U0ALICE", "frist")
        await slack.sim.unfurl("D0ALICE", ts)
        await slack.sim.edit("D0ALICE", ts, "first")
        await slack.event(count=2)
        await slack.sim.delete("D0ALICE", ts)
        await slack.event(count=3)
        post, edit, deletion = slack.intake.events

    assert isinstance(edit, Edited)
    assert (edit.id, edit.text, edit.conversation) == (ts, "first", post.conversation)
    assert isinstance(deletion, Deleted)
    assert (deletion.id, deletion.position) == (ts, post.position)


async def test_our_own_messages_are_not_events() -> None:
    """What we post, change and delete does not come back as something to answer."""
    async with rig() as slack:
        target = slack.target()
        ts = await slack.adapter.post(target, part("one"))
        await slack.adapter.edit(target, ts, part("two", final=True))
        await slack.adapter.withdraw(target, ts)
        await slack.sim.wait_for(lambda: len(slack.sim.deliveries) == 3 and not slack.sim.unacked)

    assert slack.intake.events == []


async def test_other_bots_are_marked() -> None:
    """A bot's message says so; the core decides what to do with it."""
    async with rig() as slack:
        await slack.sim.say("C0GENERAL", "", "build done", bot_id="B0CI", subtype="bot_message")

        assert (await slack.event()).author.is_bot


async def test_external_people_are_marked() -> None:
    """Somebody of another workspace is external, and may configure nothing."""
    async with rig() as slack:
        await slack.sim.say("C0GENERAL", "U0EVE", "hello")
        author = (await slack.event()).author

    assert author.is_external
    assert not author.may_configure


async def test_thread_replies() -> None:
    """A reply that mentions nobody may be meant for the assistant; one that does is not."""
    async with rig() as slack:
        ts = await slack.sim.say("C0GENERAL", "U0ALICE", "topic")
        await slack.sim.say("C0GENERAL", "U0BOB", "and now?", thread_ts=ts)
        await slack.sim.say("C0GENERAL", "U0BOB", "<@U0ALICE> you?", thread_ts=ts)
        await slack.event(count=3)
        # over two connections only the positions tell the order
        _, open_, called = sorted(slack.intake.events, key=lambda event: event.position)

    assert (open_.is_follow_up, called.is_follow_up) == (True, False)
    assert open_.place.thread == ts
    assert not open_.is_addressed


async def test_a_reply_to_an_answer_of_ours_belongs_to_its_conversation() -> None:
    """Under an answer that began no thread, the core's own knowledge names the conversation."""
    async with rig() as slack:
        place = slack.target()
        ts = await slack.adapter.post(place, part("an answer", final=True))
        slack.intake.located[ts] = place.conversation
        await slack.sim.say("C0GENERAL", "U0BOB", "why?", thread_ts=ts)

        assert (await slack.event()).conversation == place.conversation


async def test_commands_by_mention_and_in_direct_messages() -> None:
    """A command's word alone is an order, in a sentence it is a question."""
    async with rig() as slack:
        me = f"<@{slack.sim.bot_user_id}>"
        await slack.sim.say("C0GENERAL", "U0ALICE", f"{me} reset")
        await slack.event(count=2)
        await slack.sim.say("D0ALICE", "U0ALICE", "help")
        await slack.event(count=3)
        await slack.sim.say("D0ALICE", "U0ALICE", "reset my router, please")
        await slack.event(count=4)
        names = [getattr(event, "name", None) for event in slack.intake.events]

    assert names == ["reset", "reset", "help", None]


@MODES
async def test_slash_commands(mode: str) -> None:
    """A slash command is acknowledged at once; what is no command is a question."""
    async with rig(options={"mode": mode}) as slack:
        usage = await slack.sim.slash("/talkwarden", "usage me", "C0GENERAL", "U0BOB")
        ask = await slack.sim.slash("/talkwarden", "ask why is <@U0ALICE> so", "C0GENERAL", "U0BOB")
        await slack.event(count=2)
        command, question = slack.intake.events

    assert usage.acked
    assert ask.acked
    assert isinstance(command, Command)
    assert (command.name, command.argument, command.handle) == ("usage", "me", usage.response_url)
    assert isinstance(question, Message)
    assert (question.text, question.handle) == ("why is @Alice so", ask.response_url)
    assert question.is_addressed


async def test_the_message_shortcut() -> None:
    """Choosing the shortcut asks about the message, in the message's thread."""
    async with rig() as slack:
        ts = await slack.sim.say("C0GENERAL", "U0BOB", "E = mc²")
        await slack.event()
        await slack.sim.shortcut("ask_talkwarden", "C0GENERAL", ts, "U0ALICE")
        asked = await slack.event(count=2)

    assert (asked.text, asked.quoted, asked.place.thread) == (ASK, "Bob: E = mc²", ts)
    assert asked.author.id == "U0ALICE"
    assert asked.is_addressed


async def test_events_of_a_channel_keep_their_order() -> None:
    """On one connection nobody is overtaken, though some names have to be asked for first."""
    async with rig(connections=1) as slack:
        slack.sim.fail("users.info", delay=0.05)
        said = []
        for user in ("U0BOB", "U0ALICE", "U0BOB", "U0ALICE"):
            said.append(await slack.sim.say("C0GENERAL", user, "hello"))
            await asyncio.sleep(0.01)
        await slack.event(count=4)

    assert [event.id for event in slack.intake.events] == said


async def test_stop_in_an_agent_session() -> None:
    """Slack's own Stop button is the command of that name, in the session's conversation."""
    async with rig(connections=1) as slack:
        ts = await slack.sim.say("D0ALICE", "U0ALICE", "count to a million")
        await slack.sim.press_stop("D0ALICE", ts, "U0ALICE")
        post, command = await slack.event(0, 2), await slack.event(1, 2)

    assert (command.name, command.conversation) == ("stop", post.conversation)


async def test_files_are_attachments() -> None:
    """A file comes as an attachment that can be fetched, also one Slack Connect holds back."""
    async with rig() as slack:
        plain = slack.sim.add_file("a.txt", b"text")
        held = slack.sim.add_file("b.png", b"\x89PNG", "image/png", check_info=True)
        await slack.sim.say("D0ALICE", "U0ALICE", "", files=[plain, held])
        first, second = (await slack.event()).attachments

        assert (first.name, first.media_type, first.size) == ("a.txt", "text/plain", 4)
        assert await slack.adapter.fetch(first, 100) == b"text"
        assert await slack.adapter.fetch(second, 100) == b"\x89PNG"


async def test_refreshed_connections_leave_no_gap() -> None:
    """While Slack refreshes every connection, all messages arrive and are acknowledged."""
    async with rig() as slack:
        for number in range(20):
            if number in {5, 10}:
                slack.sim.disconnect("refresh_requested", count=1)
            await slack.sim.say("D0ALICE", "U0ALICE", f"message {number}")
            await asyncio.sleep(0.01)
        await slack.event(count=20)
        await slack.sim.wait_for(lambda: not slack.sim.unacked)
        slack.sim.drop_sockets()
        await slack.sim.wait_connected(2)
        attempts = {delivery.attempts for delivery in slack.sim.deliveries}

    assert attempts == {1}


@pytest.mark.parametrize("token", ["bot_token", "app_token"])
async def test_a_wrong_token_is_named(token: str) -> None:
    """A token that Slack rejects ends the adapter with a sentence that names it."""
    with pytest.raises(CredentialsRejected, match=r"SLACK_(BOT|APP)_TOKEN|app-level"):
        async with rig(is_running=False, **{token: Secret("xoxb-wrong")}) as slack:
            await asyncio.wait_for(slack.adapter.run(Kept()), 5)


async def test_socket_mode_switched_off() -> None:
    """When Socket Mode is switched off, the adapter says so and ends."""
    async with rig() as slack:
        slack.sim.disconnect("link_disabled")
        assert slack.running is not None
        with pytest.raises(CredentialsRejected, match="Socket Mode is switched off"):
            await asyncio.wait_for(slack.running, 5)


async def test_too_many_connections() -> None:
    """With room for one connection only, one stays and answers."""
    async with rig(is_running=False, options={"max_connections": 1}) as slack:
        slack.running = asyncio.create_task(slack.adapter.run(slack.intake))
        await slack.sim.wait_connected(1)
        await slack.sim.say("D0ALICE", "U0ALICE", "anybody?")

        assert (await slack.event()).text == "anybody?"


async def test_uninstalled() -> None:
    """An app that was removed from the workspace ends with the reason."""
    async with rig() as slack:
        await slack.sim.deliver({"type": "app_uninstalled"})
        assert slack.running is not None
        with pytest.raises(CredentialsRejected, match="removed"):
            await asyncio.wait_for(slack.running, 5)


async def test_a_taken_port_is_a_configuration_error() -> None:
    """HTTP mode on a port in use says which."""
    async with rig(options={"mode": "http"}) as slack:
        assert slack.adapter.address is not None
        port = slack.adapter.address[1]
        async with rig(is_running=False, options={"mode": "http"}, port=port) as other:
            with pytest.raises(ConfigError, match=str(port)):
                await other.adapter.run(Kept())


async def test_app_home() -> None:
    """The Home tab shows help and one's own usage, the Messages tab suggested prompts."""
    async with rig() as slack:

        async def usage(place: object, author: object) -> str:
            return "12 tokens"

        slack.adapter.usage_of = usage
        await slack.sim.open_home("U0ALICE")
        await slack.sim.wait_for(lambda: "U0ALICE" in slack.sim.views)
        await slack.sim.open_home("U0ALICE", "messages")
        await slack.sim.wait_for(lambda: slack.sim.workspace.prompts)

        assert "12 tokens" in str(slack.sim.views["U0ALICE"])


async def test_without_the_agent_feature_a_dm_is_one_conversation() -> None:
    """Once Slack says there is no agent surface, direct messages need no threads; that is kept."""
    async with rig(options={"agent_app": False}) as slack:
        await slack.sim.open_home("U0ALICE", "messages")
        await slack.sim.wait_for(
            lambda: slack.sim.count("assistant.threads.setSuggestedPrompts") == 1
        )
        await until(lambda: slack.intake.memory)
        await slack.sim.say("D0ALICE", "U0ALICE", "hello")

        assert (await slack.event()).conversation == f"slack:{slack.sim.team_id}:D0ALICE"
