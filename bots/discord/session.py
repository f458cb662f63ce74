"""Where the gateway has to go on after a restart, written down only as far as it is durable.

The sequence in here is never ahead of what the intake has stored: a session resumed from it
replays everything that was not. Channels that the assistant takes part in are kept with their
last message, for the case that Discord has forgotten the session.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

import msgspec

from core.adapter import Intake
from core.errors import StoreError
from core.telemetry import logger

log = logger("talkwarden.discord")

T = TypeVar("T")

SESSION_KEY: Final = "discord.session"
TAILS_KEY: Final = "discord.tails"
RESUME_WITHIN: Final = 600.0
"""Seconds for which a session is worth trying: Discord keeps it for "a few minutes"."""
SAVE_EVERY: Final = 1.0
MAX_TAILS: Final = 200
"""Channels that are read after an outage, the ones that were busy last."""


class Mark(NamedTuple):
    """A place in a gateway session's stream of events."""

    session: str
    url: str
    sequence: int


class Saved(msgspec.Struct, frozen=True):
    """A session to resume; it belongs to one bot and one set of intents."""

    session: str
    url: str
    sequence: int
    bot: str
    intents: int
    at: float

    @property
    def mark(self) -> Mark:
        """Where to go on."""
        return Mark(self.session, self.url, self.sequence)


class Tail(msgspec.Struct, frozen=True, array_like=True):
    """The newest stored message of a channel; `guild` is empty for direct messages."""

    channel: str
    guild: str
    last: str


class Entry:
    """One gateway event on its way to being durable."""

    __slots__ = ("is_done", "mark", "tail")

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.tail: Tail | None = None
        self.is_done = False


class Journal:
    """Follows the events in the gateway's order and saves how far they are durable."""

    def __init__(self, intake: Intake, *, bot: str, intents: int) -> None:
        self._intake = intake
        self._bot = bot
        self._intents = intents
        self._open: deque[Entry] = deque()
        self._durable: Mark | None = None
        self._saved: Mark | None = None
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._tails_changed = False
        self._is_new = asyncio.Event()

    @property
    def durable(self) -> Mark | None:
        """Up to where nothing can be lost any more."""
        return self._durable

    @property
    def tails(self) -> list[Tail]:
        """The channels to read after an outage."""
        return list(self._tails.values())

    def __len__(self) -> int:
        """Events that are not durable yet, or wait for earlier ones that are not."""
        return len(self._open)

    def follows(self, channel: str) -> bool:
        """The assistant takes part in this channel."""
        return channel in self._tails

    def open(self, mark: Mark) -> Entry:
        """An event came in."""
        entry = Entry(mark)
        self._open.append(entry)
        return entry

    def close(self, entry: Entry, tail: Tail | None = None) -> None:
        """The event is durable, or nothing that has to be."""
        entry.tail = tail
        entry.is_done = True
        while self._open and self._open[0].is_done:
            done = self._open.popleft()
            if self._durable is None or self._durable.session != done.mark.session:
                self._is_new.set()
            self._durable = done.mark
            if done.tail is not None:
                self._follow(done.tail)

    async def load(self) -> Mark | None:
        """What an earlier process left: the session to resume, if it may still be alive."""
        tails = await self._intake.recall(TAILS_KEY)
        for tail in _read(tails, list[Tail]) or ():
            self._tails[tail.channel] = tail
        saved = _read(await self._intake.recall(SESSION_KEY), Saved)
        if saved is None or (saved.bot, saved.intents) != (self._bot, self._intents):
            return None
        return saved.mark if time.time() - saved.at < RESUME_WITHIN else None

    async def save(self) -> None:
        """Write down how far it is durable; a database that fails is tried again later."""
        try:
            await self._save()
        except StoreError as exc:
            log.warning("discord.session", error=str(exc))

    async def _save(self) -> None:
        if self._tails_changed:
            await self._intake.remember(TAILS_KEY, _text(self.tails))
            self._tails_changed = False
        mark = self._durable
        if mark is not None and mark != self._saved:
            saved = Saved(*mark, bot=self._bot, intents=self._intents, at=time.time())
            await self._intake.remember(SESSION_KEY, _text(saved))
            self._saved = mark

    async def keep(self) -> None:
        """Save a new session at once, and how far it is durable once a second, until cancelled.

        Without the first, whoever is killed in his first second would have nothing to resume.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY):
                    await self._is_new.wait()
            self._is_new.clear()
            await self.save()

    def _follow(self, tail: Tail) -> None:
        known = self._tails.get(tail.channel)
        if known is None or int(tail.last) > int(known.last):
            self._tails[tail.channel] = tail
            self._tails_changed = True
        self._tails.move_to_end(tail.channel)
        while len(self._tails) > MAX_TAILS:
            self._tails.popitem(last=False)


def _text(value: Saved | list[Tail]) -> str:
    return msgspec.json.encode(value).decode()


def _read(text: str | None, kind: type[T]) -> T | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return None  # another version's: nothing is lost, the session starts anew
