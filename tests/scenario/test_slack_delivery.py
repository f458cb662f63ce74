"""How answers appear in Slack: streams, updates, parts, and calls that go wrong."""

from __future__ import annotations

import asyncio
import re

import pytest
from scenario.harness import Options, World
from scenario.slack_side import (
    ALICE,
    BOB,
    DM,
    ROOM,
    answer,
    answers,
    draft,
    is_complete,
    slack_world,
    text_of_answer,
)

from bots.simulators.completions.options import Scripted
from bots.simulators.slack import SlackChannel

HOSTILE = "<!channel> <!here|here> @here @channel @everyone <@U0BOB> <!subteam^S1> &lt;!here&gt;"
WORDS = 40
CALLS = [
    ("chat.postMessage", False),
    ("chat.update", False),
    ("chat.startStream", True),
    ("chat.appendStream", True),
    ("chat.stopStream", True),
]


def said(text: str, **more: float) -> Options:
    """A model that always says this."""
    return Options(mode="script", script=(Scripted(text),), **more)  # type: ignore[arg-type]


def refused(w: World) -> list[tuple[str, str | None]]:
    """The calls that Slack refused, 429 included."""
    return [(each.method, each.error) for each in w.slack.calls if each.error]


def joined(w: World, question: str, channel: str = ROOM) -> str:
    """The whole answer."""
    return "".join(text_of_answer(each) for each in answers(w, question, channel))


async def test_native_stream() -> None:
    """An answer that takes its time is one native stream: it grows, ends, and has its buttons."""
    async with slack_world(model=Options(tokens=WORDS, duration=1.5)) as w:
        question = await w.say_slack("a long one")
        live = await draft(w, question)
        assert live.stream == "in_progress"
        found = await answer(w, question)

        assert found is live
        assert text_of_answer(found) == " ".join(f"word{number}" for number in range(WORDS))
        assert found.stream == "completed"
        assert w.slack.count("chat.startStream") == w.slack.count("chat.stopStream") == 1
        assert 1 <= w.slack.count("chat.appendStream") <= 3
        assert w.slack.count("chat.postMessage") == w.slack.count("chat.update") == 0
        assert refused(w) == []


async def test_posted_and_updated_without_streams() -> None:
    """Where streams are off, or the workspace refuses them, one message is posted and updated."""

    async def updated(*, is_refused: bool) -> None:
        model, settings = Options(tokens=WORDS, duration=1.5), {"slack.stream": is_refused}
        async with slack_world(model=model, settings=settings) as w:
            if is_refused:
                w.slack.fail("chat.startStream", times=99, error="feature_not_enabled")
            question = await w.say_slack("a long one")
            live = await draft(w, question)
            found = await answer(w, question)

            assert found is live
            assert found.displayed.count("word") == WORDS
            assert w.slack.count("chat.postMessage") == 1
            assert len(found.revisions) >= 2
            assert w.slack.count("chat.startStream") == is_refused

    await asyncio.gather(updated(is_refused=False), updated(is_refused=True))


async def test_stream_is_finished_before_slack_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that outlives a stream's five minutes goes on as an update of the same message,
    before Slack ends the stream."""
    monkeypatch.setattr("bots.slack.streams.LIFE", 0.5)
    async with slack_world(model=Options(tokens=WORDS, duration=1.5), stream_life=1.6) as w:
        question = await w.say_slack("a very long one")
        live = await draft(w, question)
        found = await answer(w, question)

        assert found is live
        assert found.displayed.count("word") == WORDS
        assert refused(w) == []
        assert w.slack.count("chat.update") >= 1


async def test_stream_that_slack_ended() -> None:
    """A stream that Slack ended early is completed by updates of the same message."""
    async with slack_world(model=Options(tokens=WORDS, duration=1.5), stream_life=0.8) as w:
        question = await w.say_slack("a very long one")
        live = await draft(w, question)
        found = await answer(w, question)

        assert found is live
        assert found.displayed.count("word") == WORDS
        assert answers(w, question) == [found]


async def test_more_answers_than_streams() -> None:
    """More parallel answers than the workspace's limits give streams for: all are whole, and no
    429 is ignored or even met."""
    rooms = [f"C0ROOM{number}" for number in range(6)]
    async with slack_world(
        model=Options(tokens=WORDS, duration=1.0),
        settings={"slack.limits": True},
        rate_limits=True,
    ) as w:
        for room in rooms:
            w.slack.add_channel(SlackChannel(id=room, name=room.lower(), members=[ALICE]))
        asked = [(await w.say_slack("a question", channel=room), room) for room in rooms * 4]
        done = await asyncio.gather(*(answer(w, ts, room, within=20) for ts, room in asked))

        assert [each.displayed.count("word") for each in done] == [WORDS] * len(asked)
        assert all(len(answers(w, ts, room)) == 1 for ts, room in asked)
        assert sum(each.stream == "completed" for each in done) >= 12
        assert any(each.stream is None for each in done)
        assert w.slack.ignored_limits == {}
        assert w.slack.limited == {}


async def test_no_call_follows_a_429_too_soon() -> None:
    """A 429 on any posting call is waited for, and the answer is there once and whole."""
    answer_of = Options(tokens=WORDS, duration=1.6)

    async def limited(method: str, *, stream: bool) -> None:
        async with slack_world(model=answer_of, settings={"slack.stream": stream}) as w:
            w.slack.fail(method, retry_after=1)
            question = await w.say_slack("a question")
            found = await answer(w, question)

            assert answers(w, question) == [found]
            assert found.displayed.count("word") == WORDS
            assert w.slack.ignored_limits == {}

    await asyncio.gather(*(limited(method, stream=stream) for method, stream in CALLS))


async def test_a_call_of_unknown_outcome_posts_no_second_message() -> None:
    """Each posting call is carried out and its connection cut, or cut before, or answered with
    503: one whole answer stands there, and no stream is left open."""

    async def broken(fault: str, method: str, *, stream: bool) -> None:
        settings = {"slack.stream": stream}
        async with slack_world(model=Options(tokens=WORDS, duration=1.6), settings=settings) as w:
            w.slack.fail(method, **{fault: 503 if fault == "status" else True})  # type: ignore[arg-type]
            question = await w.say_slack("a question")
            await answer(w, question)
            await w.idle()

            (found,) = answers(w, question)
            assert found.displayed.count("word") == WORDS, (fault, method, found.displayed)
            assert is_complete(found)

    faults = ("drop_after", "drop_before", "status")
    cases = [(fault, *call) for fault in faults for call in CALLS]
    await asyncio.gather(*(broken(fault, name, stream=stream) for fault, name, stream in cases))


async def test_nothing_ever_pings() -> None:
    """An answer full of calls to everybody pings nobody, streamed, posted, updated, private or in
    a DM, and is shown as it was written."""
    fence = f"{HOSTILE}\n```\n{HOSTILE}\n```\n> {HOSTILE}"

    async def call_everybody(*, stream: bool) -> None:
        settings = {"slack.stream": stream, "model.persona": HOSTILE}
        async with slack_world(model=said(fence, duration=0.3), settings=settings) as w:
            for channel in (ROOM, DM):
                question = await w.say_slack("call everybody", channel=channel)
                await answer(w, question, channel)
                assert joined(w, question, channel) == fence
            await w.slack.slash("/talkwarden", "persona", ROOM, ALICE)
            await w.until(lambda: w.slack.ephemerals)

            own = w.slack.own_messages()
            assert [each.pings for each in own] == [[]] * len(own)
            assert not re.search(r"<[!@]", str(w.slack.ephemerals))
            assert all(call.params.get("link_names") is None for call in w.slack.calls)

    await asyncio.gather(call_everybody(stream=True), call_everybody(stream=False))


async def test_long_answers_are_whole() -> None:
    """An answer longer than a message arrives whole in parts that joined are the answer, at once
    or while it grows, and Slack never refuses a part."""
    text = "".join(f"Sentence {number} & <more> of it.\n" for number in range(700))

    async def long(duration: float, *, stream: bool) -> None:
        settings = {"slack.stream": stream}
        async with slack_world(model=said(text, duration=duration), settings=settings) as w:
            question = await w.say_slack("everything")
            await w.until(lambda: joined(w, question).rstrip() == text.rstrip())
            await w.idle()

            parts = answers(w, question)
            assert len(parts) > 4
            assert all(is_complete(each) for each in parts)
            assert all(len(each.text) <= 4000 for each in parts)
            assert refused(w) == []

    await asyncio.gather(long(0.0, stream=True), long(1.5, stream=True), long(1.5, stream=False))


async def test_two_members_at_once() -> None:
    """Questions in one thread are answered one by one, in order; threads do not wait for each
    other."""
    async with slack_world(model=Options(mode="echo", duration=0.15)) as w:
        first = await w.say_slack("first")
        other = await w.say_slack("elsewhere", user=BOB)
        await w.say_slack("second", thread_ts=first)
        await w.slack.say(ROOM, BOB, "third", thread_ts=first)
        await w.until(lambda: len(answers(w, first)) == 3)
        await w.idle()

        shown = [text_of_answer(each) for each in answers(w, first)]
        assert [text.split()[-1] for text in shown] == ["first", "second", "third"]
        assert answers(w, other)[0].posted_at < answers(w, first)[1].posted_at
