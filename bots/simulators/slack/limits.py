"""Rate limits of the Web API: a token bucket per method, or per channel for posting.

https://docs.slack.dev/apis/web-api/rate-limits gives the tiers; the bucket form is ours.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from bots.simulators.slack.options import SlackOptions

TIER_PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100, 5: 600}
# A call already on the wire when the first 429 is written has ignored nothing.
_IN_FLIGHT = 0.1  # seconds


@dataclass(slots=True)
class _Bucket:
    capacity: float
    per_second: float
    tokens: float
    filled_at: float
    limited_since: float = -math.inf
    limited_until: float = -math.inf


class RateLimits:
    """Decides per call; `refused` counts 429 answers, `ignored` calls made in spite of one."""

    def __init__(self, options: SlackOptions) -> None:
        self._options = options
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.refused: dict[str, int] = {}
        self.ignored: dict[str, int] = {}

    def check(self, method: str, tier: int, channel: str) -> int | None:
        """Take a token; return the Retry-After seconds when there is none."""
        limit = self._limit(method, tier)
        if limit is None:
            return None
        capacity, per_second, per_channel = limit
        moment = time.monotonic()
        key = (method, channel if per_channel else "")
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(capacity, per_second, capacity, moment)
        if moment < bucket.limited_until:
            if moment > bucket.limited_since + _IN_FLIGHT:
                self.ignored[method] = self.ignored.get(method, 0) + 1
            return self._refuse(method, bucket.limited_until - moment)
        gained = (moment - bucket.filled_at) * bucket.per_second
        bucket.tokens = min(bucket.capacity, bucket.tokens + gained)
        bucket.filled_at = moment
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return None
        wait = max(1, math.ceil((1 - bucket.tokens) / bucket.per_second))
        bucket.limited_since, bucket.limited_until = moment, moment + wait
        return self._refuse(method, wait)

    def _limit(self, method: str, tier: int) -> tuple[float, float, bool] | None:
        history = method in {"conversations.history", "conversations.replies"}
        if self._options.restricted_history and history:
            return 1, 1 / 60, False
        if not self._options.rate_limits:
            return None
        if method == "chat.postMessage":
            return self._options.post_burst, self._options.posts_per_second, True
        per_minute = TIER_PER_MINUTE[tier]
        return per_minute, per_minute / 60, False

    def _refuse(self, method: str, wait: float) -> int:
        self.refused[method] = self.refused.get(method, 0) + 1
        return math.ceil(wait)
