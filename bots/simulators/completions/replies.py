"""What the simulated model says, and its bytes: answers, chunks, usage. No I/O."""

from __future__ import annotations

import base64
import itertools
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from bots.simulators.completions.options import Options, Scripted

_WORD = re.compile(r"\s*\S+\s*$|\s*\S+")
_DIRECTIVE = re.compile(r"@sim(\{.*\})", re.DOTALL)
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_BACKGROUND = 1e-5
"""The score of a category that nothing speaks for."""

encode = msgspec.json.Encoder().encode


def last_user_text(body: Mapping[str, Any]) -> str:
    """The text of the newest user message, its parts joined."""
    for message in reversed(body.get("messages") or ()):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: Any) -> str:
    """A message's text; other parts show as their type in brackets."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    shown = (part.get("text", f"[{part.get('type')}]") for part in content)
    return "\n".join(shown)


def directive(body: Mapping[str, Any]) -> dict[str, Any]:
    """The orders hidden in the last user message; none when they are no JSON."""
    found = _DIRECTIVE.search(last_user_text(body))
    try:
        orders = msgspec.json.decode(found[1]) if found else {}
    except msgspec.DecodeError:
        return {}
    return orders if isinstance(orders, dict) else {}


def offline_answer(body: Mapping[str, Any]) -> Scripted:
    """Plainly no model: it tells what it was given."""
    asked = last_user_text(body)
    roles = [message.get("role") for message in body.get("messages") or ()]
    seen = len(roles) - roles.count("system")
    return Scripted(
        "I am an offline model: a program that shows what a real model would have seen, with no "
        f"understanding of it. Messages in my window: {seen}. The last one from a user says:\n"
        + "\n".join(f"> {line}" for line in asked.splitlines() or [""])
    )


def answer_of(options: Options, body: Mapping[str, Any], turn: int) -> Scripted:
    """The answer to the `turn`-th request, counted from 0; a cut-off one is continued."""
    if options.mode == "script" and options.script:
        return options.script[min(turn, len(options.script) - 1)]
    messages = list(body.get("messages") or ())
    if len(messages) > 2 and messages[-2].get("role") == "assistant":
        whole = _whole(options, {**body, "messages": messages[:-2]})
        partial = text_of(messages[-2].get("content"))
        if partial and partial != whole.text and whole.text.startswith(partial):
            return Scripted(whole.text[len(partial) :])
    return _whole(options, body)


def _whole(options: Options, body: Mapping[str, Any]) -> Scripted:
    if options.tokens:
        return Scripted("".join(f"word{number} " for number in range(options.tokens)).rstrip())
    if options.mode == "echo":
        return Scripted(last_user_text(body))
    return offline_answer(body)


@lru_cache(64)  # hundreds of streams of a benchmark say the same
def pieces(text: str, size: int) -> tuple[str, ...]:
    """The text in chunks of `size` characters, or of one word with the space before it."""
    if size > 0:
        return tuple(text[at : at + size] for at in range(0, len(text), size))
    found = _WORD.findall(text)
    return tuple(found) if "".join(found) == text else (text,)


@lru_cache(64)
def _encoded(field: str, text: str, size: int) -> tuple[bytes, ...]:
    name = encode(field) + b":"
    return tuple(name + encode(piece) for piece in pieces(text, size))


class Chunks:
    """Encodes the events of one stream; `nulls` and `ints` bend them as some servers do."""

    def __init__(self, reply_id: str, model: str, created: int, *, kind: str = "") -> None:
        identity: dict[str, Any] = {
            "id": reply_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._tail: dict[str, Any] = {}
        if kind == "nulls":
            identity = dict.fromkeys(identity)
            self._tail = {"usage": None, "error": None, "system_fingerprint": None}
        elif kind == "int_ids":
            identity |= {"id": 4711}
        self._identity = identity
        nulls = b'"role":null,"tool_calls":null,"refusal":null,' if kind == "nulls" else b""
        self._prefix = (
            b"data: " + encode(identity)[:-1] + b',"choices":[{"index":0,"delta":{' + nulls
        )
        self._suffix = b'},"logprobs":null,"finish_reason":null}]' + self._ending()

    def _ending(self) -> bytes:
        return (b"," + encode(self._tail)[1:] if self._tail else b"}") + b"\n\n"

    def role(self) -> bytes:
        """The opening chunk."""
        return self._prefix + b'"role":"assistant","content":""' + self._suffix

    def delta(self, field: str, value: Any) -> bytes:
        """A chunk that adds to one field."""
        return self._prefix + encode(field) + b":" + encode(value) + self._suffix

    def finish(self, reason: str) -> bytes:
        """The chunk with the finish_reason."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}
        return b"data: " + encode({**self._identity, "choices": [choice], **self._tail}) + b"\n\n"

    def usage(self, usage: Mapping[str, Any]) -> bytes:
        """The chunk without choices that ends a stream with include_usage."""
        return b"data: " + encode({**self._identity, "choices": [], "usage": usage}) + b"\n\n"

    def moderation(self, moderation: Mapping[str, Any]) -> bytes:
        """The chunk without choices that carries the moderation of a moderated completion."""
        body = {**self._identity, "choices": [], "moderation": moderation}
        return b"data: " + encode(body) + b"\n\n"

    def content(self, scripted: Scripted, size: int) -> list[bytes]:
        """All chunks between the opening and the finish."""
        texts = (("reasoning_content", scripted.reasoning), ("content", scripted.text))
        found = [
            self._prefix + piece + self._suffix
            for field, text in texts
            for piece in _encoded(field, text, size)
        ]
        for index, call in enumerate(scripted.tool_calls):
            head = {"index": index, "id": f"call_{index}", "type": "function"}
            head |= {"function": {"name": call.name, "arguments": ""}}
            found.append(self.delta("tool_calls", [head]))
            found += [
                self.delta("tool_calls", [{"index": index, "function": {"arguments": part}}])
                for part in pieces(call.arguments, size or 8)
            ]
        return found


def finish_reason(scripted: Scripted) -> str:
    """Why the answer ends."""
    return scripted.finish_reason or ("tool_calls" if scripted.tool_calls else "stop")


def completion(
    scripted: Scripted,
    reply_id: str,
    model: str,
    created: int,
    usage: Mapping[str, Any],
    count: int = 1,
) -> bytes:
    """The whole answer as one document, `count` times the same choice."""
    message: dict[str, Any] = {"role": "assistant", "content": scripted.text or None}
    if scripted.reasoning:
        message["reasoning_content"] = scripted.reasoning
    if scripted.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(scripted.tool_calls)
        ]
    reason = finish_reason(scripted)
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
        for index in range(int(count))
    ]
    return encode(
        {
            "id": reply_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "system_fingerprint": "fp_simulated",
            "choices": choices,
            "usage": usage,
        }
    )


def usage_of(prompt: bytes, cached: int, scripted: Scripted) -> dict[str, Any]:
    """The vendor's usage object; a token is four bytes of prompt and one word of answer."""
    reasoning = len(pieces(scripted.reasoning, 0))
    completed = reasoning + len(pieces(scripted.text, 0)) + len(scripted.tool_calls)
    prompted = tokens_of(len(prompt))
    return {
        "prompt_tokens": prompted,
        "completion_tokens": completed,
        "total_tokens": prompted + completed,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def tokens_of(size: int) -> int:
    """Tokens of so many bytes."""
    return max(1, size // 4)


class PromptCache:
    """Remembers each key's last prompt and really compares it with the next one."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._prompts: OrderedDict[str, bytes] = OrderedDict()

    def cached_tokens(self, key: str, prompt: bytes, options: Options) -> int:
        """Tokens of `prompt` that the key's last prompt began with, and remember this one."""
        before = self._prompts.pop(key, b"")
        self._prompts[key] = prompt
        if len(self._prompts) > self._capacity:
            self._prompts.popitem(last=False)
        tokens = _common(before, prompt) // 4
        if tokens < options.cache_minimum:
            return 0
        return tokens - tokens % max(1, options.cache_block)


def _common(one: bytes, other: bytes) -> int:
    """Length of the common beginning, by bisection."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def moderation(options: Options, body: Mapping[str, Any], reply_id: str) -> bytes:
    """Scores by the word table: the highest of the words that occur in an input.

    An image has the words of its data. Raise ValueError for more images than the vendor takes.
    """
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    kinds = ["text"]
    if inputs and isinstance(inputs[0], dict):  # one multi-modal input in parts
        parts = [part for part in inputs if isinstance(part, dict)]
        images = [part["image_url"]["url"] for part in parts if part.get("type") == "image_url"]
        if len(images) > 1:
            raise ValueError(f"Number of images ({len(images)}) exceeds maximum of 1")
        kinds = ["text"] * (len(inputs) > len(images)) + ["image"] * len(images)
        inputs = [" ".join([text_of(inputs), *map(_words_of, images)])]
    results = [_moderated(options, str(text).lower(), kinds) for text in inputs]
    model = str(body.get("model") or "omni-moderation-latest")
    return encode({"id": reply_id, "model": model, "results": results})


def _words_of(url: str) -> str:
    """What a `data:` URL holds, as far as it is text."""
    try:
        return base64.b64decode(url.partition("base64,")[2]).decode("ascii", "replace")
    except ValueError:
        return ""


def inline_moderation(
    options: Options, body: Mapping[str, Any], scripted: Scripted
) -> dict[str, Any] | None:
    """What comes with a completion that asked for it: both sides' scores, or an error."""
    wanted = body.get("moderation")
    if not isinstance(wanted, dict) or options.inline_moderation == "none":
        return None
    if options.inline_moderation == "error":
        error = {"type": "error", "code": "moderation_failed", "message": "It failed."}
        return {"input": error, "output": error}
    sides = {}
    for side, text in (("input", last_user_text(body)), ("output", scripted.text)):
        result = _moderated(options, text.lower(), ["text"])
        model = {"model": wanted.get("model")}
        result |= {"type": "moderation_result", **model}
        sides[side] = {"type": "moderation_results", **model, "results": [result]}
    return sides


def _moderated(options: Options, text: str, kinds: list[str]) -> dict[str, Any]:
    scores = dict.fromkeys(_CATEGORIES, _BACKGROUND)
    for word, given in options.words.items():
        if re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text):
            for category, score in given.items():
                scores[category] = max(score, scores.get(category, 0.0))
    categories = {category: score >= 0.5 for category, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": dict.fromkeys(scores, kinds),
    }


def model_list(options: Options) -> bytes:
    """GET /v1/models."""
    data = [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}
        for name in options.models
    ]
    return encode({"object": "list", "data": data})


def ids(prefix: str) -> Iterator[str]:
    """Ids that no other reply of this process has."""
    return (f"{prefix}-{number:08d}" for number in itertools.count(1))
