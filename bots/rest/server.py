"""The HTTP server: uvicorn in the loop that everything else runs in."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import uvicorn
from litestar import Litestar

from bots.building import build_api
from bots.rest.application import build, headed
from bots.rest.ending import Ending
from bots.rest.once import Runs
from bots.rest.services import Services
from core.calls import Calls
from core.completions.client import CompletionsClient
from core.completions.tokens import TokenCounters
from core.config import Config
from core.dialogue import Dialogue
from core.errors import ConfigError, StoreError
from core.moderation import Moderation
from core.rates import Rates
from core.storage import Store
from core.telemetry import Counters, logger
from core.upstream import ApiUpstream
from core.usage import Ledger

_log = logger("talkwarden.rest")

GRACE = 10  # seconds that open replies get at a stop


SAVED = 1.0  # seconds after which what was used is stored


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ending: Ending, grace: float) -> None:
        super().__init__(config)
        self._ending = ending
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open replies end; those that don't are ended, just before they would be cut off."""
        loop = asyncio.get_running_loop()
        ending = loop.call_later(self._grace, self._ending.end)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the composition root's."""
        yield


@dataclass(frozen=True, slots=True)
class Parts:
    """The core's parts that the API is served over."""

    config: Config
    store: Store
    client: CompletionsClient
    moderation: Moderation
    ledger: Ledger
    tokens: TokenCounters
    counters: Counters
    owner: str
    """Names this process."""
    health: Callable[[], Mapping[str, str]]
    """What does not work at the moment, by name, and why."""


def rest_server(parts: Parts, grace: float = GRACE) -> RestServer:
    """The server over the core's parts; `grace`: see RestServer."""
    config = parts.config
    api = build_api(config, parts.client)
    upstream = ApiUpstream(api)
    calls = Calls(
        parts.store,
        upstream,
        parts.moderation,
        parts.ledger,
        Rates(),
        parts.tokens,
        config.rest.limits,
        config.model.name,
        config.model.reply_tokens,
        deadline=config.engine.turn_deadline,
        patience=config.rest.wait,
        decode=api.decode,
    )
    services = Services(
        config.rest,
        parts.store,
        calls,
        Dialogue(parts.store, calls, parts.tokens, config.model.context_tokens),
        upstream,
        parts.ledger,
        parts.counters,
        parts.health,
        parts.owner,
    )
    return RestServer(services, build(services), grace)


class RestServer:
    """Serves the application until stopped."""

    def __init__(self, services: Services, app: Litestar, grace: float = GRACE) -> None:
        """`grace`: seconds that open replies get at a stop."""
        self._grace = grace
        ending = Ending(app, headed)
        self._services = services
        self._config = services.config
        self._app = app
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                ending,
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=math.ceil(grace) + 1,
                ws="none",
                h11_max_incomplete_event_size=64 * 1024,
            ),
            ending,
            grace,
        )

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def runs(self) -> Runs:
        """Requests that are carried out whether or not their callers wait."""
        found: Runs = self._app.state.runs
        return found

    def bind(self) -> None:
        """Take the address. Raises ConfigError."""
        host, port = self._config.host, self._config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio switches off Nagle's delay only where the protocol is named
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as exc:
            found.close()
            why = f"{host}:{port}: {exc.strerror or exc}; set rest.host or rest.port."
            raise ConfigError(f"The HTTP API can't listen on {why}", key="rest.port") from exc
        self._socket = found

    async def run(self) -> None:
        """Serve until `stop`; then open replies, and requests that were promised, may end."""
        assert self._socket is not None
        try:
            await self._services.store.read(self._services.calls.rates.load_op())
        except StoreError as exc:
            _log.error("The HTTP API can't be served.", why=str(exc))
            self._socket.close()
            return
        _log.info("The HTTP API is served.", address=self.address)
        chores = [
            asyncio.create_task(self._every(SAVED, self._save_rates), name="rates"),
            asyncio.create_task(self._every(self.runs.stale / 4, self._beat), name="beats"),
        ]
        try:
            await self._server.serve(sockets=[self._socket])
            await self.runs.drain(self._grace)
        finally:
            self._socket.close()
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._save_rates()

    async def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await chore()

    async def _beat(self) -> None:
        try:
            await self.runs.beat(self._services.store, self._services.owner)
        except StoreError as exc:
            _log.warning("Requests under way could not be shown to be so.", why=str(exc))

    async def _save_rates(self) -> None:
        try:
            await self._services.calls.rates.save(self._services.store)
        except StoreError as exc:
            _log.warning("What keys have used could not be stored yet.", why=str(exc))

    def stop(self) -> None:
        """Take nothing new."""
        self._server.should_exit = True
