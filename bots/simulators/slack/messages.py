"""Messages as the simulated workspace keeps and shows them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bots.simulators.slack.clock import Instant

StreamState = Literal["in_progress", "completed", "errored"]
_PING = re.compile(r"<(?:!(?:channel|here|everyone)|!subteam\^\w+|@[UW]\w+)(?:\|[^>]*)?>")
_LINKED_NAME = re.compile(r"(?<!\w)@(?:channel|here|everyone)\b")


@dataclass(frozen=True, slots=True)
class Revision:
    """A text the message showed, from `at` until the next revision."""

    text: str
    at: Instant


@dataclass(slots=True, eq=False, kw_only=True)
class SlackMessage:
    """One message and its past; `text` is the API's field, `displayed` what members see."""

    channel: str
    ts: str
    text: str
    user: str | None = None
    bot_id: str | None = None
    thread_ts: str | None = None
    subtype: str | None = None
    markdown: bool = False
    link_names: bool = False
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    edited: str | None = None
    edited_by: str | None = None
    deleted: bool = False
    stream: StreamState | None = None
    stream_until: float = 0.0
    blocks_below: bool = False
    plan: str = ""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped_by_user: bool = False
    revisions: list[Revision] = field(default_factory=list)

    @property
    def posted_at(self) -> Instant:
        """When the message appeared, with or without text."""
        return self.revisions[0].at

    @property
    def first_text_at(self) -> Instant | None:
        """When it first showed something other than white space."""
        return next((seen.at for seen in self.revisions if seen.text.strip()), None)

    @property
    def changed_at(self) -> Instant:
        """When its text last changed (or when the stream was stopped)."""
        return self.revisions[-1].at

    @property
    def displayed(self) -> str:
        """The text members read: blocks replace `text`, but stand below a streamed one."""
        shown = [self.text] if self.blocks_below or not self.blocks else []
        shown.extend(block_texts(self.blocks))
        return html.unescape("\n".join(shown))

    @property
    def pings(self) -> list[str]:
        """Every mention in it that would notify somebody."""
        source = "\n".join([self.text, *block_texts(self.blocks)])
        found = _PING.findall(source)
        return found + (_LINKED_NAME.findall(source) if self.link_names else [])

    def actions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (block_id, element) for each element a member can press."""
        return block_actions(self.blocks)

    def wire(self, *, metadata: bool = False) -> dict[str, Any]:
        """Return the message object of the Web API and of events."""
        body: dict[str, Any] = {"type": "message", "ts": self.ts, "text": self.text}
        optional = {
            "user": self.user,
            "bot_id": self.bot_id,
            "thread_ts": self.thread_ts,
            "subtype": self.subtype,
            "blocks": self.blocks,
            "attachments": self.attachments,
            "files": self.files,
            "metadata": self.metadata if metadata else None,
        }
        body.update({key: value for key, value in optional.items() if value})
        body.update(self.extra)
        if self.edited:
            body["edited"] = {"user": self.edited_by, "ts": self.edited}
        if self.stream:
            body["streaming_state"] = self.stream
        if self.reactions:
            body["reactions"] = [
                {"name": name, "users": users, "count": len(users)}
                for name, users in self.reactions.items()
            ]
        return body


def block_texts(blocks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the readable texts of Block Kit blocks, in reading order."""
    for block in blocks:
        yield from _texts(block)


def block_actions(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (block_id, element) for each interactive element in the blocks."""
    for block in blocks:
        elements = [*block.get("elements", ()), block.get("accessory"), block.get("element")]
        for element in elements:
            if isinstance(element, dict) and "action_id" in element:
                yield block.get("block_id", ""), element


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        text = node.get("text")
        if isinstance(text, str):
            yield text
        for key in ("text", "fields", "elements", "accessory", "label"):
            if not isinstance(node.get(key), str):
                yield from _texts(node.get(key))
