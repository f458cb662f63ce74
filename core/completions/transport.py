"""httpx on aiohttp's connections: several times the throughput of httpx's own pool.

A fault raises the class that httpx's default transport raises for it, because retry rules hang
on it: an endpoint that refused the connection saw nothing, one that reset it may have worked.
Replies are passed on as they came: no decompression and no charset guess here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

import aiohttp
import httpx
from yarl import URL

KEEPALIVE = 30.0
"""Seconds that an idle connection is kept."""

EAGER = "talkwarden.eager"
"""A request's extension: whoever reads its events passes each on as it comes."""

_GATHER_EACH, _GATHER_LEAST, _GATHER_MOST = 0.0002, 0.005, 0.1
"""Seconds that an event stream is gathered: for each connection in use, at least, at most."""

_EXPECTED: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
    (aiohttp.ClientSSLError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx.ReadError),  # a reset, once the request was on its way
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)


class _Mapped:
    """Raises httpx's class for aiohttp's."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not isinstance(exc, Exception):
            return
        if isinstance(exc, aiohttp.ClientPayloadError) and "ConnectionResetError" in str(exc):
            # aiohttp tells a reset in the body from a clean end by this word alone
            raise httpx.ReadError(str(exc), request=self._request) from exc
        for theirs, ours in _EXPECTED:
            if isinstance(exc, theirs):
                raise ours(str(exc) or type(exc).__name__, request=self._request) from exc


class _Slots:
    """Connections in use: at most so many, and how long their streams are gathered."""

    def __init__(self, limit: int) -> None:
        # a limit of our own: aiohttp's can't tell waiting for a slot from connecting
        self._free = asyncio.Semaphore(limit)
        self._used = 0

    async def take(self) -> None:
        await self._free.acquire()
        self._used += 1

    def give_back(self) -> None:
        self._used -= 1
        self._free.release()

    @property
    def gathering(self) -> float:
        """Seconds; nothing while there are few."""
        seconds = self._used * _GATHER_EACH
        return min(seconds, _GATHER_MOST) if seconds >= _GATHER_LEAST else 0.0


class _Body(httpx.AsyncByteStream):
    """The reply's bytes in the pieces in which they arrive.

    With many streams at once, each wake-up for a single event costs more than the event: after
    its first block an event stream is then left alone for a moment, unread even in the kernel,
    so that one read brings several events.
    """

    def __init__(
        self, reply: aiohttp.ClientResponse, mapped: _Mapped, slots: _Slots, *, is_eager: bool
    ) -> None:
        self._reply = reply
        self._is_eager = is_eager
        self._mapped = mapped
        self._slots: _Slots | None = slots

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._reply.content
        is_events = self._reply.content_type == "text/event-stream"
        while True:
            with self._mapped:
                block = await content.readany()
            if not block:
                return
            yield block
            if not is_events or self._slots is None or not self._slots.gathering:
                continue
            # events that come one by one come no cheaper together, only later
            if not self._is_eager or block.count(b"\n\n") > 1:
                await self._gather(self._slots.gathering)

    async def _gather(self, seconds: float) -> None:
        connection = self._reply.connection
        if connection is None or connection.protocol is None:  # all has arrived
            return
        protocol = connection.protocol
        protocol.pause_reading()
        try:
            await asyncio.sleep(seconds)
        finally:
            protocol.resume_reading()

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""
        slots, self._slots = self._slots, None
        if slots is not None:
            self._reply.close()
            slots.give_back()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Of one event loop: its session opens with the first request. Uploads are read whole."""

    def __init__(self, *, max_connections: int = 2000) -> None:
        self._slots = _Slots(max_connections)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raise httpx's TransportError classes."""
        timeout = request.extensions.get("timeout", {})
        mapped = _Mapped(request)
        content = await request.aread()
        await self._slot(request, timeout.get("pool"))
        try:
            with mapped:
                reply = await self._open().request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=[
                        (name.decode("ascii"), value.decode("latin-1"))
                        for name, value in request.headers.raw
                    ],
                    data=content or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        connect=timeout.get("connect"), sock_read=timeout.get("read")
                    ),
                )
        except BaseException:
            self._slots.give_back()
            raise
        return httpx.Response(
            status_code=reply.status,
            headers=list(reply.raw_headers),
            stream=_Body(reply, mapped, self._slots, is_eager=request.extensions.get(EAGER, False)),
            extensions={"http_version": b"HTTP/1.1"},
            request=request,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _slot(self, request: httpx.Request, limit: float | None) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._slots.take()
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no connection is free", request=request) from exc

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session
