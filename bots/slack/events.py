"""The Events API's payloads as the core's events. Pure: no I/O, no clock.

A payload that lacks what Slack documents raises KeyError, TypeError, ValueError or
AttributeError; the adapter counts it. https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bots.slack.people import Directory, Json, Me
from bots.slack.places import encode, is_dm, place, position, thread_of
from bots.slack.text import mentioned, readable, without_mention
from core.commands import parse as parse_command
from core.messages import Attachment, Author, Command, Deleted, Edited, Event, Message

_POSTS = frozenset({"", "file_share", "thread_broadcast", "me_message", "bot_message"})
_LOST_FILES = frozenset({"tombstone", "hidden_by_limit"})


def parse(event: Json, me: Me, directory: Directory) -> Event | None:
    """The inner event of an event_callback; None for what does not concern the core."""
    kind = event["type"]
    if kind in {"message", "app_mention"}:
        return _message(event, me, directory)
    if kind == "agent_session_stopped":
        return _stopped(event, me, directory)
    return None


def people_in(event: Json) -> Iterator[str]:
    """The ids of everybody whose name the event needs."""
    message = event.get("message") or event
    if message.get("user") and not message.get("bot_id"):
        yield message["user"]
    yield from mentioned(message.get("text") or "")


def to_post(message: Json, channel: str, kind: str | None, me: Me, directory: Directory) -> Message:
    """A message object as a post, wherever it was read."""
    ts, thread_ts = message["ts"], message.get("thread_ts")
    dm = is_dm(channel, kind)
    thread = thread_of(dm, thread_ts, ts, me)
    text = message.get("text") or ""
    is_mention = f"<@{me.user}" in text or message.get("type") == "app_mention"
    is_reply = bool(thread_ts) and thread_ts != ts
    return Message(
        conversation=encode(me.team, channel, thread),
        place=place(channel, thread, private=dm, me=me, directory=directory),
        id=ts,
        position=position(ts),
        author=author_of(message, me, directory),
        text=text_of(message, me, directory),
        is_addressed=dm or is_mention,
        is_follow_up=is_reply and not is_mention and "<@" not in text and "<!subteam" not in text,
        attachments=attachments_of(message.get("files") or ()),
        quoted=quoted_in(message, directory),
        client_id=message.get("client_msg_id"),
        sent_at=float(ts),
        is_new_thread=thread is not None and not thread_ts,
    )


def text_of(message: Json, me: Me, directory: Directory) -> str:
    """The text without the call at its start, readable."""
    text = message.get("text") or ""
    if not text and message.get("bot_id"):  # many apps write into attachments only
        shown = (a.get("text") or a.get("fallback") or "" for a in message.get("attachments") or ())
        text = "\n".join(filter(None, shown))
    return _readable(without_mention(text, me.user), directory).strip()


def author_of(message: Json, me: Me, directory: Directory) -> Author:
    """Who wrote a message; other bots by their user where they have one."""
    user, bot = message.get("user"), message.get("bot_id")
    if bot or message.get("subtype") == "bot_message" or not user:
        profile = message.get("bot_profile") or {}
        name = message.get("username") or profile.get("name") or ""
        is_self = me.wrote(message)
        return Author(id=user or bot or "", name=str(name), is_bot=True, is_self=is_self)
    team = message.get("user_team") or message.get("source_team") or message.get("team")
    return member(user, team, me, directory)


def member(user: str, team: str | None, me: Me, directory: Directory, name: str = "") -> Author:
    """A person, with what the directory knows; `name` where it knows nothing."""
    person = directory.user(user)
    home = (person.team if person else "") or team or me.team
    is_external = home.startswith("T") and home != me.team
    return Author(
        id=user,
        name=person.name if person else name or user,
        is_bot=person.is_bot if person else False,
        is_external=is_external,
        may_configure=bool(person and person.is_admin and not is_external),
        is_self=user == me.user,
    )


def attachments_of(files: Sequence[Json]) -> tuple[Attachment, ...]:
    """A message's files. One that Slack Connect holds back has no URL yet."""
    return tuple(
        Attachment(
            id=file["id"],
            name=file.get("name") or file.get("title") or file["id"],
            media_type=file.get("mimetype") or "",
            size=int(file.get("size") or 0),
            url=file.get("url_private_download") or file.get("url_private") or "",
            alt=file.get("alt_txt") or "",
        )
        for file in files
        if file.get("mode") not in _LOST_FILES
    )


def quoted_in(message: Json, directory: Directory) -> str:
    """The text of messages that were forwarded or linked along."""
    quotes = []
    for attachment in message.get("attachments") or ():
        if attachment.get("is_share") or attachment.get("is_msg_unfurl"):
            text = _readable(attachment.get("text") or attachment.get("fallback") or "", directory)
            who = attachment.get("author_name")
            quotes.append(f"{who}: {text}" if who else text)
    return "\n".join(quotes)


def _readable(text: str, directory: Directory) -> str:
    def name(user: str) -> str | None:
        person = directory.user(user)
        return person.name if person else None

    return readable(text, name, directory.channel_name)


def _message(event: Json, me: Me, directory: Directory) -> Event | None:
    subtype = event.get("subtype") or ""
    if subtype == "message_changed":
        return _changed(event, me, directory)
    if subtype == "message_deleted":
        return _deleted(event, event.get("previous_message") or {}, me, directory)
    if subtype not in _POSTS or me.wrote(event):
        return None
    post = to_post(event, event["channel"], event.get("channel_type"), me, directory)
    if not post.is_addressed or post.author.is_bot:
        return post
    order = parse_command(post.text)
    if order is None:
        return post
    return Command(
        conversation=post.conversation,
        place=post.place,
        id=post.id,
        author=post.author,
        name=order[0],
        argument=order[1],
        position=post.position,
    )


def _changed(event: Json, me: Me, directory: Directory) -> Event | None:
    message, before = event["message"], event.get("previous_message")
    if me.wrote(message) or (before and me.wrote(before)):
        return None
    if message.get("subtype") == "tombstone":  # a deleted parent of replies
        return _deleted({**event, "deleted_ts": message["ts"]}, before or message, me, directory)
    if not _is_edit(message, before):
        return None
    post = to_post(message, event["channel"], event.get("channel_type"), me, directory)
    edited = message.get("edited") or {}
    return Edited(
        conversation=post.conversation,
        place=post.place,
        id=post.id,
        version=str(edited.get("ts") or event["ts"]),
        author=post.author,
        text=post.text,
        attachments=post.attachments,
        quoted=post.quoted,
        position=post.position,
    )


def _is_edit(message: Json, before: Json | None) -> bool:
    """Whether somebody changed the message, rather than Slack attaching a preview."""
    if before is None:
        return "edited" in message
    return any(
        (
            message.get("text") != before.get("text"),
            [f["id"] for f in message.get("files") or ()]
            != [f["id"] for f in before.get("files") or ()],
            (message.get("edited") or {}).get("ts") != (before.get("edited") or {}).get("ts"),
        )
    )


def _deleted(event: Json, before: Json, me: Me, directory: Directory) -> Event | None:
    if me.wrote(before):
        return None
    ts, channel = event["deleted_ts"], event["channel"]
    dm = is_dm(channel, event.get("channel_type"))
    thread = thread_of(dm, before.get("thread_ts"), ts, me)
    return Deleted(
        conversation=encode(me.team, channel, thread),
        place=place(channel, thread, private=dm, me=me, directory=directory),
        id=ts,
        position=position(ts),
    )


def _stopped(event: Json, me: Me, directory: Directory) -> Command:
    channel, thread = event["channel"], event.get("thread_ts")
    return Command(
        conversation=encode(me.team, channel, thread),
        place=place(channel, thread, private=is_dm(channel), me=me, directory=directory),
        id=f"stopped:{event['event_ts']}",
        author=member(event["user"], None, me, directory),
        name="stop",
        position=position(event["event_ts"]),
        is_quiet=True,
    )
