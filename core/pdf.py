"""The text layer of a PDF, read in a thread that a malicious file can't keep us waiting for."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from itertools import islice
from typing import Any

from core.errors import AttachmentRejected

PAGES = 100  # read of one file
SECONDS = 10.0  # for one file, waiting for others included
THREADS = 2  # at once; a page is pure Python and competes with everything else

STREAM = 10_000_000  # bytes that one compressed stream may unfold to

# https://pypdf.readthedocs.io/en/stable/user/security.html
LIMITS: dict[str, Any] = {
    "zlib_maximum_output_length": STREAM,
    "lzw_maximum_output_length": STREAM,
    "run_length_maximum_output_length": STREAM,
    "array_based_stream_maximum_output_length": STREAM,
    "stream_decoding_work_maximum_length": 4 * STREAM,
    "stream_parsing_work_maximum_count": 500_000,
    "page_tree_maximum_entries": 20_000,
    "jbig2dec_binary": None,  # never run a program on a member's file
}

_slots = threading.BoundedSemaphore(THREADS)


async def read_pdf(data: bytes, limit: int, *, seconds: float = SECONDS) -> tuple[str, bool]:
    """At most `limit` characters, and whether there would be more. Raises AttachmentRejected."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[str, bool]] = loop.create_future()
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            result = _read_in_turn(data, limit, deadline)
        except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to who waits
            _tell(loop, future, exc)
        else:
            _tell(loop, future, result)

    # A daemon, unlike the threads of an executor: a file that hangs can't hold up the exit.
    threading.Thread(target=work, name="pdf", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError as exc:
        raise AttachmentRejected(_TOO_SLOW) from exc


_TOO_SLOW = "This PDF takes too long to read."
_BROKEN = "This PDF is damaged, or too complex to read."
_LOCKED = "This PDF is encrypted, so I can't read it."
_EMPTY = "This PDF holds no text; it is probably a scan."


def _tell(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[tuple[str, bool]],
    outcome: tuple[str, bool] | BaseException,
) -> None:
    def settle() -> None:
        if future.done():  # nobody waits any more
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(settle)


def _read_in_turn(data: bytes, limit: int, deadline: float) -> tuple[str, bool]:
    if not _slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise AttachmentRejected(_TOO_SLOW)
    try:
        return extract(data, limit, deadline)
    except AttachmentRejected:
        raise
    except Exception as exc:  # a parser meets any exception in a file made to break it
        raise AttachmentRejected(_BROKEN) from exc
    finally:
        _slots.release()


def extract(data: bytes, limit: int, deadline: float) -> tuple[str, bool]:
    """Read pages until the limit, the last page or the deadline (of time.monotonic)."""
    # Costs a tenth of a second and memory that most installations never need.
    from pypdf import PdfReader, apply_configuration  # noqa: PLC0415
    from pypdf.errors import DependencyError  # noqa: PLC0415

    def check(*_: object) -> None:
        if time.monotonic() > deadline:
            raise AttachmentRejected(_TOO_SLOW)

    with apply_configuration(**LIMITS):
        reader = PdfReader(io.BytesIO(data))
        try:
            # Many PDFs are only locked against printing: they open with the empty password.
            is_locked = reader.is_encrypted and not reader.decrypt("")
        except DependencyError as exc:  # AES needs a library that we do without
            raise AttachmentRejected(_LOCKED) from exc
        if is_locked:
            raise AttachmentRejected(_LOCKED)
        texts: list[str] = []
        for page in islice(reader.pages, PAGES):
            check()
            texts.append(page.extract_text(visitor_operand_before=check).strip())
            if sum(map(len, texts)) > limit:
                break
        is_cut = len(texts) < len(reader.pages)
    joined = "\n\n".join(texts).strip()
    if not joined:
        raise AttachmentRejected(_EMPTY)
    return joined[:limit], is_cut or len(joined) > limit
