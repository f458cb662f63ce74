"""Gestures that expect an answer, and the response URLs they come with.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from bots.simulators.slack.clock import now
from bots.simulators.slack.delivery import Delivery
from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.messages import SlackMessage, block_actions
from bots.simulators.slack.methods_chat import announce, announce_change, own_message, remove
from bots.simulators.slack.options import SlackChannel
from bots.simulators.slack.workspace import Ephemeral, Workspace

RESPONSE_URL_USES = 5
RESPONSE_URL_LIFE = 1800.0  # seconds


@dataclass(slots=True, eq=False, kw_only=True)
class Interaction:
    """A command, shortcut or pressed button; `ack` is the body the app acknowledged with.

    `acked` is False when the app did not answer in time, which members see as
    "operation_timeout". `responses` grows as the app posts to the response URL.
    """

    user: str
    channel: SlackChannel | None
    trigger_id: str
    response_url: str
    expires_at: float
    message: SlackMessage | None = None
    ack: Any = None
    acked: bool = False
    delivery: Delivery | None = None
    responses: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """The text of the acknowledgement, if it had one."""
        return self.ack.get("text") if isinstance(self.ack, dict) else None


class Interactions:
    """All gestures and what became of them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._by_token: dict[str, Interaction] = {}

    def open(
        self, user: str, channel: SlackChannel | None, message: SlackMessage | None = None
    ) -> Interaction:
        """Start a gesture: a fresh trigger and response URL."""
        token = secrets.token_hex(12)
        interaction = Interaction(
            user=user,
            channel=channel,
            trigger_id=self._workspace.grant_trigger(),
            response_url=f"{self._workspace.base_url}/response/{token}",
            expires_at=time.monotonic() + RESPONSE_URL_LIFE,
            message=message,
        )
        self._by_token[token] = interaction
        return interaction

    async def handle(self, request: web.BaseRequest, token: str) -> web.Response:
        """Answer a POST to a response URL."""
        interaction = self._by_token.get(token)
        if interaction is None or time.monotonic() > interaction.expires_at:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if len(interaction.responses) >= RESPONSE_URL_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except msgspec.DecodeError:
            return web.Response(status=400, text="invalid_payload")
        interaction.responses.append(body)
        self.apply(interaction, body)
        return web.Response(text="ok")

    def apply(self, interaction: Interaction, body: dict[str, Any]) -> None:
        """Show what the app answered: to the member alone unless it says otherwise."""
        channel, message = interaction.channel, interaction.message
        text, blocks = str(body.get("text") or ""), body.get("blocks") or []
        if channel is None:
            return
        if message is not None and body.get("delete_original"):
            remove(self._workspace, message, channel, tell=self._workspace.options.own_events)
        elif message is not None and body.get("replace_original"):
            previous = message.wire()
            message.text, message.blocks = text, blocks
            message.edited, message.edited_by = self._workspace.timestamps.next(), message.user
            self._workspace.show(message)
            announce_change(self._workspace, message, channel, previous)
        elif body.get("response_type") == "in_channel":
            self._post(channel, body, text, blocks)
        elif text or blocks:
            self._whisper(interaction, channel, body, text)
        self._workspace.changes.notify()

    def _post(
        self, channel: SlackChannel, body: dict[str, Any], text: str, blocks: list[dict[str, Any]]
    ) -> None:
        fields = {"channel": channel.id, "text": text, "blocks": blocks}
        message = own_message(self._workspace, {}, thread_ts=body.get("thread_ts"), **fields)
        announce(self._workspace, self._workspace.put(message), channel)

    def _whisper(
        self, interaction: Interaction, channel: SlackChannel, body: dict[str, Any], text: str
    ) -> None:
        ts, blocks = self._workspace.timestamps.next(), body.get("blocks") or []
        self._workspace.ephemerals.append(
            Ephemeral(channel.id, interaction.user, text, body.get("thread_ts"), blocks, ts, now())
        )


def find_action(blocks: list[dict[str, Any]], action_id: str) -> tuple[str, dict[str, Any]]:
    """Return (block_id, element) of a button members can see, or raise ApiError."""
    for block_id, element in block_actions(blocks):
        if element["action_id"] == action_id:
            return block_id, element
    raise ApiError("no_such_action", action_id=action_id)
