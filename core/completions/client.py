"""The entrance: chat completions, moderations and the list of models over HTTP.

With transport.py the only module that knows httpx.
https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import httpx

from core.completions import wire
from core.completions.faults import from_reply
from core.completions.limits import Limits
from core.completions.patience import Patience
from core.completions.retry import Course, Health, Refusals, carry_out
from core.completions.stream import ChatStream, Means, collect
from core.completions.transport import EAGER, AiohttpTransport
from core.completions.types import (
    ChatReply,
    ChatRequest,
    Endpoint,
    ModelInfo,
    ModerationReply,
    Outgoing,
    RetryPolicy,
    Target,
    Timeouts,
)
from core.errors import BadReply, ModelError, ModelRefused, ModelUnavailable

_T = TypeVar("_T")

_DRAIN = 0.15
"""Seconds that the end of a finished body is waited for, so that its connection can be reused."""

_EXPECTED: tuple[tuple[type[Exception], type[ModelError]], ...] = (
    (httpx.DecodingError, BadReply),
    (httpx.UnsupportedProtocol, ModelRefused),
    (httpx.TooManyRedirects, ModelRefused),
    (httpx.InvalidURL, ModelRefused),
    (httpx.CookieConflict, ModelRefused),
    (httpx.HTTPError, ModelUnavailable),
    (httpx.StreamError, ModelUnavailable),
    (TimeoutError, ModelUnavailable),
    (ValueError, ModelRefused),  # a key or header that can't be sent
)


class Translated:
    """Raises our class for httpx's; a TimeoutError is the end of our own patience."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if isinstance(exc, Exception):
            for theirs, ours in _EXPECTED:
                if isinstance(exc, theirs):
                    what = str(exc) or "no answer in time"
                    error = ours(f"{self._name}: {type(exc).__name__}: {what}")
                    error.is_timeout = isinstance(exc, (httpx.TimeoutException, TimeoutError))
                    raise error from exc


class HttpReply:
    """The `Reply` of stream.py over an httpx response."""

    def __init__(self, response: httpx.Response, translated: Translated) -> None:
        self._response = response
        self._translated = translated
        self._is_read = False
        self._patience = Patience()
        # aiter_bytes would copy each block once more for a decoder that is seldom there
        is_encoded = "content-encoding" in response.headers
        stream = response.aiter_bytes() if is_encoded else response.stream
        assert not isinstance(stream, httpx.SyncByteStream) or isinstance(
            stream, httpx.AsyncByteStream
        )
        self._blocks = aiter(stream)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""
        return self._response.headers

    async def block(self, limit: float | None) -> bytes | None:
        """The next bytes, None at the end; ModelUnavailable after `limit` seconds of silence.

        Without a limit the request's own read timeout holds.
        """
        with self._translated:
            coming = anext(self._blocks, None)
            block = await (coming if limit is None else self._patience.wait(coming, limit))
        self._is_read = block is None
        return block

    async def read(self, size: int, limit: float | None) -> bytes:
        """The whole body; BadReply when it is over `size` bytes."""
        clock = asyncio.get_running_loop().time
        by = None if limit is None else clock() + limit
        blocks: list[bytes] = []
        while (block := await self.block(by and by - clock())) is not None:
            blocks.append(block)
            if sum(map(len, blocks)) > size:
                raise BadReply(f"a reply over {size} bytes")
        return b"".join(blocks)

    def close(self) -> None:
        """No block is asked for any more."""
        self._patience.close()

    async def settle(self) -> None:
        """Read the end that follows the last event, unless it keeps us waiting."""
        with suppress(ModelError):
            while not self._is_read:
                await self.block(_DRAIN)


class CompletionsClient:
    """Shared by all conversations of a process; close it in the loop that used it.

    `targets` are tried in order. `http` replaces the transport: httpx's own one where a proxy
    or unusual TLS is needed. With `limits`, calls wait for the endpoints' rate limits.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        http: httpx.AsyncBaseTransport | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.targets = tuple(targets)
        self._timeouts = timeouts or Timeouts()
        self._policy = retry or RetryPolicy()
        # the transport without httpx.AsyncClient: its cookies, redirects and merging of headers
        # would be a third of the CPU of a call, and we want none of them
        self._http = http or AiohttpTransport()
        bounds = httpx.Timeout(None, connect=self._timeouts.connect, pool=self._timeouts.pool)
        self._extensions = {"timeout": bounds.as_dict()}
        self._urls: dict[str, httpx.URL] = {}
        health = Health(self._policy)
        self._means = Means(self._send, self._timeouts, self._policy, health, Refusals(), limits)

    async def __aenter__(self) -> CompletionsClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; streams that still run break."""
        await self._http.aclose()

    def stream(self, request: ChatRequest, *, deadline: float = 300.0) -> ChatStream:
        """An answer as it is written; `deadline` is in seconds from the first iteration."""
        return ChatStream(self._means, self.route(request.model), request, deadline=deadline)

    async def complete(self, request: ChatRequest, *, deadline: float = 300.0) -> ChatReply:
        """A whole answer at once, by the same course of retries and fallbacks."""
        route = self.route(request.model)
        return await collect(
            ChatStream(self._means, route, request, deadline=deadline, is_streamed=False)
        )

    async def moderate(
        self, endpoint: Endpoint, model: str, inputs: Sequence[str], *, deadline: float = 10.0
    ) -> ModerationReply:
        """Scores of several texts in one call; retried like a completion."""
        body = wire.encode({"model": model, "input": list(inputs)})
        parse = wire.moderation_reply(len(inputs))
        path = wire.path_at(endpoint, "/moderations", model)
        return await self._call(Target(endpoint, model), path, body, parse, deadline)

    async def models(self, endpoint: Endpoint, *, deadline: float = 30.0) -> tuple[ModelInfo, ...]:
        """What the endpoint offers, in its own order."""
        path = wire.path_at(endpoint, "/models", "")
        return await self._call(Target(endpoint, ""), path, None, wire.model_list, deadline)

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AsyncIterator[HttpReply]:
        """Any request, with its own timeouts; redirects and errors are the caller's."""
        translated = Translated(endpoint.name)
        timeout = httpx.Timeout(
            None, connect=outgoing.connect, read=outgoing.read, pool=self._timeouts.pool
        )
        with translated:
            request = httpx.Request(
                outgoing.method,
                outgoing.url,
                content=outgoing.content,
                headers=dict(outgoing.headers),
                extensions={"timeout": timeout.as_dict(), EAGER: True},
            )
            response = await self._http.handle_async_request(request)
        reply = HttpReply(response, translated)
        try:
            yield reply
            await reply.settle()
        finally:
            reply.close()
            await response.aclose()

    @property
    def means(self) -> Means:
        """What its calls share, for those that are built on top of it."""
        return self._means

    def route(self, model: str) -> tuple[Target, ...]:
        """The targets in the order for this model."""
        if not model:
            return self.targets
        wanted = tuple(target for target in self.targets if target.model == model)
        others = tuple(target for target in self.targets if target.model != model)
        return (wanted or (replace(self.targets[0], model=model, params={}),)) + others

    async def _call(
        self,
        target: Target,
        path: str,
        body: bytes | None,
        parse: Callable[[bytes], _T],
        deadline: float,
    ) -> _T:
        means = self._means
        course = Course((target,), means.policy, means.health, deadline)
        endpoint = target.endpoint

        async def once(_: Target) -> _T:
            async with self._send(endpoint, path, body, course.remaining()) as reply:
                content = await reply.read(wire.MAX_DOCUMENT, course.remaining())
            if reply.status != 200:
                raise from_reply(endpoint, reply.status, reply.headers, content, time.time())
            try:
                return parse(content)
            except ValueError as exc:
                raise BadReply(f"{endpoint.name} answered {path} with something else") from exc

        return await carry_out(course, once)

    @asynccontextmanager
    async def _send(
        self, endpoint: Endpoint, path: str, body: bytes | None, limit: float
    ) -> AsyncIterator[HttpReply]:
        translated = Translated(endpoint.name)
        with translated:
            request = httpx.Request(
                "GET" if body is None else "POST",
                self._url(endpoint.base_url.rstrip("/") + path),
                content=body,
                headers=dict(wire.headers(endpoint)),
                extensions=self._extensions,
            )
            async with asyncio.timeout(limit):
                response = await self._http.handle_async_request(request)
        reply = HttpReply(response, translated)
        try:
            yield reply
            await reply.settle()
        finally:
            reply.close()
            await response.aclose()

    def _url(self, address: str) -> httpx.URL:
        """The parsed address; there are as many as endpoints and paths."""
        found = self._urls.get(address)
        if found is None:
            found = self._urls[address] = httpx.URL(address)
        return found
