"""Socket Mode: up to ten websockets, each payload to one of them.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from bots.simulators.slack.clock import Instant, now
from bots.simulators.slack.delivery import Courier, Delivery
from bots.simulators.slack.options import SlackOptions

DisconnectReason = Literal["refresh_requested", "warning", "link_disabled", "too_many_websockets"]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Connection:
    """One websocket of the app; `draining` once it was told to leave."""

    def __init__(self, request: web.BaseRequest, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.draining = False
        self.closed_at: Instant | None = None
        self.delivered = 0
        self._request = request
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, frame: bytes) -> None:
        """Queue a frame; frames leave in order."""
        self._outbox.put_nowait(frame)

    def close(self) -> None:
        """Close the websocket properly, behind what is already queued."""
        self._outbox.put_nowait(None)

    def drop(self) -> None:
        """Cut the TCP connection without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def write(self) -> None:
        """Write queued frames until told to close."""
        try:
            while (frame := await self._outbox.get()) is not None:
                await self.socket.send_frame(frame, WSMsgType.TEXT)
            await self.socket.close(code=WSCloseCode.GOING_AWAY)
        except ConnectionError:
            return  # the peer is gone: its deliveries time out, as they do at Slack


class SocketTransport:
    """Hands payloads to the open connections in turn."""

    timeout_reason = "timeout"

    def __init__(
        self, options: SlackOptions, courier: Courier, changed: Callable[[], None]
    ) -> None:
        self._options = options
        self._courier = courier
        self._changed = changed
        self._tickets: set[str] = set()
        self._turn = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._emptied = asyncio.Event()
        self.enabled = True
        self.connections: list[Connection] = []
        self.opened = 0

    def issue_ticket(self) -> str:
        """Return a ticket good for one connection."""
        ticket = secrets.token_hex(12)
        self._tickets.add(ticket)
        return ticket

    def send(self, delivery: Delivery) -> None:
        """Put an envelope on one of the connections; with none open it will time out."""
        ready = [connection for connection in self.connections if not connection.draining]
        if not ready:
            return
        self._turn += 1
        connection = ready[self._turn % len(ready)]
        connection.delivered += 1
        connection.send(_encode(_envelope(delivery)))

    async def accept(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one websocket until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403, text="invalid ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        connection = Connection(request, socket)
        writer = asyncio.create_task(connection.write())
        try:
            self._welcome(connection)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(message.data)
        finally:
            self._leave(connection)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    def disconnect(self, reason: DisconnectReason, *, count: int | None = None) -> int:
        """Ask the oldest `count` (default all) connections to leave; return how many."""
        leaving = [connection for connection in self.connections if not connection.draining]
        for connection in leaving[:count]:
            self._dismiss(connection, reason)
        if reason == "link_disabled":
            self.enabled = False
        return len(leaving[:count])

    def drop(self) -> None:
        """Cut every connection."""
        for connection in self.connections:
            connection.drop()

    async def close(self) -> None:
        """Close every connection and wait until all have gone."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for connection in list(self.connections):
            connection.draining = True
            connection.close()
        if self.connections:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), 1.0)
        self.drop()

    def _welcome(self, connection: Connection) -> None:
        if len(self.connections) >= self._options.max_connections:
            self._dismiss(connection, "too_many_websockets")
            return
        self.connections.append(connection)
        self.opened += 1
        hello = {
            "type": "hello",
            "num_connections": len(self.connections),
            "debug_info": {"host": "applink-simulator", "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._options.app_id},
        }
        connection.send(_encode(hello))
        self._changed()

    def _dismiss(self, connection: Connection, reason: DisconnectReason) -> None:
        connection.draining = reason != "warning"
        body = {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-simulator"}}
        connection.send(_encode(body))
        if reason == "too_many_websockets":
            connection.close()
            return
        # Slack leaves the old link open for a while so that the app can overlap its successor.
        loop = asyncio.get_running_loop()
        grace = self._options.disconnect_grace
        self._timers.add(loop.call_later(grace, self._end, connection, reason))

    def _end(self, connection: Connection, reason: DisconnectReason) -> None:
        if connection.closed_at is not None:
            return
        if reason == "warning":
            self._dismiss(connection, "refresh_requested")
        else:
            connection.close()

    def _receive(self, text: str) -> None:
        try:
            body = _decode(text)
        except msgspec.DecodeError:
            return  # Slack ignores frames that are not acknowledgements
        envelope_id = body.get("envelope_id")
        if isinstance(envelope_id, str):
            self._courier.acked(envelope_id, body.get("payload"))

    def _leave(self, connection: Connection) -> None:
        connection.closed_at = now()
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._emptied.set()
        self._changed()


def _envelope(delivery: Delivery) -> dict[str, Any]:
    body: dict[str, Any] = {
        "envelope_id": delivery.envelope_id,
        "payload": delivery.payload,
        "type": delivery.kind,
        "accepts_response_payload": delivery.kind != "events_api",
    }
    if delivery.kind == "events_api":
        body["retry_attempt"] = delivery.attempts - 1
        body["retry_reason"] = delivery.retry_reason
    return body
