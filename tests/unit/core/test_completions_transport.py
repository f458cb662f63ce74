"""The aiohttp transport beside httpx's own: the same faults raise the same classes."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from core.completions.client import _EXPECTED, Translated
from core.completions.transport import AiohttpTransport
from core.errors import ModelError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"


async def request_of(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A raw TCP server, so that it can misbehave."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*blocks: bytes, then: str = "close") -> Handler:
    """Read a request, send the blocks, and end in one way or another."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for block in blocks:
            writer.write(block)
            await writer.drain()
        if then == "hang":
            await asyncio.sleep(30)
        elif then == "reset":
            await asyncio.sleep(0.05)  # what was sent shall arrive before the reset
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return handle


async def fault(transport: httpx.AsyncBaseTransport, url: str) -> type[Exception] | None:
    """The class that one POST raises, its body read to the end."""
    timeout = httpx.Timeout(5.0, read=0.3, connect=0.3)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        try:
            await client.post(url, content=b"hi")
        except Exception as exc:  # noqa: BLE001 - its class is the result
            return type(exc)
    return None


async def faults(url: str) -> tuple[type[Exception] | None, type[Exception] | None]:
    """(ours, httpx's)."""
    return await fault(AiohttpTransport(), url), await fault(httpx.AsyncHTTPTransport(), url)


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (saying(OK), None),
        (saying(then="hang"), httpx.ReadTimeout),
        (saying(CHUNKED, then="hang"), httpx.ReadTimeout),
        (saying(then="close"), httpx.RemoteProtocolError),
        (saying(then="reset"), httpx.ReadError),
        (saying(CHUNKED, then="reset"), httpx.ReadError),
        (saying(CHUNKED), httpx.RemoteProtocolError),
        (saying(SHORT), httpx.RemoteProtocolError),
        (saying(b"SSH-2.0-OpenSSH_9\r\n\r\n"), httpx.RemoteProtocolError),
        (saying(CHUNKED, b"zz\r\nnope\r\n", then="hang"), httpx.RemoteProtocolError),
    ],
)
async def test_faults_after_the_request_was_sent(
    handler: Handler, expected: type[Exception] | None
) -> None:
    """Once the request is out, no fault may look like one that is safe to resend."""
    async with server(handler) as url:
        assert await faults(url) == (expected, expected)


async def test_a_refused_connection() -> None:
    """Nobody listens: ConnectError from both."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"

        assert await faults(url) == (httpx.ConnectError, httpx.ConnectError)


async def test_an_unknown_host() -> None:
    """DNS has no answer: ConnectError from both, within the connect timeout."""
    for found in await faults("http://no-such-host.invalid/"):
        assert found in (httpx.ConnectError, httpx.ConnectTimeout)


async def test_a_connection_that_is_never_accepted() -> None:
    """A full backlog swallows the connection: ConnectTimeout from both."""
    with socket.socket() as sock, socket.socket() as one, socket.socket() as two:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"

        assert await faults(url) == (httpx.ConnectTimeout, httpx.ConnectTimeout)


async def test_tls_to_a_plain_server() -> None:
    """A failed handshake is a ConnectError from both: nothing was sent."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"220 plain text\r\n")
        await reader.read()

    async with server(handle) as url:
        assert await faults(url.replace("http", "https")) == (httpx.ConnectError,) * 2


async def test_a_full_pool() -> None:
    """No free connection: PoolTimeout from both, not a connect error."""

    async def full(transport: httpx.AsyncBaseTransport, url: str) -> type[Exception] | None:
        timeout = httpx.Timeout(5.0, pool=0.1)
        async with (
            httpx.AsyncClient(transport=transport, timeout=timeout) as client,
            client.stream("POST", url, content=b"hi"),
        ):
            try:
                await client.post(url, content=b"hi")
            except httpx.TransportError as exc:
                return type(exc)
        return None

    async with server(saying(CHUNKED, then="hang")) as url:
        ours = await full(AiohttpTransport(max_connections=1), url)
        theirs = await full(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1)), url)

    assert (ours, theirs) == (httpx.PoolTimeout, httpx.PoolTimeout)


async def test_cancels_leave_the_pool_usable() -> None:
    """After many double cancels, before and after the headers, every slot is free again."""

    async def ask(client: httpx.AsyncClient, url: str) -> None:
        await client.post(url, content=b"hi")

    transport = AiohttpTransport(max_connections=10)
    async with (
        server(saying(then="hang")) as silent,
        server(saying(CHUNKED, then="hang")) as stuck,
        server(saying(OK)) as good,
        httpx.AsyncClient(transport=transport, timeout=5.0) as client,
    ):
        for url in (silent, stuck) * 2:
            tasks = [asyncio.ensure_future(ask(client, url)) for _ in range(20)]
            await asyncio.sleep(0.05)
            for _ in range(2):
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(*tasks, return_exceptions=True)

        replies = await asyncio.gather(*(client.post(good, content=b"hi") for _ in range(10)))

    assert [reply.text for reply in replies] == ["ok"] * 10


async def test_connections_are_reused() -> None:
    """A body that was read to its end gives its connection back."""
    peers = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        while True:
            await request_of(reader)
            writer.write(OK)

    async with server(handle) as url, httpx.AsyncClient(transport=AiohttpTransport()) as client:
        for _ in range(5):
            await client.post(url, content=b"hi")

    assert len(peers) == 1


async def test_only_httpx_decompresses() -> None:
    """A compressed reply is decoded once, and its header is still there."""
    body = gzip.compress("grün".encode())
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)

    async with (
        server(saying(head + body)) as url,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
    ):
        reply = await client.post(url, content=b"hi")

    assert reply.content.decode() == "grün"
    assert reply.headers["content-encoding"] == "gzip"


async def test_headers_go_out_once_and_as_given() -> None:
    """Nothing is added to what httpx sends, and redirects are not followed."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n")

    async with server(handle) as url, httpx.AsyncClient(transport=AiohttpTransport()) as client:
        reply = await client.post(url, content=b"hi", headers={"user-agent": "tw", "x-n": "1"})

    lines = seen[0].decode("latin-1").lower().split("\r\n")
    names = [line.split(":")[0] for line in lines[1:] if line]
    assert reply.status_code == 302
    assert sorted(names) == sorted(set(names))
    assert {"user-agent: tw", "content-length: 2"} <= set(lines)


def errors_of(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(kind for child in base.__subclasses__() for kind in errors_of(child))]


@pytest.mark.parametrize(
    "kind",
    [
        *errors_of(httpx.HTTPError),
        *errors_of(httpx.StreamError),
        httpx.InvalidURL,
        httpx.CookieConflict,
    ],
)
def test_every_exception_of_httpx_is_translated(kind: type[Exception]) -> None:
    """No exception of the library crosses the client's boundary."""
    exc = kind.__new__(kind)
    Exception.__init__(exc, "why")

    with pytest.raises(ModelError) as caught, Translated("main"):
        raise exc

    assert caught.value.__cause__ is exc
    assert any(kind is ours or issubclass(kind, ours) for ours, _ in _EXPECTED)
