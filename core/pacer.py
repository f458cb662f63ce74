"""Keeps calls inside a platform's rate limits: token buckets with priorities.

A call names every limit it counts against (`Route`); it may go when all of them have a token.
Waiters go by urgency, then by arrival. Drafts leave a share of each bucket to final texts, so an
answer can be completed however many others are being streamed. No task runs in the background:
one timer is armed while somebody waits.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.adapter import Urgency

_RESERVED = {Urgency.FINAL: 0.0, Urgency.POST: 0.1, Urgency.EDIT: 0.25}
"""The share of a full bucket that a call of this urgency has to leave."""


@dataclass(frozen=True, slots=True)
class Route:
    """One limit: `rate` calls a second in the long run, `burst` of them at once."""

    key: str
    rate: float
    burst: int


class _Bucket:
    __slots__ = ("burst", "held_until", "rate", "tokens", "updated", "waiting")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = float(burst)
        self.updated = now
        self.held_until = 0.0
        self.waiting = 0

    def wait(self, urgency: Urgency, now: float) -> float:
        """Seconds until a call of this urgency may go; 0: now."""
        if now > self.updated:
            refilled = self.tokens + (now - self.updated) * self.rate
            self.tokens = refilled if refilled < self.burst else float(self.burst)
            self.updated = now
        need = 1 + int(_RESERVED[urgency] * self.burst) if urgency else 1
        missing = need - self.tokens
        wait = missing / self.rate if missing > 1e-9 else 0.0
        return max(wait, self.held_until - now)

    def hold(self, until: float) -> None:
        """Let nobody pass before `until`, then one call, then by the rate."""
        if until > self.held_until:
            self.held_until = until
            self.tokens = 1.0
            self.updated = until


@dataclass(slots=True, order=True)
class _Waiter:
    urgency: Urgency
    order: int
    routes: Sequence[Route] = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)
    until: float = field(default=0.0, compare=False)
    """It can't go before this time ..."""
    held: list[str] = field(default_factory=list, compare=False)
    """... because of these routes."""


class Pacer:
    """All limits of one token. Keeps `max_keys` buckets and forgets those unused the longest."""

    def __init__(
        self, *, max_keys: int = 4096, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._waiters: list[_Waiter] = []
        self._arrivals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # of the timer; uvloop's handles can't be asked

    async def acquire(self, routes: Sequence[Route], urgency: Urgency) -> None:
        """Return when all routes let the call pass; they are then charged. Cancellable."""
        if self.try_acquire(routes, urgency):
            return
        waiter = self._enqueue(routes, urgency)
        now = self._clock()
        wait = max(self._buckets[route.key].wait(urgency, now) for route in routes)
        if wait > 0:
            self._set_timer(wait, is_sooner_only=True)
        else:
            self._pump()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def try_acquire(self, routes: Sequence[Route], urgency: Urgency) -> bool:
        """Charge all routes if the call may go at once and would overtake nobody."""
        now = self._clock()
        buckets = [self._bucket(route, now) for route in routes]
        for bucket in buckets:
            if bucket.waiting or bucket.wait(urgency, now) > 0:
                return False
        for bucket in buckets:
            bucket.tokens -= 1
        return True

    def throttle(self, key: str, retry_after: float) -> None:
        """The platform answered 429: nobody passes this route for so many seconds."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._bucket(Route(key, 1.0, 1), now)
        bucket.hold(now + max(retry_after, 0.0))
        self._arm()

    def observe(self, key: str, remaining: int, reset_after: float) -> None:
        """Take over what the platform's headers say is left of a bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return
        now = self._clock()
        if remaining <= 0:
            bucket.hold(now + reset_after)
        else:
            bucket.tokens = min(bucket.tokens, float(remaining))
        self._arm()

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, route: Route, now: float) -> _Bucket:
        bucket = self._buckets.pop(route.key, None)
        if bucket is None:
            bucket = _Bucket(route.rate, route.burst, now)
            if len(self._buckets) >= self._max_keys:
                self._forget_one()
        elif bucket.burst != route.burst or bucket.rate != route.rate:
            bucket.rate, bucket.burst = route.rate, route.burst
        self._buckets[route.key] = bucket
        return bucket

    def _forget_one(self) -> None:
        for key, bucket in self._buckets.items():
            if not bucket.waiting:
                del self._buckets[key]
                return

    def _enqueue(self, routes: Sequence[Route], urgency: Urgency) -> _Waiter:
        self._arrivals += 1
        turn = asyncio.get_running_loop().create_future()
        waiter = _Waiter(urgency, self._arrivals, routes, turn)
        insort(self._waiters, waiter)
        for route in routes:
            self._buckets[route.key].waiting += 1
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        self._waiters.remove(waiter)
        for route in waiter.routes:
            self._buckets[route.key].waiting -= 1

    def _give_up(self, waiter: _Waiter) -> None:
        if waiter.turn.cancelled():
            self._leave(waiter)
        else:  # it was let through in the very moment of its cancellation
            for route in waiter.routes:
                bucket = self._buckets.get(route.key)
                if bucket is not None:
                    bucket.tokens += 1
            for other in self._waiters:
                other.until = 0.0  # what was given back may let it go sooner
        self._pump()

    def _pump(self) -> None:
        """Let through who may go, the most urgent first, and arm the timer for the next one."""
        self._cancel_timer()
        now = self._clock()
        next_wait = math.inf
        blocked: set[str] = set()
        for waiter in list(self._waiters):
            if waiter.turn.done():  # cancelled, and about to leave by itself
                continue
            if waiter.until <= now and not self._is_first(waiter, now, blocked):
                continue
            if waiter.until > now:
                blocked.update(waiter.held)
                next_wait = min(next_wait, waiter.until - now)
                continue
            for route in waiter.routes:
                self._buckets[route.key].tokens -= 1
            self._leave(waiter)
            waiter.turn.set_result(None)
        self._set_timer(next_wait)

    def _is_first(self, waiter: _Waiter, now: float, blocked: set[str]) -> bool:
        """Whether nobody more urgent waits on its routes; notes until when they hold it."""
        for route in waiter.routes:
            if route.key in blocked:
                return False
        waiter.held.clear()
        for route in waiter.routes:
            wait = self._buckets[route.key].wait(waiter.urgency, now)
            if wait > 0:
                waiter.held.append(route.key)
                waiter.until = max(waiter.until, now + wait)
        return True

    def _arm(self) -> None:
        if self._waiters:
            self._pump()

    def _set_timer(self, wait: float, *, is_sooner_only: bool = False) -> None:
        if wait == math.inf:
            self._cancel_timer()
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + wait
        if self._timer is not None:
            if is_sooner_only and self._due <= due:
                return
            self._cancel_timer()
        self._timer, self._due = loop.call_at(due, self._pump), due

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
