"""The event parser against the specification, any cut of the bytes, and httpx-sse."""

from __future__ import annotations

import codecs
import itertools

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from core.completions.sse import SseParser
from core.errors import BadReply

LINES = st.sampled_from(
    [
        "data: a",
        "data:b",
        "data: ü€🎉",
        "data: x\u2028y",
        ": note",
        "event: ping",
        "id: 7",
        "",
        "",
        "",
    ]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A stream of lines with any mixture of line ends, and perhaps a byte order mark."""
    text = "".join(draw(LINES) + draw(ENDS) for _ in range(draw(st.integers(0, 14))))
    return draw(st.sampled_from([b"", codecs.BOM_UTF8])) + text.encode()


def parse(blocks: list[bytes]) -> list[bytes]:
    parser = SseParser()
    return [data for block in blocks for data in parser.feed(block)] + parser.end()


def reference(raw: bytes) -> list[bytes]:
    """The same by httpx-sse, with its two known gaps (mark, unfinished event) closed."""
    lines, events = SSELineDecoder(), SSEDecoder()
    found = []
    text = raw.removeprefix(codecs.BOM_UTF8).decode() + "\n\n"
    for line in lines.decode(text) + lines.flush():
        event = events.decode(line)
        if event is not None and event.data:
            found.append(event.data.encode())
    return found


@given(streams(), st.lists(st.integers(0, 300), max_size=12))
def test_any_cut_gives_the_same_events(raw: bytes, cuts: list[int]) -> None:
    """Where the network cuts the bytes, even inside a character or a CRLF, changes nothing."""
    at = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    blocks = [raw[one:two] for one, two in itertools.pairwise(at)]

    assert parse(blocks) == parse([raw]) == parse([raw[i : i + 1] for i in range(len(raw))])


@given(streams())
def test_it_agrees_with_httpx_sse(raw: bytes) -> None:
    """An established parser reads the same data out of every stream."""
    assert parse([raw]) == reference(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\rdata: two\r\r", [b"one\ntwo"]),
        (b"data:no space\n\n", [b"no space"]),
        (b": keep-alive\n\ndata: x\n\n", [b"x"]),
        (b"data: unfinished", [b"unfinished"]),
        (b"event: error\ndata: {}\n\n", [b'{"error":{}}']),
        (b'event: error\ndata: {"error": 1}\n\n', [b'{"error": 1}']),
        (b'error: {"code": 500}\n\n', [b'{"error":{"code": 500}}']),
        (codecs.BOM_UTF8, []),
        (b"", []),
    ],
)
def test_forms_that_servers_send(raw: bytes, expected: list[bytes]) -> None:
    """Each form of the specification, and the two ways to name an error, gives its data."""
    assert parse([raw]) == expected


def test_an_endless_event_is_refused() -> None:
    """An event over the limit can't fill the memory."""
    parser = SseParser(max_event=100)

    with pytest.raises(BadReply):
        parser.feed(b"data: " + b"x" * 200)
