"""The Events API over HTTP: signed POSTs to the app's request URL.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from bots.simulators.slack.delivery import Courier, Delivery
from bots.simulators.slack.options import SlackOptions

_encode = msgspec.json.Encoder().encode


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the `X-Slack-Signature` of a body."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


class HttpTransport:
    """Posts each payload; 2xx acknowledges it, `X-Slack-No-Retry` ends the retries."""

    timeout_reason = "http_timeout"

    def __init__(self, options: SlackOptions, courier: Courier) -> None:
        self._options = options
        self._courier = courier
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.request_url = options.request_url

    def send(self, delivery: Delivery) -> None:
        """Start the POST of one attempt."""
        task = asyncio.create_task(self._deliver(delivery, delivery.attempts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def post(
        self, body: bytes, content_type: str, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, bool]:
        """Post a body, signed unless `headers` sign it; return status, answer, no-retry."""
        timestamp = str(int(time.time()))
        all_headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": sign(self._options.signing_secret, timestamp, body),
            **(headers or {}),
        }
        async with self._client().post(
            self.request_url, data=body, headers=all_headers, max_redirects=2
        ) as answer:
            content = await answer.read()
            return answer.status, content, answer.headers.get("X-Slack-No-Retry") == "1"

    async def close(self) -> None:
        """Cancel running POSTs and close the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self._session

    async def _deliver(self, delivery: Delivery, attempt: int) -> None:
        body, content_type = _form(delivery)
        headers = {}
        if attempt > 1:
            headers["X-Slack-Retry-Num"] = str(attempt - 1)
            headers["X-Slack-Retry-Reason"] = delivery.retry_reason
        envelope_id = delivery.envelope_id
        try:
            status, content, no_retry = await self.post(body, content_type, headers)
        except aiohttp.TooManyRedirects:
            self._fail(delivery, attempt, "too_many_redirects")
        except (aiohttp.ClientError, TimeoutError):
            self._fail(delivery, attempt, "connection_failed")
        else:
            delivery.http_status = status
            if 200 <= status < 300:
                self._courier.acked(envelope_id, _answer(content))
            else:
                self._fail(delivery, attempt, "http_error", retry=not no_retry)

    def _fail(self, delivery: Delivery, attempt: int, reason: str, *, retry: bool = True) -> None:
        # An attempt that timed out may fail once more while its successor is under way.
        if delivery.attempts == attempt:
            self._courier.failed(delivery, reason, retry=retry)


def _form(delivery: Delivery) -> tuple[bytes, str]:
    if delivery.kind == "events_api":
        return _encode(delivery.payload), "application/json"
    if delivery.kind == "slash_commands":
        fields = delivery.payload
    else:
        fields = {"payload": _encode(delivery.payload).decode()}
    return urlencode(fields).encode(), "application/x-www-form-urlencoded"


def _answer(content: bytes) -> Any:
    if not content:
        return None
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {"text": content.decode(errors="replace")}
