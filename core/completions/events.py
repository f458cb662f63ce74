"""A stream as the endpoint writes it: each event's bytes, and what they say.

Unlike `stream.ChatStream` it keeps everything (several choices, log probabilities, fields that
nobody has heard of), and never continues a broken answer at another endpoint: it moves on only
before the first event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from core.completions import wire
from core.completions.client import HttpReply
from core.completions.faults import from_stream
from core.completions.retry import Course
from core.completions.sending import Spent
from core.completions.sse import SseParser
from core.completions.types import Endpoint, Usage
from core.errors import BadReply, ModelError, ModelUnavailable, StreamBroken

Opened: TypeAlias = Callable[[Course], AbstractAsyncContextManager[tuple[HttpReply, Spent]]]

_SPACE = b" \t\r\n\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True):
    """One event: `data` is what followed "data: ", `document` the fields that we read of it."""

    data: bytes
    document: wire.Document


class EventStream:
    """`async with api.chat_stream(...) as stream: async for batch in stream: for event in batch`.

    Leave the block at any time to give the answer up; what the fields say is final at the end.
    Raises the ModelError classes; StreamBroken once something was handed out.
    """

    def __init__(self, opened: Opened, course: Callable[[], Course]) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.endpoint = ""
        self.finish_reasons: dict[int, str] = {}
        """By the choice's index."""
        self.headers: Mapping[str, str] = {}
        self.served_by = ""
        self.warnings: tuple[str, ...] = ()
        self._opened = opened
        self._course = course
        self._texts: list[str] = []
        self._is_begun = False
        self._batches = self._run()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._batches.aclose()

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self._batches

    @property
    def text(self) -> str:
        """The first choice's words so far."""
        return "".join(self._texts)

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        course = self._course()
        while True:
            try:
                async with self._opened(course) as (reply, spent):
                    reader = _Reader(course.target.endpoint)
                    self.headers, self.endpoint = dict(reply.headers), course.target.endpoint.name
                    # the request was sent with the timeout for reading
                    while not reader.is_over and (block := await reply.block(None)) is not None:
                        batch = reader.feed(block)
                        if reader.fault is not None and not self._is_begun:
                            raise reader.fault  # nobody has seen anything: it can be asked again
                        if batch:
                            yield self._noted(batch)
                    if batch := reader.end():
                        yield self._noted(batch)
                    self._ended(reader, spent)
            except ModelError as exc:
                if self._is_begun:
                    broken = StreamBroken(str(exc), partial=self.text)
                    broken.status, broken.retry_after = exc.status, exc.retry_after
                    raise broken from exc
                await course.after(exc)
            else:
                course.succeeded()
                return

    def _ended(self, reader: _Reader, spent: Spent) -> None:
        if reader.fault is not None:
            raise reader.fault
        if self.usage is not None:
            spent(self.usage.prompt_tokens + self.usage.completion_tokens)
        if not reader.is_done and not self.finish_reasons:
            raise ModelUnavailable(f"{self.endpoint}: the stream was cut off")

    def _noted(self, events: list[Event]) -> list[Event]:
        self._is_begun = True
        for event in events:
            self.note(event.document)
        return events

    def note(self, document: wire.Document) -> None:
        """Keep what an event says about the whole."""
        if document.usage is not None:
            self.usage = wire.usage_of(document.usage)
        self.model = self.model or document.model or ""
        for choice in document.choices or ():
            index = choice.index or 0
            if choice.finish_reason:
                self.finish_reasons[index] = choice.finish_reason
            if not index:
                self._texts.append(text_of(choice))


def text_of(choice: wire.Choice) -> str:
    """What a chunk's choice adds to the visible text, reasoning aside."""
    if choice.text is not None:
        return choice.text
    part = choice.delta or choice.message
    return wire.content_of(part)[0] if part is not None else ""


class _Reader:
    """Blocks of bytes to events; one JSON document counts as a stream of one event."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.is_done = False
        self.fault: ModelError | None = None
        """Why nothing more can come; what came before it is handed on first."""
        self._endpoint = endpoint
        self._events = SseParser()
        self._head: bytes | None = b""
        self._document: list[bytes] | None = None
        self._size = 0

    @property
    def is_over(self) -> bool:
        """Nothing of interest follows."""
        return self.is_done or self.fault is not None

    def feed(self, block: bytes) -> list[Event]:
        """The events that the block completes."""
        if self._head is not None:
            block = self._head + block
            first = block.lstrip(_SPACE)[:1]
            self._head = None if first else block
            if not first:
                return []
            if first == b"<":
                self.fault = BadReply(f"{self._endpoint.name} sent a page, not a completion")
                return []
            if first in b"{[":
                self._document = []
        if self._document is None:
            return self._read(block)
        self._size += len(block)
        if self._size > wire.MAX_DOCUMENT:
            self.fault = BadReply(f"{self._endpoint.name} sent over {wire.MAX_DOCUMENT} bytes")
        self._document.append(block)
        return []

    def end(self) -> list[Event]:
        """The last events, at the end of the body."""
        if self.is_over:
            return []
        if self._document is None:
            return self._read(None)
        self.is_done = True
        return self._taken([_as_chunk(b"".join(self._document).strip(_SPACE))])

    def _read(self, block: bytes | None) -> list[Event]:
        try:
            found = self._events.end() if block is None else self._events.feed(block)
        except BadReply as exc:
            self.fault = exc
            return []
        return self._taken(found)

    def _taken(self, found: list[bytes]) -> list[Event]:
        events = []
        for data in found:
            if data[:6] == b"[DONE]":
                self.is_done = True
                break
            try:
                events.append(self._event(data))
            except ModelError as exc:
                self.fault = exc
                break
        return events

    def _event(self, data: bytes) -> Event:
        try:
            document = wire.decode_document(data)
        except ValueError as exc:
            raise BadReply(f"{self._endpoint.name} sent a chunk that is not JSON") from exc
        if document.error or document.object == "error":
            raise from_stream(self._endpoint, document.error or {"message": document.message})
        return Event(data, document)


def _as_chunk(data: bytes) -> bytes:
    """A whole reply, from an endpoint that does not stream, as the only chunk of a stream."""
    try:
        body: Any = msgspec.json.decode(data)
    except ValueError:
        return data
    if not isinstance(body, dict) or body.get("object") not in ("chat.completion", None):
        return data
    choices = [
        {name if name != "message" else "delta": value for name, value in choice.items()}
        for choice in body.get("choices") or ()
        if isinstance(choice, dict)
    ]
    return msgspec.json.encode(
        {**body, "object": "chat.completion.chunk", "choices": choices}
        if "choices" in body
        else body
    )
