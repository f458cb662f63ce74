"""REST: messages, reactions and typing.

https://discord.com/developers/docs/resources/message
"""

from __future__ import annotations

import time
from typing import Any

from bots.simulators.discord import mentions
from bots.simulators.discord import permissions as perms
from bots.simulators.discord.errors import ApiError, bad_length, invalid_form
from bots.simulators.discord.model import (
    DM,
    FORUMS,
    Channel,
    DiscordMessage,
    Json,
    Reaction,
    Typing,
)
from bots.simulators.discord.payloads import emoji_json
from bots.simulators.discord.posting import Poster, place, reaction_intent
from bots.simulators.discord.routing import Incoming, Route, Router
from bots.simulators.discord.threads import unarchive
from bots.simulators.discord.world import EPOCH_MS

CHANNEL = "/channels/{channel_id}"
MESSAGE = "/channels/{channel_id}/messages/{message_id}"
BULK_AGE_MS = 14 * 86400 * 1000


class MessageRoutes:
    """Handlers for /channels/{id}/messages and what hangs below it."""

    def __init__(self, poster: Poster) -> None:
        self.poster = poster
        self.world = poster.world
        self.forms = poster.forms
        self._nonces: dict[tuple[int, str], tuple[float, int]] = {}

    def register(self, router: Router) -> None:
        """Add the routes."""
        reaction = f"{MESSAGE}/reactions/{{emoji}}"
        for method, template, handler, bucket in (
            ("POST", f"{CHANNEL}/messages", self.create, "create"),
            ("GET", f"{CHANNEL}/messages", self.listing, "other"),
            ("GET", MESSAGE, self.get, "other"),
            ("PATCH", MESSAGE, self.edit, "edit"),
            ("DELETE", MESSAGE, self.delete, "delete"),
            ("POST", f"{CHANNEL}/messages/bulk-delete", self.bulk_delete, "delete"),
            ("POST", f"{CHANNEL}/typing", self.start_typing, "typing"),
            ("PUT", f"{reaction}/@me", self.react, "react"),
            ("DELETE", f"{reaction}/@me", self.unreact, "react"),
            ("DELETE", f"{reaction}/{{user_id}}", self.unreact, "react"),
            ("GET", reaction, self.reactors, "react"),
        ):
            router.add(Route(method, template, handler, bucket, "channel_id"))

    def forget(self) -> None:
        """Drop the nonces, when the messages go too."""
        self._nonces.clear()

    # lookups

    def message(self, incoming: Incoming, channel: Channel) -> DiscordMessage:
        """The message of the path, unless it is gone."""
        message = channel.messages.get(incoming.id("message_id"))
        if message is None or message.deleted:
            raise ApiError(10008)
        return message

    def _json(self, message: DiscordMessage) -> Json:
        return self.forms.json(message, content=self.world.options.message_content)

    # handlers

    def create(self, incoming: Incoming) -> Any:
        """Create Message, with nonce enforcement."""
        body = incoming.json
        needed = perms.ATTACH_FILES if incoming.files else 0
        channel = self.poster.channel_of(incoming)
        in_thread = channel.thread is not None
        needed |= perms.SEND_MESSAGES_IN_THREADS if in_thread else perms.SEND_MESSAGES
        self.poster.channel_of(incoming, needed)
        self._check_place(channel)
        nonce = body.get("nonce")
        known = self._known(nonce) if body.get("enforce_nonce") else None
        if known is not None:
            return self._json(known) | {"nonce": known.nonce}
        message = DiscordMessage(self.world.new_id(), channel, self.world.bot, nonce=nonce)
        self._refer(message, body.get("message_reference"))
        self.poster.fill(message, incoming, body, mentions.DEFAULT_PARSE, creating=True)
        unarchive(self.poster, channel)
        self.poster.post(message)
        if nonce is not None:
            self._nonces[self.world.bot.id, str(nonce)] = (time.monotonic(), message.id)
            return self._json(message) | {"nonce": nonce}
        return self._json(message)

    def _check_place(self, channel: Channel) -> None:
        if channel.kind in FORUMS:
            raise ApiError(40058)
        if channel.recipient is not None and not channel.recipient.accepts_dms:
            raise ApiError(50007)

    def _known(self, nonce: str | int | None) -> DiscordMessage | None:
        found = self._nonces.get((self.world.bot.id, str(nonce)))
        if nonce is None or found is None:
            return None
        at, message_id = found
        if time.monotonic() - at > self.world.options.nonce_window:
            return None
        return self.world.messages[message_id]

    def _refer(self, message: DiscordMessage, reference: Json | None) -> None:
        if not reference or reference.get("type"):
            return
        target = message.channel.messages.get(int(reference.get("message_id") or 0))
        if target is not None and not target.deleted:
            message.reference = target.id
            message.kind = 19
        elif reference.get("fail_if_not_exists", True):
            raise invalid_form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")

    def listing(self, incoming: Incoming) -> Any:
        """Get Channel Messages: newest first."""
        channel = self.poster.channel_of(incoming)
        if not self.world.bot_permissions(channel) & perms.READ_MESSAGE_HISTORY:
            return []
        query = incoming.query
        limit = int(query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise invalid_form("limit", "NUMBER_TYPE_MAX", "int value should be 1 to 100.")
        alive = [each for each in channel.messages.values() if not each.deleted]
        return [self._json(each) for each in _page(alive, query, limit)]

    def get(self, incoming: Incoming) -> Any:
        """Get Channel Message."""
        return self._json(
            self.message(incoming, self.poster.channel_of(incoming, perms.READ_MESSAGE_HISTORY))
        )

    def edit(self, incoming: Incoming) -> Any:
        """Edit Message; others' messages cannot be edited."""
        channel = self.poster.channel_of(incoming)
        message = self.message(incoming, channel)
        if message.author is not self.world.bot:
            raise ApiError(50005)
        if channel.thread is not None and channel.thread.archived:
            raise ApiError(50083)
        self.poster.fill(message, incoming, incoming.json, mentions.DEFAULT_PARSE, creating=False)
        self.poster.edited(message)
        return self._json(message)

    def delete(self, incoming: Incoming) -> None:
        """Delete Message; others' need MANAGE_MESSAGES."""
        channel = self.poster.channel_of(incoming)
        message = self.message(incoming, channel)
        if message.author is not self.world.bot:
            if channel.kind == DM:
                raise ApiError(50003)
            self.poster.channel_of(incoming, perms.MANAGE_MESSAGES)
        self.poster.remove(message)

    def bulk_delete(self, incoming: Incoming) -> None:
        """Bulk Delete Messages: 2 to 100, each younger than 14 days."""
        channel = self.poster.channel_of(incoming)
        if channel.guild is None:
            raise ApiError(50003)
        self.poster.channel_of(incoming, perms.MANAGE_MESSAGES)
        ids = [int(each) for each in incoming.json.get("messages") or []]
        if not 2 <= len(ids) <= 100:
            raise bad_length("messages", 2, 100)
        oldest = (int(time.time() * 1000) - BULK_AGE_MS - EPOCH_MS) << 22
        if min(ids) < oldest:
            raise ApiError(50034)
        found = [channel.messages[each] for each in ids if each in channel.messages]
        self.poster.remove_many(channel, [each for each in found if not each.deleted])

    def start_typing(self, incoming: Incoming) -> None:
        """Trigger Typing Indicator."""
        channel = self.poster.channel_of(incoming)
        self.world.typing.append(Typing(channel.id, time.monotonic()))

    # reactions

    def react(self, incoming: Incoming) -> None:
        """Create Reaction."""
        channel = self.poster.channel_of(incoming, perms.READ_MESSAGE_HISTORY)
        message = self.message(incoming, channel)
        if channel.thread is not None and channel.thread.archived:
            raise ApiError(50083)
        emoji = incoming.params["emoji"]
        if emoji not in message.reactions:
            self.poster.channel_of(incoming, perms.ADD_REACTIONS)
        self.add_reaction(message, self.world.bot.id, emoji)

    def unreact(self, incoming: Incoming) -> None:
        """Delete Own Reaction, or a user's (MANAGE_MESSAGES)."""
        other = "user_id" in incoming.params
        channel = self.poster.channel_of(incoming, perms.MANAGE_MESSAGES if other else 0)
        message = self.message(incoming, channel)
        user_id = incoming.id("user_id") if other else self.world.bot.id
        self.remove_reaction(message, user_id, incoming.params["emoji"])

    def reactors(self, incoming: Incoming) -> Any:
        """Get Reactions: the users of one emoji."""
        message = self.message(incoming, self.poster.channel_of(incoming))
        users = message.reactions.get(incoming.params["emoji"], set())
        return [self.world.users[each].json for each in users]

    def add_reaction(self, message: DiscordMessage, user_id: int, emoji: str) -> None:
        """Put a reaction and publish it."""
        message.reactions.setdefault(emoji, set()).add(user_id)
        if user_id == self.world.bot.id:
            self.world.reactions.append(Reaction(message.channel.id, message.id, user_id, emoji))
        self._publish("MESSAGE_REACTION_ADD", message, user_id, emoji)

    def remove_reaction(self, message: DiscordMessage, user_id: int, emoji: str) -> None:
        """Take a reaction away and publish it."""
        message.reactions.get(emoji, set()).discard(user_id)
        gone = Reaction(message.channel.id, message.id, user_id, emoji)
        if gone in self.world.reactions:
            self.world.reactions.remove(gone)
        self._publish("MESSAGE_REACTION_REMOVE", message, user_id, emoji)

    def _publish(self, name: str, message: DiscordMessage, user_id: int, emoji: str) -> None:
        payload: Json = {
            "user_id": str(user_id),
            "message_id": str(message.id),
            "emoji": emoji_json(emoji),
            "message_author_id": str(message.author.id),
            "burst": False,
            "type": 0,
        } | place(message.channel)
        channel = message.channel
        self.poster.gateway.publish(name, payload, channel, reaction_intent(channel))
        self.world.changed()


def _page(alive: list[DiscordMessage], query: dict[str, str], limit: int) -> list[DiscordMessage]:
    if "around" in query:
        older = sum(1 for each in alive if each.id < int(query["around"]))
        half = limit // 2
        return alive[max(0, older - half) : older + limit - half][::-1]
    if "after" in query:
        return [each for each in alive if each.id > int(query["after"])][:limit][::-1]
    before = int(query["before"]) if "before" in query else None
    before_it = [each for each in alive if before is None or each.id < before]
    return before_it[-limit:][::-1]
