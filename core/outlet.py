"""The way out of a reply that a program reads: every text in it passes a gate of its own.

A streamed reply is passed on chunk by chunk, and a chunk goes out once all of its characters are
cleared. What a gate lets out is as long as what it was given (what is redacted is masked), so a
chunk that nothing was done to leaves with the very bytes that came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from core.errors import BadReply
from core.moderation import StreamGate, Violation
from core.reply_texts import FILTERED, Path, forget, mask_reply, texts_in

_TEXTS: Final = ("content", "refusal", "reasoning_content", "reasoning")
_SHARED: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""What all chunks of a reply say alike."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Audio(msgspec.Struct):
    transcript: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None
    reasoning_details: list[Any] | None = None
    annotations: list[Any] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class _Said(NamedTuple):
    """A text of a chunk: whose gate it goes to, and where it stands."""

    name: str
    """Empty for a text that is none other's continuation."""
    path: Path
    text: str
    is_whole: bool = False
    """Nothing is held back of it for what may follow: so far it is judged as a whole."""


@dataclass(slots=True)
class _Way:
    """One gate, and how far it has let out what it was given."""

    gate: StreamGate
    given: int = 0
    cleared: int = 0
    texts: deque[str] = field(default_factory=deque)
    """Cleared and not yet taken."""

    def take(self, length: int) -> str:
        """The next characters that were let out."""
        if self.texts and len(self.texts[0]) == length:
            return self.texts.popleft()
        taken: list[str] = []
        while length:
            text = self.texts.popleft()
            if len(text) > length:
                self.texts.appendleft(text[length:])
                text = text[:length]
            taken.append(text)
            length -= len(text)
        return "".join(taken)


@dataclass(slots=True)
class _Held:
    """A chunk that waits, and its texts: whose gate they went to, where, what, and up to which of
    the gate's characters."""

    payload: bytes
    slots: list[tuple[_Way, Path, str, int]]
    ended: list[int]
    """Choices that it ends."""
    speaks: bool = False

    @property
    def is_cleared(self) -> bool:
        for way, _, _, end in self.slots:  # noqa: SIM110  # a generator costs more than all of it
            if way.cleared < end:
                return False
        return True


class Outlet:
    """One reply's way out. `gate` makes a fresh gate; each text of each choice gets its own."""

    def __init__(
        self, gate: Callable[[], StreamGate], *, is_scored: bool, shows_usage: bool = True
    ) -> None:
        self.usage: dict[str, Any] | None = None
        self.model = ""
        self.length = 0
        """Characters that the model has written."""
        self.shows_usage = shows_usage
        self._gate = gate
        self._is_scored = is_scored
        self._first = b""
        self._is_muted = False
        self._choices: dict[int, bool] = {}
        """All that have begun, and whether their endings are out."""
        self._ways: dict[tuple[int, str], _Way] = {}
        self._held: deque[_Held] = deque()

    @property
    def gates(self) -> list[StreamGate]:
        """All that were needed so far."""
        return [way.gate for way in self._ways.values()]

    def feed(self, payload: bytes) -> list[bytes]:
        """Take a chunk; what may go out now, where no scorer has to be asked.

        Raises Violation, and BadReply for what is no chunk.
        """
        chunk = _read(payload)
        self._first = self._first or payload
        self.model = self.model or chunk.model or ""
        if chunk.usage is not None:
            self.usage = chunk.usage
            if not chunk.choices and not self.shows_usage:
                return self._released()
        choices = chunk.choices or ()
        for choice in choices:
            if choice.index not in self._choices:
                self._choices[choice.index] = False
        if len(choices) == 1 and (text := _only_content(choices[0])):
            return self._passed(payload, choices[0].index, text)
        held = _Held(payload, [], [])
        for number, choice in enumerate(choices):
            for said in _texts(number, choice):
                self._say(choice.index, said, held)
            if choice.delta is not None and choice.delta.audio and choice.delta.audio.data:
                held.speaks = True
            if choice.finish_reason is not None:
                self._finish(choice.index)
                held.ended.append(choice.index)
        self._held.append(held)
        return self._released()

    def _passed(self, payload: bytes, choice: int, text: str) -> list[bytes]:
        """As `feed` of a chunk that is a piece of one text, as most are."""
        way = self._way(choice, "content")
        out = way.gate.feed(text)
        self.length += len(text)
        way.given += len(text)
        if out == text and not (self._held or way.texts or self._is_scored):
            way.cleared += len(text)
            return [payload]
        self._let_out(way, out)
        path: Path = ("choices", 0, "delta", "content")
        self._held.append(_Held(payload, [(way, path, text, way.given)], []))
        return self._released()

    def _say(self, choice: int, said: _Said, held: _Held) -> None:
        way = self._way(choice, said.name or f"text {len(self._ways)}")
        self._let_out(way, way.gate.feed(said.text))
        if said.is_whole:
            self._let_out(way, way.gate.finish())
        way.given += len(said.text)
        self.length += len(said.text)
        held.slots.append((way, said.path, said.text, way.given))

    def end(self) -> list[bytes]:
        """The model has ended: what was held back. Raises Violation."""
        for index in {index for index, _ in self._ways}:
            self._finish(index)
        return self._released()

    async def clear(self) -> list[bytes]:
        """What the scorer lets out of what was fed so far. Raises Violation."""
        for way in list(self._ways.values()):
            self._clear(way, await way.gate.clear())
        return self._released()

    def stopped(self, usage: Mapping[str, Any] | None = None) -> list[bytes]:
        """The last chunks of a reply that moderation has stopped, in the shape of its first one.

        Each choice that is under way ends; the usage follows where the caller wanted it.
        """
        left = [index for index, is_out in self._choices.items() if not is_out]
        chunks = [_like(self._first, index) for index in sorted(left)]
        if self.shows_usage and usage is not None:
            chunks.append(_like(self._first, None, usage=usage))
        return chunks

    def _way(self, choice: int, name: str) -> _Way:
        found = self._ways.get((choice, name))
        if found is None:
            found = self._ways[choice, name] = _Way(self._gate())
        return found

    def _finish(self, choice: int) -> None:
        for (index, _), way in self._ways.items():
            if index == choice:
                self._let_out(way, way.gate.finish())

    def _let_out(self, way: _Way, text: str) -> None:
        if not self._is_scored:  # else `clear` gives it, once it is judged
            self._clear(way, text)

    def _clear(self, way: _Way, text: str) -> None:
        if text:
            way.texts.append(text)
            way.cleared += len(text)

    def _released(self) -> list[bytes]:
        out: list[bytes] = []
        while self._held and self._held[0].is_cleared:
            held = self._held.popleft()
            for index in held.ended:
                self._choices[index] = True
            changed = [
                (path, shown)
                for way, path, text, _ in held.slots
                if (shown := way.take(len(text))) != text
            ]
            # speech may come later than the transcript that was masked
            self._is_muted = self._is_muted or any("audio" in path for path, _ in changed)
            is_mute = held.speaks and self._is_muted
            if changed or is_mute:
                out.append(_with(held.payload, changed, is_mute=is_mute))
            else:
                out.append(held.payload)
        return out


def _like(first: bytes, choice: int | None, **more: Any) -> bytes:
    """A chunk made after the first one: the end of this choice, or one without choices."""
    document = msgspec.json.decode(first)
    shared = {name: document[name] for name in _SHARED if document.get(name) is not None}
    is_text = any("text" in each for each in document.get("choices") or ())
    is_text = is_text or document.get("object") == "text_completion"
    choices = []
    if choice is not None:
        ending: dict[str, Any] = {"text": ""} if is_text else {"delta": {}}
        choices = [{"index": choice, **ending, "finish_reason": FILTERED}]
    return msgspec.json.encode({**shared, "choices": choices, **more})


def _read(payload: bytes) -> _Chunk:
    try:
        chunk = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadReply("the endpoint sent a chunk that can't be read") from exc
    if chunk.error:
        raise BadReply("the endpoint reported an error in the middle of its answer")
    return chunk


def _only_content(choice: _Choice) -> str:
    """The content of a chunk that adds nothing else; empty if it is not so."""
    delta = choice.delta
    if (
        delta is None
        or choice.text
        or choice.finish_reason is not None
        or delta.reasoning_content
        or delta.reasoning
        or delta.refusal
        or delta.tool_calls
        or delta.function_call
        or delta.audio
        or delta.reasoning_details
        or delta.annotations
    ):
        return ""
    return delta.content if isinstance(delta.content, str) else ""


def _texts(number: int, choice: _Choice) -> Iterator[_Said]:
    at: Path = ("choices", number)
    if choice.text:
        yield _Said("text", (*at, "text"), choice.text)
    delta = choice.delta
    if delta is None:
        return
    at = (*at, "delta")
    if delta.content:
        if not isinstance(delta.content, str):
            raise BadReply("the endpoint sent a text in parts, which can't be checked as it comes")
        yield _Said("content", (*at, "content"), delta.content)
    for name in _TEXTS[1:]:
        if text := getattr(delta, name):
            yield _Said(name, (*at, name), text)
    if delta.audio and delta.audio.transcript:
        yield _Said("transcript", (*at, "audio", "transcript"), delta.audio.transcript)
    if delta.tool_calls or delta.function_call:
        yield from _texts_of_calls(delta, at)
    if delta.reasoning_details or delta.annotations:
        yield from _texts_of_lists(delta, at)


def _texts_of_calls(delta: _Delta, at: Path) -> Iterator[_Said]:
    if delta.function_call:
        yield from _texts_of_call("function_call", delta.function_call, (*at, "function_call"))
    for position, call in enumerate(delta.tool_calls or ()):
        name = f"tool_call {position if call.index is None else call.index}"
        for kind in ("function", "custom"):
            if called := getattr(call, kind):
                yield from _texts_of_call(name, called, (*at, "tool_calls", position, kind))


def _texts_of_call(name: str, called: _Function | _Custom, at: Path) -> Iterator[_Said]:
    if called.name:  # it waits for nothing, or all that is called with would wait with it
        yield _Said(f"{name} name", (*at, "name"), called.name, is_whole=True)
    field_name = "arguments" if isinstance(called, _Function) else "input"
    if text := getattr(called, field_name):
        yield _Said(name, (*at, field_name), text)


def _texts_of_lists(delta: _Delta, at: Path) -> Iterator[_Said]:
    for position, detail in enumerate(delta.reasoning_details or ()):
        index = detail.get("index", position) if isinstance(detail, dict) else position
        for path, text in texts_in(detail, (*at, "reasoning_details", position)):
            yield _Said(f"reasoning_details {index} {path[-1]}", path, text)
    for path, text in texts_in(delta.annotations, (*at, "annotations")):
        yield _Said("", path, text, is_whole=True)


def _with(payload: bytes, changed: list[tuple[Path, str]], *, is_mute: bool) -> bytes:
    document = msgspec.json.decode(payload)
    for choice in document["choices"] if is_mute else ():
        forget(choice)
    mask_reply(document, changed)
    return msgspec.json.encode(document)


__all__ = ["Outlet", "Violation"]
