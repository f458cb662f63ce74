"""What the simulated Discord holds, and the waiting for it to change; no sockets here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from bots.simulators.discord import permissions as perms
from bots.simulators.discord.model import (
    DM,
    Attachment,
    Channel,
    DiscordMessage,
    Guild,
    Member,
    Reaction,
    Typing,
    User,
    Version,
)
from bots.simulators.discord.options import DiscordOptions

T = TypeVar("T")
EPOCH_MS = 1420070400000
# Directory ids count from here, so that they are the same in every run.
FIXED_IDS = (1704067200000 - EPOCH_MS) << 22


class World:
    """Users, guilds, channels and messages by id; `changed` wakes whoever waits for them."""

    def __init__(self, options: DiscordOptions) -> None:
        self.options = options
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.messages: dict[int, DiscordMessage] = {}
        self.files: dict[int, Attachment] = {}
        self.dms: dict[int, Channel] = {}
        self.typing: list[Typing] = []
        self.reactions: list[Reaction] = []
        self.wall_offset = time.time() - time.monotonic()
        self._last_id = 0
        self._fixed = FIXED_IDS
        self._waiters: set[asyncio.Future[None]] = set()
        self.bot = self.add_user(options.application_name, bot=True)

    # ids and time

    def new_id(self) -> int:
        """A snowflake of the present, greater than every one before it."""
        fresh = (int(time.time() * 1000) - EPOCH_MS) << 22
        self._last_id = max(fresh, self._last_id + 1)
        return self._last_id

    def fixed_id(self) -> int:
        """A snowflake for the directory: the same in each run with the same options."""
        self._fixed += 1
        return self._fixed

    def iso(self, at: float | None = None) -> str:
        """A time.monotonic (default now) as Discord writes time."""
        wall = time.time() if at is None else at + self.wall_offset
        return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds")

    def wall_now(self) -> float:
        """The present in seconds since 1970."""
        return time.time()

    # directory

    def add_user(self, name: str, *, bot: bool = False, accepts_dms: bool = True) -> User:
        """A new user, in no guild yet."""
        user = User(self.fixed_id(), name, bot, accepts_dms)
        user.json = {
            "id": str(user.id),
            "username": name,
            "global_name": None if bot else name.capitalize(),
            "discriminator": "0000" if bot else "0",
            "avatar": None,
            "public_flags": 0,
        }
        if bot:
            user.json["bot"] = True
        self.users[user.id] = user
        return user

    def user(self, ref: int | str) -> User:
        """The user of an id or name.

        Raises:
            LookupError: nobody has it.
        """
        if isinstance(ref, int) or ref.isdigit():
            found = self.users.get(int(ref))
        else:
            found = next((user for user in self.users.values() if user.name == ref), None)
        if found is None:
            raise LookupError(f"no user {ref!r}")
        return found

    def channel(self, ref: int | str) -> Channel:
        """The channel, thread or DM of an id or name.

        Raises:
            LookupError: there is none.
        """
        if isinstance(ref, int) or ref.isdigit():
            found = self.channels.get(int(ref))
        else:
            found = next((each for each in self.channels.values() if each.name == ref), None)
        if found is None:
            raise LookupError(f"no channel {ref!r}")
        return found

    def dm(self, user: User) -> Channel:
        """The bot's direct conversation with the user, opened on first use."""
        channel = self.dms.get(user.id)
        if channel is None:
            channel = Channel(self.new_id(), DM, f"dm-{user.name}", recipient=user)
            self.dms[user.id] = self.channels[channel.id] = channel
        return channel

    def member(self, channel: Channel, user: User) -> Member | None:
        """The user's membership of the channel's guild."""
        return channel.guild.members.get(user.id) if channel.guild else None

    def bot_permissions(self, channel: Channel) -> int:
        """The bot's bits in a channel; all of a direct conversation."""
        return self.user_permissions(channel, self.bot)

    def user_permissions(self, channel: Channel, user: User) -> int:
        """A user's bits in a channel; 0 for one who is not of the guild."""
        if channel.guild is None:
            return perms.ALL & ~(perms.MANAGE_MESSAGES | perms.MANAGE_THREADS)
        member = channel.guild.members.get(user.id)
        return perms.of_member(channel.guild, member, channel) if member else 0

    # messages

    def add(self, message: DiscordMessage) -> None:
        """Store a new message in its channel."""
        now = time.monotonic()
        message.created = message.last_change = now
        self.messages[message.id] = message
        message.channel.messages[message.id] = message
        for attachment in message.attachments:
            self.files[attachment.id] = attachment
        if message.channel.thread is not None:
            message.channel.thread.total_sent += 1
        self.note_text(message, now)

    def note_text(self, message: DiscordMessage, now: float) -> None:
        """Record the text that the message now shows."""
        text = message.text
        if text and message.first_text is None:
            message.first_text = now
        if not message.history or message.history[-1].text != text:
            message.history.append(Version(now, text))
        message.last_change = now
        self.changed()

    def mark_edited(self, message: DiscordMessage) -> None:
        """Record an edit that was just applied to the message's fields."""
        now = time.monotonic()
        message.edited_at = self.iso(now)
        message.edits += 1
        for attachment in message.attachments:
            self.files[attachment.id] = attachment
        self.note_text(message, now)

    def drop(self, message: DiscordMessage) -> None:
        """Delete a message; tests may still look at it."""
        message.deleted = True
        message.last_change = time.monotonic()
        self.changed()

    # waiting

    def changed(self) -> None:
        """Wake everyone in `wait_for`."""
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 5.0) -> T:  # noqa: ASYNC109
        """The predicate's first true value; it is asked anew whenever something happened.

        Raises:
            TimeoutError: it was still false after `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            while not (value := predicate()):
                waiter: asyncio.Future[None] = loop.create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)
        return value
