"""`/v1/moderations` as a source of scores: what is sent, what comes back, what is left of limits.

https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from core.completions import wire
from core.completions.faults import from_reply
from core.completions.limits import reported
from core.completions.stream import Send
from core.completions.types import Endpoint, ModerationResult
from core.errors import BadReply
from core.moderation.scorer import Item, Scored, Unchecked, read_scores
from core.moderation.source import Answered

UNREADABLE = "the scorer's answer can't be read"


class ModerationEndpoint:
    """One model at one endpoint; asks once, what failed is asked again by the scorer."""

    most_images = 1  # "Number of images (2) exceeds maximum of 1"

    def __init__(self, send: Send, endpoint: Endpoint, model: str) -> None:
        self._send = send
        self._endpoint = endpoint
        self._model = model
        if model.startswith("text-"):
            self.most_images = 0

    def goes_alone(self, item: Item) -> bool:
        """Only plain texts can share a request."""
        return bool(item.images)

    async def ask(self, items: Sequence[Item], limit: float) -> Answered:
        """Scores of each; raises ModelError."""
        target = self._endpoint
        body = wire.encode({"model": self._model, "input": _input(items)})
        path = wire.path_at(target, "/moderations", self._model)
        async with self._send(target, path, body, limit) as reply:
            content = await reply.read(wire.MAX_DOCUMENT, limit)
        if reply.status != 200:
            raise from_reply(target, reply.status, reply.headers, content, time.time())
        try:
            found = wire.moderation_reply(len(items))(content)
        except ValueError as exc:
            raise BadReply(f"{target.name} answered /moderations with something else") from exc
        return Answered(tuple(_scored(each) for each in found.results), read_limits(reply.headers))

    async def aclose(self) -> None:
        """The connections are somebody else's."""


def _input(items: Sequence[Item]) -> list[str] | list[dict[str, Any]]:
    """An array of texts, or the parts of the one item that has images."""
    if not items[0].images:
        return [item.text for item in items]
    (item,) = items
    parts: list[dict[str, Any]] = []
    if item.text.strip():
        parts.append({"type": "text", "text": item.text})
    parts += [{"type": "image_url", "image_url": {"url": image}} for image in item.images]
    return parts


def _scored(result: ModerationResult) -> Scored:
    scores = read_scores(result.scores, result.applied)
    return Unchecked(UNREADABLE) if scores is None else scores


def read_limits(headers: Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    """Of "requests" and "tokens", where a reply tells: limit, what is left, seconds until reset."""
    told = {kind: reported(headers, kind) for kind in ("requests", "tokens")}
    return {kind: found for kind, found in told.items() if found is not None}
