from __future__ import annotations

import asyncio
import contextlib
import html
import time

import pytest
from slack_rig import part, rig, until

from bots.slack.posting import INTERVAL, RESPONDED
from core.adapter import Activity, Urgency
from core.errors import AttachmentRejected, PlatformUnavailable, RateLimited, TargetGone
from core.messages import Attachment, Author

FINAL, POST, EDIT = Urgency.FINAL, Urgency.POST, Urgency.EDIT


async def test_an_answer_is_streamed() -> None:
    """A draft opens a stream, grows in it, and ends it with buttons and its key: three calls."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target, adapter = slack.target(root), slack.adapter
        await adapter.pace(target, POST, None)
        ts = await adapter.post(target, part("One two "))
        await adapter.pace(target, EDIT, ts)
        await adapter.edit(target, ts, part("One two three fo"))
        seen = slack.sim.message("C0GENERAL", ts).displayed
        await adapter.pace(target, FINAL, ts)
        await adapter.edit(target, ts, part("One two three <four>", final=True))
        message = slack.sim.message("C0GENERAL", ts)

    assert seen == "One two three "
    assert message.displayed.startswith("One two three <four>")
    assert message.stream == "completed"
    assert message.metadata == {
        "event_type": "talkwarden_part",
        "event_payload": {"key": "turn1/0"},
    }
    assert {element["action_id"] for _, element in message.actions()} == {
        "talkwarden_feedback",
        "talkwarden_regenerate",
    }
    calls = [c.method for c in slack.sim.calls if c.method.startswith("chat.")]
    assert calls == ["chat.startStream", "chat.appendStream", "chat.stopStream"]


async def test_drafts_keep_a_rhythm_and_finals_do_not_wait_for_it() -> None:
    """Two drafts of a message are apart; a final edit follows at once, whatever the draft."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target, adapter = slack.target(root), slack.adapter
        await adapter.pace(target, POST, None)
        ts = await adapter.post(target, part("One "))
        started = time.monotonic()
        await adapter.pace(target, FINAL, ts)
        assert time.monotonic() - started < 0.1
        await adapter.pace(target, EDIT, ts)
        assert time.monotonic() - started >= INTERVAL - 0.05


async def test_text_that_does_not_extend_what_was_streamed() -> None:
    """When the text changes, the message is updated to the new one."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("I think that "))
        await slack.adapter.edit(target, ts, part("No: it is otherwise. "))
        middle = slack.sim.message("C0GENERAL", ts).displayed
        await slack.adapter.edit(target, ts, part("No: it is different.", final=True))
        last = slack.sim.message("C0GENERAL", ts)

    assert middle.startswith("No: it is otherwise. ")
    assert last.displayed.startswith("No: it is different.")
    assert slack.sim.count("chat.stopStream") == 1


@pytest.mark.parametrize("final", [True, False])
async def test_a_stream_that_slack_ended(final: bool) -> None:
    """After Slack has ended a stream by itself, the message is updated."""
    async with rig(is_running=False, options={"stream_life": 0.05}) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        await asyncio.sleep(0.1)
        await slack.adapter.edit(target, ts, part("One two t", final=final))

        assert slack.sim.message("C0GENERAL", ts).displayed.startswith("One two t")


async def test_a_stream_is_given_up_before_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After four minutes a stream becomes a message that is updated."""
    monkeypatch.setattr("bots.slack.streams.LIFE", 0.05)
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        await asyncio.sleep(0.1)
        await slack.adapter.edit(target, ts, part("One two three "))
        await slack.adapter.edit(target, ts, part("One two three four", final=True))

        assert slack.sim.message("C0GENERAL", ts).displayed.startswith("One two three four")
        assert slack.sim.count("chat.update") == 2


async def test_a_broken_append_is_put_right() -> None:
    """When it is unknown whether an append arrived, the text is right all the same."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        slack.sim.fail("chat.appendStream", drop_after=True)
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.edit(target, ts, part("One two t"))
        await slack.adapter.edit(target, ts, part("One two three", final=True))

        assert slack.sim.message("C0GENERAL", ts).displayed.startswith("One two three")
        assert slack.sim.message("C0GENERAL", ts).displayed.count("two") == 1


async def test_a_broken_end_is_put_right() -> None:
    """When it is unknown whether a stream was ended, trying again completes the message."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        slack.sim.fail("chat.stopStream", drop_after=True)
        final = part("One two", final=True)
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.edit(target, ts, final)
        await slack.adapter.edit(target, ts, final)
        message = slack.sim.message("C0GENERAL", ts)

    assert message.displayed.count("One two") == 1
    assert message.metadata


async def test_stopped_by_the_member() -> None:
    """After Stop nothing more is shown until the end, which is in order."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("D0ALICE", "U0ALICE", "question")
        target = slack.target(root, "D0ALICE")
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        await slack.sim.press_stop("D0ALICE", root, "U0ALICE")
        await slack.adapter.edit(target, ts, part("One two three "))
        assert slack.sim.message("D0ALICE", ts).displayed == "One "
        await slack.adapter.edit(target, ts, part("One ", final=True))

        assert slack.sim.message("D0ALICE", ts).stream == "completed"


@pytest.mark.parametrize("error", ["unknown_method", "feature_disabled"])
async def test_a_workspace_without_streams(error: str) -> None:
    """Where streaming does not exist, the answer is a message that is updated."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        slack.sim.fail("chat.startStream", times=9, error=error)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One & "))
        stop = {element["action_id"] for _, element in slack.sim.message("C0GENERAL", ts).actions()}
        await slack.adapter.edit(target, ts, part("One & two", final=True))
        message = slack.sim.message("C0GENERAL", ts)
        await slack.adapter.pace(target, POST, None)
        await slack.adapter.post(target, part("Two "))

    assert stop == {"talkwarden_stop"}
    assert message.displayed.startswith("One & two")
    assert slack.sim.count("chat.startStream") == 1


async def test_above_the_budget_drafts_wait_and_finals_go() -> None:
    """When streams and posts are used up, a draft waits, and its final version overtakes it."""
    async with rig(is_running=False, options={"rate_limits": True}) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target, drafts = slack.target(root), 0
        with contextlib.suppress(TimeoutError):
            while drafts < 30:
                await asyncio.wait_for(slack.adapter.pace(target, POST, None), 0.05)
                await slack.adapter.post(target, part("x "))
                drafts += 1
        assert 15 <= drafts <= 24
        async with asyncio.timeout(3):
            await slack.adapter.pace(target, FINAL, None)
            await slack.adapter.post(target, part("whole", final=True))

    assert slack.sim.limited == {}


async def test_a_real_limit_is_passed_on() -> None:
    """A 429 becomes RateLimited with its time, and holds back the next call of that kind."""
    async with rig(is_running=False) as slack:
        target = slack.target()
        slack.sim.fail("chat.postMessage", retry_after=1)
        with pytest.raises(RateLimited) as caught:
            await slack.adapter.post(target, part("x", final=True))
        started = time.monotonic()
        await slack.adapter.pace(target, FINAL, None)

    assert caught.value.retry_after == 1
    assert time.monotonic() - started >= 0.9


async def test_nothing_pings() -> None:
    """Whatever the model writes, nobody is mentioned, and links are not unfurled."""
    async with rig(is_running=False) as slack:
        text = "<!channel> <!here> <@U0ALICE> <!subteam^S1> @here & <https://x.y|z>"
        (rendered,) = slack.adapter.render(text)
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        posted = await slack.adapter.post(slack.target(root), part(rendered, final=True))
        await slack.adapter.pace(slack.target(root), POST, None)
        streamed = await slack.adapter.post(slack.target(root), part(rendered))
        messages = [slack.sim.message("C0GENERAL", ts) for ts in (posted, streamed)]
        call = next(c for c in slack.sim.calls if c.method == "chat.postMessage")

    assert [message.pings for message in messages] == [[], []]
    assert messages[0].displayed.startswith(html.unescape(rendered))
    assert (call.params["unfurl_links"], call.params["unfurl_media"]) == (False, False)


async def test_a_part_is_found_by_its_key() -> None:
    """A part whose post broke is found in its thread, a part that is not there is not."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target, since = slack.target(root), time.time()
        slack.sim.fail("chat.postMessage", drop_after=True)
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.post(target, part("answer", final=True))
        found = await slack.adapter.find(target, part(""), since)
        other = await slack.adapter.find(target, part("", index=1), since)
        nowhere = await slack.adapter.find(slack.target("1.000001"), part(""), since)

    assert found
    assert slack.sim.message("C0GENERAL", found).displayed.startswith("answer")
    assert (other, nowhere) == (None, None)


async def test_a_stream_left_open_is_found_and_completed() -> None:
    """After a crash in a stream, the same message is completed."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target, since = slack.target(root), time.time()
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        slack.adapter._streams.forget(target, ts)  # as a new process knows nothing of it
        assert await slack.adapter.find(target, part(""), since) == ts
        await slack.adapter.edit(target, ts, part("One two", final=True))
        assert slack.sim.message("C0GENERAL", ts).displayed.startswith("One two")

        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("Two "))
        slack.adapter._streams.forget(target, ts)
        await slack.adapter.edit(target, ts, part("Two three", final=True))
        assert slack.sim.message("C0GENERAL", ts).displayed.startswith("Two three")


async def test_private_answers() -> None:
    """What concerns the asker alone is ephemeral, through the gesture's own address if any."""
    async with rig() as slack:
        usage = await slack.sim.slash("/talkwarden", "usage", "C0GENERAL", "U0BOB")
        bob = Author("U0BOB")
        with_handle = slack.target(is_only_for_asker=True, handle=usage.response_url, asker=bob)
        without = slack.target(is_only_for_asker=True, asker=bob)
        for target in (with_handle, without):
            await slack.adapter.pace(target, FINAL, None)
            await slack.adapter.post(target, part("5 tokens", final=True))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slack.adapter.pace(without, POST, None), 0.05)

        assert await slack.adapter.find(without, part(""), 0.0) is None
        assert len(usage.responses) == 1
    assert [seen.user for seen in slack.sim.ephemerals] == ["U0BOB", "U0BOB"]


async def test_a_channel_that_the_bot_is_not_in() -> None:
    """Asked there by a slash command, it answers through the command's own address."""
    async with rig() as slack:
        ask = await slack.sim.slash("/talkwarden", "ask why", "C0GENERAL", "U0BOB")
        slack.sim.fail("chat.postMessage", times=9, error="not_in_channel")
        target = slack.target(handle=ask.response_url)
        with pytest.raises(Exception, match="not_in_channel"):
            await slack.adapter.post(target, part("becau"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slack.adapter.pace(target, POST, None), 0.05)
        posted = await slack.adapter.post(target, part("because", final=True))
        await slack.adapter.edit(target, posted, part("because", final=True))

    assert posted == RESPONDED
    assert ask.responses[0]["response_type"] == "in_channel"


async def test_withdrawing_is_idempotent() -> None:
    """A message can be deleted twice; one that is streamed, too."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        target = slack.target(root)
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        await slack.adapter.withdraw(target, ts)
        await slack.adapter.withdraw(target, ts)
        with pytest.raises(TargetGone):
            await slack.adapter.edit(target, ts, part("One two", final=True))


async def test_working_is_shown_and_cleared() -> None:
    """While it works, the session can be stopped; the end of the stream ends that."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("D0ALICE", "U0ALICE", "question")
        target = slack.target(root, "D0ALICE")
        await slack.adapter.indicate(target, Activity.WORKING)
        shown = slack.sim.status("D0ALICE", root)
        status = slack.sim.sessions["D0ALICE", root].status
        await slack.adapter.pace(target, POST, None)
        ts = await slack.adapter.post(target, part("One "))
        await slack.adapter.edit(target, ts, part("One two", final=True))
        await slack.adapter.indicate(target, Activity.IDLE)
        calls = slack.sim.count("agents.sessions.setStatus")

    assert (shown, status) == ("is thinking…", "processing")
    assert slack.sim.sessions["D0ALICE", root].status == "active"
    assert calls == 1


async def test_working_ends_without_a_stream() -> None:
    """When a turn ends otherwise, session and status are cleared, each within its limit."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("D0ALICE", "U0ALICE", "question")
        target = slack.target(root, "D0ALICE")
        await slack.adapter.indicate(target, Activity.WORKING)
        await slack.adapter.indicate(target, Activity.IDLE)
        await slack.sim.wait_for(
            lambda: (
                slack.sim.sessions["D0ALICE", root].status == "active"
                and slack.sim.status("D0ALICE", root) == ""
            )
        )


async def test_no_status_where_there_is_none() -> None:
    """A workspace without the feature is asked once, and nothing is raised."""
    async with rig(is_running=False, options={"agent_app": False}) as slack:
        target = slack.target("1.000001")
        slack.sim.fail("assistant.threads.setStatus", times=9, error="not_allowed")
        for _ in range(3):
            await slack.adapter.indicate(target, Activity.WORKING)
            await slack.adapter.indicate(target, Activity.IDLE)

        assert slack.sim.count("agents.sessions.setStatus") == 1
        assert slack.sim.count("assistant.threads.setStatus") == 1


async def test_backfill_reads_what_stood_before() -> None:
    """The thread up to the question, its root always, our own messages known as ours."""
    async with rig(is_running=False) as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "topic")
        for number in range(5):
            await slack.sim.say("C0GENERAL", "U0BOB", f"reply {number}", thread_ts=root)
        await slack.adapter.post(slack.target(root), part("mine", final=True))
        question = await slack.sim.say("C0GENERAL", "U0BOB", "summarise", thread_ts=root)
        await slack.sim.say("C0GENERAL", "U0BOB", "later", thread_ts=root)
        target = slack.target(root, reply_to=question)
        read = [message async for message in slack.adapter.backfill(target, 4)]

    assert [message.text for message in read] == ["topic", "reply 3", "reply 4", "mine"]
    assert [message.author.is_self for message in read] == [False, False, False, True]
    assert read[1].author.name == "Bob"


async def test_files_are_checked() -> None:
    """Too large, gone, kept elsewhere, or without the scope: each says why, in words."""
    async with rig(is_running=False, options={"scopes": frozenset({"chat:write"})}) as slack:
        hosted = slack.sim.add_file("a.png", b"x" * 2000, "image/png")
        url = f"{slack.sim.url}/files/{slack.sim.team_id}-{hosted.id}/a.png"
        for attachment, why in [
            (Attachment("F1", "a.png", "image/png", url=url), "files:read"),
            (Attachment("F1", "a.png", "image/png", size=9999, url=url), "larger"),
            (Attachment("F1", "a.png", url="https://example.com/a.png"), "outside Slack"),
            (Attachment("F1", "a.png", url="http://evil.slack.com.example.com/"), "outside Slack"),
        ]:
            with pytest.raises(AttachmentRejected, match=why):
                await slack.adapter.fetch(attachment, 1000)
    async with rig(is_running=False) as slack:
        hosted = slack.sim.add_file("a.png", b"x" * 2000, "image/png")
        url = f"{slack.sim.url}/files/{slack.sim.team_id}-{hosted.id}/a.png"
        with pytest.raises(AttachmentRejected, match="larger"):
            await slack.adapter.fetch(Attachment("F1", "a.png", url=url), 1000)


async def test_buttons_become_commands() -> None:
    """Rating, regenerating and stopping reach the core with the turn they are about."""
    async with rig() as slack:
        root = await slack.sim.say("C0GENERAL", "U0ALICE", "question")
        ts = await slack.adapter.post(slack.target(root), part("answer", final=True))
        await slack.event()
        await slack.sim.click("C0GENERAL", ts, "U0BOB", "talkwarden_feedback", "turn1 down")
        await slack.sim.click("C0GENERAL", ts, "U0BOB", "talkwarden_regenerate")
        await until(lambda: len(slack.intake.events) == 3)
        rated, again = slack.intake.events[1:]

    assert (rated.name, rated.argument, again.name, again.argument) == (
        "feedback",
        "turn1 down",
        "regenerate",
        "turn1",
    )
    assert rated.conversation == f"slack:{slack.sim.team_id}:C0GENERAL:{root}"
