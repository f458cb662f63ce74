"""What is asked of a completions endpoint and what it answers, in the vendor's own words.

Pure data. Messages are msgspec Structs because they go onto the wire as they are; the rest is
frozen so that one request can be sent to several targets.
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible service; `base_url` ends in /v1, and its repr shows no secret."""

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    azure_api_version: str = ""
    """Set: the endpoint is Azure's, with its key in another header and models as deployments."""
    deployments: Mapping[str, str] = field(default_factory=dict)
    """Azure: the deployment of a model, where it is not called like it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request of any kind; seconds, None for no bound."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    connect: float | None = 5.0
    read: float | None = 60.0
    """Between two blocks of bytes, and until the first."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one endpoint, with the parameters that only this model gets."""

    endpoint: Endpoint
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    has_vision: bool = True
    """False: images become a note in the text. A model that refuses images is remembered."""
    has_files: bool = True
    """The same for file parts."""

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the target in logs and in what the client remembers about it."""
        return (self.endpoint.name, self.model)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; the deadline of a call bounds them all."""

    connect: float = 5.0
    pool: float = 30.0
    """For a free connection slot."""
    first: float = 120.0
    """From the request to its first delta: models that reason in silence need long."""
    idle: float = 45.0
    """Between two blocks of bytes once the answer has begun; comments count as life."""
    finish: float = 2.0
    """For the usage and `[DONE]` that follow a finish_reason; their lack is no error."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is repeated; `sleep` and `random` are seams for tests."""

    attempts: int = 3
    """Per target, before the first delta."""
    base: float = 0.5
    """Seconds: the n-th pause is drawn from [0, min(cap, base * 2**n)]."""
    cap: float = 8.0
    patience: float = 2.0
    """A target that asks for a longer pause is left for the next one, if there is one."""
    resumes: int = 2
    """How often a broken answer is taken up again, at the next target or else at the same."""
    breaker_failures: int = 5
    """So many failures in a row, and a target is passed over for `breaker_pause` seconds."""
    breaker_pause: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


class ImageUrl(msgspec.Struct, frozen=True, omit_defaults=True):
    """An address or a `data:` URL, and how closely to look ("low", "high", "auto")."""

    url: str
    detail: str | None = None


class FileData(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file by content (`file_data`, a `data:` URL) or by the endpoint's own id."""

    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Words inside a message that also carries images or files."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image for a model with vision."""

    image_url: ImageUrl


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A document, usually a PDF."""

    file: FileData


ContentPart: TypeAlias = TextPart | ImagePart | FilePart


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of the window; field order is wire order, which keeps prefixes byte-stable."""

    role: str
    content: str | tuple[ContentPart, ...] | None = None
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion; `params` pass through untouched (temperature, max_tokens, tools...)."""

    messages: tuple[ChatMessage, ...]
    model: str = ""
    """Empty: each target's own. Else targets of that model go first, or the first target's
    endpoint is asked for it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt_cache_key: str | None = None
    user: str | None = None


class ToolCallFragment(msgspec.Struct, frozen=True):
    """A piece of a tool call: fragments of one `index` are joined by appending."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class ChatDelta(msgspec.Struct, frozen=True):
    """What one chunk added; `reasoning` is never part of `text`."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallFragment, ...] = ()
    finish_reason: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the endpoint counted them; cached is a part of prompt, reasoning of completion."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer; `raw` is the reply's body when it came as one JSON document."""

    text: str
    reasoning: str
    tool_calls: tuple[ToolCallFragment, ...]
    finish_reason: str | None
    usage: Usage | None
    model: str
    endpoint: str
    request_id: str
    raw: bytes = field(default=b"", repr=False)


class ModerationResult(msgspec.Struct, frozen=True):
    """One input's result: categories as the vendor names them ("self-harm/intent"), unknown
    ones included; a null score stays None."""

    flagged: bool = False
    categories: dict[str, bool | None] = {}
    scores: dict[str, float | None] = msgspec.field(default_factory=dict, name="category_scores")
    applied: dict[str, list[str] | None] | None = msgspec.field(
        default=None, name="category_applied_input_types"
    )


@dataclass(frozen=True, slots=True)
class ModerationReply:
    """Results in the order of the inputs, one for each."""

    results: tuple[ModerationResult, ...]
    model: str
    request_id: str


class ModelInfo(msgspec.Struct, frozen=True):
    """An entry of GET /v1/models."""

    id: str
    owned_by: str = ""
