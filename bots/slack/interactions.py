"""Slash commands, shortcuts and buttons as the core's events. Pure.

https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from bots.slack.blocks import FEEDBACK, REGENERATE, STOP, meaning
from bots.slack.content import attachments_of, further_in, text_of
from bots.slack.events import author_of, member
from bots.slack.events import people_in as people_in_event
from bots.slack.people import Directory, Json, Me
from bots.slack.places import encode, is_dm, place, position, thread_of
from bots.slack.text import mentioned
from core.commands import parse as parse_command
from core.messages import Author, Command, Event, Message

SHORTCUT = "ask_talkwarden"
ASK = "Please answer this message, or explain it."
"""What choosing the shortcut asks, since it comes without words of its own."""

_BUTTONS = {FEEDBACK: "feedback", REGENERATE: "regenerate", STOP: "stop"}


def parse_slash(
    body: Json, me: Me, directory: Directory, now: float, models: Collection[str] = ()
) -> Event:
    """`/talkwarden ...`: a command, or else a question to answer in the channel.

    Slack tells neither a thread nor a time (https://docs.slack.dev/interactivity/implementing-slash-commands).
    """
    channel = body["channel_id"]
    text = text_of({"text": body.get("text")}, me, directory)
    dm = is_dm(channel)
    conversation = encode(me.team, channel, None)
    where = place(channel, None, private=dm, me=me, directory=directory)
    author = member(
        body["user_id"], body.get("team_id"), me, directory, str(body.get("user_name") or "")
    )
    order = parse_command(f"/talkwarden {text}".strip(), models)
    if order is not None:
        return Command(
            conversation=conversation,
            place=where,
            id=body["trigger_id"],
            author=author,
            name=order[0],
            argument=order[1],
            position=int(now * 1_000_000),
            handle=body["response_url"],
        )
    first, _, rest = text.partition(" ")
    return Message(
        conversation=conversation,
        place=where,
        id=body["trigger_id"],
        position=int(now * 1_000_000),
        author=author,
        text=rest.strip() if first.lower() == "ask" and rest.strip() else text,
        is_addressed=True,
        sent_at=now,
        handle=body["response_url"],
    )


def people_in(body: Json) -> Iterator[str]:
    """The ids of everybody whose name the interaction needs."""
    if "command" in body:
        yield body["user_id"]
        yield from mentioned(body.get("text") or "")
        return
    yield body["user"]["id"]
    if body["type"] == "message_action":
        yield from people_in_event(body["message"])


def parse_interaction(body: Json, me: Me, directory: Directory) -> Event | None:
    """The message shortcut and the buttons below answers; None for anything else."""
    if body["type"] == "message_action" and body.get("callback_id") == SHORTCUT:
        return _shortcut(body, me, directory)
    if body["type"] != "block_actions":
        return None
    action = body["actions"][0]
    kind = action.get("action_id") or ""
    if kind in _BUTTONS:
        argument = "" if kind == STOP else str(action["value"])
        return _button(body, _BUTTONS[kind], argument, me, directory)
    if found := meaning(kind):
        name, word = found
        return _button(body, name, f"{word} {action['value']}", me, directory)
    return None


def _shortcut(body: Json, me: Me, directory: Directory) -> Message:
    message, channel = body["message"], body["channel"]["id"]
    dm, ts = is_dm(channel), message["ts"]
    thread = thread_of(dm, message.get("thread_ts"), ts, me)
    writer = author_of(message, me, directory)
    return Message(
        conversation=encode(me.team, channel, thread),
        place=place(channel, thread, private=dm, me=me, directory=directory),
        id=body["trigger_id"],
        position=position(body["action_ts"]),
        author=_clicker(body, me, directory),
        text=ASK,
        is_addressed=True,
        attachments=attachments_of(message.get("files") or ()),
        quoted=f"{writer.name or writer.id}: {text_of(message, me, directory)}",
        further=further_in(message, me, directory),
        sent_at=float(body["action_ts"]),
        handle=body["response_url"],
        is_new_thread=thread is not None and not message.get("thread_ts"),
    )


def _button(body: Json, name: str, argument: str, me: Me, directory: Directory) -> Command:
    action, container = body["actions"][0], body.get("container") or {}
    message = body.get("message") or {}
    channel = container.get("channel_id") or body["channel"]["id"]
    # an answer that is no reply belongs to the channel or the DM as a whole
    thread = container.get("thread_ts") or message.get("thread_ts")
    return Command(
        conversation=encode(me.team, channel, thread),
        place=place(channel, thread, private=is_dm(channel), me=me, directory=directory),
        id=body.get("trigger_id") or f"{action['action_ts']}:{body['user']['id']}",
        author=_clicker(body, me, directory),
        name=name,
        argument=argument,
        position=position(action["action_ts"]),
        handle=body.get("response_url"),
    )


def _clicker(body: Json, me: Me, directory: Directory) -> Author:
    user = body["user"]
    name = str(user.get("name") or user.get("username") or "")
    found = member(user["id"], user.get("team_id"), me, directory, name)
    # workspace owners and admins moderate; others do in the review channel
    return replace(found, may_moderate=found.may_configure)
