"""Slack's side of a world: who is there, what members see, and when an answer is complete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from scenario.harness import SLACK, Options, World, world

from bots.simulators.slack import SlackMessage
from bots.slack.blocks import STOP

ROOM, DM = "C0GENERAL", "D0ALICE"
ALICE, BOB = "U0ALICE", "U0BOB"
ECHO = Options(mode="echo")
COMMAND = "/talkwarden"


@asynccontextmanager
async def slack_world(
    *,
    model: Options = ECHO,
    settings: Mapping[str, Any] | None = None,
    platforms: Sequence[str] = ("slack",),
    is_started: bool = True,
    **options: Any,
) -> AsyncIterator[World]:
    """A world with Slack, whose published limits the bot may ignore unless `settings` say so."""
    async with world(
        platforms,
        model=model,
        slack=replace(SLACK, **options),
        settings={"slack.limits": False, **(settings or {})},
        is_started=is_started,
    ) as made:
        yield made


def answers(w: World, question: str, channel: str = ROOM) -> list[SlackMessage]:
    """The bot's standing messages after a question, where its answer belongs."""
    asked = w.slack.message(channel, question)
    places = {asked.thread_ts or asked.ts, None if channel.startswith("D") else ""}
    own = w.slack.own_messages(channel)
    return [each for each in own if each.thread_ts in places and each.ts > question]


def is_complete(message: SlackMessage) -> bool:
    """Nothing of it is still to come; a stream gets its metadata with its last words."""
    is_live = message.stream == "in_progress" or has_button(message, STOP)
    is_ended = message.stream is None or message.metadata is not None
    return bool(message.displayed.strip()) and is_ended and not is_live


def has_button(message: SlackMessage, action_id: str) -> bool:
    """Members can press it below the message."""
    return any(element["action_id"] == action_id for _, element in message.actions())


def text_of_answer(message: SlackMessage) -> str:
    """What the answer says, without the labels of its buttons."""
    if message.blocks_below or not message.blocks:
        return unescaped(message.text)
    blocks = [block["text"] for block in message.blocks if block["type"] == "markdown"]
    return unescaped("".join(blocks))


def unescaped(text: str) -> str:
    """The text as members read it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


async def answer(
    w: World, question: str, channel: str = ROOM, *, within: float = 10.0
) -> SlackMessage:
    """The complete answer to a message: its last part."""

    def found() -> SlackMessage | None:
        standing = answers(w, question, channel)
        return standing[-1] if standing and is_complete(standing[-1]) else None

    return await w.until(found, within=within)


async def ask(w: World, text: str, channel: str = ROOM, **more: Any) -> SlackMessage:
    """Ask, and wait for the complete answer."""
    return await answer(w, await w.say_slack(text, channel=channel, **more), channel)


async def draft(w: World, question: str, channel: str = ROOM) -> SlackMessage:
    """The answer as soon as a word of it is visible."""

    def found() -> SlackMessage | None:
        shown = [each for each in answers(w, question, channel) if each.displayed.strip()]
        return shown[0] if shown else None

    return await w.until(found)


def whispers(w: World, user: str = ALICE) -> list[str]:
    """What only this member was shown."""
    return [unescaped(each.text) for each in w.slack.ephemerals if each.user == user]


def prompt_texts(w: World) -> str:
    """All that the newest request holds, joined."""
    return "\n".join(str(message["content"]) for message in w.prompt)
