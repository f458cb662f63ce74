"""Streamed messages (https://docs.slack.dev/reference/methods/chat.startStream)."""

from __future__ import annotations

import time
from typing import Any

from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.messages import SlackMessage
from bots.simulators.slack.methods import Params, Result, method, required, structured
from bots.simulators.slack.methods_chat import (
    MARKDOWN_LIMIT,
    TEXT_LIMIT,
    TRUNCATED,
    announce,
    announce_change,
    check_blocks,
    metadata_of,
    own_message,
)
from bots.simulators.slack.options import SlackChannel
from bots.simulators.slack.workspace import Workspace

SESSION_STATUSES = frozenset({"active", "processing", "suspended", "closed"})


@method("chat.startStream", tier=2, scope="chat:write")
def start_stream(workspace: Workspace, params: Params) -> Result:
    """Post a message that grows until stopped, five minutes at most."""
    channel = workspace.writable(required(params, "channel"))
    thread_ts = required(params, "thread_ts")
    if channel.kind != "im" or workspace.options.stream_recipients_in_dms:
        for name in ("recipient_team_id", "recipient_user_id"):
            if not params.get(name):
                raise ApiError(f"missing_{name}")
    message = own_message(
        workspace,
        params,
        channel=channel.id,
        text="",
        thread_ts=thread_ts,
        markdown=True,
        stream="in_progress",
        stream_until=time.monotonic() + workspace.options.stream_life,
    )
    cut = _grow(message, params)
    workspace.put(message)
    announce(workspace, message, channel)
    return {"channel": channel.id, "ts": message.ts} | (TRUNCATED if cut else {})


@method("chat.appendStream", tier=4, scope="chat:write")
def append_stream(workspace: Workspace, params: Params) -> Result:
    """Let a streamed message grow."""
    message, channel = _live(workspace, params)
    if message.stopped_by_user:
        raise ApiError("stopped_by_user")
    if not params.get("markdown_text") and not params.get("chunks"):
        raise ApiError("no_text")
    cut = _grow(message, params)
    workspace.show(message)
    return {"channel": channel.id, "ts": message.ts} | (TRUNCATED if cut else {})


@method("chat.stopStream", tier=2, scope="chat:write")
def stop_stream(workspace: Workspace, params: Params) -> Result:
    """Finish a streamed message, putting blocks below it; possible after Stop, too."""
    message, channel = _live(workspace, params)
    blocks = structured(params, "blocks", "invalid_blocks_format") or []
    check_blocks(blocks)
    metadata = metadata_of(params)
    status = params.get("session_status")
    if status is not None and status not in SESSION_STATUSES:
        raise ApiError("invalid_status")
    previous = message.wire()
    cut = _grow(message, params)
    message.blocks = [*message.blocks, *blocks]
    message.blocks_below = True
    message.stream = "completed"
    if metadata is not None:
        message.metadata = metadata or None
    if status is not None:
        workspace.session(channel.id, message.thread_ts).move(str(status))
    workspace.show(message)
    announce_change(workspace, message, channel, previous)
    body = {**message.wire(metadata=True), "subtype": "bot_message"}
    return {"channel": channel.id, "ts": message.ts, "message": body} | (TRUNCATED if cut else {})


def _live(workspace: Workspace, params: Params) -> tuple[SlackMessage, SlackChannel]:
    channel = workspace.directory.find(required(params, "channel"))
    message = workspace.get(channel.id, required(params, "ts"))
    if not workspace.is_own(message):
        raise ApiError("message_not_owned_by_app")
    if not workspace.is_streaming(message):
        raise ApiError("message_not_in_streaming_state")
    return message, channel


def _grow(message: SlackMessage, params: Params) -> bool:
    chunks = structured(params, "chunks") or []
    texts = [str(params.get("markdown_text") or "")]
    texts += [str(chunk.get("text") or "") for chunk in chunks if _kind(chunk) == "markdown_text"]
    if any(len(text) > MARKDOWN_LIMIT for text in texts):
        raise ApiError("msg_too_long")
    for chunk in chunks:
        _apply(message, chunk)
    grown = message.text + "".join(texts)
    message.text = grown[:TEXT_LIMIT]
    return len(grown) > TEXT_LIMIT


def _kind(chunk: Any) -> str:
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    if kind not in {"markdown_text", "plan_update", "task_update", "blocks"}:
        raise ApiError("invalid_arguments")
    return str(kind)


def _apply(message: SlackMessage, chunk: dict[str, Any]) -> None:
    kind = _kind(chunk)
    if kind == "blocks":
        check_blocks(chunk.get("blocks"))
        message.blocks = [*message.blocks, *chunk["blocks"]]
        message.blocks_below = True
    elif kind == "plan_update":
        message.plan = str(chunk.get("title", ""))
    elif kind == "task_update":
        # Title and status replace, details grow.
        task = message.tasks.setdefault(required(chunk, "id"), {"details": ""})
        details = task["details"] + str(chunk.get("details") or "")
        task.update(chunk)
        task["details"] = details
