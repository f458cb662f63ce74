"""The simulated Web API through the real AsyncWebClient."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bots.simulators.slack import ALL_SCOPES, SlackChannel, SlackOptions, SlackSimulator, SlackUser

METADATA = {"event_type": "talkwarden", "event_payload": {"turn": "t1"}}


class Workspace:
    """A simulator and a client of it."""

    def __init__(self, slack: SlackSimulator, session: aiohttp.ClientSession) -> None:
        self.slack = slack
        self.session = session
        self.client = AsyncWebClient(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )

    async def error(self, method: str, **arguments: Any) -> str:
        with pytest.raises(SlackApiError) as raised:
            await self.client.api_call(method, json=arguments)
        return str(raised.value.response["error"])


async def open_workspace(options: SlackOptions) -> AsyncIterator[Workspace]:
    async with SlackSimulator(options) as slack, aiohttp.ClientSession() as session:
        yield Workspace(slack, session)


@pytest.fixture
async def workspace(request: pytest.FixtureRequest) -> AsyncIterator[Workspace]:
    options = getattr(request, "param", {})
    async for made in open_workspace(SlackOptions(**options)):
        await made.slack.say("C1", "U1", "question")
        yield made


def options(**values: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("workspace", [values], indirect=True)


async def test_auth_test_names_the_bot(workspace: Workspace) -> None:
    """The token belongs to the configured bot of the configured team."""
    answer = await workspace.client.auth_test()

    assert answer["user_id"] == workspace.slack.bot_user_id
    assert answer["bot_id"] == workspace.slack.bot_id
    assert answer["team_id"] == workspace.slack.team_id


@pytest.mark.parametrize(
    ("token", "error"),
    [("", "not_authed"), ("xoxb-wrong", "invalid_auth"), ("xapp-simulated-app", None)],
)
async def test_tokens_are_checked(workspace: Workspace, token: str, error: str | None) -> None:
    """A missing, a wrong and an app-level token each get Slack's own error."""
    workspace.client.token = token

    assert await workspace.error("auth.test") == (error or "not_allowed_token_type")


async def test_a_revoked_token_is_told_so(workspace: Workspace) -> None:
    """After the app was removed every call answers token_revoked."""
    workspace.slack.revoke()

    assert await workspace.error("auth.test") == "token_revoked"


async def test_only_the_app_token_opens_connections(workspace: Workspace) -> None:
    """apps.connections.open refuses bot tokens and gives a ws URL for the app token."""
    assert await workspace.error("apps.connections.open") == "not_allowed_token_type"

    answer = await workspace.client.apps_connections_open(app_token=workspace.slack.app_token)

    assert answer["url"].startswith("ws://127.0.0.1:")


async def test_a_posted_message_is_kept_and_read_back(workspace: Workspace) -> None:
    """Text, thread and metadata come back from conversations.replies when asked for."""
    parent = workspace.slack.messages("C1")[0].ts
    posted = await workspace.client.chat_postMessage(
        channel="C1", text="answer", thread_ts=parent, metadata=METADATA
    )

    thread = await workspace.client.conversations_replies(
        channel="C1", ts=parent, include_all_metadata=True
    )

    assert [message["text"] for message in thread["messages"]] == ["question", "answer"]
    assert thread["messages"][0]["reply_count"] == 1
    assert thread["messages"][1]["metadata"] == METADATA
    assert thread["messages"][1]["bot_id"] == workspace.slack.bot_id
    assert workspace.slack.message("C1", posted["ts"]).metadata == METADATA


async def test_metadata_needs_asking_for(workspace: Workspace) -> None:
    """Without include_all_metadata the metadata is not shown."""
    await workspace.client.chat_postMessage(channel="C1", text="answer", metadata=METADATA)

    history = await workspace.client.conversations_history(channel="C1")

    assert "metadata" not in history["messages"][0]


async def test_update_keeps_metadata_unless_given(workspace: Workspace) -> None:
    """chat.update leaves metadata alone, and an empty object removes it."""
    ts = (await workspace.client.chat_postMessage(channel="C1", text="a", metadata=METADATA))["ts"]
    await workspace.client.chat_update(channel="C1", ts=ts, text="b")
    message = workspace.slack.message("C1", ts)
    assert (message.text, message.metadata) == ("b", METADATA)

    await workspace.client.chat_update(channel="C1", ts=ts, text="c", metadata={})

    assert message.metadata is None
    assert message.edited
    assert [seen.text for seen in message.revisions] == ["a", "b", "c"]


async def test_text_over_forty_thousand_is_cut_with_a_warning(workspace: Workspace) -> None:
    """postMessage truncates and says so."""
    answer = await workspace.client.chat_postMessage(channel="C1", text="x" * 40_001)

    assert answer["warning"] == "message_truncated"
    assert len(workspace.slack.message("C1", answer["ts"]).text) == 40_000


async def test_sizes_and_conflicts_are_refused(workspace: Workspace) -> None:
    """Each documented size error has its code."""
    ts = (await workspace.client.chat_postMessage(channel="C1", text="a"))["ts"]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}
    cases = [
        ("chat.update", {"ts": ts, "text": "x" * 4001}, "msg_too_long"),
        ("chat.postMessage", {"markdown_text": "x" * 12_001}, "msg_too_long"),
        ("chat.postMessage", {"markdown_text": "x", "text": "y"}, "markdown_text_conflict"),
        ("chat.postMessage", {}, "no_text"),
        ("chat.postMessage", {"blocks": [section]}, "invalid_blocks"),
        ("chat.postMessage", {"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ("chat.postMessage", {"blocks": "{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"text": "a", "metadata": [1]}, "invalid_metadata_format"),
    ]

    found = [await workspace.error(name, channel="C1", **rest) for name, rest, _ in cases]

    assert found == [error for _, _, error in cases]


async def test_other_peoples_messages_are_out_of_reach(workspace: Workspace) -> None:
    """A bot token neither edits nor deletes what members wrote."""
    ts = workspace.slack.messages("C1")[0].ts

    assert await workspace.error("chat.update", channel="C1", ts=ts, text="x") == (
        "cant_update_message"
    )
    assert await workspace.error("chat.delete", channel="C1", ts=ts) == "cant_delete_message"


async def test_a_deleted_message_is_gone(workspace: Workspace) -> None:
    """Own messages can be deleted, once."""
    ts = (await workspace.client.chat_postMessage(channel="C1", text="a"))["ts"]
    await workspace.client.chat_delete(channel="C1", ts=ts)

    assert workspace.slack.message("C1", ts).deleted
    assert await workspace.error("chat.delete", channel="C1", ts=ts) == "message_not_found"


async def test_unknown_places_and_methods(workspace: Workspace) -> None:
    """Unknown channels, channels without the bot, archives and methods have their errors."""
    workspace.slack.add_channel(SlackChannel(id="C2", bot_is_member=False))
    workspace.slack.add_channel(SlackChannel(id="C3", is_archived=True))

    assert await workspace.error("chat.postMessage", channel="C9", text="a") == "channel_not_found"
    assert await workspace.error("chat.postMessage", channel="C2", text="a") == "not_in_channel"
    assert await workspace.error("chat.postMessage", channel="C3", text="a") == "is_archived"
    assert await workspace.error("chat.invent") == "unknown_method"


@options(scopes=ALL_SCOPES - {"users:read", "im:history"})
async def test_missing_scopes_are_named(workspace: Workspace) -> None:
    """missing_scope says what is needed, also when it depends on the kind of channel."""
    await workspace.slack.say("D1", "U1", "hi")
    with pytest.raises(SlackApiError) as raised:
        await workspace.client.users_info(user="U1")

    assert raised.value.response["needed"] == "users:read"
    assert await workspace.error("conversations.history", channel="D1") == "missing_scope"
    assert (await workspace.client.conversations_history(channel="C1"))["ok"]


async def test_forms_are_accepted_as_well_as_json(workspace: Workspace) -> None:
    """A form-encoded body with JSON fields posts the same message."""
    async with workspace.session.post(
        f"{workspace.slack.api_url}chat.postMessage",
        data={"channel": "C1", "text": "form", "metadata": '{"event_type":"e"}'},
        headers={"Authorization": f"Bearer {workspace.slack.bot_token}"},
    ) as answer:
        body = await answer.json()

    assert body["ok"]
    assert workspace.slack.message("C1", body["ts"]).metadata == {"event_type": "e"}


async def test_displayed_text_is_what_members_read(workspace: Workspace) -> None:
    """Blocks replace the text, entities are resolved, and mentions that ping are found."""
    block = {"type": "markdown", "text": "seen &lt;b&gt; <!here>"}
    answer = await workspace.client.chat_postMessage(channel="C1", text="hidden", blocks=[block])
    message = workspace.slack.message("C1", answer["ts"])

    assert message.displayed == "seen <b> <!here>"
    assert message.pings == ["<!here>"]


async def test_ephemerals_reach_one_member(workspace: Workspace) -> None:
    """An ephemeral is recorded for its reader and is in no history."""
    await workspace.client.chat_postEphemeral(channel="C1", user="U1", text="only you")

    assert [(e.user, e.text) for e in workspace.slack.ephemerals] == [("U1", "only you")]
    assert len(workspace.slack.messages("C1")) == 1
    outsider = await workspace.error("chat.postEphemeral", channel="C1", user="U9", text="a")
    assert outsider == "user_not_in_channel"


async def test_replies_page_and_filter(workspace: Workspace) -> None:
    """limit, cursor, oldest and latest select; the parent leads the first page."""
    parent = workspace.slack.messages("C1")[0].ts
    replies = [await workspace.slack.say("C1", "U1", str(n), thread_ts=parent) for n in range(5)]

    first = await workspace.client.conversations_replies(channel="C1", ts=parent, limit=4)
    cursor = first["response_metadata"]["next_cursor"]
    second = await workspace.client.conversations_replies(
        channel="C1", ts=parent, limit=4, cursor=cursor
    )
    late = await workspace.client.conversations_replies(
        channel="C1", ts=parent, oldest=replies[2], latest=replies[4], inclusive=True
    )

    assert first["has_more"]
    assert [m["text"] for m in first["messages"]] == ["question", "0", "1", "2"]
    assert [m["text"] for m in second["messages"]] == ["3", "4"]
    assert [m["text"] for m in late["messages"]] == ["question", "2", "3", "4"]
    assert await workspace.error("conversations.replies", channel="C1", ts="1.0") == (
        "thread_not_found"
    )


async def test_history_is_newest_first_without_replies(workspace: Workspace) -> None:
    """Replies stay in their threads."""
    parent = workspace.slack.messages("C1")[0].ts
    await workspace.slack.say("C1", "U1", "reply", thread_ts=parent)
    await workspace.slack.say("C1", "U1", "later")

    history = await workspace.client.conversations_history(channel="C1")

    assert [message["text"] for message in history["messages"]] == ["later", "question"]


@options(restricted_history=True)
async def test_the_restricted_history_regime(workspace: Workspace) -> None:
    """Distributed apps get fifteen messages a call and one call a minute."""
    for number in range(20):
        await workspace.slack.say("C1", "U1", str(number))

    history = await workspace.client.conversations_history(channel="C1", limit=100)

    assert len(history["messages"]) == 15
    assert await workspace.error("conversations.history", channel="C1") == "ratelimited"


@options(
    users=(
        SlackUser(id="U7", name="ada", real_name="Ada L", display_name="ada", is_admin=True),
        SlackUser(id="U8", team_id="T9"),
    ),
    channels=(SlackChannel(id="C7", is_ext_shared=True, members=["U7", "U8"]),),
)
async def test_the_directory_is_described(workspace: Workspace) -> None:
    """Members, external people, bots and channels come back as configured."""
    ada = (await workspace.client.users_info(user="U7"))["user"]
    stranger = (await workspace.client.users_info(user="U8"))["user"]
    made = (await workspace.client.users_info(user="U1"))["user"]
    channel = (await workspace.client.conversations_info(channel="C7"))["channel"]
    members = (await workspace.client.conversations_members(channel="C7"))["members"]

    assert (ada["profile"]["display_name"], ada["is_admin"]) == ("ada", True)
    assert (stranger["team_id"], stranger["is_stranger"]) == ("T9", True)
    assert (made["real_name"], made["is_admin"]) == ("u1", False)
    assert (channel["is_ext_shared"], channel["is_private"]) == (True, False)
    assert members == ["U7", "U8", workspace.slack.bot_user_id]
    assert await workspace.error("users.info", user="nobody") == "user_not_found"


async def test_opening_conversations(workspace: Workspace) -> None:
    """One user is a DM, several are a group DM, and both are found again."""
    alone = (await workspace.client.conversations_open(users=["U1"]))["channel"]["id"]
    group = (await workspace.client.conversations_open(users=["U1", "U2"]))["channel"]["id"]

    assert (await workspace.client.conversations_open(users="U1"))["channel"]["id"] == alone
    assert (await workspace.client.conversations_open(users="U2,U1"))["channel"]["id"] == group
    info = (await workspace.client.conversations_info(channel=alone))["channel"]
    assert (info["is_im"], info["user"]) == (True, "U1")


async def test_reactions_are_added_once(workspace: Workspace) -> None:
    """The second identical reaction is already_reacted."""
    ts = workspace.slack.messages("C1")[0].ts
    await workspace.client.reactions_add(channel="C1", timestamp=ts, name="eyes")

    again = await workspace.error("reactions.add", channel="C1", timestamp=ts, name="eyes")

    assert again == "already_reacted"
    await workspace.client.reactions_remove(channel="C1", timestamp=ts, name="eyes")


async def test_agent_methods(workspace: Workspace) -> None:
    """Prompts, statuses, titles and sessions are recorded and checked."""
    ts = workspace.slack.messages("C1")[0].ts
    client = workspace.client
    prompts = [{"title": "Sum up", "message": "Sum this up"}]
    await client.assistant_threads_setStatus(channel_id="C1", thread_ts=ts, status="thinking")
    await client.assistant_threads_setSuggestedPrompts(channel_id="C1", prompts=prompts)
    await client.assistant_threads_setTitle(channel_id="C1", thread_ts=ts, title="T")
    arguments = {"channel_id": "C1", "thread_ts": ts, "title": "Work"}
    session = await client.api_call(
        "agents.sessions.setStatus", json={**arguments, "status": "processing"}
    )

    assert session["agent_status"] == "processing"
    assert workspace.slack.sessions["C1", ts].history == ["processing"]
    assert workspace.slack.status("C1", ts) == "thinking"
    assert await workspace.error("agents.sessions.setStatus", channel_id="C1", status="x") == (
        "invalid_status"
    )
    await client.chat_postMessage(channel="C1", thread_ts=ts, text="done")
    assert workspace.slack.status("C1", ts) == ""


@options(agent_sessions=False)
async def test_a_workspace_without_sessions(workspace: Workspace) -> None:
    """agents.sessions.setStatus says that the feature is disabled."""
    ts = workspace.slack.messages("C1")[0].ts
    arguments = {"channel_id": "C1", "thread_ts": ts, "status": "active"}

    assert await workspace.error("agents.sessions.setStatus", **arguments) == "feature_disabled"


@options(agent_app=False)
async def test_an_app_that_is_no_agent(workspace: Workspace) -> None:
    """Suggested prompts answer not_agent_app."""
    prompts = [{"title": "a", "message": "b"}]

    error = await workspace.error(
        "assistant.threads.setSuggestedPrompts", channel_id="C1", prompts=prompts
    )

    assert error == "not_agent_app"


async def test_app_home_is_published_per_member(workspace: Workspace) -> None:
    """The published view is the member's, and an old hash conflicts."""
    view = {"type": "home", "blocks": []}
    published = await workspace.client.views_publish(user_id="U1", view=view)

    assert workspace.slack.views["U1"]["id"] == published["view"]["id"]
    assert await workspace.error("views.publish", user_id="U1", view=view, hash="0") == (
        "hash_conflict"
    )


async def test_files_need_the_token(workspace: Workspace) -> None:
    """With the token the bytes come; without it Slack's login page does, with status 200."""
    file = workspace.slack.add_file("notes.txt", b"content", "text/plain")
    await workspace.slack.say("C1", "U1", "see", files=[file])
    found = (await workspace.client.files_info(file=file.id))["file"]
    headers = {"Authorization": f"Bearer {workspace.slack.bot_token}"}

    async with workspace.session.get(found["url_private_download"], headers=headers) as answer:
        assert await answer.read() == b"content"
    async with workspace.session.get(found["url_private"]) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert workspace.slack.messages("C1")[-1].subtype == "file_share"


@options(scopes=ALL_SCOPES - {"files:read"})
async def test_files_need_the_scope(workspace: Workspace) -> None:
    """Without files:read even the token gets the login page."""
    file = workspace.slack.add_file("notes.txt", b"content")
    url = f"{workspace.slack.url}/files/T-{file.id}/notes.txt"
    headers = {"Authorization": f"Bearer {workspace.slack.bot_token}"}

    async with workspace.session.get(url, headers=headers) as answer:
        assert answer.content_type == "text/html"


async def test_ordered_failures_happen_and_end(workspace: Workspace) -> None:
    """Errors, HTTP statuses and 429s come as often as ordered, then calls work again."""
    slack, client = workspace.slack, workspace.client
    slack.fail("chat.postMessage", error="internal_error")
    assert await workspace.error("chat.postMessage", channel="C1", text="a") == "internal_error"
    slack.fail("chat.postMessage", retry_after=2)
    with pytest.raises(SlackApiError) as limited:
        await client.chat_postMessage(channel="C1", text="a")
    slack.fail("chat.postMessage", status=503, body="busy")
    with pytest.raises(SlackApiError) as broken:
        await client.chat_postMessage(channel="C1", text="a")
    await client.chat_postMessage(channel="C1", text="a")

    assert limited.value.response.headers["Retry-After"] == "2"
    assert broken.value.response.status_code == 503
    assert len(slack.own_messages("C1")) == 1
    assert [call.status for call in slack.calls] == [200, 429, 503, 200]
    assert slack.count("chat.postMessage") == 4


async def test_a_dropped_answer_leaves_the_message(workspace: Workspace) -> None:
    """drop_after performs the call, drop_before does not; neither answers."""
    workspace.slack.fail("chat.postMessage", drop_before=True)
    with pytest.raises(aiohttp.ClientError):
        await workspace.client.chat_postMessage(channel="C1", text="never")
    workspace.slack.fail("chat.postMessage", drop_after=True)
    with pytest.raises(aiohttp.ClientError):
        await workspace.client.chat_postMessage(channel="C1", text="posted")

    assert [message.text for message in workspace.slack.own_messages()] == ["posted"]


async def test_delays_and_skips(workspace: Workspace) -> None:
    """A delayed call works late; skip lets calls pass first."""
    workspace.slack.fail("auth.test", skip=1, delay=0.05)
    started = time.monotonic()
    await workspace.client.auth_test()
    quick = time.monotonic() - started
    await workspace.client.auth_test()

    assert quick < 0.05 <= time.monotonic() - started


@options(rate_limits=True, posts_per_second=20, post_burst=2)
async def test_posting_is_limited_per_channel(workspace: Workspace) -> None:
    """Past the burst a channel answers 429 with Retry-After; another channel is free."""
    await workspace.slack.say("C2", "U1", "a")
    for _ in range(2):
        await workspace.client.chat_postMessage(channel="C1", text="a")
    with pytest.raises(SlackApiError) as raised:
        await workspace.client.chat_postMessage(channel="C1", text="a")
    await workspace.client.chat_postMessage(channel="C2", text="a")

    assert raised.value.response.status_code == 429
    assert raised.value.response["error"] == "ratelimited"
    assert int(raised.value.response.headers["Retry-After"]) == 1
    assert workspace.slack.limited == {"chat.postMessage": 1}


@options(rate_limits=True)
async def test_tiers_are_per_method_and_ignoring_them_is_counted(workspace: Workspace) -> None:
    """Tier 2 lets twenty calls through; a call within Retry-After counts as ignored."""
    ts = workspace.slack.messages("C1")[0].ts
    call = {"channel": "C1", "timestamp": ts, "name": "eyes"}
    answers = [await workspace.error("reactions.remove", **call) for _ in range(21)]
    assert answers == ["no_reaction"] * 20 + ["ratelimited"]
    assert workspace.slack.ignored_limits == {}

    await asyncio.sleep(0.12)
    await workspace.error("reactions.remove", **call)

    assert workspace.slack.ignored_limits == {"reactions.remove": 1}
    assert (await workspace.client.auth_test())["ok"]


@options(honour_client_msg_id=True)
async def test_client_msg_id_can_be_honoured(workspace: Workspace) -> None:
    """With the option on, a repeated client_msg_id returns the first message."""
    call = {"channel": "C1", "text": "a", "client_msg_id": "7c7f1c6e"}
    first = await workspace.client.chat_postMessage(**call)
    second = await workspace.client.chat_postMessage(**call)

    assert first["ts"] == second["ts"]


async def test_waiting_ends_with_the_change_or_the_timeout(workspace: Workspace) -> None:
    """wait_for returns the true value and raises TimeoutError when there is none."""
    waiting = asyncio.create_task(workspace.slack.wait_for(workspace.slack.own_messages))
    await workspace.client.chat_postMessage(channel="C1", text="a")

    assert [message.text for message in await waiting] == ["a"]
    with pytest.raises(TimeoutError):
        await workspace.slack.wait_for(lambda: False, timeout=0.01)


async def test_a_failing_predicate_reaches_the_waiter(workspace: Workspace) -> None:
    """The predicate's own exception is raised where it was awaited."""
    seen = [False]
    waiting = asyncio.create_task(workspace.slack.wait_for(seen.pop))
    await workspace.client.auth_test()

    with pytest.raises(IndexError):
        await waiting
