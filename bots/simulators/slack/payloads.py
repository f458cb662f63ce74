"""The shapes of what Slack sends: events, commands and interactions. No I/O here."""

from __future__ import annotations

import time
import uuid
from typing import Any

from bots.simulators.slack.messages import SlackMessage
from bots.simulators.slack.options import Kind, SlackChannel, SlackOptions

_VERIFICATION_TOKEN = "legacy-verification-token"  # noqa: S105 - deprecated by Slack, checked by nobody
SUBSCRIPTIONS: dict[Kind, str] = {
    "channel": "message.channels",
    "group": "message.groups",
    "im": "message.im",
    "mpim": "message.mpim",
}


def unique_id(prefix: str) -> str:
    """Return a fresh id of Slack's look."""
    return prefix + uuid.uuid4().hex[:14].upper()


def event_callback(
    options: SlackOptions, event: dict[str, Any], *, is_ext_shared: bool = False
) -> dict[str, Any]:
    """Wrap an event as the Events API does (https://docs.slack.dev/apis/events-api)."""
    event_id = unique_id("Ev")
    return {
        "token": _VERIFICATION_TOKEN,
        "team_id": options.team_id,
        "context_team_id": options.team_id,
        "context_enterprise_id": None,
        "api_app_id": options.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": event_id,
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": options.team_id,
                "user_id": options.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": is_ext_shared,
        "event_context": f"4-{event_id}",
    }


def message_event(message: SlackMessage, channel: SlackChannel) -> dict[str, Any]:
    """Return the `message` event of a new message."""
    return {
        **message.wire(),
        "channel": channel.id,
        "channel_type": channel.kind,
        "event_ts": message.ts,
    }


def mention_event(message: SlackMessage) -> dict[str, Any]:
    """Return the `app_mention` event Slack sends beside the `message` event."""
    body = message.wire()
    body.pop("subtype", None)
    return {**body, "type": "app_mention", "channel": message.channel, "event_ts": message.ts}


def changed_event(
    message: SlackMessage, channel: SlackChannel, previous: dict[str, Any], event_ts: str
) -> dict[str, Any]:
    """Return the `message_changed` event after an edit, an unfurl or a finished stream."""
    return {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "message": message.wire(),
        "previous_message": previous,
        "channel": channel.id,
        "channel_type": channel.kind,
        "ts": event_ts,
        "event_ts": event_ts,
    }


def deleted_event(
    message: SlackMessage, channel: SlackChannel, previous: dict[str, Any], event_ts: str
) -> dict[str, Any]:
    """Return the `message_deleted` event."""
    return {
        "type": "message",
        "subtype": "message_deleted",
        "hidden": True,
        "deleted_ts": message.ts,
        "previous_message": previous,
        "channel": channel.id,
        "channel_type": channel.kind,
        "ts": event_ts,
        "event_ts": event_ts,
    }


def interaction(options: SlackOptions, kind: str, user: dict[str, Any]) -> dict[str, Any]:
    """Return what all interactivity payloads have in common."""
    return {
        "type": kind,
        "token": _VERIFICATION_TOKEN,
        "api_app_id": options.app_id,
        "team": {"id": options.team_id, "domain": options.team_domain},
        "enterprise": None,
        "is_enterprise_install": False,
        "user": {
            "id": user["id"],
            "username": user["name"],
            "name": user["name"],
            "team_id": user["team_id"],
        },
    }


def slash_command(
    options: SlackOptions, channel: SlackChannel, user: dict[str, Any], command: str, text: str
) -> dict[str, Any]:
    """Return a slash command's form fields (https://docs.slack.dev/interactivity/implementing-slash-commands)."""
    names = {"channel": channel.name, "im": "directmessage"}
    return {
        "token": _VERIFICATION_TOKEN,
        "team_id": options.team_id,
        "team_domain": options.team_domain,
        "channel_id": channel.id,
        "channel_name": names.get(channel.kind, "privategroup"),
        "user_id": user["id"],
        "user_name": user["name"],
        "command": command,
        "text": text,
        "api_app_id": options.app_id,
        "is_enterprise_install": "false",
    }
