"""SIGKILL on Slack: after an acknowledgement, in the middle of a stream, and while nobody is up."""

from __future__ import annotations

import asyncio
import signal

from scenario.harness import Options, bot_process
from scenario.slack_side import (
    COMMAND,
    DM,
    ROOM,
    answer,
    answers,
    draft,
    is_complete,
    slack_world,
    text_of_answer,
)

WORDS = 40
WHOLE = " ".join(f"word{number}" for number in range(WORDS))


async def test_killed_right_after_the_acknowledgement() -> None:
    """Killed the moment that Slack has the acknowledgement, before the model has said a word: the
    question is answered once after the start, by a message, a slash command and in HTTP mode."""

    async def kill(mode: str) -> None:
        slow = Options(mode="echo", first_delay=30.0)
        async with slack_world(is_started=False, model=slow, mode=mode) as w, bot_process(w) as bot:
            question = await w.say_slack("are you there?")
            await w.until(lambda: not w.slack.unacked, within=5)
            await w.slack.slash(COMMAND, "ask and here?", ROOM, "U0ALICE")
            await bot.kill()
            w.model.options = Options(mode="echo")
            await bot.start()
            await answer(w, question)
            await w.until(lambda: [each for each in w.slack.own_messages() if "here?" in each.text])
            await w.idle()

            assert [text_of_answer(each) for each in answers(w, question)] == [
                "Alice: are you there?"
            ]
            assert len(w.slack.own_messages()) == 2

    await asyncio.gather(kill("socket"), kill("http"))


async def test_killed_in_the_middle_of_a_stream() -> None:
    """Killed while a native stream grows: after the start that stream is ended and the same message
    shows the whole answer; also when the process died between the call and its record."""

    async def kill(words: int, *, is_unrecorded: bool = False) -> None:
        slow = Options(tokens=WORDS, duration=2.0)
        async with slack_world(is_started=False, model=slow) as w, bot_process(w) as bot:
            if is_unrecorded:
                w.slack.fail("chat.startStream", drop_after=True)
            question = await w.say_slack("a long one", channel=DM)
            live = await draft(w, question, DM)
            await w.until(lambda: live.displayed.count("word") >= words)
            await bot.kill()
            assert live.stream == "in_progress"
            w.model.options = Options(tokens=WORDS)
            await bot.start()
            await w.until(lambda: text_of_answer(live) == WHOLE and is_complete(live))
            await w.idle()

            assert answers(w, question, DM) == [live]
            assert live.stream == "completed"

    await asyncio.gather(kill(1), kill(10), kill(1, is_unrecorded=True))


async def test_asked_while_the_bot_was_down() -> None:
    """What is asked while the bot is killed or stopped is answered when Slack sends it again; what
    was answered before is not answered anew."""
    async with (
        slack_world(is_started=False, ack_timeout=0.3, retry_delays=(50.0,) * 20) as w,
        bot_process(w) as bot,
    ):
        before = await w.say_slack("before")
        await answer(w, before)
        await bot.kill()
        missed = [await w.say_slack(f"missed {number}") for number in range(3)]
        await bot.start()
        await asyncio.gather(*(answer(w, each) for each in missed))
        await w.idle()

        assert [len(answers(w, each)) for each in (before, *missed)] == [1] * 4
        assert w.slack.unacked == []
        assert await bot.signal(signal.SIGTERM) == 0
