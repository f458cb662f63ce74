"""The simulator's Socket Mode and members through the real AsyncApp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bots.simulators.slack import ApiError, SlackChannel, SlackOptions, SlackSimulator, SlackUser

Body = dict[str, Any]
BUTTONS = [
    {
        "type": "actions",
        "block_id": "b",
        "elements": [
            {
                "type": "button",
                "action_id": "stop",
                "value": "turn-1",
                "text": {"type": "plain_text", "text": "Stop"},
            }
        ],
    }
]


class Bot:
    """An app that keeps every body it gets and acknowledges it unless told not to."""

    def __init__(self, slack: SlackSimulator, session: aiohttp.ClientSession) -> None:
        self.slack = slack
        self.bodies: list[Body] = []
        self.headers: list[dict[str, Any]] = []
        self.silent = False
        self.client = AsyncWebClient(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        self.app = AsyncApp(client=self.client, ignoring_self_events_enabled=False)
        self.app.use(self._keep)
        self.handlers: list[AsyncSocketModeHandler] = []

    async def _keep(self, req: Any, next: Callable[[], Awaitable[Any]]) -> Any:  # noqa: A002
        self.bodies.append(req.body)
        self.headers.append(dict(req.headers))
        if self.silent:
            return BoltResponse(status=500)
        if "event" in req.body:
            return BoltResponse(status=200)
        return await next()

    async def connect(self, count: int = 1) -> None:
        for _ in range(count):
            handler = AsyncSocketModeHandler(self.app, self.slack.app_token)
            self.handlers.append(handler)
            await handler.connect_async()
        await self.slack.wait_connected(len(self.handlers))

    async def close(self) -> None:
        for handler in self.handlers:
            await handler.close_async()

    def events(self) -> list[Body]:
        # Bolt handles envelopes side by side; the events' own times restore the order.
        found = [body["event"] for body in self.bodies if "event" in body]
        return sorted(found, key=lambda event: (event.get("event_ts", ""), event["type"]))


@contextlib.asynccontextmanager
async def running(options: SlackOptions | None = None, sockets: int = 1) -> AsyncIterator[Bot]:
    async with SlackSimulator(options) as slack, aiohttp.ClientSession() as session:
        bot = Bot(slack, session)
        await bot.connect(sockets)
        try:
            yield bot
        finally:
            await bot.close()


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    async with running() as made:
        yield made


async def settled(bot: Bot) -> None:
    await bot.slack.wait_for(lambda: not bot.slack.unacked)


async def test_a_mention_arrives_twice(bot: Bot) -> None:
    """A mention is a message and an app_mention: same ts, different event ids."""
    ts = await bot.slack.say("C1", "U1", f"<@{bot.slack.bot_user_id}> hi")
    await settled(bot)

    assert [event["type"] for event in bot.events()] == ["app_mention", "message"]
    assert {event["ts"] for event in bot.events()} == {ts}
    assert len({body["event_id"] for body in bot.bodies}) == 2
    assert bot.bodies[0]["authorizations"][0]["user_id"] == bot.slack.bot_user_id


async def test_channel_types_follow_the_channel() -> None:
    """The kind of each conversation is in its events; a DM has no app_mention."""
    options = SlackOptions(channels=(SlackChannel(id="G2", kind="mpim"),))
    async with running(options) as bot:
        for channel in ("C1", "G1", "G2", "D1"):
            await bot.slack.say(channel, "U1", "hi")
        await bot.slack.say("D1", "U1", f"<@{bot.slack.bot_user_id}>")
        await settled(bot)

        kinds = [event["channel_type"] for event in bot.events()]

    assert kinds == ["channel", "group", "mpim", "im", "im"]


async def test_only_subscribed_events_are_sent() -> None:
    """Without message.channels only the app_mention arrives; outside a channel nothing does."""
    options = SlackOptions(
        events=frozenset({"app_mention"}),
        channels=(SlackChannel(id="C2", bot_is_member=False),),
    )
    async with running(options) as bot:
        mention = f"<@{bot.slack.bot_user_id}>"
        await bot.slack.say("C1", "U1", mention)
        await bot.slack.say("C2", "U1", mention)
        await settled(bot)

        assert [event["type"] for event in bot.events()] == ["app_mention"]


async def test_replies_name_their_parent(bot: Bot) -> None:
    """A reply carries thread_ts and the parent's author; a client_msg_id unless told not to."""
    parent = await bot.slack.say("C1", "U1", "a", client_msg_id=None)
    await bot.slack.say("C1", "U2", "b", thread_ts=parent, client_msg_id="id-1")
    await settled(bot)
    first, second = bot.events()

    assert "client_msg_id" not in first
    assert (second["thread_ts"], second["parent_user_id"]) == (parent, "U1")
    assert second["client_msg_id"] == "id-1"


async def test_edits_and_deletes_have_slacks_shapes(bot: Bot) -> None:
    """message_changed carries both versions, message_deleted the old one and its ts."""
    ts = await bot.slack.say("C1", "U1", "a")
    await bot.slack.edit("C1", ts, "b")
    await bot.slack.unfurl("C1", ts)
    await bot.slack.delete("C1", ts)
    await settled(bot)
    _, edit, unfurl, delete = bot.events()

    assert (edit["subtype"], edit["hidden"]) == ("message_changed", True)
    assert (edit["message"]["text"], edit["previous_message"]["text"]) == ("b", "a")
    assert edit["message"]["edited"]["user"] == "U1"
    assert edit["ts"] != ts == edit["message"]["ts"]
    assert unfurl["message"]["edited"] == edit["message"]["edited"]
    assert unfurl["message"]["attachments"]
    assert (delete["subtype"], delete["deleted_ts"]) == ("message_deleted", ts)
    assert delete["previous_message"]["text"] == "b"


async def test_a_deleted_parent_leaves_a_tombstone(bot: Bot) -> None:
    """With replies below it a deleted message changes into a tombstone."""
    ts = await bot.slack.say("C1", "U1", "a")
    await bot.slack.say("C1", "U2", "b", thread_ts=ts)
    await bot.slack.delete("C1", ts)
    await settled(bot)
    event = bot.events()[-1]

    assert event["subtype"] == "message_changed"
    assert event["message"]["subtype"] == "tombstone"
    assert event["previous_message"]["text"] == "a"


async def test_the_bots_own_messages_come_back(bot: Bot) -> None:
    """Own posts arrive with the bot_id, own updates as message_changed."""
    await bot.slack.say("C1", "U1", "a")
    ts = (await bot.client.chat_postMessage(channel="C1", text="x"))["ts"]
    await bot.client.chat_update(channel="C1", ts=ts, text="y")
    await settled(bot)
    _, posted, changed = bot.events()

    assert posted["bot_id"] == bot.slack.bot_id
    assert changed["message"]["bot_id"] == bot.slack.bot_id


async def test_own_events_can_be_switched_off() -> None:
    """With own_events off the bot's own posts send nothing."""
    async with running(SlackOptions(own_events=False)) as bot:
        await bot.slack.say("C1", "U1", "a")
        await bot.client.chat_postMessage(channel="C1", text="x")
        await settled(bot)

        assert len(bot.bodies) == 1


async def test_external_members_are_marked() -> None:
    """In a shared channel an outsider's message names their team."""
    options = SlackOptions(
        users=(SlackUser(id="U9", team_id="T9"),),
        channels=(SlackChannel(id="C9", is_ext_shared=True),),
    )
    async with running(options) as bot:
        await bot.slack.say("C9", "U9", "hi")
        await settled(bot)
        body = bot.bodies[0]

    assert body["is_ext_shared_channel"]
    assert (body["event"]["user_team"], body["event"]["source_team"]) == ("T9", "T9")


async def test_other_bots_are_heard(bot: Bot) -> None:
    """Another app's message has its bot_id and subtype and no client_msg_id."""
    await bot.slack.say("C1", "", "beep", bot_id="B2", subtype="bot_message")
    await settled(bot)
    event = bot.events()[0]

    assert (event["bot_id"], event["subtype"]) == ("B2", "bot_message")
    assert "user" not in event
    assert "client_msg_id" not in event


async def test_stopping_ends_waiting_gestures() -> None:
    """A gesture nobody answered ends when the simulator stops."""
    async with SlackSimulator() as slack:
        pending = asyncio.create_task(slack.slash("/talkwarden", "", "C1", "U1"))
        await slack.wait_for(lambda: slack.deliveries)

    assert not (await pending).acked


async def test_files_come_with_the_message(bot: Bot) -> None:
    """A file is described in the event, or only named when Slack Connect holds it back."""
    files = [
        bot.slack.add_file("a.txt", b"a"),
        bot.slack.add_file("b.txt", b"b", check_info=True),
    ]
    await bot.slack.say("C1", "U1", "see", files=files)
    await settled(bot)
    event = bot.events()[0]

    assert event["subtype"] == "file_share"
    assert event["files"][0]["mimetype"] == "text/plain"
    assert event["files"][1]["file_access"] == "check_file_info"
    assert "url_private" not in event["files"][1]


async def test_slash_commands_are_acknowledged_and_answered(bot: Bot) -> None:
    """The ack's body is an ephemeral, and response_url takes five messages."""

    @bot.app.command("/talkwarden")
    async def command(ack: Any, command: Body) -> None:
        await ack(f"running {command['text']}")

    done = await bot.slack.slash("/talkwarden", "usage", "C1", "U1")
    statuses = []
    async with aiohttp.ClientSession() as session:
        for _ in range(6):
            body = {"text": "more", "response_type": "in_channel"}
            async with session.post(done.response_url, json=body) as answer:
                statuses.append(answer.status)

    assert (done.acked, done.text) == (True, "running usage")
    assert [ephemeral.text for ephemeral in bot.slack.ephemerals] == ["running usage"]
    assert statuses == [200] * 5 + [404]
    assert len(done.responses) == len(bot.slack.own_messages("C1")) == 5


async def test_an_unacknowledged_command_times_out() -> None:
    """Commands are not repeated; the member sees a timeout."""
    async with running(SlackOptions(ack_timeout=0.05)) as bot:
        bot.silent = True
        done = await bot.slack.slash("/talkwarden", "", "C1", "U1")

        assert not done.acked
        assert len(bot.bodies) == 1


async def test_shortcuts_carry_the_message_and_a_trigger(bot: Bot) -> None:
    """A message shortcut holds its message, and its trigger opens one modal."""
    view = {"type": "modal", "title": {"type": "plain_text", "text": "T"}, "blocks": []}
    seen: list[Body] = []
    errors: list[str] = []

    @bot.app.shortcut("ask")
    async def ask(ack: Any, shortcut: Body) -> None:
        await ack()
        seen.append(shortcut)
        await bot.client.views_open(trigger_id=shortcut["trigger_id"], view=view)
        try:
            await bot.client.views_open(trigger_id=shortcut["trigger_id"], view=view)
        except SlackApiError as exc:
            errors.append(exc.response["error"])

    ts = await bot.slack.say("C1", "U1", "what is this?")
    done = await bot.slack.shortcut("ask", "C1", ts, "U2")
    await bot.slack.wait_for(lambda: errors)

    assert done.acked
    assert errors == ["exchanged_trigger_id"]
    assert (seen[0]["message"]["text"], seen[0]["user"]["id"]) == ("what is this?", "U2")
    assert len(bot.slack.workspace.modals) == 1


async def test_buttons_are_pressed_with_their_value(bot: Bot) -> None:
    """A click sends block_actions with the element's value; replace_original edits."""
    seen: list[Body] = []

    @bot.app.action("stop")
    async def stop(ack: Any, body: Body, respond: Any) -> None:
        await ack()
        seen.append(body)
        await respond(text="stopped", replace_original=True)

    await bot.slack.say("C1", "U1", "a")
    ts = (await bot.client.chat_postMessage(channel="C1", text="x", blocks=BUTTONS))["ts"]
    await bot.slack.click("C1", ts, "U1", "stop")
    message = bot.slack.message("C1", ts)
    await bot.slack.wait_for(lambda: message.text == "stopped")

    assert seen[0]["actions"][0]["value"] == "turn-1"
    assert seen[0]["container"]["message_ts"] == ts


async def test_home_and_stop_are_events(bot: Bot) -> None:
    """Opening a tab and pressing Stop reach the app."""
    ts = await bot.slack.say("C1", "U1", "a")
    await bot.slack.open_home("U1", "messages")
    await bot.slack.press_stop("C1", ts, "U1")
    await bot.slack.react("C1", ts, "U1", "eyes")
    await settled(bot)
    _, home, stopped, reaction = bot.events()

    assert (home["type"], home["tab"], home["user"]) == ("app_home_opened", "messages", "U1")
    assert (stopped["type"], stopped["thread_ts"]) == ("agent_session_stopped", ts)
    assert (reaction["type"], reaction["item"]["ts"]) == ("reaction_added", ts)


async def test_buttons_of_the_app_home_work(bot: Bot) -> None:
    """A press in the published view carries the view."""
    seen: list[Body] = []

    @bot.app.action("stop")
    async def helped(ack: Any, body: Body) -> None:
        await ack()
        seen.append(body)

    await bot.client.views_publish(user_id="U1", view={"type": "home", "blocks": BUTTONS})
    await bot.slack.press_home("U1", "stop")

    assert seen[0]["view"]["type"] == "home"
    assert seen[0]["actions"][0]["value"] == "turn-1"
    with pytest.raises(ApiError):
        await bot.slack.press_home("U1", "nothing")


async def test_events_not_acknowledged_are_sent_again() -> None:
    """Three more attempts with their number and reason, then Slack gives up."""
    options = SlackOptions(ack_timeout=0.03, retry_delays=(0, 1, 2), retry_scale=0.01)
    async with running(options) as bot:
        bot.silent = True
        await bot.slack.say("C1", "U1", "a")
        delivery = bot.slack.deliveries[0]
        await bot.slack.wait_for(lambda: delivery.given_up)
        retries = [headers.get("x-slack-retry-num") for headers in bot.headers]

        assert retries == [["0"], ["1"], ["2"], ["3"]]
        assert bot.headers[1]["x-slack-retry-reason"] == ["timeout"]
        assert len({body["event_id"] for body in bot.bodies}) == 1
        assert bot.slack.unacked == [delivery]


async def test_events_wait_for_a_connection() -> None:
    """A message said while no socket is open arrives with a retry."""
    options = SlackOptions(ack_timeout=0.05, retry_delays=(0, 0, 0, 0, 0, 0))
    async with SlackSimulator(options) as slack, aiohttp.ClientSession() as session:
        await slack.say("C1", "U1", "a")
        bot = Bot(slack, session)
        await bot.connect()
        await settled(bot)
        await bot.close()

        assert [event["text"] for event in bot.events()] == ["a"]


async def test_an_event_can_be_redelivered(bot: Bot) -> None:
    """redeliver sends the same event_id once more, acknowledged or not."""
    await bot.slack.say("C1", "U1", "a")
    await settled(bot)
    delivery = bot.slack.deliveries[0]
    await bot.slack.redeliver(str(delivery.event_id))
    await bot.slack.wait_for(lambda: len(bot.bodies) == 2)

    assert bot.bodies[0] == bot.bodies[1]
    with pytest.raises(LookupError):
        await bot.slack.redeliver("Ev0")


async def test_odd_payloads_do_not_break_the_socket(bot: Bot) -> None:
    """Raw frames and made-up events go out as they are."""
    await bot.slack.deliver_raw({"type": "events_api", "envelope_id": "e1", "payload": {}})
    await bot.slack.deliver_raw("{not json")
    await bot.slack.deliver({"type": "channel_rename", "channel": {"id": "C1"}})
    await settled(bot)

    assert "channel_rename" in [event["type"] for event in bot.events()]


async def test_payloads_are_spread_over_the_connections() -> None:
    """Each payload goes to exactly one of the open sockets."""
    async with running(sockets=3) as bot:
        for number in range(9):
            await bot.slack.say("C1", "U1", str(number))
        await settled(bot)

        assert [connection.delivered for connection in bot.slack.connections] == [3, 3, 3]
        assert len(bot.bodies) == 9


async def test_one_connection_too_many_is_turned_away() -> None:
    """The eleventh socket is told too_many_websockets and closed."""
    options = SlackOptions(max_connections=1)
    async with running(options) as bot, aiohttp.ClientSession() as session:
        url = (await bot.client.apps_connections_open(app_token=bot.slack.app_token))["url"]
        async with session.ws_connect(url) as socket:
            frame = await socket.receive_json()
            closing = await socket.receive()

    assert (frame["type"], frame["reason"]) == ("disconnect", "too_many_websockets")
    assert closing.type is aiohttp.WSMsgType.CLOSE


async def test_a_ticket_is_good_once(bot: Bot) -> None:
    """A used websocket URL is refused."""
    url = (await bot.client.apps_connections_open(app_token=bot.slack.app_token))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_a_refresh_makes_the_client_reconnect(bot: Bot) -> None:
    """After refresh_requested the SDK opens a new socket and events flow on."""
    old = bot.slack.connections[0]
    assert bot.slack.disconnect("refresh_requested") == 1
    await bot.slack.wait_for(lambda: bot.slack.sockets.opened == 2 and old.closed_at)
    await bot.slack.say("C1", "U1", "a")
    await settled(bot)

    assert len(bot.slack.connections) == 1
    assert len(bot.bodies) == 1


async def test_a_warned_socket_still_gets_payloads_until_it_is_closed() -> None:
    """warning comes first, then refresh_requested, then the close; acks count to the end."""
    options = SlackOptions(disconnect_grace=0.05)
    async with SlackSimulator(options) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(base_url=slack.api_url, session=session)
        url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
        async with session.ws_connect(url) as socket:
            await socket.receive_json()
            slack.disconnect("warning")
            await slack.say("C1", "U1", "a")
            frames = [await socket.receive_json() for _ in range(3)]
            await socket.send_json({"envelope_id": frames[1]["envelope_id"]})
            closing = await socket.receive()
        await slack.wait_for(lambda: not slack.unacked)

    assert [frame.get("reason") for frame in frames] == ["warning", None, "refresh_requested"]
    assert closing.type is aiohttp.WSMsgType.CLOSE


async def test_stopping_closes_open_sockets() -> None:
    """A simulator that stops closes its sockets properly and ignores nonsense until then."""
    async with aiohttp.ClientSession() as session:
        slack = SlackSimulator()
        await slack.start()
        client = AsyncWebClient(base_url=slack.api_url, session=session)
        url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
        async with session.ws_connect(url) as socket:
            await socket.receive_json()
            await socket.send_str("{nonsense")
            await socket.send_json({"envelope_id": "unknown"})
            stopping = asyncio.create_task(slack.stop())
            closing = await socket.receive()
        await stopping

    assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_a_disabled_link_cannot_be_opened_again(bot: Bot) -> None:
    """After link_disabled apps.connections.open fails."""
    bot.slack.disconnect("link_disabled")
    await bot.slack.wait_for(lambda: bot.slack.count("apps.connections.open") == 2)

    assert bot.slack.calls[-1].error == "socket_mode_disabled"


async def test_dropped_sockets_are_gone_at_once(bot: Bot) -> None:
    """drop_sockets cuts the connection; what was in flight is sent again elsewhere."""
    bot.slack.drop_sockets()
    await bot.slack.wait_for(lambda: not bot.slack.connections)


async def test_deliveries_are_stamped(bot: Bot) -> None:
    """Every delivery knows when it left and when it was acknowledged, on both clocks."""
    await bot.slack.say("C1", "U1", "a")
    await settled(bot)
    delivery = bot.slack.deliveries[0]

    assert delivery.sent_at is not None
    assert delivery.acked_at is not None
    assert delivery.sent_at.monotonic <= delivery.acked_at.monotonic
    assert delivery.acks == 1


async def test_reset_forgets_all_but_the_connections(bot: Bot) -> None:
    """After a reset the workspace is empty and the socket still delivers."""
    await bot.slack.say("C1", "U1", "a")
    await settled(bot)
    bot.slack.reset()
    assert (bot.slack.messages("C1"), bot.slack.calls, bot.slack.deliveries) == ([], [], [])

    await bot.slack.say("C1", "U1", "b")
    await settled(bot)

    assert len(bot.bodies) == 2
