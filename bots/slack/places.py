"""Where a message stands, and which conversation that is. Pure."""

from __future__ import annotations

from bots.slack.people import PLATFORM, Directory, Me
from core.messages import ConversationId, Place


def position(ts: str) -> int:
    """A timestamp as microseconds: the order of a channel."""
    seconds, _, fraction = ts.partition(".")
    return int(seconds) * 1_000_000 + int(fraction.ljust(6, "0")[:6])


def is_dm(channel: str, kind: str | None = None) -> bool:
    """Whether this is a direct message; app_mention and interactions carry no channel_type."""
    return kind == "im" if kind else channel.startswith("D")


def thread_of(channel_is_dm: bool, thread_ts: str | None, ts: str | None, me: Me) -> str | None:  # noqa: FBT001
    """The thread that an answer goes to: the message's own, or the one it opens."""
    if thread_ts or (channel_is_dm and not me.threads_in_dms):
        return thread_ts
    return ts


def encode(team: str, channel: str, thread: str | None) -> ConversationId:
    """Name a conversation: a thread, or a whole DM or channel."""
    return ConversationId(":".join(filter(None, (PLATFORM, team, channel, thread))))


def decode(conversation: ConversationId) -> tuple[str, str, str | None]:
    """Team, channel and thread. Raises ValueError for another platform's."""
    platform, team, channel, *thread = conversation.split(":")
    if platform != PLATFORM or len(thread) > 1:
        raise ValueError(f"not a Slack conversation: {conversation}")
    return team, channel, thread[0] if thread else None


def place(
    channel: str, thread: str | None, *, private: bool, me: Me, directory: Directory
) -> Place:
    """The place of an event."""
    return Place(
        platform=PLATFORM,
        workspace=me.team,
        channel=channel,
        thread=thread,
        is_private=private,
        channel_name="" if private else directory.channel_name(channel) or "",
    )
