"""What a process that ends anywhere leaves to the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fakes.adapter import FakeAdapter
from fakes.core import CoreUnderTest
from fakes.events import ALICE, deleted, message
from fakes.waiting import until

from bots.simulators.completions import Options
from bots.simulators.completions.options import Scripted
from core.adapter import Target
from core.errors import LeaseLost, NotStored
from core.storage import Op, Store
from core.turns import (
    Reply,
    begin_op,
    complete_op,
    open_lanes_op,
    take_rows_op,
)

Make = Callable[..., AbstractAsyncContextManager[CoreUnderTest]]

pytestmark = pytest.mark.usefixtures("quick_core")


class TestRestarting:
    """What a process that ends anywhere leaves to the next one."""

    async def test_a_finished_turn_is_not_paid_for_again(self, make: Make) -> None:
        """A text that was complete before the crash is delivered, once, without the model."""
        adapter = FakeAdapter(gate=asyncio.Event())
        async with make(adapter=adapter) as core:
            await core.say()
            await until(lambda: core.adapter.calls)
            await asyncio.sleep(0.05)
            post = await core.say("and this", channel="C2")
            await asyncio.sleep(0.05)
            await core.kill()
        adapter.gate = None
        async with make(adapter=adapter) as later:
            await later.settled()
            assert sorted(adapter.texts()) == ["Alice: and this", "Alice: hello"]
            assert not later.asked()
            assert [entry.role for entry in await later.history()] == ["user", "assistant"]
            assert len(await later.history(post.conversation)) == 2
            totals = await later.ledger.spent(post.place, ALICE, later.ledger.today())
            assert totals.calls == 2
            seen = adapter.names()
        async with make(adapter=adapter) as last:
            await last.settled()
            assert adapter.names() == seen

    async def test_a_running_turn_edits_the_same_message(self, make: Make) -> None:
        """A crash in the middle of an answer leads to one message with the whole answer."""
        script = (Scripted("word " * 15),)
        adapter = FakeAdapter()
        async with make(adapter=adapter, options=Options("script", script, rate=50)) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.kill()
        assert len(adapter.shown) == 1
        async with make(adapter=adapter, options=Options("script", script)) as later:
            await later.settled()
            assert adapter.whole.count("word") == 15
            assert adapter.names().count("post") == 1
            assert len(await later.history()) == 2

    async def test_a_stop_of_the_process_parks_the_turn(self, make: Make) -> None:
        """A drain leaves an unfinished answer to the next start, under the same message."""
        script = (Scripted("word " * 15),)
        adapter = FakeAdapter()
        async with make(adapter=adapter, options=Options("script", script, rate=50)) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.engine.drain(0.01)
            assert "stopped" not in adapter.whole
        async with make(adapter=adapter, options=Options("script", script)) as later:
            await later.settled()
            assert adapter.whole.count("word") == 15
            assert adapter.names().count("post") == 1

    async def test_a_question_deleted_while_nobody_ran(self, make: Make) -> None:
        """A begun answer whose question was deleted during the downtime is withdrawn."""
        adapter = FakeAdapter()
        options = Options("script", (Scripted("word " * 200),), rate=50)
        async with make(adapter=adapter, options=options) as core:
            post = await core.say()
            await until(lambda: adapter.shown)
            core.engine._is_stopping = True
            await core.kill()
            await core.give(deleted(post))
        async with make(adapter=adapter) as later:
            await later.settled()
            assert not adapter.shown
            assert await later.history() == []
        async with make(adapter=adapter) as last:
            await last.settled()

    async def test_a_channel_switched_off_while_nobody_ran(self, make: Make) -> None:
        """A begun answer in a channel that is switched off now leaves nothing open."""
        adapter = FakeAdapter()
        options = Options("script", (Scripted("word " * 200),), rate=50)
        async with make(adapter=adapter, options=options) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.kill()
        async with make(adapter=adapter, channels={"C1": {"enabled": False}}) as later:
            await later.settled()
            assert not adapter.shown

    async def test_a_redelivery_after_the_answer_is_nothing(self, make: Make) -> None:
        """What was answered before a restart is not answered after it."""
        adapter = FakeAdapter()
        async with make(adapter=adapter) as core:
            post = await core.say()
            await core.settled()
        async with make(adapter=adapter) as later:
            await later.give(post)
            await later.settled()
            assert len(adapter.names()) <= 2
            assert not later.asked()


async def test_a_stale_fence_commits_nothing(store: Store) -> None:
    """Who has lost a lane can neither finish nor complete a turn that another has taken up."""
    from core.turns import finish_text_op

    post = message()
    target = Target(post.conversation, post.place)
    await store.write(begin_op("t", post.conversation, target, 2, 1.0))
    assert await store.write(begin_op("t", post.conversation, target, 3, 1.0)) == 2
    for op in (
        begin_op("t", post.conversation, target, 2, 1.0),
        finish_text_op("t", 2, "text", Reply(), 1.0),
        complete_op("t", 2, "answered", [], 1.0),
    ):
        with pytest.raises(LeaseLost):
            await store.write(op)
    await store.write(complete_op("t", 3, "answered", [], 1.0))
    with pytest.raises(LeaseLost):
        await store.write(begin_op("t", post.conversation, target, 4, 1.0))


async def test_rows_that_were_not_stored_begin_no_turn(store: Store) -> None:
    """A turn can't take a row that never became durable: the turn is not begun either."""
    from core.inbox import Queued

    post = message()

    def op() -> Op[None]:
        yield from begin_op("t", post.conversation, Target(post.conversation, post.place), 1, 1.0)
        yield from take_rows_op("t", [Queued(4711, post)])

    with pytest.raises(NotStored):
        await store.write(op())
    assert await store.read(open_lanes_op()) == []
