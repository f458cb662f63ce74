"""The Events API over HTTP against the real Bolt adapter, and the simulator as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from bots.simulators.slack import SlackOptions, SlackSimulator


class Endpoint:
    """A request URL served by Bolt; `statuses` are answered first, without Bolt."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], str]] = []
        self.statuses: list[int] = []
        self.extra: dict[str, str] = {}
        self.delay = 0.0
        self.app: AsyncApp | None = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.text()
        self.requests.append((dict(request.headers), body))
        await asyncio.sleep(self.delay)
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), headers=self.extra)
        assert self.app is not None
        bolt = AsyncBoltRequest(body=body, headers=dict(request.headers))
        answer = await self.app.async_dispatch(bolt)
        kind = answer.first_headers_without_set_cookie().get("content-type", "text/plain")
        return web.Response(
            status=answer.status, text=answer.body, content_type=kind.partition(";")[0]
        )


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[SlackSimulator, Endpoint]]:
    endpoint = Endpoint()
    runner = web.ServerRunner(web.Server(endpoint.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    settings = SlackOptions(mode="http", request_url=url, **options)
    async with SlackSimulator(settings) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        endpoint.app = AsyncApp(client=client, signing_secret=slack.signing_secret)
        yield slack, endpoint
    await runner.cleanup()


async def test_events_are_signed_and_acknowledged() -> None:
    """Bolt accepts the signature, and its 200 acknowledges the event."""
    async with serving() as (slack, endpoint):
        assert endpoint.app is not None

        @endpoint.app.event("message")
        async def heard() -> None:
            """Accept everything."""

        await slack.say("C1", "U1", "hi")
        await slack.wait_for(lambda: not slack.unacked)

        headers, body = endpoint.requests[0]
        assert "X-Slack-Retry-Num" not in headers
        assert json.loads(body)["event"]["text"] == "hi"


async def test_retries_carry_number_and_reason() -> None:
    """A failing endpoint sees the same event again until it answers 2xx."""
    async with serving(retry_delays=(0, 1, 5), retry_scale=0.001) as (slack, endpoint):
        endpoint.statuses = [500, 503, 200]
        await slack.say("C1", "U1", "hi")
        await slack.wait_for(lambda: not slack.unacked)

        seen = [headers.get("X-Slack-Retry-Num") for headers, _ in endpoint.requests]
        assert seen == [None, "1", "2"]
        assert endpoint.requests[1][0]["X-Slack-Retry-Reason"] == "http_error"
        assert len({body for _, body in endpoint.requests}) == 1


async def test_an_app_can_refuse_retries() -> None:
    """X-Slack-No-Retry ends them after the first failure."""
    async with serving(retry_delays=(0, 0, 0)) as (slack, endpoint):
        endpoint.statuses, endpoint.extra = [500] * 9, {"X-Slack-No-Retry": "1"}
        await slack.say("C1", "U1", "hi")
        delivery = slack.deliveries[0]
        await slack.wait_for(lambda: delivery.given_up)

        assert (len(endpoint.requests), delivery.http_status) == (1, 500)


async def test_a_slow_endpoint_times_out() -> None:
    """An answer after the timeout is too late for its attempt, yet ends the retries."""
    options = {"ack_timeout": 0.05, "retry_delays": (0, 9)}
    async with serving(**options) as (slack, endpoint):
        endpoint.statuses, endpoint.delay = [200, 200], 0.07
        await slack.say("C1", "U1", "hi")
        delivery = slack.deliveries[0]
        await slack.wait_for(lambda: delivery.acked_at)
        await slack.wait_for(lambda: len(endpoint.requests) == 2)

        assert endpoint.requests[1][0]["X-Slack-Retry-Reason"] == "http_timeout"


async def test_the_request_url_can_be_set_late() -> None:
    """An app that started after the simulator is reached all the same."""
    async with serving() as (slack, _endpoint):
        url = slack.http.request_url
        slack.point_at("http://127.0.0.1:1/")
        slack.point_at(url)

        assert await slack.verify_url()


async def test_an_unreachable_endpoint_is_retried() -> None:
    """A refused connection is a failed delivery with its own reason."""
    options = SlackOptions(
        mode="http", request_url="http://127.0.0.1:1/", retry_delays=(0,), ack_timeout=0.5
    )
    async with SlackSimulator(options) as slack:
        await slack.say("C1", "U1", "hi")
        delivery = slack.deliveries[0]
        await slack.wait_for(lambda: delivery.given_up)

        assert (delivery.attempts, delivery.retry_reason) == (2, "connection_failed")


async def test_bad_signatures_and_old_requests_are_seen_through() -> None:
    """A wrong signature and a timestamp five minutes old get Bolt's 401."""
    body = b'{"type":"event_callback","event":{"type":"message"},"team_id":"T"}'
    async with serving() as (slack, _endpoint):
        old = str(int(time.time()) - 301)

        assert await slack.post(body, signature="v0=00") == 401
        assert await slack.post(body, timestamp=old) == 401
        assert await slack.deliver_raw("{") != 401


async def test_the_url_is_verified() -> None:
    """Bolt returns the challenge."""
    async with serving() as (slack, _endpoint):
        assert await slack.verify_url()


async def test_commands_and_interactions_are_forms() -> None:
    """Over HTTP a command is form-encoded and its answer is the ack."""
    async with serving() as (slack, endpoint):
        assert endpoint.app is not None

        @endpoint.app.command("/talkwarden")
        async def command(ack: Any) -> None:
            await ack({"text": "hello", "response_type": "ephemeral"})

        @endpoint.app.shortcut("ask")
        async def shortcut(ack: Any) -> None:
            await ack()

        done = await slack.slash("/talkwarden", "help", "C1", "U1")
        ts = await slack.say("C1", "U1", "hi")
        chosen = await slack.shortcut("ask", "C1", ts, "U1")

        assert (done.acked, done.text) == (True, "hello")
        assert parse_qs(endpoint.requests[0][1])["command"] == ["/talkwarden"]
        assert chosen.acked


@contextlib.asynccontextmanager
async def process() -> AsyncIterator[tuple[dict[str, str], aiohttp.ClientSession]]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bots.simulators.slack",
        "--json-options",
        '{"own_events": false, "users": [{"id": "U1", "name": "ada"}]}',
        stdout=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    ready = json.loads(await running.stdout.readline())
    try:
        async with aiohttp.ClientSession() as session:
            yield ready, session
    finally:
        running.terminate()
        assert await running.wait() == 0


async def test_another_process_can_be_driven() -> None:
    """The control interface says, edits, lists with instants, and resets."""
    async with process() as (ready, session):

        async def control(verb: str, **arguments: Any) -> Any:
            async with session.post(ready["control_url"] + verb, json=arguments) as answer:
                return await answer.json()

        client = AsyncWebClient(
            token=ready["bot_token"], base_url=ready["api_url"], session=session
        )
        before = time.monotonic()
        said = await control("say", channel="C1", user="U1", text="hi")
        posted = await client.chat_postMessage(channel="C1", text="a", thread_ts=said["ts"])
        await control("edit", channel="C1", ts=said["ts"], text="hello")
        messages = await control("messages", channel="C1")
        deliveries = await control("deliveries")
        calls = await control("calls", method="chat.postMessage")
        state = await control("state")
        many = await control(
            "say_many", messages=[{"channel": "C2", "user": "U1", "text": "x"}] * 2
        )
        await control("reset")
        emptied = await control("messages")
        wrong = await control("say", nonsense=1)
        unknown = await control("dance")

    assert [message["text"] for message in messages] == ["hello", "a"]
    assert messages[1]["ts"] == posted["ts"]
    assert before <= messages[1]["first_text_at"][0] <= time.monotonic()
    assert [delivery["subtype"] for delivery in deliveries] == [None, "message_changed"]
    assert deliveries[0]["sent_at"][0] >= said["sent_at"][0]
    assert calls[0]["params"]["text"] == "a"
    assert (state["connections"], state["counts"]) == (0, {"chat.postMessage": 1})
    assert (len(many), emptied) == (2, [])
    assert "TypeError" in wrong["error"]
    assert "unknown verb" in unknown["error"]
