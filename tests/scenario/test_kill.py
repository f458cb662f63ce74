"""SIGKILL in the middle of an answer, on both platforms at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from scenario.harness import SLACK, Options, World, bot_process, together, world

WORDS = 60
NOT_BY_ITSELF = replace(SLACK, retry_delays=(1e6,) * 3)
WITHIN = 60.0  # seconds that five bots side by side may take on a busy machine
DELAYS = (0.0, 0.02, 0.3, 0.9, 1.1)


def shown(made: World, thread: str, question: int) -> tuple[list[int], list[int]]:
    """How many words each of the bot's messages shows, on Slack and on Discord."""
    slack = [
        message.displayed.count("word")
        for message in made.slack.thread("C0GENERAL", thread)
        if message.bot_id and not message.deleted
    ]
    discord = [each for each in made.replies() if each.reference in {None, question}]
    return slack, [message.content.count("word") for message in discord]


async def redeliver(w: World) -> None:
    """Slack's clock moves on: what it has no acknowledgement of comes once more."""
    for each in w.slack.unacked:
        assert each.event_id is not None
        await w.slack.redeliver(each.event_id)


async def kill_after(delay: float, *, store: str = "sqlite") -> None:
    """Ask on both platforms, kill, start, and look at what stands there in the end."""
    answer = Options(tokens=WORDS, duration=1.0)
    both = ("slack", "discord")
    async with (
        world(both, is_started=False, model=answer, store=store, slack=NOT_BY_ITSELF) as w,
        bot_process(w) as bot,
    ):
        await w.settled()
        thread, question = await w.say_slack("a question"), await w.say("another")
        await asyncio.sleep(delay)
        await bot.kill()
        if store == "postgres":
            w.rows("UPDATE leases SET expires_at = 0")  # half a minute passes
        await bot.start()
        await redeliver(w)
        await w.until(lambda: shown(w, thread, question) == ([WORDS], [WORDS]), within=WITHIN)
        await w.idle(quiet=0.5)

        assert shown(w, thread, question) == ([WORDS], [WORDS])
        assert all(message.stream != "in_progress" for message in w.slack.own_messages())
        assert await bot.terminate() == 0


async def test_killed_in_the_middle_and_answered_once() -> None:
    """Whenever the process is killed, each question has exactly one whole answer afterwards."""
    await together(*(kill_after(delay) for delay in DELAYS))


async def test_killed_on_postgresql_and_answered_once() -> None:
    """The same on PostgreSQL, where the dead process's lease has to run out first."""
    await kill_after(0.3, store="postgres")


async def killed_behind_a_post(platform: str) -> None:
    """Kill between a post and its note, delete the question, start: nothing is left of it."""
    answer = Options(tokens=WORDS, duration=1.0)
    async with (
        world((platform,), is_started=False, model=answer, slack=NOT_BY_ITSELF) as w,
        bot_process(w, is_started=False) as bot,
    ):
        await bot.start(until="post.after@1")
        if platform == "slack":
            thread = await w.say_slack("a question")
            await bot.wait()
            await w.slack.delete("C0GENERAL", thread)
        else:
            question = await w.say("a question")
            await bot.wait()
            (posted,) = w.replies()
            assert posted.reference == question
            await w.discord.delete(question)
        await bot.start()
        await w.idle(quiet=1.0)
        if platform == "slack":
            await redeliver(w)
            await w.idle(quiet=1.0)
            assert not [each for each in w.slack.own_messages() if not each.deleted]
        else:
            assert not w.replies()
        assert await bot.terminate() == 0


async def test_killed_behind_a_post_whose_question_goes_meanwhile() -> None:
    """What was posted and not noted is withdrawn too, though nothing will be posted again."""
    await together(killed_behind_a_post("slack"), killed_behind_a_post("discord"))
