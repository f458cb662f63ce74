"""Events of a platform that exists only here, with the fields that a test cares for."""

from __future__ import annotations

from itertools import count
from typing import Any

from core.messages import Author, Command, ConversationId, Deleted, Edited, Message, Place

PLATFORM = "fake"
ALICE = Author("U1", "Alice")
BOB = Author("U2", "Bob")
_numbers = count(1)


def conversation(channel: str = "C1", workspace: str = "W1", thread: str = "") -> ConversationId:
    """The id of a conversation, workspace included."""
    return ConversationId(f"fake:{workspace}:{channel}" + (f":{thread}" if thread else ""))


def place(channel: str = "C1", workspace: str = "W1", **more: Any) -> Place:
    """A channel of the fake platform."""
    return Place(PLATFORM, workspace, channel, **more)


def message(text: str = "hello", *, key: str = "", **more: Any) -> Message:
    """A post that asks the assistant; `key` is its platform id, numbers are its position."""
    number = next(_numbers)
    where = more.pop("place", None) or place(more.pop("channel", "C1"), more.pop("workspace", "W1"))
    key = key or str(number)
    defaults: dict[str, Any] = {
        "conversation": conversation(where.channel, where.workspace, where.thread or ""),
        "place": where,
        "id": key,
        "position": int(key) if key.isdecimal() else number,
        "author": ALICE,
        "text": text,
        "is_addressed": True,
    }
    return Message(**{**defaults, **more})


def edited(of: Message, text: str, *, version: str = "1", **more: Any) -> Edited:
    """A new version of a message."""
    defaults = {"position": of.position, "attachments": of.attachments}
    return Edited(
        of.conversation, of.place, of.id, version, of.author, text, **{**defaults, **more}
    )


def deleted(of: Message) -> Deleted:
    """The end of a message."""
    return Deleted(of.conversation, of.place, of.id, position=of.position)


def command(name: str, argument: str = "", *, of: Message | None = None, **more: Any) -> Command:
    """A gesture in the conversation of a message."""
    number = next(_numbers)
    where = of.place if of else place()
    talk = of.conversation if of else conversation()
    defaults: dict[str, Any] = {"author": ALICE, "position": number}
    return Command(
        talk, where, f"gesture-{number}", name=name, argument=argument, **{**defaults, **more}
    )
