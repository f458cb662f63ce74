"""discord.py's REST client with a movable address and a rate limiter that never holds an answer.

Private parts of discord.py are used here and in `gateway.py` only; the tested version is pinned.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import aiohttp
from discord import DiscordServerError, Forbidden, HTTPException, NotFound, RateLimited
from discord.http import HTTPClient, Ratelimit, Route, json_or_text

from core import faults

TIMEOUT: Final = 60.0
"""Seconds for one call, its retries and the SDK's own waiting included."""
GLOBAL_PAUSE: Final = 1.0
"""Seconds until the others go on after a request was cancelled in a global pause."""
REASON_LIMIT: Final = 400
"""Characters in a server's audit log; Discord takes 512."""
PATIENCE: Final = 30.0
"""Seconds of rate limiting that the SDK sits out by itself; the least it accepts."""


class _Masked(logging.Filter):
    """Keeps interaction tokens, which stand in addresses, out of the SDK's log lines."""

    _token = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s]+")

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._token.sub(r"\1***", each) if isinstance(each, str) else each
                for each in record.args
            )
        return True


logging.getLogger("discord.http").addFilter(_Masked())


class Slots(Ratelimit):
    """One rate limit of Discord's, as its headers describe it.

    The SDK's own class makes the request that took the last slot wait for the reset before its
    answer is returned: up to five seconds in which a posted message has no id for us. Here the
    waiting is left to the next request.
    """

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        super().__init__(PATIENCE)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def reset_in(self) -> float:
        """Seconds until the slots are back."""
        return 0.0 if self.expires is None else max(0.0, self.expires - self._loop.time())

    async def acquire(self) -> None:
        """Wait for a slot; raises discord.RateLimited if that takes longer than PATIENCE."""
        self._last_request = self._loop.time()
        if self.is_expired():
            self.reset()  # type: ignore[no-untyped-call]
        if self.reset_in > PATIENCE:
            raise RateLimited(self.reset_in)
        while self.remaining <= 0:
            future = self._loop.create_future()
            self._pending_requests.append(future)
            self._arm()
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake_next()
                raise
        self.remaining -= 1
        self.outgoing += 1

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.outgoing -= 1
        if self.expires is None and self.remaining <= 0:
            self.reset()  # type: ignore[no-untyped-call]
        if self.remaining > 0:
            self._wake(self.remaining)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self.expires is not None and self._pending_requests:
            self._timer = self._loop.call_at(self.expires, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        if self.reset_in < 0.001:
            self.reset()  # type: ignore[no-untyped-call]
        if self.remaining > 0:
            self._wake(self.remaining)
        self._arm()


CONNECTIONS = 128
"""At once; Discord lets a bot make 50 calls a second."""
CLEARED = 256
"""New rate limits between two looks for expired ones."""


class Rest(HTTPClient):
    """The SDK's client at `api_url`; other clients in the process keep theirs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api_url: str) -> None:
        super().__init__(loop, max_ratelimit_timeout=PATIENCE)
        self._api_url = api_url.rstrip("/")

    async def static_login(self, token: str) -> Any:
        """Log in, with a bounded number of connections: hundreds at once cost more to open than
        they save."""
        self.connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        return await super().static_login(token)

    def get_ratelimit(self, key: str) -> Ratelimit:
        """The limit that the SDK keeps under this key, of our kind."""
        found = self._buckets.get(key)
        if found is None:
            self._buckets[key] = found = Slots()
            if not len(self._buckets) % CLEARED:  # the SDK would look at all of them each time
                self._try_clear_expired_ratelimits()
        return found

    @property
    def session(self) -> aiohttp.ClientSession:
        """The SDK's session; there once it has logged in."""
        found: aiohttp.ClientSession = self._HTTPClient__session  # type: ignore[attr-defined]
        return found

    def slots(self, method: str, path: str, channel: str) -> Slots | None:
        """What is known of the limit on a channel's route."""
        route = f"{method} {path}"
        found = self._buckets.get(f"{self._bucket_hashes.get(route, route)}:{channel}")
        return found if isinstance(found, Slots) else None

    async def request(self, route: Route, **kwargs: Any) -> Any:
        """Call a route; raises discord.py's and aiohttp's errors."""
        if self._api_url != route.BASE:
            route.url = self._api_url + route.url.removeprefix(route.BASE)
        try:
            faults.reach("discord.before", route.path)
            async with asyncio.timeout(TIMEOUT):
                answer = await super().request(route, **kwargs)
            faults.reach("discord.after", route.path)
            return answer
        except (asyncio.CancelledError, TimeoutError):
            if not self._global_over.is_set():
                # The SDK would never end the global pause that this request was sitting out.
                self.loop.call_later(GLOBAL_PAUSE, self._global_over.set)
            raise

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | list[Any] | None = None,
        params: Mapping[str, Any] | None = None,
        reason: str = "",
        **ids: str,
    ) -> Any:
        """Call `path`, whose {names} are filled from `ids`, and return the decoded reply.

        `reason` is for the server's audit log.
        """
        more: dict[str, Any] = {}
        if json is not None:
            more["json"] = json
        if params is not None:
            more["params"] = params
        if reason:
            more["reason"] = reason[:REASON_LIMIT]
        return await self.request(Route(method, path, **ids), **more)

    async def once(self, path: str, json: Mapping[str, Any]) -> Any:
        """POST without a repetition, unlike the SDK, which tries again after a 5xx."""
        headers = {"User-Agent": self.user_agent}
        faults.reach("discord.before", path)
        async with (
            asyncio.timeout(TIMEOUT),
            self.session.post(self._api_url + path, json=json, headers=headers) as response,
        ):
            reply = await json_or_text(response)
            faults.reach("discord.after", path)
            if response.status < 300:
                return reply
            kind = {403: Forbidden, 404: NotFound}.get(response.status, HTTPException)
            raise (DiscordServerError if response.status >= 500 else kind)(response, reply)
