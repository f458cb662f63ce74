"""Whom a text mentions, and whom a message therefore pings.

https://discord.com/developers/docs/resources/message#allowed-mentions-object
"""

from __future__ import annotations

import re

from bots.simulators.discord.model import Channel, DiscordMessage, Json, Pings, User
from bots.simulators.discord.world import World

_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
# What counts when a message says nothing about mentions.
DEFAULT_PARSE = ("users", "roles", "everyone")
WEBHOOK_PARSE = ("users",)


def users_in(world: World, text: str) -> list[User]:
    """The users whose mentions stand in the text, each once, in their order."""
    if "<@" not in text:
        return []
    found = dict.fromkeys(int(number) for number in _USER.findall(text))
    return [world.users[number] for number in found if number in world.users]


def roles_in(channel: Channel, text: str) -> list[int]:
    """The ids of the guild's roles that the text mentions."""
    if "<@&" not in text or channel.guild is None:
        return []
    found = dict.fromkeys(int(number) for number in _ROLE.findall(text))
    return [number for number in found if number in channel.guild.roles]


def apply(
    world: World, message: DiscordMessage, allowed: Json | None, default: tuple[str, ...]
) -> None:
    """Fill in the message's mentions and pings from its text and its allowed_mentions."""
    text = message.text
    allowed = {"parse": list(default), "replied_user": True} if allowed is None else allowed
    parse = allowed.get("parse") or []
    users = [u for u in users_in(world, text) if _allows(allowed, parse, "users", u.id)]
    roles = [r for r in roles_in(message.channel, text) if _allows(allowed, parse, "roles", r)]
    everyone = "everyone" in parse and bool(_EVERYONE.search(text))
    target = world.messages.get(message.reference or 0)
    replied = (
        target.author if target and message.kind == 19 and allowed.get("replied_user") else None
    )
    # Edits count too: one that fills a deferred answer does notify.
    before = message.pings
    message.pings = Pings(
        before.everyone or everyone,
        before.users | {user.id for user in users},
        before.roles | set(roles),
        replied.id if replied else before.replied_user,
    )
    if replied is not None and replied not in users:
        users.append(replied)
    message.mentions = users
    message.mention_roles = roles
    message.mention_everyone = everyone


def _allows(allowed: Json, parse: list[str], kind: str, number: int) -> bool:
    return kind in parse or str(number) in (str(each) for each in allowed.get(kind) or ())
