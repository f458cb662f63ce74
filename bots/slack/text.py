"""Slack's own text form, made readable for people and models. Pure.

https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_TAG = re.compile(r"<([^<>]*)>")
_USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>")
_SKIN_TONE = re.compile(r"(?<=:):skin-tone-[2-6]:")

NameOf = Callable[[str], str | None]


def mentioned(text: str) -> Iterator[str]:
    """The ids of the users that a text mentions."""
    if "<@" in text:
        for match in _USER.finditer(text):
            yield match[1]


def without_mention(text: str, user: str) -> str:
    """The text without the mentions of this user at its start."""
    if "<@" not in text:
        return text
    return re.sub(rf"^(?:\s*<@{re.escape(user)}(?:\|[^<>]*)?>[\s,:]*)+", "", text)


def readable(text: str, user_name: NameOf, channel_name: NameOf) -> str:
    """Mentions, channels, links and entities as people see them; ids where no name is known."""
    if "<" in text:
        text = _TAG.sub(lambda tag: _shown(tag[1], user_name, channel_name), text)
    if ":skin-tone-" in text:
        text = _SKIN_TONE.sub("", text)
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text


def _shown(tag: str, user_name: NameOf, channel_name: NameOf) -> str:
    target, _, label = tag.partition("|")
    if target.startswith("@"):
        return "@" + (user_name(target[1:]) or label or target[1:])
    if target.startswith("#"):
        return "#" + (label or channel_name(target[1:]) or target[1:])
    if target.startswith("!subteam^"):
        return label if label.startswith("@") else f"@{label or target[9:]}"
    if target.startswith("!"):
        return label or "@" + target[1:].partition("^")[0]
    address = target.removeprefix("mailto:")
    if not label or label in address:
        return address
    return f"{label} ({address})"
