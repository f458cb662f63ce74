"""Requests and replies as bytes: what the endpoint's protocol says, without I/O.

Endpoints differ in what they leave out, set to null or type otherwise, so the typed decoder is
only the fast way; a document that it rejects is read again leniently.
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from core.completions.types import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    Endpoint,
    FilePart,
    ImagePart,
    ModelInfo,
    ModerationReply,
    ModerationResult,
    Target,
    TextPart,
    ToolCallFragment,
    Usage,
)

_CONTINUE = (
    "Your answer was cut off by a transmission error after the last character above. Continue it "
    "from exactly there: repeat nothing, add no preface and do not mention the interruption."
)

MAX_DOCUMENT = 16 << 20
"""Bytes of a reply that is one JSON document."""

_S = TypeVar("_S", bound=msgspec.Struct)

RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Models that reason know the parameter only by its newer name, older servers by the other."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | int | None = None
    function: _Function | None = None


class Delta(msgspec.Struct):
    """What a chunk adds; in a whole reply, the message."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class Choice(msgspec.Struct):
    """An answer, or one chunk of it."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    text: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class Document(msgspec.Struct):
    """A chunk of a stream or a whole reply: the fields that we read, all optional."""

    choices: list[Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    id: str | int | None = None
    error: Any = None
    object: str | None = None
    message: Any = None
    moderation: Any = None


_decode = msgspec.json.Decoder(Document).decode
_encode = msgspec.json.Encoder().encode


def decode_document(data: bytes) -> Document:
    """Raise ValueError (msgspec's DecodeError) when it is not a JSON object."""
    try:
        return _decode(data)
    except msgspec.ValidationError:
        return _lenient(msgspec.json.decode(data), Document)


def _lenient(value: Any, kind: type[_S]) -> _S:
    """Build the struct from what has the right type and leave the rest at its default."""
    if not isinstance(value, dict):
        raise msgspec.DecodeError("not a JSON object")
    found: dict[str, Any] = {}
    for item in msgspec.structs.fields(kind):
        if item.name not in value:
            continue
        given = value[item.name]
        inner = _LENIENT.get((kind, item.name))
        if inner is not None and isinstance(given, list | dict):
            several = [one for one in _several(given) if isinstance(one, dict)]
            built = [_lenient(one, inner) for one in several]
            if item.name in _LISTS:
                found[item.name] = built
            elif built:
                found[item.name] = built[0]
        else:
            try:
                found[item.name] = msgspec.convert(given, item.type, strict=False)
            except msgspec.ValidationError:
                if item.name == "arguments":  # an object where a string of JSON belongs
                    found[item.name] = _encode(given).decode()
    return kind(**found)


def _several(given: list[Any] | dict[str, Any]) -> list[Any]:
    return given if isinstance(given, list) else [given]


_LISTS = frozenset(("choices", "tool_calls"))
"""Of the fields below, those that hold several."""
_LENIENT: dict[tuple[type[Any], str], type[Any]] = {
    (Document, "choices"): Choice,
    (Document, "usage"): _Usage,
    (Choice, "delta"): Delta,
    (Choice, "message"): Delta,
    (Delta, "tool_calls"): _ToolCall,
    (_ToolCall, "function"): _Function,
    (_Usage, "prompt_tokens_details"): _PromptDetails,
    (_Usage, "completion_tokens_details"): _CompletionDetails,
}


def first_choice(document: Document) -> Choice | None:
    """Choice 0; further ones (n > 1) are not ours to mix into the text."""
    for choice in document.choices or ():
        if not choice.index:
            return choice
    return None


def only_content(document: Document) -> str:
    """The text of a chunk that does nothing but add to it, as nearly all do; else nothing."""
    choices = document.choices
    if (
        choices is None
        or len(choices) != 1
        or document.error
        or document.usage is not None
        or document.moderation is not None
    ):
        return ""
    choice = choices[0]
    delta = choice.delta
    if delta is None or choice.index or choice.finish_reason:
        return ""
    if delta.tool_calls or delta.reasoning_content or delta.reasoning:
        return ""
    return delta.content if isinstance(delta.content, str) else ""


def content_of(delta: Delta) -> tuple[str, str]:
    """(content, reasoning), with lists of parts flattened."""
    reasoning = delta.reasoning_content or delta.reasoning or ""
    content = delta.content
    if content is None or isinstance(content, str):
        return (content or delta.refusal or ""), reasoning
    text = "".join(_part_text(part, "text") for part in content)
    return text, reasoning + "".join(_part_text(part, "thinking") for part in content)


def _part_text(part: object, kind: str) -> str:
    if isinstance(part, str):
        return part if kind == "text" else ""
    if not isinstance(part, dict) or part.get("type", "text") not in (kind, f"output_{kind}"):
        return ""
    value = part.get(kind)
    if isinstance(value, list):
        return "".join(_part_text(inner, "text") for inner in value)
    return value if isinstance(value, str) else ""


def fragments(delta: Delta) -> tuple[ToolCallFragment, ...]:
    """Tool call pieces; a server that leaves the index out counts by position."""
    return tuple(
        ToolCallFragment(
            index=position if call.index is None else call.index,
            id="" if call.id is None else str(call.id),
            name=(call.function and call.function.name) or "",
            arguments=(call.function and call.function.arguments) or "",
        )
        for position, call in enumerate(delta.tool_calls or ())
    )


def usage_of(usage: _Usage) -> Usage:
    """The vendor's nested counts, flat."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (prompt and prompt.cached_tokens) or usage.prompt_cache_hit_tokens
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=cached or 0,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
    )


def encode(body: Mapping[str, Any]) -> bytes:
    """A request's body."""
    return _encode(body)


def kinds(request: ChatRequest) -> set[str]:
    """The kinds of content parts in it, by their wire names."""
    contents = [m.content for m in request.messages if isinstance(m.content, tuple)]
    return {str(type(part).__struct_config__.tag) for parts in contents for part in parts}


def estimated_tokens(request: ChatRequest) -> int:
    """About what a request costs a rate limit: a token per four bytes, and the longest answer."""
    size = sum(len(m.content) for m in request.messages if isinstance(m.content, str))
    longest = request.params.get("max_completion_tokens") or request.params.get("max_tokens") or 0
    return size // 4 + (longest if isinstance(longest, int) else 0)


def chat_body(
    request: ChatRequest, target: Target, *, stream: bool, refused: Container[str] = ()
) -> dict[str, Any]:
    """The request's fields; `refused` holds what this target was seen to reject."""
    body: dict[str, Any] = {"model": target.model}
    body["messages"] = [_plain(m, _blind(target, refused)) for m in request.messages]
    body.update(target.params)
    body.update(request.params)
    if request.prompt_cache_key:
        body["prompt_cache_key"] = request.prompt_cache_key
    if request.user:
        body["user"] = request.user
    body.pop("stream_options", None)
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    leave_out(body, refused)
    return body


def leave_out(body: dict[str, Any], refused: Container[str]) -> None:
    """Take out of a request what was refused; what has another name gets it."""
    for name in [name for name in body if name in refused]:
        value = body.pop(name)
        other = RENAMED.get(name)
        if other is not None and other not in refused:
            body.setdefault(other, value)


def path_at(endpoint: Endpoint, path: str, model: str) -> str:
    """The path below the endpoint's base URL; Azure has the model and its version in it.

    https://learn.microsoft.com/azure/ai-services/openai/reference
    """
    if not endpoint.azure_api_version:
        return path
    base = endpoint.base_url.rstrip("/")
    if not base.endswith("/v1"):
        if model:
            path = f"/deployments/{quote(endpoint.deployments.get(model, model), safe='')}{path}"
        if not base.endswith("/openai"):
            path = f"/openai{path}"
    return f"{path}{'&' if '?' in path else '?'}api-version={quote(endpoint.azure_api_version)}"


def _blind(target: Target, refused: Container[str]) -> tuple[type[ContentPart], ...]:
    """The kinds of parts that this target can't read."""
    images = () if target.has_vision and "image_url" not in refused else (ImagePart,)
    files = () if target.has_files and "file" not in refused else (FilePart,)
    return images + files


def _plain(message: ChatMessage, blind: tuple[type[ContentPart], ...]) -> ChatMessage:
    """Put a note where a part stands that the model can't read."""
    content = message.content
    if not isinstance(content, tuple) or not any(isinstance(part, blind) for part in content):
        return message
    parts = tuple(TextPart(_note(part)) if isinstance(part, blind) else part for part in content)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    joined = "\n".join(texts) if len(texts) == len(parts) else parts
    return msgspec.structs.replace(message, content=joined)


def _note(part: ContentPart) -> str:
    if isinstance(part, FilePart):
        return f"[a file is attached that you can't read: {part.file.filename or 'unnamed'}]"
    return "[an image is attached that you can't see]"


def continued(request: ChatRequest, partial: str) -> ChatRequest:
    """The same request, asking for the rest of an answer of which `partial` has arrived."""
    more = (ChatMessage("assistant", partial), ChatMessage("user", _CONTINUE))
    return ChatRequest(
        messages=(*request.messages, *more),
        model=request.model,
        params=request.params,
        prompt_cache_key=request.prompt_cache_key,
        user=request.user,
    )


def headers(endpoint: Endpoint) -> Mapping[str, str]:
    """Everything that authorizes and describes a call; own `headers` of the endpoint win."""
    found = {
        "accept": "text/event-stream, application/json",
        # compressed events would wait in the compressor's buffer
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "talkwarden",
    }
    if endpoint.api_key and endpoint.azure_api_version:
        found["api-key"] = endpoint.api_key
    elif endpoint.api_key:
        found["authorization"] = f"Bearer {endpoint.api_key}"
    if endpoint.organization:
        found["openai-organization"] = endpoint.organization
    if endpoint.project:
        found["openai-project"] = endpoint.project
    found.update({name.lower(): value for name, value in endpoint.headers.items()})
    return found


class _Moderations(msgspec.Struct):
    results: list[ModerationResult]
    model: str = ""
    id: str | int = ""


class _Models(msgspec.Struct):
    data: list[dict[str, Any]]


_decode_moderations = msgspec.json.Decoder(_Moderations).decode
_decode_models = msgspec.json.Decoder(_Models).decode


def moderation_reply(count: int) -> Callable[[bytes], ModerationReply]:
    """A parser that raises ValueError unless the reply has `count` results."""

    def parse(data: bytes) -> ModerationReply:
        reply = _decode_moderations(data)
        if len(reply.results) != count:
            raise ValueError(f"{len(reply.results)} results for {count} inputs")
        return ModerationReply(tuple(reply.results), reply.model, str(reply.id))

    return parse


def model_list(data: bytes) -> tuple[ModelInfo, ...]:
    """Entries without an id are left out; raise ValueError when it is no list."""
    return tuple(
        ModelInfo(str(entry["id"]), str(entry.get("owned_by") or ""))
        for entry in _decode_models(data).data
        if entry.get("id")
    )
