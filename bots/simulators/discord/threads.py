"""REST: channels, threads and forum posts.

https://discord.com/developers/docs/topics/threads
"""

from __future__ import annotations

from typing import Any

from bots.simulators.discord import mentions
from bots.simulators.discord import permissions as perms
from bots.simulators.discord.errors import ApiError, bad_length
from bots.simulators.discord.model import (
    FORUMS,
    HAS_THREAD,
    NEWS,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    TEXT,
    Channel,
    DiscordMessage,
    Json,
    ThreadState,
    User,
)
from bots.simulators.discord.payloads import channel_json
from bots.simulators.discord.posting import Poster
from bots.simulators.discord.routing import Incoming, Reply, Route, Router

CHANNEL = "/channels/{channel_id}"
RENAMED = 4
"""The type of the notice that a thread shows when it is renamed."""
ARCHIVE_MINUTES = frozenset({60, 1440, 4320, 10080})


class Threads:
    """Opens threads, for the bot and for people; `register` adds the REST routes."""

    def __init__(self, poster: Poster) -> None:
        self.poster = poster
        self.world = poster.world

    # shared with the people that a test plays

    def open(self, parent: Channel, name: str, owner: User, **more: Any) -> Channel:
        """A new thread, published; `more`: thread_id, kind, minutes, tags."""
        thread = Channel(
            more.get("thread_id") or self.world.new_id(),
            more.get("kind", PUBLIC_THREAD),
            name,
            guild=parent.guild,
            parent=parent,
        )
        thread.thread = ThreadState(
            owner.id,
            self.world.iso(),
            auto_archive_duration=more.get("minutes", 1440),
            members={owner.id},
            applied_tags=[str(tag) for tag in more.get("tags", ())],
        )
        assert parent.guild is not None
        parent.guild.channels[thread.id] = self.world.channels[thread.id] = thread
        if self.poster.visible(thread):
            payload = channel_json(thread) | {"newly_created": True}
            self.poster.gateway.publish("THREAD_CREATE", payload, thread)
        self.world.changed()
        return thread

    def open_from(self, message: DiscordMessage, name: str, owner: User, **more: Any) -> Channel:
        """The thread of a message: it gets the message's id.

        Raises:
            ApiError: 160004, the message has one already.
        """
        if message.thread is not None:
            raise ApiError(160004)
        thread = self.open(message.channel, name, owner, thread_id=message.id, **more)
        message.thread = thread
        message.flags |= HAS_THREAD
        self.poster.updated(message)
        starter = DiscordMessage(self.world.new_id(), thread, owner, kind=21)
        starter.reference = message.id
        self.poster.post(starter)
        return thread

    def set_state(self, thread: Channel, changes: Json) -> None:
        """Rename, archive, lock; published as THREAD_UPDATE."""
        assert thread.thread is not None
        state = thread.thread
        thread.name = changes.get("name", thread.name)
        state.archived = changes.get("archived", state.archived)
        state.locked = changes.get("locked", state.locked)
        minutes = changes.get("auto_archive_duration", state.auto_archive_duration)
        state.auto_archive_duration = minutes
        self.poster.gateway.publish("THREAD_UPDATE", channel_json(thread), thread)
        self.world.changed()

    def rename(self, thread: Channel, user: User, name: str) -> None:
        """Rename as somebody, which an event and a notice in the thread tell."""
        self.set_state(thread, {"name": name})
        notice = DiscordMessage(self.world.new_id(), thread, user, content=name, kind=RENAMED)
        self.poster.post(notice)

    def remove(self, channel: Channel) -> None:
        """Delete a channel or thread with its messages."""
        self.world.channels.pop(channel.id, None)
        if channel.guild is not None:
            channel.guild.channels.pop(channel.id, None)
        name = "CHANNEL_DELETE" if channel.thread is None else "THREAD_DELETE"
        self.poster.gateway.publish(name, channel_json(channel), channel)
        self.world.changed()

    # routes

    def register(self, router: Router) -> None:
        """Add the routes."""
        for method, template, handler, bucket in (
            ("GET", CHANNEL, self.get, "other"),
            ("PATCH", CHANNEL, self.modify, "thread"),
            ("DELETE", CHANNEL, self.delete, "other"),
            ("POST", f"{CHANNEL}/threads", self.start, "thread"),
            ("POST", f"{CHANNEL}/messages/{{message_id}}/threads", self.start_from, "thread"),
            ("PUT", f"{CHANNEL}/thread-members/@me", self.join, "other"),
            ("DELETE", f"{CHANNEL}/thread-members/@me", self.leave, "other"),
            ("GET", f"{CHANNEL}/threads/archived/public", self.archived, "other"),
        ):
            router.add(Route(method, template, handler, bucket, "channel_id"))

    def get(self, incoming: Incoming) -> Any:
        """Get Channel."""
        return channel_json(self.poster.channel_of(incoming))

    def modify(self, incoming: Incoming) -> Any:
        """Modify Channel: threads only need ownership or MANAGE_THREADS."""
        channel = self.poster.channel_of(incoming)
        body = incoming.json
        if channel.thread is None:
            self.poster.channel_of(incoming, perms.MANAGE_CHANNELS)
            channel.name = body.get("name", channel.name)
            channel.topic = body.get("topic", channel.topic)
            self.poster.gateway.publish("CHANNEL_UPDATE", channel_json(channel), channel)
            return channel_json(channel)
        own = channel.thread.owner_id == self.world.bot.id
        if "locked" in body or not own:
            self.poster.channel_of(incoming, perms.MANAGE_THREADS)
        if channel.thread.archived and body.get("archived", True):
            raise ApiError(50083)
        if "name" in body:
            self.rename(channel, self.world.bot, _name(body))
        changes = {key: value for key, value in body.items() if key != "name"}
        if changes:
            self.set_state(channel, changes)
        return channel_json(channel)

    def delete(self, incoming: Incoming) -> Any:
        """Delete Channel; closes a direct conversation."""
        channel = self.poster.channel_of(incoming)
        if channel.guild is not None:
            manage = perms.MANAGE_CHANNELS if channel.thread is None else perms.MANAGE_THREADS
            self.poster.channel_of(incoming, manage)
            self.remove(channel)
        return channel_json(channel)

    def start(self, incoming: Incoming) -> Any:
        """Start Thread without Message, or a forum post."""
        channel = self.poster.channel_of(incoming)
        if channel.kind in FORUMS:
            return self._post(incoming, channel)
        if channel.kind not in (TEXT, NEWS):
            raise ApiError(50024)
        body = incoming.json
        kind = int(body.get("type", PRIVATE_THREAD))
        private = kind == PRIVATE_THREAD
        self.poster.channel_of(
            incoming, perms.CREATE_PRIVATE_THREADS if private else perms.CREATE_PUBLIC_THREADS
        )
        thread = self.open(channel, _name(body), self.world.bot, kind=kind, minutes=_minutes(body))
        if not private:
            notice = DiscordMessage(self.world.new_id(), channel, self.world.bot, kind=18)
            notice.content = thread.name
            self.poster.post(notice)
        return Reply(201, channel_json(thread))

    def _post(self, incoming: Incoming, forum: Channel) -> Reply:
        self.poster.channel_of(incoming, perms.SEND_MESSAGES)
        body = incoming.json
        tags = body.get("applied_tags") or []
        if forum.require_tag and not tags:
            raise ApiError(40067)
        name, minutes, thread_id = _name(body), _minutes(body), self.world.new_id()
        # Checked before the thread exists: a refused body must leave none behind.
        draft = DiscordMessage(thread_id, forum, self.world.bot)
        first = body.get("message") or {}
        self.poster.fill(draft, incoming, first, mentions.DEFAULT_PARSE, creating=True)
        thread = self.open(
            forum, name, self.world.bot, thread_id=thread_id, minutes=minutes, tags=tags
        )
        draft.channel = thread
        self.poster.post(draft)
        return Reply(201, channel_json(thread) | {"message": self.poster.forms.json(draft)})

    def start_from(self, incoming: Incoming) -> Any:
        """Start Thread from Message."""
        channel = self.poster.channel_of(incoming, perms.CREATE_PUBLIC_THREADS)
        if channel.thread is not None or channel.guild is None:
            raise ApiError(50024)
        message = channel.messages.get(incoming.id("message_id"))
        if message is None or message.deleted:
            raise ApiError(10008)
        body = incoming.json
        thread = self.open_from(message, _name(body), self.world.bot, minutes=_minutes(body))
        return Reply(201, channel_json(thread))

    def join(self, incoming: Incoming) -> None:
        """Join Thread."""
        channel = self.poster.channel_of(incoming)
        if channel.thread is not None:
            channel.thread.members.add(self.world.bot.id)

    def leave(self, incoming: Incoming) -> None:
        """Leave Thread."""
        channel = self.poster.channel_of(incoming)
        if channel.thread is not None:
            channel.thread.members.discard(self.world.bot.id)

    def archived(self, incoming: Incoming) -> Any:
        """List Public Archived Threads."""
        parent = self.poster.channel_of(incoming, perms.READ_MESSAGE_HISTORY)
        found = [
            channel_json(each)
            for each in self.world.channels.values()
            if each.parent is parent and each.thread is not None and each.thread.archived
        ]
        return {"threads": found, "members": [], "has_more": False}


def unarchive(poster: Poster, channel: Channel) -> None:
    """Reopen an archived thread that is posted into.

    Raises:
        ApiError: 160005, it is locked and the bot may not manage threads.
    """
    thread = channel.thread
    if thread is None:
        return
    if thread.locked and not poster.world.bot_permissions(channel) & perms.MANAGE_THREADS:
        raise ApiError(160005)
    if thread.archived:
        thread.archived = False
        poster.gateway.publish("THREAD_UPDATE", channel_json(channel), channel)


def _name(body: Json) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise bad_length("name", 1, 100)
    return name


def _minutes(body: Json) -> int:
    minutes = int(body.get("auto_archive_duration") or 1440)
    if minutes not in ARCHIVE_MINUTES:
        raise bad_length("auto_archive_duration", 60, 10080)
    return minutes
