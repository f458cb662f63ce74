"""Turns the bytes of a chat completion's reply into deltas, without I/O.

One reader reads both shapes, told apart by the first byte rather than by the content type, which
many servers get wrong: events of a stream, or one JSON document (an endpoint that ignores
`stream: true`, and every reply that was not asked to stream).
"""

from __future__ import annotations

from typing import Any

from core.completions import wire
from core.completions.faults import from_stream
from core.completions.sse import SseParser
from core.completions.thinking import ThinkSplitter
from core.completions.types import ChatDelta, Endpoint, Usage
from core.errors import BadReply, ContentRefused, ModelError, ModelUnavailable

MAX_ANSWER = 4 << 20
"""Characters of an answer, reasoning and tool arguments included."""

_SPACE = b" \t\r\n\xef\xbb\xbf"


class ReplyReader:
    """Feed it blocks; it returns the deltas that each completes, and never raises."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model = ""
        self.reply_id = ""
        self.is_done = False
        """`[DONE]` has come: nothing of interest follows."""
        self.document = b""
        """The body, when it was one JSON document."""
        self.moderation: dict[str, Any] = {}
        """What the reply says of its "input" and "output", where that was asked for."""
        self.fault: ModelError | None = None
        """Why nothing more can come: to be raised once the deltas before it are handed on."""
        self._endpoint = endpoint
        self._events = SseParser()
        self._think = ThinkSplitter()
        self._start: bytes | None = b""
        self._pieces: list[bytes] | None = None
        self._size = 0
        self._length = 0

    def feed(self, block: bytes) -> list[ChatDelta]:
        """The new deltas in order; what came before a fault is returned, then look at `fault`."""
        if self._start is not None:
            self._start += block
            first = self._start.lstrip(_SPACE)[:1]
            if not first:
                return []
            block, self._start = self._start, None
            if first == b"<":
                return self._broken("a page, not a completion")
            if first in b"{[":
                self._pieces = []
        if self._pieces is None:
            try:
                return self._deltas(self._events.feed(block))
            except BadReply as exc:
                return self._broken(str(exc))
        self._size += len(block)
        if self._size > wire.MAX_DOCUMENT:
            return self._broken(f"a reply over {wire.MAX_DOCUMENT} bytes")
        self._pieces.append(block)
        return []

    def end(self) -> list[ChatDelta]:
        """The last deltas, at `[DONE]` or at the end of the body; an early end is a fault."""
        deltas = []
        if self.fault is not None:
            return []
        if self._pieces is not None:
            self.document = b"".join(self._pieces).strip(_SPACE)
            deltas = self._deltas([self.document])
            self.is_done = True
        elif not self.is_done:
            deltas = self._deltas(self._events.end())
        text, reasoning = self._think.end()
        if text or reasoning:
            deltas.append(ChatDelta(text, reasoning))
        if self.fault is None and not (self.is_done or self.finish_reason):
            self.fault = ModelUnavailable(f"{self._endpoint.name}: the stream was cut off")
        return deltas

    def _broken(self, what: str) -> list[ChatDelta]:
        self.fault = BadReply(f"{self._endpoint.name} sent {what}")
        return []

    def _deltas(self, events: list[bytes]) -> list[ChatDelta]:
        """What the events add; texts that follow each other are one."""
        found: list[ChatDelta] = []
        texts: list[str] = []
        for data in events:
            if data[:6] == b"[DONE]":
                self.is_done = True
                break
            try:
                document = wire.decode_document(data)
                if self.model and (text := wire.only_content(document)):
                    texts.append(text)
                    continue
                self._add(texts, found)
                delta = self._delta(document)
            except ValueError:  # msgspec's DecodeError and UnicodeDecodeError
                self._broken("a chunk that is not JSON")
                break
            except ModelError as exc:
                self.fault = exc
                break
            if delta is not None:
                found.append(delta)
        try:
            self._add(texts, found)
        except ModelError as exc:
            self.fault = self.fault or exc
        return found

    def _add(self, texts: list[str], found: list[ChatDelta]) -> None:
        if not texts:
            return
        content, reasoning = self._think.feed("".join(texts))
        texts.clear()
        if content or reasoning:
            self._count(len(content) + len(reasoning))
            found.append(ChatDelta(content, reasoning))

    def _delta(self, document: wire.Document) -> ChatDelta | None:
        if document.error or document.object == "error":
            raise from_stream(self._endpoint, document.error or {"message": document.message})
        if document.usage is not None:
            self.usage = wire.usage_of(document.usage)
        if not self.model:
            self.model = document.model or ""
            self.reply_id = "" if document.id is None else str(document.id)
        if isinstance(told := document.moderation, dict):
            self.moderation |= {side: found for side, found in told.items() if found is not None}
        elif document.choices is None and document.usage is None:
            raise BadReply(f"{self._endpoint.name} sent a reply without choices")
        choice = wire.first_choice(document)
        return None if choice is None else self._of_choice(choice)

    def _of_choice(self, choice: wire.Choice) -> ChatDelta | None:
        # some servers close a stream with the whole message once more
        part = choice.delta if choice.delta is not None or self._length else choice.message
        content, reasoning = ("", "") if part is None else wire.content_of(part)
        if content:
            content, thought = self._think.feed(content)
            reasoning += thought
        calls = wire.fragments(part) if part is not None and part.tool_calls else ()
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
            held, thought = self._think.end()
            content, reasoning = content + held, reasoning + thought
        elif not (content or reasoning or calls):
            return None
        self._count(len(content) + len(reasoning) + sum(len(call.arguments) for call in calls))
        if self.finish_reason == "content_filter" and not self._length:
            raise ContentRefused(f"{self._endpoint.name} filtered the whole answer")
        return ChatDelta(content, reasoning, calls, choice.finish_reason or None)

    def _count(self, length: int) -> None:
        self._length += length
        if self._length > MAX_ANSWER:
            raise BadReply(f"{self._endpoint.name} sent over {MAX_ANSWER} characters")
