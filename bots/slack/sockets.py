"""Socket Mode: several websockets at once, each replaced before it goes.

The SDK's own client closes a link that Slack wants to refresh before it opens the next one, keeps
no reference to the tasks that handle payloads, and goes on trying where it never can. So the links
are held here, and payloads and answers pass through the SDK's and Bolt's own functions.
https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec
from slack_bolt.adapter.socket_mode.internals import build_headers
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest

from bots.slack.api import Api
from bots.slack.failures import translated
from core.errors import CredentialsRejected, PermissionDenied, PlatformError
from core.telemetry import logger

_log = logger("talkwarden.slack.sockets")

HEARTBEAT: Final = 10.0  # seconds between pings
GRACE: Final = 5.0  # seconds that payloads of a link may still be acknowledged on it
IN_FLIGHT: Final = 1000  # payloads of a link that are being stored; beyond it nothing is read
MAX_PAUSE: Final = 60.0
CROWDED: Final = 60.0  # seconds before a link is tried again that was one too many

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

_SWITCHED_OFF: Final = (
    "Socket Mode is switched off for this Slack app: turn it on under Settings > Socket Mode, "
    "or set slack.mode to http."
)
_BAD_LEVEL: Final = (
    "Slack rejects the app-level token (SLACK_APP_TOKEN): create one with the scope "
    "connections:write under Basic Information > App-Level Tokens."
)

Unreadable = Callable[[str], None]


class Link:
    """One websocket; `leaving` becomes the reason why it needs a successor."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, app: AsyncApp, unreadable: Unreadable
    ) -> None:
        self._socket = socket
        self._app = app
        self._unreadable = unreadable
        self._tasks: set[asyncio.Task[None]] = set()
        self.leaving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    async def close(self, grace: float = 0.0) -> None:
        """Let payloads be acknowledged for a while, then close."""
        if self._tasks and grace:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for task in (self._reader, *self._tasks):
            task.cancel()
        await asyncio.gather(self._reader, *self._tasks, return_exceptions=True)
        await self._socket.close()

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._receive(frame.data)
                    while len(self._tasks) >= IN_FLIGHT:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave("closed")

    def _receive(self, text: str) -> None:
        try:
            envelope = _decode(text)
        except msgspec.DecodeError as exc:
            self._unreadable(f"not JSON: {exc}")
            return
        kind = envelope.get("type")
        if kind == "disconnect":
            self._leave(str(envelope.get("reason") or "refresh_requested"))
        elif kind != "hello":
            task = asyncio.create_task(self._handle(envelope))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, envelope: dict[str, Any]) -> None:
        try:
            envelope_id, frame = str(envelope["envelope_id"]), SocketModeRequest.from_dict(envelope)
            headers = build_headers(frame) if frame else None
            payload = dict(envelope["payload"])
            request = AsyncBoltRequest(mode="socket_mode", body=payload, headers=headers)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            self._unreadable(f"{type(exc).__name__}: {exc}")
            if "envelope_id" in envelope:
                await self._acknowledge(str(envelope["envelope_id"]), None)
            return
        answer: BoltResponse = await self._app.async_dispatch(request)
        if answer.status == 200:
            await self._acknowledge(envelope_id, answer.body)

    async def _acknowledge(self, envelope_id: str, body: str | None) -> None:
        frame: dict[str, Any] = {"envelope_id": envelope_id}
        if body:
            frame["payload"] = msgspec.json.decode(body)
        try:
            await self._socket.send_str(_encode(frame).decode())
        except (ConnectionError, aiohttp.ClientError):
            # Slack sends the payload again, on another link: it is known by then
            _log.info("A payload could not be acknowledged.", envelope=envelope_id)

    def _leave(self, reason: str) -> None:
        if not self.leaving.done():
            self.leaving.set_result(reason)


class SocketMode:
    """Keeps `count` links open. One at a time is replaced, so the others stay."""

    def __init__(
        self, api: Api, app: AsyncApp, app_token: str, count: int, unreadable: Unreadable
    ) -> None:
        self._api = api
        self._app = app
        self._app_token = app_token
        self._count = count
        self._unreadable = unreadable
        self._replacing = asyncio.Lock()
        self._open: set[Link] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hold the links until cancelled. Raises CredentialsRejected when it never can."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._count):
                    group.create_task(self._keep(number))
        except* PlatformError as errors:
            raise _first(errors) from errors
        finally:
            closing = [link.close(GRACE) for link in self._open]
            await asyncio.gather(*closing, *self._closing, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        link = await self._opened()
        crowded = 0
        while True:
            reason = await link.leaving
            _log.info("A Slack connection goes.", reason=reason)
            if reason == "link_disabled":
                raise CredentialsRejected(_SWITCHED_OFF, platform="slack", code=reason)
            if reason == "too_many_websockets":
                self._retire(link)
                pause = CROWDED * 2 ** min(crowded, 4) if number else min(2.0**crowded, MAX_PAUSE)
                crowded += 1
                _log.warning("Slack has too many connections of this app.", pause=pause)
                await asyncio.sleep(pause)
                link = await self._opened()
                continue
            crowded = 0
            async with self._replacing:
                successor = await self._opened()
            self._retire(link)
            link = successor

    async def _opened(self) -> Link:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                link = await self._connect()
            except PlatformError as exc:
                _give_up_on(exc)
                pause = exc.retry_after or min(0.5 * 2**failures, MAX_PAUSE) * random.uniform(  # noqa: S311
                    0.5, 1
                )
                failures += 1
                _log.warning("Slack can't be reached.", error=str(exc), pause=round(pause, 1))
                await asyncio.sleep(pause)
            else:
                self._open.add(link)
                took = round(time.monotonic() - started, 3)
                _log.info("A Slack connection is open.", seconds=took)
                return link

    async def _connect(self) -> Link:
        with translated():
            client = self._api.client
            answer = await client.apps_connections_open(app_token=self._app_token)
            socket = await self._api.session.ws_connect(
                str(answer["url"]), heartbeat=HEARTBEAT, max_msg_size=0, proxy=self._api.proxy
            )
        return Link(socket, self._app, self._unreadable)

    def _retire(self, link: Link) -> None:
        self._open.discard(link)
        task = asyncio.create_task(link.close(GRACE))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _give_up_on(exc: PlatformError) -> None:
    """Raise when opening a connection can never work."""
    if exc.code in {"socket_mode_disabled", "socket_mode_not_enabled"}:
        raise CredentialsRejected(_SWITCHED_OFF, platform="slack", code=exc.code) from exc
    if isinstance(exc, (CredentialsRejected, PermissionDenied)):
        raise CredentialsRejected(_BAD_LEVEL, platform="slack", code=exc.code) from exc


def _first(errors: BaseExceptionGroup[PlatformError]) -> PlatformError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PlatformError)
    return error
