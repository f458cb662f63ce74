"""The state of a simulated workspace: everything Slack's servers would remember."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bots.simulators.slack.changes import Changes
from bots.simulators.slack.clock import Instant, TimestampSource, now
from bots.simulators.slack.directory import Directory
from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.messages import Revision, SlackMessage
from bots.simulators.slack.options import SlackChannel, SlackOptions

Emit = Callable[[dict[str, Any], SlackChannel | None], object]


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """Something only `user` saw; not durable, as in Slack."""

    channel: str
    user: str
    text: str
    thread_ts: str | None
    blocks: list[dict[str, Any]]
    ts: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Status:
    """One assistant.threads.setStatus call; an empty `status` cleared it."""

    channel: str
    thread_ts: str
    status: str
    loading_messages: list[str]
    at: Instant


@dataclass(slots=True)
class Session:
    """An agent session and the statuses it went through."""

    channel: str
    thread_ts: str | None
    status: str = "active"
    title: str = ""
    history: list[str] = field(default_factory=list)

    def move(self, status: str) -> None:
        """Enter a status and remember it."""
        self.status = status
        self.history.append(status)


@dataclass(slots=True)
class HostedFile:
    """A file of the workspace and its content."""

    id: str
    name: str
    mimetype: str
    data: bytes
    user: str = ""
    check_info: bool = False
    alt: str = ""
    title: str = ""


class Workspace:
    """Messages, views, statuses and sessions, with the rules that hold for all methods."""

    def __init__(self, options: SlackOptions, emit: Emit) -> None:
        self.options = options
        self.emit = emit
        self.directory = Directory(options)
        self.changes = Changes()
        self.timestamps = TimestampSource()
        self.base_url = ""
        self.messages: dict[str, dict[str, SlackMessage]] = {}
        self.threads: dict[tuple[str, str], list[SlackMessage]] = {}
        self.ephemerals: list[Ephemeral] = []
        self.statuses: list[Status] = []
        self.prompts: dict[str, dict[str, Any]] = {}
        self.titles: dict[tuple[str, str], str] = {}
        self.sessions: dict[tuple[str, str | None], Session] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.modals: list[dict[str, Any]] = []
        self.files: dict[str, HostedFile] = {}
        self.triggers: dict[str, float] = {}
        self.client_msg_ids: dict[tuple[str, str], SlackMessage] = {}

    def put(self, message: SlackMessage) -> SlackMessage:
        """Show a new message."""
        message.revisions.append(Revision(message.text, now()))
        self.messages.setdefault(message.channel, {})[message.ts] = message
        if message.thread_ts:
            self.threads.setdefault((message.channel, message.thread_ts), []).append(message)
        self.changes.notify()
        return message

    def show(self, message: SlackMessage) -> None:
        """Note that a message's text or state changed."""
        message.revisions.append(Revision(message.text, now()))
        self.changes.notify()

    def get(self, channel: str, ts: object) -> SlackMessage:
        """Find a message that still exists."""
        message = self.messages.get(channel, {}).get(str(ts))
        if message is None or message.deleted:
            raise ApiError("message_not_found")
        return message

    def thread(self, channel: str, ts: str) -> list[SlackMessage]:
        """Return the parent, when there is one, and its replies in order."""
        parent = self.messages.get(channel, {}).get(ts)
        return ([parent] if parent else []) + self.threads.get((channel, ts), [])

    def live_replies(self, message: SlackMessage) -> list[SlackMessage]:
        """Return the replies of a thread's parent that are not deleted."""
        replies = self.threads.get((message.channel, message.ts), ())
        return [reply for reply in replies if not reply.deleted]

    def is_own(self, message: SlackMessage) -> bool:
        """Tell whether the app under test wrote it."""
        return message.bot_id == self.options.bot_id

    def is_streaming(self, message: SlackMessage) -> bool:
        """Tell whether a stream is live, ending the ones that outlived Slack's limit."""
        if message.stream != "in_progress":
            return False
        if time.monotonic() > message.stream_until:
            message.stream = "errored"
            return False
        return True

    def status(self, channel: str, thread_ts: str) -> str:
        """Return what stands under a thread now; a reply of the bot or two minutes clear it."""
        calls = [s for s in self.statuses if (s.channel, s.thread_ts) == (channel, thread_ts)]
        if not calls or time.monotonic() - calls[-1].at.monotonic > self.options.status_life:
            return ""
        replies = self.threads.get((channel, thread_ts), ())
        answered = any(self.is_own(r) and r.posted_at >= calls[-1].at for r in replies)
        return "" if answered else calls[-1].status

    def session(self, channel: str, thread_ts: str | None) -> Session:
        """Find or make the agent session of a thread."""
        key = (channel, thread_ts)
        if key not in self.sessions:
            self.sessions[key] = Session(channel, thread_ts)
        return self.sessions[key]

    def grant_trigger(self, prefix: str = "trigger") -> str:
        """Return a trigger_id, good once and for a few seconds."""
        trigger = f"{prefix}.{secrets.token_hex(8)}"
        self.triggers[trigger] = time.monotonic() + self.options.trigger_life
        return trigger

    def writable(self, channel_id: object) -> SlackChannel:
        """Find a conversation the bot may post in."""
        channel = self.directory.find(channel_id)
        if channel.is_archived:
            raise ApiError("is_archived")
        if not channel.bot_is_member:
            raise ApiError("not_in_channel")
        return channel
