"""The Events API over HTTP: one path on an address of its own.

Bolt verifies signature and age; this only turns requests over to it.
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier

MAX_BODY: Final = 4 * 1024 * 1024
DRAIN: Final = 5.0  # seconds for requests that are being stored


class Endpoint:
    """Serves the request URL. `address` is known once it listens."""

    def __init__(
        self, app: AsyncApp, signing_secret: str, path: str, unreadable: Callable[[str], None]
    ) -> None:
        self._app = app
        self._verifier = SignatureVerifier(signing_secret)
        self._path = path
        self._unreadable = unreadable
        self.address: tuple[str, int] | None = None

    async def run(self, host: str, port: int) -> None:
        """Listen until cancelled. Raises OSError when the address is taken."""
        site = web.Application(client_max_size=MAX_BODY)
        site.router.add_post(self._path, self._handle)
        runner = web.AppRunner(site, access_log=None, shutdown_timeout=DRAIN)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
            found = runner.addresses[0]
            self.address = (found[0], found[1])
            await asyncio.Event().wait()
        finally:
            self.address = None
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode(errors="replace")
        try:
            bolt = AsyncBoltRequest(
                body=body,
                query=request.query_string,
                headers=dict(request.headers),
            )
        except (ValueError, TypeError, AttributeError, json.JSONDecodeError) as exc:
            return self._refuse(request, body, exc)
        return await to_aiohttp_response(await self._app.async_dispatch(bolt))

    def _refuse(self, request: web.Request, body: str, exc: Exception) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not self._verifier.is_valid_request(body, headers):
            return web.Response(status=401)
        self._unreadable(f"{type(exc).__name__}: {exc}")
        return web.Response()
