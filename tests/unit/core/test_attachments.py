"""Files on their way to the model."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from core import attachments, pdf
from core.attachments import Content, ImageContent, Note, TextContent, as_text
from core.config import AttachmentsConfig
from core.errors import AttachmentRejected, PlatformUnavailable
from core.messages import Attachment

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
GIF = b"GIF89a" + bytes(20)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20)


class Files:
    """Serves bytes by the attachment's id, or raises what stands there."""

    def __init__(self, files: dict[str, bytes | Exception]) -> None:
        self.files = files
        self.fetched: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Hand the file out, or fail."""
        self.fetched.append(attachment.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        found = self.files[attachment.id]
        if isinstance(found, Exception):
            raise found
        return found


async def read_one(
    data: bytes | Exception,
    name: str = "file",
    media_type: str = "",
    *,
    vision: bool = True,
    config: AttachmentsConfig | None = None,
) -> Content:
    """What becomes of one file."""
    attachment = Attachment("f", name, media_type)
    (content,) = await attachments.read(
        Files({"f": data}), [attachment], config or AttachmentsConfig(), vision=vision
    )
    return content


def make_pdf(*pages: str, stream: bytes | None = None) -> bytes:
    """A PDF with these texts, each on a page of its own; or with this deflated page."""
    count = max(len(pages), 1)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number in range(count):
        text = pages[number] if pages else ""
        packed = zlib.compress(f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode())
        packed = stream or packed
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
        )
    out = io.BytesIO(b"")
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def encrypted(data: bytes, password: str) -> bytes:
    """The PDF, locked for its owner, and for readers if there is a password."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
@pytest.mark.parametrize("declared", ["", "image/png", "application/octet-stream"])
async def test_images(data: bytes, media_type: str, declared: str) -> None:
    """An image keeps its bytes and gets the type that these bytes have."""
    content = await read_one(data, "a.png", declared)

    assert isinstance(content, ImageContent)
    assert content.media_type == media_type
    assert base64.b64decode(content.data_base64) == data


@pytest.mark.parametrize("declared", ["image/png", ""])
async def test_a_model_without_vision_gets_a_note(declared: str) -> None:
    """Without vision an image becomes a note that carries its description."""
    files = Files({"f": PNG})
    attachment = Attachment("f", "cat.png", declared, alt="a sleeping\ncat")
    (note,) = await attachments.read(files, [attachment], AttachmentsConfig(), vision=False)

    assert isinstance(note, Note)
    assert "can't see images" in note.sentence
    assert note.sentence.endswith("a sleeping cat")
    assert files.fetched == ([] if declared else ["f"])


@pytest.mark.parametrize(
    ("data", "name", "media_type", "text"),
    [
        (b"hello", "a.txt", "text/plain", "hello"),
        ("grün".encode(), "a", "", "grün"),
        (b"\xef\xbb\xbfa,b", "a.csv", "text/csv; charset=utf-8", "a,b"),
        ("日本".encode("utf-16"), "a.txt", "text/plain", "日本"),
        ("plain text".encode("utf-16-le"), "a.txt", "text/plain", "plain text"),
        ("plain text".encode("utf-16-be"), "a.txt", "", "plain text"),
        (b'{"a": 1}', "a.json", "application/json", '{"a": 1}'),
        (b"<a/>", "a.svg", "image/svg+xml", "<a/>"),
        (b"let x: number", "a.ts", "video/mp2t", "let x: number"),
        (b"\x1b[31mred\tlog\r\n", "a.log", "application/octet-stream", "\x1b[31mred\tlog\r\n"),
    ],
)
async def test_texts(data: bytes, name: str, media_type: str, text: str) -> None:
    """Whatever decodes as UTF-8 or UTF-16 is text, if it does not claim to be something else."""
    assert await read_one(data, name, media_type) == TextContent(name, text)


async def test_a_long_text_is_cut() -> None:
    """A text beyond the limit is cut there, between characters, and says so."""
    config = AttachmentsConfig(max_text=10)

    assert await read_one("€".encode() * 11, config=config) == TextContent("file", "€" * 10, True)
    assert await read_one("€".encode() * 10, config=config) == TextContent("file", "€" * 10)


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (b"<html>Sign in</html>", "a.png", "image/png"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(20), "a.heic", "image/heic"),
        (b"hello", "a.pdf", "application/pdf"),
        (PNG, "a.txt", "text/plain"),
        (PNG, "a.pdf", "application/pdf"),
        (b"PK\x03\x04" + bytes(30), "a.zip", "application/zip"),
        (b"\xff\xfe\x00", "a.txt", "text/plain"),
        (b"\x80abc", "a.txt", "text/plain"),
        (b"a\x00b", "a", ""),
        (b"RIFF\x10\x00\x00\x00WAVE" + bytes(20), "a.wav", "audio/wav"),
        (b"", "a.txt", "text/plain"),
        (b"%PDF-1.4 nonsense", "a.pdf", "application/pdf"),
    ],
)
async def test_what_cant_be_read_becomes_a_note(data: bytes, name: str, media_type: str) -> None:
    """A file that is not what it claims, or of no readable kind, becomes a note."""
    content = await read_one(data, name, media_type)

    assert isinstance(content, Note)
    assert content.name == name
    assert content.sentence.endswith(".")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (AttachmentRejected("It is gone."), "It is gone."),
        (PlatformUnavailable("secret detail", platform="slack"), "could not be downloaded"),
    ],
)
async def test_failures_become_notes(failure: Exception, words: str) -> None:
    """A download that fails becomes a note without the platform's details."""
    content = await read_one(failure)

    assert isinstance(content, Note)
    assert words in content.sentence
    assert "secret" not in content.sentence


async def test_size_limit() -> None:
    """A file over the limit is not fetched if its size is known, and not used if it was not."""
    config = AttachmentsConfig(max_bytes=1_500_000)
    files = Files({"f": bytes(2_000_000)})
    for size, fetched in ((2_000_000, 0), (0, 1)):
        attachment = Attachment("f", "a.txt", size=size)
        (note,) = await attachments.read(files, [attachment], config, vision=True)

        assert isinstance(note, Note)
        assert "1.5 MB" in note.sentence
        assert len(files.fetched) == fetched


async def test_number_limit_and_order() -> None:
    """The first files are read in their order, some at once; the others share one note."""
    given_files = [Attachment(f"f{n}", f"{n}.txt") for n in range(9)]
    files = Files({f"f{n}": f"text {n}".encode() for n in range(9)})
    found = await attachments.read(files, given_files, AttachmentsConfig(max_files=7), vision=True)

    assert found[:7] == tuple(TextContent(f"{n}.txt", f"text {n}") for n in range(7))
    assert [content.name for content in found[7:]] == ["7.txt, 8.txt"]
    assert files.most_at_once == attachments.AT_ONCE


async def test_attachments_can_be_off() -> None:
    """With no file allowed, files are ignored without a word."""
    files = Files({})
    config = AttachmentsConfig(max_files=0)

    assert await attachments.read(files, [Attachment("f", "a")], config, vision=True) == ()
    assert files.fetched == []


async def test_slots_are_shared() -> None:
    """Several messages together keep to the bound that is given for all of them."""
    files = Files({"f": b"x"})
    slots = asyncio.Semaphore(1)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(
                attachments.read(
                    files, [Attachment("f", "a")], AttachmentsConfig(), vision=True, slots=slots
                )
            )

    assert files.most_at_once == 1


async def test_pdf() -> None:
    """A PDF gives the text of its pages in order."""
    content = await read_one(make_pdf("Hello there", "second page"), "a.pdf", "application/pdf")

    assert content == TextContent("a.pdf", "Hello there\n\nsecond page")


async def test_a_long_pdf_is_cut() -> None:
    """Characters and pages beyond the limits are left out, and that is said."""
    data = make_pdf(*(f"page {number}" for number in range(pdf.PAGES + 1)))
    content = await read_one(data, config=AttachmentsConfig(max_text=10))
    assert content == TextContent("file", "page 0\n\npa", True)

    content = await read_one(data)
    assert isinstance(content, TextContent)
    assert content.is_truncated
    assert content.text.endswith(f"page {pdf.PAGES - 1}")


async def test_locked_pdfs() -> None:
    """A PDF with a password becomes a note; one that only its owner may change is read."""
    data = make_pdf("Hello")
    note = await read_one(encrypted(data, "secret"))

    assert isinstance(note, Note)
    assert "encrypted" in note.sentence
    assert await read_one(encrypted(data, "")) == TextContent("file", "Hello")


async def test_a_scan_becomes_a_note() -> None:
    """A PDF without a text layer says so."""
    note = await read_one(make_pdf(" "))

    assert isinstance(note, Note)
    assert "scan" in note.sentence


async def test_a_pdf_bomb_becomes_a_note() -> None:
    """A page that unfolds to far more than it weighs is given up."""
    bomb = zlib.compress(b"0 0 Td " * 10_000_000, 9)
    started = time.monotonic()
    note = await read_one(make_pdf(stream=bomb))

    assert isinstance(note, Note)
    assert time.monotonic() - started < 5


async def test_a_slow_pdf_is_given_up() -> None:
    """Reading ends at the deadline, also in the middle of a page."""
    data = make_pdf(stream=zlib.compress(b"BT /F1 12 Tf " + b"(a) Tj " * 20_000 + b"ET"))
    with pytest.raises(AttachmentRejected, match="too long"):
        pdf.extract(data, 1_000_000, time.monotonic() + 0.05)
    with pytest.raises(AttachmentRejected, match="too long"):
        await pdf.read_pdf(data, 1_000_000, seconds=0.01)


async def test_a_busy_reader_is_not_waited_for() -> None:
    """While all threads are taken, a PDF waits no longer than its deadline."""
    for _ in range(pdf.THREADS):
        pdf._slots.acquire()
    try:
        with pytest.raises(AttachmentRejected, match="too long"):
            await pdf.read_pdf(make_pdf("x"), 100, seconds=0.05)
    finally:
        pdf._slots.release(pdf.THREADS)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_pdfs_are_rejected_or_read(data: st.DataObject) -> None:
    """Whatever bytes of a PDF are changed, it gives a text or a rejection."""
    raw = bytearray(make_pdf("Hello there", "second"))
    for _ in range(data.draw(st.integers(1, 12))):
        raw[data.draw(st.integers(5, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        text, _ = pdf._read_in_turn(bytes(raw), 1_000, time.monotonic() + 5)
    except AttachmentRejected as exc:
        text = str(exc)

    assert text


@given(st.text(max_size=200), st.text(max_size=300), st.booleans())
def test_a_file_cant_leave_its_fence(name: str, text: str, is_truncated: bool) -> None:
    """The only line that closes the fence is the last one, and the header is one line."""
    shown = as_text(TextContent(name, text, is_truncated))
    lines = shown.split("\n")
    header = re.fullmatch("(`{3,})file ([^`]+)", lines[0])

    assert header is not None
    assert header[2].isprintable()
    assert lines[-1] == header[1]
    assert not any(header[1] in line for line in lines[1:-1])
    assert "\n".join(lines[1:-1]) == text.rstrip()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TextContent("a`\nb.py", "x = 1\n"), "```file a b.py\nx = 1\n```"),
        (TextContent("a", "```\nx", True), "````file a (only its beginning)\n```\nx\n````"),
        (ImageContent("a.png", "image/png", "eA=="), "[Attached image: a.png]"),
        (Note("a.zip", "No."), "[Attached file a.zip: No.]"),
        (TextContent("\n", ""), "```file unnamed\n\n```"),
    ],
)
def test_as_text(content: Content, expected: str) -> None:
    """Each kind of content has a form that names the file."""
    assert as_text(content) == expected
