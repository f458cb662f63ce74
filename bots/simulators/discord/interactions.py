"""REST: the answers to interactions, with their three seconds and fifteen minutes.

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from __future__ import annotations

import time
from typing import Any

from bots.simulators.discord import interaction as kinds
from bots.simulators.discord import mentions
from bots.simulators.discord.errors import ApiError
from bots.simulators.discord.interaction import Interaction
from bots.simulators.discord.model import EPHEMERAL, LOADING, DiscordMessage, Json
from bots.simulators.discord.posting import Poster
from bots.simulators.discord.routing import Incoming, Reply, Route, Router

CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"
WEBHOOK = "/webhooks/{application_id}/{interaction_token}"
REPLIES = frozenset({kinds.MESSAGE, kinds.DEFERRED})


class Interactions:
    """Knows every interaction by id and by token."""

    def __init__(self, poster: Poster) -> None:
        self.poster = poster
        self.world = poster.world
        self.by_id: dict[int, Interaction] = {}
        self.by_token: dict[str, Interaction] = {}

    def register(self, router: Router) -> None:
        """Add the routes; none of them needs the bot's token."""
        original = f"{WEBHOOK}/messages/@original"
        one = f"{WEBHOOK}/messages/{{message_id}}"
        for method, template, handler, bucket in (
            ("POST", CALLBACK, self.callback, "followup"),
            ("POST", WEBHOOK, self.followup, "followup"),
            ("GET", original, self.get_original, "original"),
            ("PATCH", original, self.edit_original, "original"),
            ("DELETE", original, self.delete_original, "original"),
            ("GET", one, self.get_followup, "original"),
            ("PATCH", one, self.edit_followup, "original"),
            ("DELETE", one, self.delete_followup, "original"),
        ):
            router.add(Route(method, template, handler, bucket, "interaction_token", public=True))

    def add(self, interaction: Interaction) -> None:
        """Make an interaction known, so that it can be answered."""
        self.by_id[interaction.id] = self.by_token[interaction.token] = interaction

    def expire(self, interaction: Interaction) -> None:
        """Called at the deadline: without an answer the interaction is over."""
        if interaction.answered is None:
            interaction.expired = True
            self.world.changed()

    # the first answer

    def callback(self, incoming: Incoming) -> Any:
        """Create Interaction Response."""
        found = self.by_id.get(incoming.id("interaction_id"))
        if found is None or found.token != incoming.params["interaction_token"]:
            raise ApiError(10062)
        if found.answered is not None:
            raise ApiError(40060)
        late = time.monotonic() - found.created > self.world.options.interaction_deadline
        if found.expired or late:
            found.expired = True
            raise ApiError(10062)
        body = incoming.json
        kind = int(body.get("type") or 0)
        self._respond(found, kind, body.get("data") or {}, incoming)
        found.raw.append(body)
        found.response_type = kind
        found.answered = time.monotonic()
        self.world.changed()
        if incoming.query.get("with_response") in ("1", "true", "True"):
            return self._callback_json(found, kind)
        return None

    def _respond(self, found: Interaction, kind: int, data: Json, incoming: Incoming) -> None:
        if kind in REPLIES:
            found.ephemeral = bool(int(data.get("flags") or 0) & EPHEMERAL)
            loading = kind == kinds.DEFERRED
            found.original = self._reply(found, data, incoming, loading=loading)
        elif kind in (kinds.UPDATE, kinds.DEFERRED_UPDATE):
            found.original = found.source
            if found.source is not None and kind == kinds.UPDATE:
                self._change(found.source, data, incoming)
        elif kind == kinds.CHOICES:
            found.choices = data.get("choices") or []
            if len(found.choices) > 25:
                raise ApiError(50035)
        elif kind == kinds.OPEN_MODAL:
            found.modal = data
        else:
            raise ApiError(50035)

    def _reply(
        self, found: Interaction, data: Json, incoming: Incoming, *, loading: bool = False
    ) -> DiscordMessage:
        message = DiscordMessage(self.world.new_id(), found.channel, self.world.bot)
        message.webhook_id = self.world.bot.id
        message.interaction = self._metadata(found)
        message.kind = 20 if found.kind == kinds.COMMAND else 0
        if loading:
            message.flags = LOADING | (int(data.get("flags") or 0) & EPHEMERAL)
        else:
            self.poster.fill(message, incoming, data, mentions.WEBHOOK_PARSE, creating=True)
        if found.original is not None:
            # What comes after the first answer is shown as a reply to it.
            message.reference, message.kind = found.original.id, 19
        self._reveal(message)
        return message

    def _reveal(self, message: DiscordMessage) -> None:
        if message.ephemeral:
            self.poster.hold(message)
        else:
            self.poster.post(message)

    def _metadata(self, found: Interaction) -> Json:
        guild = found.channel.guild
        owners = {"0": str(guild.id)} if guild else {"0": "0"}
        data: Json = {
            "id": str(found.id),
            "type": found.kind,
            "user": found.user.json,
            "authorizing_integration_owners": owners,
        }
        if found.kind == kinds.COMPONENT and found.source is not None:
            data["interacted_message_id"] = str(found.source.id)
        if found.kind == kinds.MODAL:
            data["triggering_interaction_metadata"] = data.copy() | {"type": kinds.COMMAND}
        return data

    def _callback_json(self, found: Interaction, kind: int) -> Json:
        message = found.original
        about: Json = {"id": str(found.id), "type": found.kind}
        resource: Json = {"type": kind}
        if message is not None:
            about["response_message_id"] = str(message.id)
            about["response_message_loading"] = found.deferred
            about["response_message_ephemeral"] = message.ephemeral
            resource["message"] = self.poster.forms.json(message)
        return {"interaction": about, "resource": resource}

    # what follows

    def _open(self, incoming: Incoming) -> Interaction:
        found = self.by_token.get(incoming.params["interaction_token"])
        if found is None or incoming.id("application_id") != self.world.bot.id:
            raise ApiError(10015)
        if time.monotonic() - found.created > self.world.options.interaction_lifetime:
            raise ApiError(50027)
        if found.answered is None:
            raise ApiError(10015)
        return found

    def _original(self, incoming: Incoming) -> tuple[Interaction, DiscordMessage]:
        found = self._open(incoming)
        if found.original is None or found.original.deleted:
            raise ApiError(10008)
        return found, found.original

    def _change(self, message: DiscordMessage, body: Json, incoming: Incoming) -> None:
        self.poster.fill(message, incoming, body, mentions.WEBHOOK_PARSE, creating=False)
        message.flags &= ~LOADING
        self.poster.edited(message)

    def get_original(self, incoming: Incoming) -> Any:
        """Get Original Interaction Response."""
        return self.poster.forms.json(self._original(incoming)[1])

    def edit_original(self, incoming: Incoming) -> Any:
        """Edit Original Interaction Response: ends a deferral."""
        found, message = self._original(incoming)
        self._change(message, incoming.json, incoming)
        found.raw.append(incoming.json)
        return self.poster.forms.json(message)

    def delete_original(self, incoming: Incoming) -> None:
        """Delete Original Interaction Response."""
        self.poster.remove(self._original(incoming)[1])

    def followup(self, incoming: Incoming) -> Any:
        """Create Followup Message; the first one after a deferral fills the deferred message."""
        found = self._open(incoming)
        body = incoming.json
        found.raw.append(body)
        if found.deferred and found.original is not None:
            self._change(found.original, body, incoming)
            return self.poster.forms.json(found.original)
        message = self._reply(found, body, incoming)
        found.followups.append(message)
        self.world.changed()
        return Reply(200, self.poster.forms.json(message))

    def _followup(self, incoming: Incoming) -> DiscordMessage:
        found = self._open(incoming)
        wanted = incoming.id("message_id")
        known = [*found.followups, *([found.original] if found.original else [])]
        message = next((each for each in known if each.id == wanted and not each.deleted), None)
        if message is None:
            raise ApiError(10008)
        return message

    def get_followup(self, incoming: Incoming) -> Any:
        """Get Followup Message."""
        return self.poster.forms.json(self._followup(incoming))

    def edit_followup(self, incoming: Incoming) -> Any:
        """Edit Followup Message."""
        message = self._followup(incoming)
        self._change(message, incoming.json, incoming)
        return self.poster.forms.json(message)

    def delete_followup(self, incoming: Incoming) -> None:
        """Delete Followup Message."""
        self.poster.remove(self._followup(incoming))
