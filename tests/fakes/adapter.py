"""A chat platform in memory: every call of an adapter, with the failures that a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from fakes.events import PLATFORM

from core.adapter import Activity, Capabilities, Intake, Order, Part, Target, Urgency
from core.errors import AttachmentRejected, PermissionDenied, PlatformUnavailable, TargetGone
from core.messages import Attachment, Message

LIMIT = 100
POWERS = frozenset({"delete", "warn", "timeout", "kick", "ban", "alert"})


@dataclass(slots=True)
class Posted:
    """A message that members see, and what it showed before."""

    id: str
    target: Target
    part: Part
    versions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Enforced:
    """An order that was carried out, and the id of the message that it left."""

    order: Order
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the adapter: its name, the platform message, the text."""

    name: str
    message: str = ""
    text: str = ""
    urgency: Urgency | None = None


@dataclass
class FakeAdapter:
    """Implements `core.adapter.Adapter`. `fail(...)` queues errors, `lose(...)` loses outcomes."""

    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(PLATFORM, part_limit=LIMIT, powers=POWERS)
    )
    shown: dict[str, Posted] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    working: dict[str, str | None] = field(default_factory=dict)
    """Where "working" is shown, and for which question."""
    files: dict[str, bytes] = field(default_factory=dict)
    thread: list[Message] = field(default_factory=list)
    before_post: Callable[[Part], None] = lambda part: None
    enforced: list[Enforced] = field(default_factory=list)
    """What was done, each doing: a repeat of what needs no repeating is not done again."""
    notices: dict[str, str] = field(default_factory=dict)
    """The warnings and alerts that people see, by message."""
    before_enforcing: Callable[[Order], None] = lambda order: None
    slots: asyncio.Semaphore | None = None
    """Set: drafts wait for `release()`; final versions never do."""
    gate: asyncio.Event | None = None
    """Set: posts are under way until the event is set."""

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._failures: dict[str, list[Exception]] = {}
        self._losses: dict[str, int] = {}
        self.backfills = 0

    def fail(self, call: str, *errors: Exception) -> None:
        """Let the next calls of this name fail before they do anything."""
        self._failures.setdefault(call, []).extend(errors)

    def lose(self, call: str, times: int = 1) -> None:
        """Let the next calls of this name succeed and then report no outcome."""
        self._losses[call] = self._losses.get(call, 0) + times

    def render(self, text: str) -> Sequence[str]:
        """Pieces of as many characters as a part may have."""
        limit = self.capabilities.part_limit
        return [text[at : at + limit] for at in range(0, len(text), limit)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    async def run(self, intake: Intake) -> None:
        """Hand over nothing: tests call the intake themselves."""
        await asyncio.Event().wait()

    async def pace(self, target: Target, urgency: Urgency, message_id: str | None) -> None:
        """Return at once, or when a slot is free."""
        self.calls.append(Call("pace", message_id or "", urgency=urgency))
        if self.slots is not None and urgency is not Urgency.FINAL:
            await self.slots.acquire()
        await asyncio.sleep(0)

    async def post(self, target: Target, part: Part) -> str:
        """A new message."""
        self.before_post(part)
        if self.gate is not None:
            await self.gate.wait()
        await self._enter("post", "", part.text)
        message_id = f"p{next(self._numbers)}"
        self.shown[message_id] = Posted(message_id, target, part, [part.text])
        self._leave("post")
        return message_id

    async def edit(self, target: Target, message_id: str, part: Part) -> None:
        """A new text for a message."""
        await self._enter("edit", message_id, part.text)
        if message_id not in self.shown:
            raise TargetGone("there is no such message")
        posted = self.shown[message_id]
        posted.part = part
        posted.versions.append(part.text)
        self._leave("edit")

    async def withdraw(self, target: Target, message_id: str) -> None:
        """The end of a message."""
        await self._enter("withdraw", message_id, "")
        if self.shown.pop(message_id, None) is not None:
            self.withdrawn.append(message_id)
        self._leave("withdraw")

    async def find(
        self, target: Target, part: Part, since: float, *, again: bool = True
    ) -> str | None:
        """The message with the part's key."""
        await self._enter("find", "", part.key)
        for posted in self.shown.values():
            if posted.part.key == part.key:
                return posted.id
        return None

    async def indicate(self, target: Target, activity: Activity) -> None:
        """Note it."""
        self.activities.append(activity)
        if activity is Activity.WORKING:
            self.working[target.conversation] = target.reply_to
        else:
            self.working.pop(target.conversation, None)

    async def backfill(self, target: Target, limit: int) -> AsyncIterator[Message]:
        """The newest of `thread`."""
        self.backfills += 1
        await self._enter("backfill", "", "")
        for message in self.thread[-limit:]:
            yield message

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """One of `files`."""
        await self._enter("fetch", "", attachment.url)
        if attachment.url not in self.files:
            raise AttachmentRejected("there is no such file")
        return self.files[attachment.url]

    async def enforce(self, order: Order) -> str | None:
        """Do it, unless it is a repeat of what can be found."""
        self.before_enforcing(order)
        await self._enter("enforce", order.message_id or "", order.action)
        if order.action not in self.capabilities.powers:
            raise PermissionDenied(f"there is no {order.action} here")
        message = self._left_by(order)
        if message is None:
            posts = order.action in {"warn", "alert"}
            message = order.edits or (f"e{next(self._numbers)}" if posts else None)
            self.enforced.append(Enforced(order, message))
            if message is not None:
                self.notices[message] = order.text
        self._leave("enforce")
        return message

    def _left_by(self, order: Order) -> str | None:
        if not order.is_repeat:
            return None
        found = (each.message for each in self.enforced if each.order.id == order.id)
        return next(found, None)

    def doings(self) -> list[str]:
        """The actions that were carried out, in order."""
        return [each.order.action for each in self.enforced]

    def names(self) -> list[str]:
        """The calls that members could see, in order."""
        return [call.name for call in self.calls if call.name in {"post", "edit", "withdraw"}]

    def texts(self) -> list[str]:
        """What is to be seen, oldest first."""
        return [posted.part.text for posted in self.shown.values()]

    @property
    def whole(self) -> str:
        """All of it in one."""
        return "".join(self.texts())

    async def _enter(self, name: str, message_id: str, text: str) -> None:
        self.calls.append(Call(name, message_id, text))
        await asyncio.sleep(0)
        failures = self._failures.get(name)
        if failures:
            raise failures.pop(0)

    def _leave(self, name: str) -> None:
        if self._losses.get(name):
            self._losses[name] -= 1
            raise PlatformUnavailable("the connection broke")
