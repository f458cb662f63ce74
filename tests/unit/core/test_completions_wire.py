"""Requests, replies and errors as bytes, in every shape that endpoints are known to send."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.completions import faults, wire
from core.completions.reading import ReplyReader
from core.completions.types import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    Endpoint,
    FileData,
    FilePart,
    ImagePart,
    ImageUrl,
    Target,
    TextPart,
    ToolCallFragment,
    Usage,
)
from core.errors import (
    BadReply,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)

ENDPOINT = Endpoint("main", "http://h/v1", "sk-verysecret", organization="o", project="p")
TARGET = Target(ENDPOINT, "m")
DONE = b"data: [DONE]\n\n"


def event(**fields: Any) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def chunk(**delta: Any) -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": delta, "finish_reason": None}])


FINISH = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


def read(*blocks: bytes) -> tuple[ReplyReader, list[ChatDelta]]:
    reader = ReplyReader(ENDPOINT)
    deltas = [delta for block in blocks for delta in reader.feed(block)]
    return reader, deltas + reader.end()


def text_of(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_a_request_keeps_its_prefix_and_passes_parameters() -> None:
    """Messages are serialised the same way each time; unknown parameters go through."""
    system = ChatMessage("system", "be kind")
    first = ChatRequest((system, ChatMessage("user", "a", name="Ann")), params={"new_knob": [1]})
    second = ChatRequest((*first.messages, ChatMessage("assistant", "b")))

    one = wire.encode(wire.chat_body(first, TARGET, stream=True))
    two = wire.encode(wire.chat_body(second, TARGET, stream=True))

    prefix = b'{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user"'
    assert one.startswith(prefix)
    assert two.startswith(one[: one.index(b"]")])
    assert msgspec.json.decode(one)["new_knob"] == [1]
    assert msgspec.json.decode(one)["stream_options"] == {"include_usage": True}


def test_a_refused_parameter_is_left_out_or_renamed() -> None:
    """What a target objected to is not sent again; max_tokens gets its newer name."""
    request = ChatRequest((), params={"max_tokens": 9, "seed": 1}, user="u", prompt_cache_key="k")

    refused = {"max_tokens", "seed", "stream_options", "user"}
    body = wire.chat_body(request, TARGET, stream=True, refused=refused)

    assert body == {
        "model": "m",
        "messages": [],
        "prompt_cache_key": "k",
        "stream": True,
        "max_completion_tokens": 9,
    }


def test_parts_that_a_model_cannot_read_become_notes() -> None:
    """A model without vision or files gets a text instead of an error."""
    image = ImagePart(ImageUrl("data:image/png;base64,AA"))
    file = FilePart(FileData("a.pdf", "data:application/pdf;base64,AA"))
    request = ChatRequest((ChatMessage("user", (TextPart("look"), image, file)),))

    seeing = wire.chat_body(request, TARGET, stream=False)["messages"][0]
    blind = wire.chat_body(request, TARGET, stream=False, refused={"image_url", "file"})

    assert msgspec.to_builtins(seeing)["content"][1]["type"] == "image_url"
    assert "image" in blind["messages"][0].content
    assert "a.pdf" in blind["messages"][0].content
    assert wire.kinds(request) == {"text", "image_url", "file"}


def test_secrets_show_in_headers_only() -> None:
    """The repr of an endpoint holds neither its key nor its headers."""
    endpoint = Endpoint("main", "http://h/v1", "sk-verysecret", headers={"X-Key": "hidden"})

    headers = wire.headers(ENDPOINT)

    assert headers["authorization"] == "Bearer sk-verysecret"
    assert (headers["openai-organization"], headers["openai-project"]) == ("o", "p")
    assert wire.headers(endpoint)["x-key"] == "hidden"
    assert "verysecret" not in repr(endpoint)
    assert "hidden" not in repr(endpoint)


def test_a_stream_gives_text_reasoning_calls_and_usage() -> None:
    """Each kind of delta ends up in its own field."""
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{"}}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    reader, deltas = read(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="hm"),
        chunk(reasoning="m"),
        chunk(content="<think>deep</think>Hel"),
        chunk(content="lo"),
        chunk(tool_calls=[call]),
        FINISH,
        event(choices=[], usage=usage),
        DONE,
    )

    assert text_of(deltas) == "Hello"
    assert "".join(delta.reasoning for delta in deltas) == "hmmdeep"
    assert deltas[-2].tool_calls == (ToolCallFragment(0, "call_1", "f", "{"),)
    assert reader.usage == Usage(9, 2, 8)
    assert (reader.finish_reason, reader.model, reader.reply_id) == ("stop", "m", "c")
    assert reader.fault is None


@pytest.mark.parametrize(
    "block",
    [
        chunk(content="Hi", role=None, tool_calls=None, reasoning=None),
        chunk(content=[{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]),
        chunk(content="Hi", reasoning={"odd": 1}, function_call={"a": 1}),
        chunk(refusal="Hi"),
        event(id=7, created="x", choices=[{"delta": {"content": "Hi"}}], usage=None, error=None),
        event(id=None, model=None, choices=[{"index": 0, "message": {"content": "Hi"}}]),
        event(id={"odd": 1}, model=5, choices=[{"index": "0", "delta": {"content": "Hi"}}]),
        event(choices=[{"delta": {"content": "Hi"}}, {"index": 1, "delta": {"content": "no"}}]),
    ],
)
def test_odd_chunks_are_understood(block: bytes) -> None:
    """Null fields, ids as numbers, parts, wrong types and unknown fields keep the text."""
    reader, deltas = read(block, FINISH, DONE)

    assert text_of(deltas) == "Hi"
    assert reader.fault is None


def test_thinking_parts_are_reasoning() -> None:
    """Content as a list may carry thinking, which is not text."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    _, deltas = read(chunk(content=[thinking, {"type": "text", "text": "Hi"}]), FINISH, DONE)

    assert deltas[0] == ChatDelta("Hi", "hm")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \n"])
def test_a_document_instead_of_a_stream_is_read(mark: bytes) -> None:
    """An endpoint that ignores `stream` answers with the same result, cut anywhere."""
    message = {"role": "assistant", "content": "<think>x</think>Hi", "tool_calls": None}
    document = {"id": 1, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    raw = mark + msgspec.json.encode(document)

    reader, deltas = read(*(raw[at : at + 1] for at in range(len(raw))))

    assert deltas == [ChatDelta("Hi", "x", (), "stop")]
    assert reader.fault is None


@pytest.mark.parametrize(
    ("blocks", "kind"),
    [
        ((b"<html>",), BadReply),
        ((b'{"id": 1, "cho',), BadReply),
        ((b"[1]",), BadReply),
        ((b'{"ok": true}',), BadReply),
        ((chunk(content="a"), b"data: {nope\n\n"), BadReply),
        ((chunk(content="a"), b'data: "\xff"\n\n'), BadReply),
        ((chunk(content="a"),), ModelUnavailable),
        ((b"",), ModelUnavailable),
        ((event(error={"message": "x", "code": 502}),), ModelUnavailable),
        ((event(error={"message": "x", "code": "rate_limit_exceeded"}),), ModelRateLimited),
        ((event(error="flagged by the safety system"),), ContentRefused),
        ((event(object="error", message="maximum context length is 8"),), ContextTooLong),
        ((event(choices=[{"delta": {}, "finish_reason": "content_filter"}]),), ContentRefused),
    ],
)
def test_replies_that_are_no_answer(blocks: tuple[bytes, ...], kind: type[ModelError]) -> None:
    """Pages, broken JSON, errors in the stream and early ends are told apart."""
    reader, _ = read(*blocks)

    assert type(reader.fault) is kind


def test_text_before_a_fault_in_the_same_block_is_kept() -> None:
    """A bad chunk takes nothing away from the good ones that were read with it."""
    reader, deltas = read(chunk(content="a") + chunk(content="b") + b"data: {nope\n\n")

    assert text_of(deltas) == "ab"
    assert isinstance(reader.fault, BadReply)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "elsewhere"),
    [
        (400, "context_length_exceeded", "too long", ContextTooLong, False),
        (413, "", "", ContextTooLong, False),
        (400, "content_filter", "", ContentRefused, False),
        (403, "", "Your input was flagged", ContentRefused, False),
        (400, "model_not_found", "", ModelRefused, True),
        (400, "invalid_request_error", "bad temperature", ModelRefused, False),
        (422, "", "", ModelRefused, False),
        (401, "invalid_api_key", "", ModelRefused, True),
        (402, "", "", ModelRefused, True),
        (404, "", "", ModelRefused, True),
        (302, "", "", ModelRefused, True),
        (429, "insufficient_quota", "", ModelRefused, True),
        (429, "rate_limit_exceeded", "", ModelRateLimited, False),
        (408, "", "", ModelUnavailable, False),
        (409, "", "", ModelUnavailable, False),
        (500, "", "", ModelUnavailable, False),
        (529, "", "", ModelUnavailable, False),
    ],
)
def test_each_refusal_has_its_class(
    status: int, code: str, message: str, kind: type[ModelError], elsewhere: bool
) -> None:
    """Status, code and words decide whether to wait, to go elsewhere or to give up."""
    body = msgspec.json.encode({"error": {"code": code, "message": message}})

    error = faults.from_reply(ENDPOINT, status, {"retry-after": "2"}, body, 0.0)

    assert type(error) is kind
    assert faults.is_elsewhere_possible(error) is elsewhere
    assert error.retry_after == (2.0 if error.retryable else None)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>",
        b"",
        b"\xff",
        b'{"detail": [{"loc": ["body"], "msg": "no", "input": "the prompt"}]}',
        b'{"error": {"message": "Incorrect key sk-verysecret, sk-proj-abcdef123", "code": null}}',
        b'[{"error": {"message": {"detail": [{"msg": "x", "input": "the prompt"}]}}}]',
    ],
)
def test_errors_show_neither_keys_nor_prompts(body: bytes) -> None:
    """What reaches the log is a bounded excerpt without credentials or the request."""
    shown = str(faults.from_reply(ENDPOINT, 422, {}, body, 0.0))

    assert shown.startswith("main: 422")
    assert not any(secret in shown for secret in ("verysecret", "abcdef123", "the prompt"))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        ({"x-ratelimit-reset-tokens": "1m30"}, None),
        ({"x-ratelimit-reset-tokens": "1.2.3s"}, None),
        ({"x-ratelimit-reset-tokens": "inf"}, None),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "7"}, 0.02),
        (
            {
                "x-ratelimit-reset-tokens": "20ms",
                "x-ratelimit-reset-requests": "1h2m",
                "x-ratelimit-remaining-requests": "0",
            },
            3720.0,
        ),
    ],
)
def test_hints_how_long_to_wait(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, milliseconds, dates and the vendor's reset times are understood."""
    assert faults.retry_after(headers, 60.0) == expected


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"Unknown parameter: 'stream_options'", "stream_options"),
        (
            b'{"loc":["body","prompt_cache_key"],"msg":"Extra inputs are not permitted"}',
            "prompt_cache_key",
        ),
        (b"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.", "max_tokens"),
        (b"this model does not support image input", "image_url"),
        (b"Unsupported value: 'temperature' does not support 0.2", "temperature"),
        (b"'messages' is unsupported", None),
        (b"temperature is too high", None),
        (b"maximum context length is 8, max_tokens not supported", None),
    ],
)
def test_an_objection_names_what_to_leave_out(body: bytes, name: str | None) -> None:
    """Only something that we sent, that is not essential and that is refused as unknown."""
    sent = {
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
        "prompt_cache_key", "temperature", "image_url", "text", "user",
    }  # fmt: skip

    assert faults.objection(body, sent) == name


def test_moderation_results_keep_what_is_new_or_null() -> None:
    """Unknown categories pass through, a null score stays null, a missing result is an error."""
    result = {
        "flagged": True,
        "categories": {"self-harm/intent": True, "brand/new": None},
        "category_scores": {"self-harm/intent": 0.5, "brand/new": None},
        "category_applied_input_types": None,
        "later": {},
    }
    raw = msgspec.json.encode({"id": 7, "model": "omni", "results": [result]})

    reply = wire.moderation_reply(1)(raw)

    assert reply.results[0].scores == {"self-harm/intent": 0.5, "brand/new": None}
    assert reply.results[0].categories["brand/new"] is None
    assert reply.request_id == "7"
    with pytest.raises(ValueError, match="1 results for 2"):
        wire.moderation_reply(2)(raw)


def test_a_list_of_models_leaves_out_what_has_no_id() -> None:
    """Ids may be numbers, owners may be missing; another document is an error."""
    raw = b'{"data": [{"id": "a"}, {"id": 4, "owned_by": "x"}, {"name": "odd"}]}'

    assert [(entry.id, entry.owned_by) for entry in wire.model_list(raw)] == [("a", ""), ("4", "x")]
    with pytest.raises(ValueError, match="data"):
        wire.model_list(b"{}")


@pytest.mark.parametrize(
    "document",
    [
        b'{"choices":{"index":"0","delta":[{"content":"hi"}]},"usage":[{"prompt_tokens":3}]}',
        b'{"choices":[{"index":"0","delta":{"content":"hi"}}],"usage":{"prompt_tokens":"3"}}',
        b'{"choices":[null,{"message":[[],{"content":"hi"}]}],"usage":[[],{"prompt_tokens":3}]}',
    ],
)
def test_one_in_place_of_several_is_read_and_several_in_place_of_one(document: bytes) -> None:
    """Neither a list where an object belongs nor the reverse breaks what reads the document."""
    found = wire.decode_document(document)
    choice = wire.first_choice(found)

    assert choice is not None
    part = choice.delta or choice.message
    assert part is not None
    assert wire.content_of(part) == ("hi", "")
    assert found.usage is not None
    assert wire.usage_of(found.usage).prompt_tokens == 3


def test_an_empty_list_is_no_usage() -> None:
    """Nothing is made of nothing."""
    assert wire.decode_document(b'{"usage":[],"choices":[{"delta":[]}]}').usage is None
