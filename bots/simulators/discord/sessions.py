"""One gateway session and one gateway connection: sequence, replay, compression, writing.

A session outlives its connections: https://discord.com/developers/docs/events/gateway#resuming
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from bots.simulators.discord.options import Bucket

encode = msgspec.json.encode
Noted = Callable[[float], None]


class Sent(NamedTuple):
    """A dispatched event as the replay buffer keeps it."""

    sequence: int
    name: str
    raw: bytes

    def frame(self) -> bytes:
        """The dispatch as it goes over the wire, before compression."""
        return b'{"t":"%b","s":%d,"op":0,"d":%b}' % (self.name.encode(), self.sequence, self.raw)


class Session:
    """What IDENTIFY makes; `resumed` counts RESUMEs, `dropped_at` is time.monotonic or None."""

    def __init__(self, session_id: str, intents: int, shard: tuple[int, int], keep: int) -> None:
        self.id = session_id
        self.intents = intents
        self.shard = shard
        self.sequence = 0
        self.resumed = 0
        self.ended = False
        self.dropped_at: float | None = None
        self.link: Link | None = None
        self.buffer: deque[Sent] = deque(maxlen=keep)

    @property
    def connected(self) -> bool:
        """Whether a socket serves it now."""
        return self.link is not None

    def wants(self, intent: int, guild_id: int | None) -> bool:
        """Whether its intents and its shard take an event of that guild (None: direct)."""
        if intent and not self.intents & intent:
            return False
        number, count = self.shard
        return number == ((guild_id or 0) >> 22) % count if guild_id else number == 0

    def push(self, name: str, raw: bytes, noted: Noted | None = None) -> None:
        """Give the event the next sequence number; send it, or keep it for a RESUME."""
        self.sequence += 1
        event = Sent(self.sequence, name, raw)
        self.buffer.append(event)
        if self.link is not None:
            self.link.put(event.frame(), noted)

    def missed(self, sequence: int) -> list[Sent] | None:
        """The events after `sequence`, or None if some of them are no longer kept."""
        if self.buffer and sequence < self.buffer[0].sequence - 1:
            return None
        return [event for event in self.buffer if event.sequence > sequence]


class Link:
    """One websocket. `put` never waits; a task of its own writes in order."""

    def __init__(self, ws: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self.ws = ws
        self.transport = request.transport
        self.session: Session | None = None
        self.last_heartbeat = time.monotonic()
        compress = request.query.get("compress") == "zlib-stream"
        # Level 1: what a byte costs on loopback is CPU, not transfer.
        self._compressor = zlib.compressobj(1) if compress else None
        self._queue: deque[tuple[bytes, Noted | None]] = deque()
        # Set when this side decided to close.
        self.close_code: int | None = None
        self._wake = asyncio.Event()
        self._received: deque[float] = deque()
        self.writer = asyncio.get_running_loop().create_task(self._write())

    def put(self, frame: bytes, noted: Noted | None = None) -> None:
        """Queue a frame; `noted` is called with the time at which it is written."""
        self._queue.append((frame, noted))
        self._wake.set()

    def op(self, code: int, data: Any = None) -> None:
        """Queue a payload that is no dispatch."""
        self.put(encode({"t": None, "s": None, "op": code, "d": data}))

    def close(self, code: int) -> None:
        """Close with this code, after what is queued."""
        self.close_code = code
        self._wake.set()

    def reset(self) -> None:
        """Tear the TCP connection down with RST; nothing queued gets out."""
        self._queue.clear()
        reset(self.transport)

    def too_fast(self, limit: Bucket) -> bool:
        """Count one received payload; whether the client exceeded its sends."""
        now = time.monotonic()
        self._received.append(now)
        while self._received[0] < now - limit.seconds:
            self._received.popleft()
        return len(self._received) > limit.limit

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    await self._send(*self._queue.popleft())
                if self.close_code is not None:
                    await self.ws.close(code=self.close_code)
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionError:
            self._queue.clear()

    async def _send(self, frame: bytes, noted: Noted | None) -> None:
        if noted is not None:
            noted(time.monotonic())
        if self._compressor is None:
            await self.ws.send_str(frame.decode())
            return
        data = self._compressor.compress(frame) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self.ws.send_bytes(data)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Abort a TCP connection so that the peer sees ECONNRESET."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    else:
        transport.close()
