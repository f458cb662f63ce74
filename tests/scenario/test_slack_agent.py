"""The agent surface: status, Stop, feedback and regenerate."""

from __future__ import annotations

from typing import Any

import pytest
from scenario.harness import Options
from scenario.slack_side import (
    ALICE,
    DM,
    ROOM,
    answer,
    answers,
    ask,
    draft,
    has_button,
    prompt_texts,
    slack_world,
    text_of_answer,
    whispers,
)

from bots.simulators.completions.options import Scripted
from bots.simulators.slack import SlackMessage
from bots.slack.blocks import FEEDBACK, REGENERATE, STOP

SLOW = Options(tokens=60, duration=3.0)


@pytest.mark.parametrize("stream", [True, False])
async def test_status_while_working_and_cleared_after(*, stream: bool) -> None:
    """A slow model: the thread shows that the bot works, and nothing of that is left when the
    answer is there."""
    slow = Options(mode="echo", first_delay=1.1)
    async with slack_world(model=slow, settings={"slack.stream": stream}) as w:
        question = await w.say_slack("a hard one", channel=DM)
        await w.until(lambda: w.slack.status(DM, question))
        session = w.slack.sessions[DM, question]
        assert session.status == "processing"
        await answer(w, question, DM)
        await w.idle()

        assert w.slack.status(DM, question) == ""
        assert session.status == "active"


async def test_a_failed_answer_leaves_no_status() -> None:
    """When the model fails for good the status is cleared and one sentence says so."""
    async with slack_world(
        model=Options(first_delay=1.0), settings={"model.retries": 0, "engine.turn_deadline": 1.0}
    ) as w:
        w.model.fail("hang")
        question = await w.say_slack("hello", channel=DM)
        await w.until(lambda: w.slack.status(DM, question))
        found = await answer(w, question, DM)
        await w.idle()

        assert w.slack.status(DM, question) == ""
        assert w.slack.sessions[DM, question].status == "active"
        assert 0 < len(text_of_answer(found)) < 200
        assert not has_button(found, FEEDBACK)


async def test_stop_keeps_the_partial_answer() -> None:
    """The agent's Stop button ends a streamed answer at once; what was visible stays, also in the
    history."""
    async with slack_world(model=SLOW) as w:
        question = await w.say_slack("a long one", channel=DM)
        live = await draft(w, question, DM)
        await w.until(lambda: "word10" in live.displayed)
        await w.slack.press_stop(DM, question, ALICE)
        found = await answer(w, question, DM, within=1.5)
        await w.idle()

        assert found is live
        assert 10 < found.displayed.count("word") < 60
        assert "stopped" in found.displayed
        assert found.stream == "completed"
        w.model.options = Options(mode="echo")
        await ask(w, "go on", channel=DM, thread_ts=question)
        assert "word10" in prompt_texts(w)
        assert "word59" not in prompt_texts(w)


async def test_stop_button_below_an_updated_message() -> None:
    """Without streams the growing message has a Stop button of its own, which does the same."""
    async with slack_world(model=SLOW, settings={"slack.stream": False}) as w:
        question = await w.say_slack("a long one")
        live = await draft(w, question)
        assert has_button(live, STOP)
        await w.slack.click(ROOM, live.ts, ALICE, STOP)
        found = await answer(w, question, within=1.5)

        assert found is live
        assert 0 < found.displayed.count("word") < 60
        assert "stopped" in found.displayed


def thumb(message: SlackMessage, which: str) -> str:
    """The value that Slack sends for one of the feedback buttons."""
    found: dict[str, Any] = dict(
        next(each for _, each in message.actions() if each["action_id"] == FEEDBACK)
    )
    return str(found[which]["value"])


async def test_feedback_is_stored() -> None:
    """A press of a feedback button is stored for that answer and thanked for in private; another
    press of the same member replaces it."""
    async with slack_world() as w:
        found = await ask(w, "a question")
        for count, which in enumerate(("positive_button", "negative_button"), 1):
            value = thumb(found, which)
            await w.slack.click(ROOM, found.ts, ALICE, FEEDBACK, value)
            await w.until(lambda count=count: len(whispers(w)) == count)

        (turn,) = w.rows("SELECT id FROM turns WHERE conversation = lane")[-1:]
        stored = w.rows("SELECT turn, author, value FROM feedback")
        assert stored == [(turn[0], ALICE, "down")]
        assert "Thank you" in whispers(w)[0]


async def test_regenerate_replaces_in_place() -> None:
    """Regenerate writes the answer anew where it stands; the model sees the new one afterwards."""
    two = Options(mode="script", script=(Scripted("the first"), Scripted("the second")))
    async with slack_world(model=two) as w:
        found = await ask(w, "a question")
        await w.idle()
        await w.slack.click(ROOM, found.ts, ALICE, REGENERATE)
        await w.until(lambda: text_of_answer(found) == "the second")
        await w.idle()

        assert w.slack.own_messages(ROOM) == [found]
        assert has_button(found, REGENERATE)
        await ask(w, "and now?", thread_ts=found.thread_ts)
        assert "the second" in prompt_texts(w)
        assert "the first" not in prompt_texts(w)


async def test_regenerate_survives_a_restart() -> None:
    """The buttons below an answer work after a restart, and for a part-wise answer too."""
    first, second = "one " * 1500, "short"
    two = Options(mode="script", script=(Scripted(first), Scripted(second)))
    async with slack_world(model=two) as w:
        question = await w.say_slack("a question", channel=DM)
        await answer(w, question, DM)
        await w.idle()
        _, last = answers(w, question, DM)
        await w.restart()
        await w.slack.click(DM, last.ts, ALICE, REGENERATE)
        await w.until(lambda: len(answers(w, question, DM)) == 1)
        await w.idle()

        assert text_of_answer(answers(w, question, DM)[0]) == "short"
