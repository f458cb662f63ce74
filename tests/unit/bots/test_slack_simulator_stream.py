"""Streamed messages through the SDK's own methods and its stream helper."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bots.simulators.slack import SlackOptions, SlackSimulator

FEEDBACK = [
    {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "feedback",
                "positive_button": {"text": {"type": "plain_text", "text": "+"}, "value": "up"},
                "negative_button": {"text": {"type": "plain_text", "text": "-"}, "value": "down"},
            }
        ],
    }
]


class Streaming:
    """A question in a channel and the client that streams the answer to it."""

    def __init__(self, slack: SlackSimulator, client: AsyncWebClient, question: str) -> None:
        self.slack = slack
        self.client = client
        self.question = question

    async def start(self, **arguments: Any) -> str:
        answer = await self.client.chat_startStream(
            channel="C1",
            thread_ts=self.question,
            recipient_team_id=self.slack.team_id,
            recipient_user_id="U1",
            **arguments,
        )
        return str(answer["ts"])

    async def error(self, method: str, **arguments: Any) -> str:
        with pytest.raises(SlackApiError) as raised:
            await self.client.api_call(method, json={"channel": "C1", **arguments})
        return str(raised.value.response["error"])


@contextlib.asynccontextmanager
async def streaming(**options: Any) -> AsyncIterator[Streaming]:
    async with (
        SlackSimulator(SlackOptions(**options)) as slack,
        aiohttp.ClientSession() as session,
    ):
        client = AsyncWebClient(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        yield Streaming(slack, client, await slack.say("C1", "U1", "question"))


@pytest.fixture
async def stream() -> AsyncIterator[Streaming]:
    async with streaming() as made:
        yield made


async def test_a_stream_grows_and_is_finished(stream: Streaming) -> None:
    """The message shows each append; stopping adds blocks, metadata and the session's status."""
    ts = await stream.start(markdown_text="One")
    message = stream.slack.message("C1", ts)
    assert (message.text, message.stream) == ("One", "in_progress")

    await stream.client.chat_appendStream(channel="C1", ts=ts, markdown_text=", two")
    metadata = {"event_type": "turn", "event_payload": {"id": "1"}}
    answer = await stream.client.chat_stopStream(
        channel="C1",
        ts=ts,
        markdown_text=".",
        blocks=FEEDBACK,
        metadata=metadata,
        session_status="suspended",
    )

    assert (message.displayed, message.stream) == ("One, two.", "completed")
    assert [seen.text for seen in message.revisions] == ["One", "One, two", "One, two."]
    assert message.metadata == metadata
    assert answer["message"]["text"] == "One, two."
    assert [element["action_id"] for _, element in message.actions()] == ["feedback"]
    assert stream.slack.sessions["C1", stream.question].history == ["suspended"]
    assert message.first_text_at == message.posted_at
    assert message.changed_at > message.posted_at


async def test_the_sdks_stream_helper_works(stream: Streaming) -> None:
    """AsyncChatStream, which sends chunks, leaves the same message."""
    helper = await stream.client.chat_stream(
        channel="C1",
        thread_ts=stream.question,
        recipient_team_id=stream.slack.team_id,
        recipient_user_id="U1",
        buffer_size=1,
    )
    await helper.append(markdown_text="One")
    await helper.append(markdown_text=", two")
    await helper.stop(markdown_text=".")

    assert [message.text for message in stream.slack.own_messages("C1")] == ["One, two."]


async def test_tasks_and_plans_are_kept(stream: Streaming) -> None:
    """In task chunks titles and statuses replace, details grow."""
    first = {"type": "task_update", "id": "1", "title": "Look", "status": "pending", "details": "a"}
    then = {"type": "task_update", "id": "1", "title": "Seen", "status": "complete", "details": "b"}
    ts = await stream.start(chunks=[{"type": "plan_update", "title": "Plan"}, first])
    await stream.client.chat_appendStream(channel="C1", ts=ts, chunks=[then])
    message = stream.slack.message("C1", ts)

    assert message.plan == "Plan"
    assert (message.tasks["1"]["title"], message.tasks["1"]["details"]) == ("Seen", "ab")
    assert await stream.error("chat.appendStream", ts=ts, chunks=[{"type": "x"}]) == (
        "invalid_arguments"
    )


async def test_channels_need_a_recipient_and_a_thread(stream: Streaming) -> None:
    """Each missing argument of startStream has its error; in a DM no recipient is needed."""
    start = {"thread_ts": stream.question}
    await stream.slack.say("D1", "U1", "hi")

    assert await stream.error("chat.startStream") == "invalid_arguments"
    assert await stream.error("chat.startStream", **start) == "missing_recipient_team_id"
    assert await stream.error("chat.startStream", **start, recipient_team_id="T") == (
        "missing_recipient_user_id"
    )
    answer = await stream.client.chat_startStream(channel="D1", thread_ts="1.0")
    assert answer["ok"]


async def test_a_live_stream_cannot_be_updated(stream: Streaming) -> None:
    """chat.update conflicts while it streams and works afterwards."""
    ts = await stream.start(markdown_text="a")
    assert await stream.error("chat.update", ts=ts, text="b") == "streaming_state_conflict"
    await stream.client.chat_stopStream(channel="C1", ts=ts)
    assert await stream.error("chat.appendStream", ts=ts, markdown_text="c") == (
        "message_not_in_streaming_state"
    )
    await stream.client.chat_update(channel="C1", ts=ts, text="b")

    assert stream.slack.message("C1", ts).displayed == "b"


async def test_a_stream_ends_after_its_life() -> None:
    """Appends do not prolong a stream; after its life it can only be updated."""
    async with streaming(stream_life=0.03) as stream:
        ts = await stream.start(markdown_text="a")
        await asyncio.sleep(0.04)

        assert await stream.error("chat.appendStream", ts=ts, markdown_text="b") == (
            "message_not_in_streaming_state"
        )
        await stream.client.chat_update(channel="C1", ts=ts, text="whole")
        assert stream.slack.message("C1", ts).text == "whole"


async def test_stop_pressed_by_the_member_ends_the_stream(stream: Streaming) -> None:
    """After Stop an append answers stopped_by_user; the app can still finish the message."""
    ts = await stream.start(markdown_text="a")
    await stream.slack.press_stop("C1", stream.question, "U1")

    assert await stream.error("chat.appendStream", ts=ts, markdown_text="b") == "stopped_by_user"
    await stream.client.chat_stopStream(channel="C1", ts=ts, markdown_text=" (stopped)")
    assert stream.slack.message("C1", ts).text == "a (stopped)"


async def test_sizes_and_owners_are_checked(stream: Streaming) -> None:
    """12,000 characters a call, own messages only, something to append."""
    ts = await stream.start()
    chunk = {"type": "markdown_text", "text": "x" * 12_001}

    assert await stream.error("chat.appendStream", ts=ts, markdown_text="x" * 12_001) == (
        "msg_too_long"
    )
    assert await stream.error("chat.appendStream", ts=ts, chunks=[chunk]) == "msg_too_long"
    assert await stream.error("chat.appendStream", ts=ts) == "no_text"
    assert await stream.error("chat.appendStream", ts=stream.question, markdown_text="x") == (
        "message_not_owned_by_app"
    )


async def test_the_whole_text_is_cut_at_forty_thousand(stream: Streaming) -> None:
    """Appending beyond it answers a warning and keeps the first forty thousand."""
    ts = await stream.start(markdown_text="x" * 12_000)
    for _ in range(3):
        answer = await stream.client.chat_appendStream(
            channel="C1", ts=ts, markdown_text="x" * 12_000
        )

    assert answer["warning"] == "message_truncated"
    assert len(stream.slack.message("C1", ts).text) == 40_000


async def test_twenty_streams_start_in_a_minute() -> None:
    """With the limits on the twenty-first startStream is refused."""
    async with streaming(rate_limits=True) as stream:
        for _ in range(20):
            await stream.start(markdown_text="a")
        start = {"thread_ts": "1.0", "recipient_team_id": "T", "recipient_user_id": "U1"}

        assert await stream.error("chat.startStream", **start) == "ratelimited"


async def test_streams_are_announced_at_start_and_end(stream: Streaming) -> None:
    """The app hears of its stream twice, not at every append."""
    ts = await stream.start(markdown_text="a")
    for _ in range(3):
        await stream.client.chat_appendStream(channel="C1", ts=ts, markdown_text="b")
    await stream.client.chat_stopStream(channel="C1", ts=ts)
    events = [delivery.payload["event"] for delivery in stream.slack.deliveries]

    assert [event.get("subtype") for event in events] == [None, None, "message_changed"]
    assert events[2]["message"]["streaming_state"] == "completed"
