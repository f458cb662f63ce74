"""Files of a message: fetched, recognised by their bytes and their declared type, made ready
for the model. Whatever can't be read becomes a note; nothing here raises because of a file.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from core.config import AttachmentsConfig
from core.errors import AttachmentRejected, PlatformError
from core.messages import Attachment
from core.pdf import read_pdf
from core.telemetry import logger

AT_ONCE = 3  # downloads of one message
FETCH_SECONDS = 20.0  # for one download
NAME = 120  # characters of a file's name

_log = logger("talkwarden.attachments")


@dataclass(frozen=True, slots=True)
class TextContent:
    """A file's text; truncated at the configured number of characters, or of pages."""

    name: str
    text: str
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class ImageContent:
    """An image as it came: not decoded, so its pixels are not known."""

    name: str
    media_type: str
    data_base64: str


@dataclass(frozen=True, slots=True)
class Note:
    """Stands in for a file that the model does not get; the sentence is for model and member."""

    name: str
    sentence: str


Content: TypeAlias = TextContent | ImageContent | Note


class Fetcher(Protocol):
    """The part of core.adapter.Adapter that is needed here."""

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Download a file of at most `limit` bytes. Raises AttachmentRejected, PlatformError."""


async def read(
    adapter: Fetcher,
    attachments: Sequence[Attachment],
    config: AttachmentsConfig,
    *,
    vision: bool,
    slots: asyncio.Semaphore | None = None,
) -> tuple[Content, ...]:
    """One content per file, in their order, and a note for those beyond the limit.

    `slots` bounds the files that several calls hold at once.
    """
    if not attachments or not config.max_files:
        return ()
    taken, left = attachments[: config.max_files], attachments[config.max_files :]
    reader = _Reader(adapter, config, vision, slots or asyncio.Semaphore(AT_ONCE))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader.read(attachment)) for attachment in taken]
    found = [task.result() for task in tasks]
    if left:
        names = ", ".join(clean_name(attachment.name) for attachment in left[:5])
        sentence = f"Left out: I read at most {config.max_files} files of a message."
        found.append(Note(clean_name(names if len(left) <= 5 else f"{names}, ..."), sentence))
    return tuple(found)


def as_text(content: Content) -> str:
    """How a file stands in a message's text: a fence that nothing inside it can close."""
    name = clean_name(content.name)
    if isinstance(content, ImageContent):
        return f"[Attached image: {name}]"
    if isinstance(content, Note):
        return f"[Attached file {name}: {content.sentence}]"
    longest = max((len(run) for run in re.findall("`+", content.text)), default=0)
    fence = "`" * max(3, longest + 1)
    cut = " (only its beginning)" if content.is_truncated else ""
    return f"{fence}file {name}{cut}\n{content.text.rstrip()}\n{fence}"


def clean_name(name: str) -> str:
    """A file's name on one line, without anything that ends a fence's header."""
    clean = "".join(char if char.isprintable() and char != "`" else " " for char in name)
    return " ".join(clean.split())[:NAME] or "unnamed"


@dataclass(frozen=True, slots=True)
class _Reader:
    adapter: Fetcher
    config: AttachmentsConfig
    vision: bool
    slots: asyncio.Semaphore

    async def read(self, attachment: Attachment) -> Content:
        name = clean_name(attachment.name)
        declared = _declared_kind(attachment)
        if declared == "media":
            return Note(name, _UNKNOWN)
        if declared == "image" and not self.vision:
            return Note(name, _unseen(attachment))
        try:
            async with self.slots:
                data = await self._fetch(attachment)
                return await self._understand(attachment, name, declared, data)
        except AttachmentRejected as exc:
            return Note(name, _one_line(str(exc)))

    async def _fetch(self, attachment: Attachment) -> bytes:
        limit = self.config.max_bytes
        too_large = f"This file is larger than the {_size(limit)} that I read."
        if attachment.size > limit:
            raise AttachmentRejected(too_large)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                data = await self.adapter.fetch(attachment, limit)
        except PlatformError as exc:
            _log.info("A file was not downloaded.", code=exc.code, why=type(exc).__name__)
            raise AttachmentRejected("This file could not be downloaded.") from exc
        except TimeoutError as exc:
            raise AttachmentRejected("This file took too long to download.") from exc
        if len(data) > limit:
            raise AttachmentRejected(too_large)
        if not data:
            raise AttachmentRejected("This file is empty.")
        return data

    async def _understand(
        self, attachment: Attachment, name: str, declared: str, data: bytes
    ) -> Content:
        kind, media_type = _sniff(data)
        if declared and kind != declared:
            raise AttachmentRejected(_UNLIKE[declared])
        if kind == "image":
            if not self.vision:
                raise AttachmentRejected(_unseen(attachment))
            encoded = await asyncio.to_thread(base64.b64encode, data)
            return ImageContent(name, media_type, encoded.decode("ascii"))
        if kind == "PDF":
            return TextContent(name, *await read_pdf(data, self.config.max_text))
        text = _decoded(data, self.config.max_text)
        if text is None:
            raise AttachmentRejected(_UNKNOWN)
        return TextContent(name, text[: self.config.max_text], len(text) > self.config.max_text)


_UNKNOWN = "I can't read this kind of file: text, PDF, PNG, JPEG, GIF and WebP I can."
_UNLIKE = {
    "image": "This is not a PNG, JPEG, GIF or WebP image, the kinds that I can read.",
    "PDF": "This file is called a PDF, but it is none.",
    "text": "This file is called a text, but it is none.",
}
# https://platform.openai.com/docs/guides/images-vision#image-input-requirements
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image", "image/png"),
    (b"\xff\xd8\xff", "image", "image/jpeg"),
    (b"GIF87a", "image", "image/gif"),
    (b"GIF89a", "image", "image/gif"),
    (b"%PDF-", "PDF", "application/pdf"),
)
_TEXT_ENDINGS = re.compile(
    r"bat|c|cc|cfg|conf|cpp|cs|css|csv|diff|go|h|hpp|html?|ini|java|jsx?|jsonl?|kt|log|lua|m|md|"
    r"mjs|patch|php|pl|ps1|py|r|rb|rs|rst|scss|sh|sql|srt|svg|swift|tex|toml|tsx?|tsv|txt|vtt|"
    r"vue|xml|ya?ml|zig"
)
_TEXT_TYPES = re.compile(
    r"text/.*|.*\+(?:json|xml|yaml)|image/svg.*|application/(?:x-)?(?:csv|ecmascript|graphql|"
    r"javascript|json|jsonl|ndjson|perl|php|python|ruby|sh|shellscript|sql|toml|typescript|xml|yaml)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def _declared_kind(attachment: Attachment) -> str:
    """What name and type claim; "" if they leave it open."""
    media_type = attachment.media_type.partition(";")[0].strip().lower()
    ending = attachment.name.rpartition(".")[2].lower() if "." in attachment.name else ""
    # a source file's type is a guess: TypeScript comes as video/mp2t
    if _TEXT_TYPES.fullmatch(media_type) or _TEXT_ENDINGS.fullmatch(ending):
        return "text"
    if media_type.startswith("image/"):
        return "image"
    if media_type in {"application/pdf", "application/x-pdf"}:
        return "PDF"
    if media_type.startswith(("audio/", "video/", "font/")):
        return "media"
    return ""


def _sniff(data: bytes) -> tuple[str, str]:
    for magic, kind, media_type in _MAGIC:
        if data.startswith(magic):
            return kind, media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image", "image/webp"
    return "text", "text/plain"


def _decoded(data: bytes, limit: int) -> str | None:
    """At most a little more than `limit` characters; None if it is not text."""
    head = data[: 4 * limit + 8]
    encoding = _encoding(head)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) == len(data))
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff")[: limit + 1]
    return None if _CONTROL.search(text) else text


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = data[:1024]
    # without a mark, UTF-16 of most scripts shows in zeros at every other place
    if sample[1::2].count(0) * 3 > len(sample[1::2]) > 0:
        return "utf-16-le"
    if sample[::2].count(0) * 3 > len(sample[::2]) > 0:
        return "utf-16-be"
    return "utf-8"


def _unseen(attachment: Attachment) -> str:
    alt = _one_line(attachment.alt)
    sentence = "This is an image, and the model here can't see images."
    return f"{sentence} Described as: {alt}" if alt else sentence


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _size(count: int) -> str:
    return f"{count / 1_000_000:.3g} MB" if count >= 100_000 else f"{count:,} bytes"
