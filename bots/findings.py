"""What `talkwarden check` finds, and how its probes ask a platform: one request, no repetition."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import aiohttp

Level: TypeAlias = Literal["ok", "warn", "FAIL"]

PATIENCE = 15.0
"""Seconds for one request."""
DRIFT, BROKEN_DRIFT = 30.0, 240.0
"""Seconds of difference that are worth a word, and that break things: Slack's requests are
refused when they are 300 seconds old (https://docs.slack.dev/authentication/verifying-requests)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: how bad, of what, what is so, and what to do about it."""

    level: Level
    area: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4}  {self.area}: {self.what}"
        return f"{line}\n      -> {self.fix}" if self.fix else line


@dataclass(frozen=True, slots=True)
class Reply:
    """A platform's answer; `data` is empty if it was no JSON object or list."""

    status: int
    headers: Mapping[str, str]
    data: Any


class Unreachable(Exception):
    """No answer came; the text says why."""


Probe: TypeAlias = Callable[[aiohttp.ClientSession], Awaitable[list[Finding]]]
"""Looks at one platform; raises Unreachable."""


async def ask(
    session: aiohttp.ClientSession, method: str, url: str, *, authorization: str, **params: str
) -> Reply:
    """Send one request and read the whole answer. Raises Unreachable."""
    try:
        async with session.request(
            method,
            url,
            headers={"Authorization": authorization},
            data=params or None,
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            allow_redirects=False,
        ) as response:
            body = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        raise Unreachable(str(exc) or type(exc).__name__) from exc
    try:
        data = json.loads(body)
    except ValueError:
        data = {}
    return Reply(response.status, response.headers, data if isinstance(data, dict | list) else {})


def clock(area: str, reply: Reply, now: Callable[[], float] = time.time) -> list[Finding]:
    """This machine's clock against the answer's Date header, which counts whole seconds."""
    try:
        theirs = email.utils.parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return []
    ahead = now() - theirs
    if abs(ahead) <= DRIFT:
        return [Finding("ok", area, "this machine's clock agrees with the platform's")]
    word = "ahead of" if ahead > 0 else "behind"
    level: Level = "FAIL" if abs(ahead) > BROKEN_DRIFT else "warn"
    what = f"this machine's clock is {abs(ahead):.0f} s {word} the platform's"
    return [Finding(level, area, what, "switch time synchronisation (NTP) on")]
