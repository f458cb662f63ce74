"""How Slack's events reach the bot: two sockets, signed requests, and what breaks them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time

import msgspec
from scenario.harness import Options, World, bot_process
from scenario.slack_side import ALICE, BOB, ROOM, answer, answers, ask, is_complete, slack_world

from bots.simulators.slack import ALL_SCOPES


def ready(w: World) -> int:
    """Connections on which Slack still sends."""
    return sum(not each.draining for each in w.slack.connections)


async def keep_asking(w: World, questions: list[str]) -> None:
    """A question every few milliseconds, each in a thread of its own."""
    while True:
        questions.append(await w.say_slack(f"number {len(questions)}"))
        await asyncio.sleep(0.01)


async def all_answered_once(w: World, questions: list[str]) -> None:
    """Wait until all is quiet; each question has one complete answer."""
    await w.until(lambda: all(answers(w, each) for each in questions))
    await w.idle()
    assert [len(answers(w, each)) for each in questions] == [1] * len(questions)
    assert all(is_complete(answers(w, each)[0]) for each in questions)


async def test_two_sockets_share_the_work() -> None:
    """Socket Mode holds two connections, and questions on either are answered once."""
    async with slack_world() as w:
        questions = [await w.say_slack(f"number {number}") for number in range(6)]

        await all_answered_once(w, questions)
        assert [each.delivered > 0 for each in w.slack.connections] == [True, True]


async def test_refresh_without_a_gap() -> None:
    """While Slack refreshes each connection in turn, one is always there and nothing is lost."""
    async with slack_world(disconnect_grace=0.1) as w:
        questions: list[str] = []
        asking = asyncio.create_task(keep_asking(w, questions))
        lowest = 2
        for reason in ("refresh_requested", "refresh_requested", "warning"):
            before = w.slack.sockets.opened
            w.slack.disconnect(reason, count=1)
            while ready(w) < 2 or w.slack.sockets.opened == before:
                lowest = min(lowest, ready(w))
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.15)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        await all_answered_once(w, questions)
        assert lowest >= 1
        assert all(each.attempts == 1 for each in w.slack.deliveries)


async def test_cut_connections_come_back() -> None:
    """When both connections break at once they are opened again, and what fell between is
    redelivered and answered once."""
    async with slack_world(ack_timeout=0.2) as w:
        questions: list[str] = []
        asking = asyncio.create_task(keep_asking(w, questions))
        await asyncio.sleep(0.05)
        w.slack.drop_sockets()
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        await all_answered_once(w, questions)
        assert ready(w) == 2


async def test_both_connections_refreshed_at_once() -> None:
    """A refresh of both connections at once is survived too, by redelivery."""
    async with slack_world(ack_timeout=0.2, disconnect_grace=0.1) as w:
        w.slack.disconnect("refresh_requested")
        questions = [await w.say_slack(f"number {number}") for number in range(5)]

        await all_answered_once(w, questions)
        await w.until(lambda: ready(w) == 2)


async def test_events_over_http() -> None:
    """The Events API over HTTP passes Slack's challenge, and questions are answered once."""
    async with slack_world(mode="http") as w:
        assert await w.slack.verify_url()
        found = await ask(w, "over HTTP")
        home = await w.slack.slash("/talkwarden", "help", ROOM, ALICE)

        assert "over HTTP" in found.displayed
        await w.until(lambda: home.responses)
        await w.slack.redeliver(w.slack.deliveries[0].event_id or "")
        await w.idle()
        assert len(w.requests()) == 1
        assert w.slack.unacked == []


async def test_forged_and_stale_requests_are_refused() -> None:
    """A wrong signature, none at all, or a timestamp older than five minutes: 401, and nothing
    is stored."""
    async with slack_world(mode="http") as w:
        await ask(w, "a real one")
        genuine = next(each for each in w.slack.deliveries if each.event_id).payload
        stored = w.rows("SELECT count(*) FROM inbox")
        event = {**genuine["event"], "ts": f"{time.time():.6f}", "client_msg_id": "forged"}
        body = msgspec.json.encode({**genuine, "event_id": "Ev0FORGED", "event": event})
        old = str(int(time.time()) - 301)

        assert await w.slack.post(body, signature="v0=" + 64 * "0") == 401
        assert await w.slack.post(body, signature="") == 401
        assert await w.slack.post(body, timestamp=old) == 401
        assert await w.slack.post(b"garbage", signature="v0=1") == 401
        await w.idle()
        assert w.rows("SELECT count(*) FROM inbox") == stored
        assert len(w.requests()) == 1
        assert await w.slack.post(body) == 200


async def test_unreadable_events_are_acknowledged_and_counted() -> None:
    """What can't be read is counted and acknowledged, so that Slack does not send it again, and
    the next question is answered."""
    async with slack_world() as w:
        await w.slack.deliver({"type": "message"})
        await w.slack.deliver({"type": "message", "channel": ROOM, "ts": None, "user": 7})
        await w.slack.deliver({"type": "a_new_kind", "what": "ever"})
        await w.slack.deliver_raw("{not json")
        await w.slack.deliver_raw({"type": "events_api", "envelope_id": "e1", "payload": []})
        found = await ask(w, "still there?")

        assert "still there?" in found.displayed
        await w.idle()
        assert w.slack.unacked == []
        assert sum(unreadable(w).values()) >= 3


def unreadable(w: World) -> dict[str, int]:
    """How many events could not be read."""
    found = w.app.counters.as_dict()
    return {name: int(count) for name, count in found.items() if "unreadable" in name}


async def test_redelivery_and_doubles_are_answered_once() -> None:
    """app_mention and message of one post, the same event again, and one client_msg_id under two
    timestamps have one answer."""
    async with slack_world() as w:
        first = await w.say_slack("asked once", client_msg_id="one")
        await answer(w, first)
        for delivery in list(w.slack.deliveries[:2]):
            await w.slack.redeliver(delivery.event_id or "")
        again = await w.say_slack("asked once", client_msg_id="one")
        await w.idle()

        assert len(answers(w, first)) == 1
        assert answers(w, again) == []
        assert len(w.requests()) == 1
        assert w.slack.unacked == []


async def test_what_is_not_stored_is_not_acknowledged() -> None:
    """While the database can't be written nothing is acknowledged; Slack sends it again, and it
    is answered once."""
    async with slack_world(ack_timeout=0.15) as w:
        with contextlib.closing(sqlite3.connect(w.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            question = await w.say_slack("will you get this?")
            await w.until(lambda: all(each.attempts > 1 for each in w.slack.unacked))
            assert len(w.slack.unacked) == 2
            assert answers(w, question) == []
            other.execute("ROLLBACK")

        await answer(w, question)
        await w.idle()
        assert len(answers(w, question)) == 1
        assert w.slack.unacked == []


async def test_revoked_tokens_end_slack_alone() -> None:
    """When Slack revokes the token its connections go, and Discord answers on."""
    async with slack_world(platforms=("slack", "discord")) as w:
        await ask(w, "before")
        await w.slack.deliver({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOB]}})
        await w.until(lambda: not w.slack.connections)

        assert "after" in (await w.ask("after")).content
        assert await w.stop() == 0


async def test_missing_scope_and_bad_token_are_named() -> None:
    """A missing scope is named in the log; a wrong app token ends Slack with plain words and
    exit code 1."""
    async with (
        slack_world(is_started=False, scopes=ALL_SCOPES - {"files:read"}) as w,
        bot_process(w, is_started=False, SLACK_APP_TOKEN="xapp-wrong") as bot,
    ):
        await bot.launch()

        assert await bot.wait() == 1
        assert "files:read" in bot.log
        assert "SLACK_APP_TOKEN" in bot.log
        assert "connections:write" in bot.log
        assert "xapp-wrong" not in bot.log
        assert "Traceback" not in bot.log


async def test_sigterm_drains() -> None:
    """SIGTERM in the middle of an answer: it is finished, and the exit code is 0."""
    slow = Options(tokens=30, duration=1.0)
    async with slack_world(is_started=False, model=slow) as w, bot_process(w) as bot:
        question = await w.say_slack("a long one")
        await w.until(lambda: answers(w, question))

        assert await bot.terminate() == 0
        (found,) = answers(w, question)
        assert found.displayed.count("word") == 30
        assert is_complete(found)
