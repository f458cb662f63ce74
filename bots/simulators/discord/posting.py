"""Makes, changes and removes messages and tells the gateway; shared by REST, interactions
and the people that a test plays."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable

from bots.simulators.discord import gateway as gw
from bots.simulators.discord import mentions, permissions, validation
from bots.simulators.discord.errors import ApiError
from bots.simulators.discord.gateway import Gateway
from bots.simulators.discord.model import (
    COMPONENTS_V2,
    DM,
    PRIVATE_THREAD,
    Attachment,
    Channel,
    DiscordMessage,
    Json,
    walk,
)
from bots.simulators.discord.payloads import MessageForms
from bots.simulators.discord.routing import Incoming
from bots.simulators.discord.world import World

# Which of the flags a client may set: suppress embeds, ephemeral, silent, components v2.
SETTABLE_FLAGS = 1 << 2 | 1 << 6 | 1 << 12 | COMPONENTS_V2
# An edit changes the first of these; it can turn the second on, never off.
SUPPRESS_EMBEDS = 1 << 2


class Poster:
    """Every message goes through here, whoever wrote it."""

    def __init__(self, world: World, forms: MessageForms, gateway: Gateway) -> None:
        self.world = world
        self.forms = forms
        self.gateway = gateway

    # whole messages

    def post(self, message: DiscordMessage) -> None:
        """Store the message and publish MESSAGE_CREATE."""
        self._number_components(message)
        self.world.add(message)

        def noted(at: float) -> None:
            message.sent = message.sent or at
            self.world.changed()

        def payload(content: bool) -> Json:  # noqa: FBT001 - the gateway's callback
            data = self.forms.event(message, content=content)
            if message.nonce is not None:
                data["nonce"] = message.nonce
            return data

        if self._echoed(message):
            self.gateway.publish(
                "MESSAGE_CREATE", payload, message.channel, _intent(message.channel), noted
            )

    def hold(self, message: DiscordMessage) -> None:
        """Store an ephemeral message: in no channel's list, and no event tells of it."""
        self._number_components(message)
        self.world.add(message)
        del message.channel.messages[message.id]

    def edited(self, message: DiscordMessage) -> None:
        """Record that the message's fields changed; publish MESSAGE_UPDATE."""
        self._number_components(message)
        self.world.mark_edited(message)
        if not message.ephemeral:
            self.updated(message)

    def updated(self, message: DiscordMessage) -> None:
        """Publish MESSAGE_UPDATE; also for what is no edit, such as a pin or an unfurl."""
        if self._echoed(message):
            self.gateway.publish(
                "MESSAGE_UPDATE",
                lambda content: self.forms.event(message, content=content),
                message.channel,
                _intent(message.channel),
            )

    def remove(self, message: DiscordMessage) -> None:
        """Delete the message and publish MESSAGE_DELETE."""
        self.world.drop(message)
        if message.ephemeral or not self._echoed(message):
            return
        self.gateway.publish(
            "MESSAGE_DELETE",
            {"id": str(message.id)} | place(message.channel),
            message.channel,
            _intent(message.channel),
        )

    def remove_many(self, channel: Channel, messages: Iterable[DiscordMessage]) -> None:
        """Delete the messages and publish one MESSAGE_DELETE_BULK."""
        gone = list(messages)
        for message in gone:
            self.world.drop(message)
        payload: Json = {"ids": [str(message.id) for message in gone]} | place(channel)
        self.gateway.publish("MESSAGE_DELETE_BULK", payload, channel, _intent(channel))

    def visible(self, channel: Channel) -> bool:
        """Whether the bot sees the channel; private threads only as a member."""
        thread = channel.thread
        if channel.kind == PRIVATE_THREAD and thread and self.world.bot.id not in thread.members:
            return bool(self.world.bot_permissions(channel) & permissions.MANAGE_THREADS)
        return bool(self.world.bot_permissions(channel) & permissions.VIEW_CHANNEL)

    def channel_of(self, incoming: Incoming, needed: int = 0) -> Channel:
        """The channel of the path, if the bot sees it and has the `needed` permissions."""
        channel = self.world.channels.get(incoming.id("channel_id"))
        if channel is None:
            raise ApiError(10003)
        if not self.visible(channel):
            raise ApiError(50001)
        if needed & ~self.world.bot_permissions(channel):
            raise ApiError(50013)
        return channel

    def _echoed(self, message: DiscordMessage) -> bool:
        if message.author is self.world.bot and not self.world.options.echo_own_events:
            return False
        return self.visible(message.channel)

    def _number_components(self, message: DiscordMessage) -> None:
        # Discord numbers what came without an id; discord.py expects the number to be there.
        for number, item in enumerate(walk(message.components), start=1):
            item.setdefault("id", number)

    # fields

    def fill(
        self,
        message: DiscordMessage,
        incoming: Incoming,
        body: Json,
        default_parse: tuple[str, ...],
        *,
        creating: bool,
    ) -> None:
        """Check a message body and apply it; an edit leaves alone what the body has not.

        Raises:
            ApiError: the body breaks a limit; nothing is applied then.
        """
        flags = message.flags
        if body.get("flags") is not None:
            wanted = int(body["flags"])
            if creating:
                flags |= wanted & SETTABLE_FLAGS
            else:
                flags = flags & ~SUPPRESS_EMBEDS | wanted & (SUPPRESS_EMBEDS | COMPONENTS_V2)
        validation.check_message(body, flags, files=len(incoming.files), creating=creating)
        attachments = self._attachments(message, incoming, body, creating=creating)
        message.flags = flags
        message.attachments = attachments
        if "content" in body:
            message.content = body["content"] or ""
        if "embeds" in body:
            message.embeds = [{"type": "rich"} | embed for embed in body["embeds"] or []]
        if "components" in body:
            message.components = body["components"] or []
        if creating or "content" in body or "allowed_mentions" in body:
            mentions.apply(self.world, message, body.get("allowed_mentions"), default_parse)

    def _attachments(
        self, message: DiscordMessage, incoming: Incoming, body: Json, *, creating: bool
    ) -> list[Attachment]:
        limit = self.world.options.max_file_bytes
        if any(len(data) > limit for _, _, data in incoming.files.values()):
            raise ApiError(40005)
        listed = body.get("attachments")
        kept = [] if creating else message.attachments
        described: dict[int, Json] = {}
        if listed is not None:
            described = {int(each["id"]): each for each in listed}
            kept = [each for each in kept if each.id in described]
        return kept + [
            self.make_attachment(name, data, kind, described.get(index, {}))
            for index, (name, kind, data) in sorted(incoming.files.items())
        ]

    def make_attachment(
        self, name: str, data: bytes, kind: str = "", described: Json | None = None
    ) -> Attachment:
        """A new attachment; the type of an unknown file is guessed by its name, as Discord does."""
        described = described or {}
        name = described.get("filename") or name
        guessed = mimetypes.guess_type(name)[0]
        if guessed and (not kind or kind == "application/octet-stream"):
            kind = f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
        return Attachment(
            self.world.new_id(),
            name,
            kind or "application/octet-stream",
            data,
            described.get("description"),
        )


def place(channel: Channel) -> Json:
    """The channel_id, and the guild_id unless it is a direct conversation."""
    found: Json = {"channel_id": str(channel.id)}
    if channel.guild is not None:
        found["guild_id"] = str(channel.guild.id)
    return found


def _intent(channel: Channel) -> int:
    return gw.DIRECT_MESSAGES if channel.kind == DM else gw.GUILD_MESSAGES


def reaction_intent(channel: Channel) -> int:
    """The intent that reactions in the channel need."""
    return gw.DIRECT_REACTIONS if channel.kind == DM else gw.GUILD_REACTIONS
