"""Replies as they go over the wire: JSON documents and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.response import Stream

from bots.rest.problems import Problem, translated
from core.completions.replies import SERVED_BY
from core.errors import TalkwardenError

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
DONE: Final = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def document(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """A JSON document."""
    return Response(_encode(body), status_code=status, media_type=JSON, headers=dict(headers or {}))


def error(problem: Problem) -> Response[bytes]:
    """An error's document."""
    return document(problem.body, problem.status, problem.headers)


def served_by(name: str) -> dict[str, str]:
    """The header that says by what a call was served that the endpoint does not know."""
    return {SERVED_BY: name} if name else {}


async def events(
    first: list[bytes], batches: AsyncGenerator[list[bytes], None]
) -> AsyncIterator[bytes]:
    """Batches of data as server-sent events, in one write each, and the end.

    What goes wrong in the middle is told as an event, as OpenAI's own endpoint does.
    """
    async with aclosing(batches):
        if first:
            yield framed(first)
        try:
            async for batch in batches:
                yield framed(batch)
        except (Problem, TalkwardenError) as exc:
            problem = exc if isinstance(exc, Problem) else translated(exc)
            yield framed([_encode(problem.body)])
            return
    yield DONE


def framed(batch: list[bytes]) -> bytes:
    """The data of several events, each as an event."""
    return b"data: " + b"\n\ndata: ".join(batch) + b"\n\n"


def streamed(
    first: list[bytes], batches: AsyncGenerator[list[bytes], None], headers: Mapping[str, str]
) -> Stream:
    """A reply of events, of which the first have come."""
    return Stream(
        events(first, batches),
        media_type=EVENTS,
        headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers},
    )
