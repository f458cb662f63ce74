"""The boundary to a chat platform: what the core asks of it, and what it may know about it.

An adapter translates and connects; it keeps no history, decides nothing about answers and never
retries a post by itself. Errors leave it as `PlatformError`s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol, Self

from core.messages import Attachment, Author, ConversationId, Event, Message, Place


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can do, as data."""

    platform: str
    can_repeat_private: bool = False
    """Posting for the asker alone is idempotent; otherwise it happens at most once."""
    part_limit: int = 2000
    """Characters of one part."""
    powers: frozenset[str] = frozenset()
    """The actions of moderation that a bot has here at all: delete, warn, timeout, kick, ban,
    alert. Only these are ever ordered; what a scope or role denies shows when it is tried."""
    unverifiable: frozenset[str] = frozenset()
    """Those of `powers` whose outcome can't be looked up afterwards: ordered at most once."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an answer goes, with everything its adapter needs after a restart."""

    conversation: ConversationId
    place: Place
    reply_to: str | None = None
    """The platform id of the question."""
    handle: str | None = None
    asker: Author | None = None
    is_only_for_asker: bool = False
    """Show it to the asker alone where the platform can (ephemeral): at most once."""
    is_new_thread: bool = False
    title: str = ""
    """What a thread is called that the answer opens: words that have passed moderation."""


@dataclass(frozen=True, slots=True)
class Part:
    """One platform message that carries some of an answer."""

    turn: str
    index: int
    text: str
    """Ready for the platform: escaped, within the limit."""
    is_last: bool = True
    """The answer's newest part: the one that carries buttons."""
    is_final: bool = False
    """The text will not grow any more."""
    has_feedback: bool = False
    """An answer of the model: may be rated and regenerated."""
    question: str = ""
    """A call that somebody has to allow (see core/tools/approvals.py): the last part carries two
    buttons, which come back as Command(name="approve", argument="allow|decline <question>")."""

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt to post this part."""
        return f"{self.turn}/{self.index}"


@dataclass(frozen=True, slots=True)
class Order:
    """One action of moderation that an adapter is to carry out (see core/enforcement.py)."""

    id: str
    """The idempotency key: the same for every attempt; 20 hexadecimal digits."""
    action: str
    """delete, warn, timeout, kick, ban or alert."""
    place: Place
    """Where it happened, which is not where an alert goes."""
    author: Author | None = None
    """Whom it concerns."""
    message_id: str | None = None
    """The message that it is about, or what is named: see `what`."""
    what: str = "message"
    """What a delete takes away: message, or the name of a thread, a member or a channel, which
    are then called by a plain name (as `core.messages.Named.what` says)."""
    text: str = ""
    """Markdown: the warning, or the alert. Nobody it names may be pinged."""
    until: float = 0.0
    """timeout: its end in epoch seconds, so that repeating it changes nothing; 0 lifts it."""
    reason: str = ""
    """For the platform's audit log; holds no words of the message."""
    case: str = ""
    """The case that the buttons belong to."""
    verbs: tuple[str, ...] = ()
    """The buttons to show, in this order: right, wrong, delete, timeout; appeal on a warning.
    A click comes back as Command(name="review", argument="<verb> <case>")."""
    channel: str = ""
    """alert: the review channel."""
    edits: str = ""
    """alert: the earlier alert that this text and these buttons replace, in its place."""
    is_repeat: bool = False
    """An earlier attempt's outcome is unknown: look for what it may have left before doing it."""


class Urgency(IntEnum):
    """Who gets a scarce slot first."""

    FINAL = 0
    POST = 1
    EDIT = 2


class Activity(Enum):
    """What members see the assistant doing."""

    WORKING = "working"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Ways:
    """How questions are asked and answered in a channel (see `answers` in the configuration)."""

    mode: str = "mention"
    """mention, every, or thread: a new thread for each question."""
    whole_channel: bool = False
    """The channel is one conversation; otherwise each thread, or reply chain, is one."""
    models: tuple[str, ...] = ()
    """What `model` may be followed by when it is typed without a slash."""
    is_judged: bool = False
    """Moderation judges what is written here: hand over the names that come with posts, and
    what was missed in an outage."""


class Intake(Protocol):
    """What the core offers to an adapter."""

    async def accept(self, event: Event) -> bool:
        """Store the event; return when it is durable. False: it was there already.

        Raises StoreError when it could not be stored: the platform must then not be acknowledged.
        """

    async def conversation_of(self, place: Place, message_id: str) -> ConversationId | None:
        """The conversation that holds this platform message, the assistant's own parts included."""

    def ways(self, place: Place) -> Ways:
        """How this channel is answered; decides which conversation a message belongs to."""

    async def recall(self, key: str) -> str | None:
        """Read what `remember` stored: an adapter's own small state (a session, a hash)."""

    async def remember(self, key: str, value: str) -> None:
        """Keep an adapter's own small state across restarts."""

    def unreadable(self, platform: str, why: str) -> None:
        """Count and log a payload that could not be translated."""


class Adapter(Protocol):
    """One platform. `render` splits an answer into parts' texts: pure, lossless, within limits.

    An async context manager: calls work inside it, `run` or not, so that answers can still be
    finished after the intake has stopped.
    """

    capabilities: Capabilities
    render: Callable[[str], Sequence[str]]

    async def __aenter__(self) -> Self:
        """Open the sessions that calls need and check the credentials."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Close everything."""

    async def run(self, intake: Intake) -> None:
        """Connect and hand events to the intake until cancelled, which ends the intake only.

        Raises CredentialsRejected or ConfigError when it can never work.
        """

    async def pace(self, target: Target, urgency: Urgency, message_id: str | None) -> None:
        """Return when a post (message_id None) or an edit fits the platform's limits.

        Cancellable: a draft that waits here is overtaken by its final version.
        """

    async def post(self, target: Target, part: Part) -> str:
        """Create the part's message; return its platform id. Raises PlatformError."""

    async def edit(self, target: Target, message_id: str, part: Part) -> None:
        """Make the message show the part. Idempotent. Raises PlatformError."""

    async def withdraw(self, target: Target, message_id: str) -> None:
        """Delete one of our own messages. Idempotent. Raises PlatformError."""

    async def find(
        self, target: Target, part: Part, since: float, *, again: bool = True
    ) -> str | None:
        """The platform id of a part whose post has an unknown outcome; None: it is not there.

        With `again` it is posted once more if it is not found, so that a platform which knows
        repetitions by their nonce need not look.
        """

    async def indicate(self, target: Target, activity: Activity) -> None:
        """Show or clear "working"; never raises for a platform that can't."""

    def backfill(self, target: Target, limit: int) -> AsyncIterator[Message]:
        """What stands before the question in its thread or reply chain, oldest first."""

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Download a file of at most `limit` bytes. Raises AttachmentRejected, PlatformError."""

    async def enforce(self, order: Order) -> str | None:
        """Carry out an action of `capabilities.powers`; the id of the message it posted, if any.

        Delete, timeout, kick and ban may be repeated: what is so already is no error. A warning
        or an alert that is a repeat is looked up by the order's id first. Raises PlatformError:
        PermissionDenied means that it can't be done, TargetGone that nothing is left to do it to.
        """
