"""Stops, edits, deletes and answers written anew, before and after something is visible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fakes.core import CoreUnderTest
from fakes.events import ALICE, command, deleted, edited, message
from fakes.waiting import until

from bots.simulators.completions import Options
from bots.simulators.completions.options import Scripted
from core.chat import NOT_MINE
from core.errors import PlatformUnavailable
from core.inbox import turn_id

Make = Callable[..., AbstractAsyncContextManager[CoreUnderTest]]

pytestmark = pytest.mark.usefixtures("quick_core")


class TestChanging:
    """Stops, edits and deletes, before and after something is visible."""

    async def test_a_stop_keeps_what_was_written(self, make: Make) -> None:
        """A stopped answer keeps its text, says so, is history, and is billed."""
        options = Options("script", (Scripted("word " * 200),), rate=100)
        async with make(options=options) as core:
            post = await core.say()
            await until(lambda: core.adapter.shown)
            await core.give(command("stop", of=post))
            await core.settled()
            answer = core.adapter.texts()[0]
            assert answer.startswith("word")
            assert answer.endswith("_(stopped)_")
            kept = (await core.history())[-1]
            assert kept.role == "assistant"
            assert "stopped" not in kept.content
            totals = await core.ledger.spent(post.place, ALICE, core.ledger.today())
            assert totals.calls == 1
            assert totals.completion_tokens > 0

    async def test_a_stop_with_nothing_to_stop(self, core: CoreUnderTest) -> None:
        """A stop in silence says that nothing is being written."""
        await core.give(command("stop"))
        await core.settled()
        assert len(core.adapter.shown) == 1

    async def test_an_edit_before_anything_is_visible_asks_anew(self, make: Make) -> None:
        """The answer is to the words as they were edited; there is one of them."""
        async with make(options=Options("echo", first_delay=0.2)) as core:
            post = await core.say("helo")
            await until(core.asked)
            await core.give(edited(post, "hello", version="1"))
            await until(lambda: len(core.asked()) == 2)
            await core.give(edited(post, "hello!", version="2"))
            await core.settled()
            assert core.adapter.texts() == ["Alice: hello!"]
            assert [posted.versions[0] for posted in core.adapter.shown.values()] == [
                "Alice: hello!"
            ]
            assert [entry.content for entry in await core.history()] == ["hello!", "Alice: hello!"]

    async def test_an_edit_of_a_waiting_question_counts(self, make: Make) -> None:
        """A question that waits is asked as it was edited; a deleted one not at all."""
        async with make(options=Options("echo", first_delay=0.1)) as core:
            await core.say("first")
            second, third = await core.say("secnd"), await core.say("third")
            await core.give(edited(second, "second"), deleted(third))
            await core.settled()
            assert core.adapter.texts() == ["Alice: first", "Alice: second"]
            assert len(core.asked()) == 2

    async def test_an_edit_after_something_is_visible_changes_the_history(self, make: Make) -> None:
        """What members have begun to read is finished; the next turn sees the new words."""
        options = Options("script", (Scripted("word " * 30),), rate=100)
        async with make(options=options) as core:
            post = await core.say("helo")
            await until(lambda: core.adapter.shown)
            await core.give(edited(post, "hello"))
            await core.settled()
            assert len(core.asked()) == 1
            assert core.adapter.whole.count("word") == 30
            assert (await core.history())[0].content == "hello"

    async def test_an_edit_into_something_forbidden_is_refused(self, make: Make) -> None:
        """An edit that breaks a rule takes the message out of the history."""
        async with make(moderation={"remote": "off", "words": ["forbidden"]}) as core:
            post = await core.say("fine")
            await core.settled()
            await core.give(edited(post, "forbidden"))
            await core.settled()
            assert [entry.role for entry in await core.history()] == ["assistant"]

    async def test_a_delete_before_anything_is_visible_cancels(self, make: Make) -> None:
        """A question that is taken back is not answered, and leaves nothing."""
        async with make(options=Options("echo", first_delay=0.2)) as core:
            post = await core.say()
            await until(core.asked)
            await core.give(deleted(post))
            await core.settled()
            assert not core.adapter.names()
            assert await core.history() == []

    async def test_a_delete_right_after_an_edit_cancels(self, make: Make) -> None:
        """Whatever the moments, an edited and then deleted question leaves nothing open."""
        for ticks in (0, 1, 5, 20):
            async with make(options=Options("echo", first_delay=0.05)) as core:
                post = await core.say(channel=f"C{ticks}")
                await until(lambda core=core: core.asked())
                await core.give(edited(post, "other"))
                for _ in range(ticks):
                    await asyncio.sleep(0)
                await core.give(deleted(post))
                await core.settled()
                assert not core.adapter.shown
                assert await core.history(post.conversation) == []

    async def test_a_delete_afterwards_withdraws_the_answer(self, core: CoreUnderTest) -> None:
        """The answer to a deleted question goes with it, even through an outage."""
        post = await core.say()
        await core.settled()
        core.adapter.fail("withdraw", *[PlatformUnavailable()] * 7)
        await core.give(deleted(post))
        await core.settled()
        assert not core.adapter.shown
        assert await core.history() == []

    async def test_a_deleted_answer_is_forgotten(self, core: CoreUnderTest) -> None:
        """When somebody deletes the assistant's message, the model does not see it again."""
        post = await core.say("one")
        await core.settled()
        part = next(iter(core.adapter.shown))
        await core.give(deleted(message(key=part, place=post.place)))
        await core.settled()
        assert [entry.role for entry in await core.history()] == ["user"]


class TestRegenerating:
    """An answer written anew."""

    async def test_it_stands_where_the_first_one_stood(self, make: Make) -> None:
        """The same message shows the new answer; the history has it instead of the old one."""
        script = (Scripted("first " * 40), Scripted("second"))
        async with make(options=Options("script", script)) as core:
            post = await core.say()
            await core.settled()
            assert len(core.adapter.shown) > 1
            await core.give(command("regenerate", turn_id(post), of=post))
            await core.settled()
            assert core.adapter.texts() == ["second"]
            assert core.adapter.names().count("post") == 2
            assert [entry.content for entry in await core.history()] == ["hello", "second"]
            assert len(core.windows()[1]) == 1

    async def test_deleting_the_question_takes_the_new_answer_too(self, make: Make) -> None:
        """After a regeneration the question's deletion withdraws all that is shown."""
        script = (Scripted("first"), Scripted("second " * 40))
        async with make(options=Options("script", script)) as core:
            post = await core.say()
            await core.settled()
            await core.give(command("regenerate", turn_id(post), of=post))
            await core.settled()
            await core.give(deleted(post))
            await core.settled()
            assert not core.adapter.shown
            assert await core.history() == []

    async def test_an_unknown_answer_can_not_be_written_anew(self, core: CoreUnderTest) -> None:
        """A button whose turn is not known, or of another conversation, gets a sentence."""
        post = await core.say(channel="C2")
        await core.settled()
        await core.give(command("regenerate", "unknown"), command("regenerate", turn_id(post)))
        await core.settled()
        assert core.adapter.texts()[1:] == [NOT_MINE, NOT_MINE]
        assert len(core.asked()) == 1
