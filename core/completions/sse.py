"""Server-sent events out of bytes, whole batches at a time, without I/O.

Ours and not httpx-sse's: that one's decoders are private names behind an iterator that yields
one event at a time, know no size limit, keep a byte order mark and drop an event that the end
of the stream cuts before its blank line; splitting bytes also costs half (0.7 us an event
against 1.3 in blocks of 4 KB). The unit tests hold the two against each other.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import codecs

from core.errors import BadReply

MAX_EVENT = 1 << 20
"""Bytes of one event; more is no chat completion."""


class SseParser:
    """Feed it blocks as they were read; it returns the data of each event that they complete."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._rest = b""
        self._is_start = True
        self._skip_newline = False

    def feed(self, block: bytes) -> list[bytes]:
        """Raise BadReply when an event outgrows the limit."""
        if self._is_start:
            block = self._without_mark(block)
        *events, rest = (self._rest + self._with_newlines(block)).split(b"\n\n")
        if len(rest) > self._max_event:
            raise BadReply(f"an event of the stream is longer than {self._max_event} bytes")
        self._rest = rest
        return _payloads(events)

    def end(self) -> list[bytes]:
        """The event that the end of the stream left without its blank line, if any."""
        rest, self._rest = self._rest, b""
        return _payloads([rest.removeprefix(codecs.BOM_UTF8) if self._is_start else rest])

    def _without_mark(self, block: bytes) -> bytes:
        """Drop the byte order mark, which the network may have cut anywhere."""
        block = self._rest + block
        self._rest = b""
        if len(block) < len(codecs.BOM_UTF8) and codecs.BOM_UTF8.startswith(block):
            self._rest = block
            return b""
        self._is_start = False
        return block.removeprefix(codecs.BOM_UTF8)

    def _with_newlines(self, block: bytes) -> bytes:
        """Turn CRLF and CR into LF; a CR at the very end may be half of a CRLF."""
        if self._skip_newline and block:
            self._skip_newline = False
            if block.startswith(b"\n"):
                block = block[1:]
        if b"\r" not in block:
            return block
        self._skip_newline = block.endswith(b"\r")
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _payloads(events: list[bytes]) -> list[bytes]:
    found = []
    for event in events:
        if event.startswith(b"data: ") and b"\n" not in event:
            found.append(event[6:])
        elif event:
            data = _payload(event)
            if data is not None:
                found.append(data)
    return found


def _payload(event: bytes) -> bytes | None:
    """Join the data lines; an event *named* error is told apart by wrapping it as one."""
    data: list[bytes] = []
    is_error = False
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"error":  # llama.cpp before 2025 sent its errors in a field of their own
            data.append(value)
            is_error = True
        elif name == b"event":
            is_error = value == b"error"
    if not data:
        return None
    joined = b"\n".join(data)
    return b'{"error":' + joined + b"}" if is_error and b'"error"' not in joined else joined
