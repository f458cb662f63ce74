"""Rate limits: buckets per route and major parameter, the global limit, ignored 429s.

https://discord.com/developers/docs/topics/rate-limits
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

from bots.simulators.discord.options import Bucket, DiscordOptions

# A request on its way while the 429 travelled was not sent in spite of it.
GRACE = 0.1
EARLY = 0.02


@dataclass(slots=True)
class _Window:
    limit: Bucket
    began: float = 0.0
    used: int = 0
    refused_at: float = 0.0
    refused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 429: seconds to wait, and whether all routes are meant."""

    retry_after: float
    everything: bool


class RateLimiter:
    """Counts requests; when the limits are off it still sends generous headers, as clients
    without any headers send one request at a time."""

    def __init__(self, options: DiscordOptions) -> None:
        self.enforced = options.rate_limits
        self.ignored = 0
        self.refused = 0
        self._options = options
        self._windows: dict[tuple[str, str], _Window] = {}
        self._global = _Window(Bucket(options.global_limit, 1.0))
        self._hashes: dict[str, str] = {}

    def check(self, name: str, major: str, *, counts_globally: bool) -> Refusal | None:
        """Count a request, or refuse it."""
        if not self.enforced:
            return None
        now = time.monotonic()
        window = self._window(name, major)
        self._note_ignored(window, now)
        if counts_globally:
            self._note_ignored(self._global, now)
            if not _take(self._global, now):
                return self._refuse(self._global, now, everything=True)
        if not _take(window, now):
            return self._refuse(window, now, everything=False)
        return None

    def headers(self, name: str, major: str) -> dict[str, str]:
        """The X-RateLimit headers after the request was counted."""
        if self.enforced:
            window = self._window(name, major)
            limit, left = window.limit.limit, max(0, window.limit.limit - window.used)
            after = max(0.0, window.began + window.limit.seconds - time.monotonic())
        else:
            limit, left, after = 1000, 999, 1.0
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": self._hash(name),
        }

    def _window(self, name: str, major: str) -> _Window:
        window = self._windows.get((name, major))
        if window is None:
            window = self._windows[name, major] = _Window(self._options.bucket(name))
        return window

    def _hash(self, name: str) -> str:
        value = self._hashes.get(name)
        if value is None:
            value = self._hashes[name] = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return value

    def _note_ignored(self, window: _Window, now: float) -> None:
        if window.refused_at + GRACE < now < window.refused_until - EARLY:
            self.ignored += 1

    def _refuse(self, window: _Window, now: float, *, everything: bool) -> Refusal:
        self.refused += 1
        until = window.began + window.limit.seconds
        if until > window.refused_until:
            window.refused_at, window.refused_until = now, until
        return Refusal(math.ceil((until - now) * 1000) / 1000, everything)


def _take(window: _Window, now: float) -> bool:
    if now - window.began >= window.limit.seconds:
        window.began, window.used = now, 0
    if window.used >= window.limit.limit:
        return False
    window.used += 1
    return True
