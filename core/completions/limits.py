"""Requests and tokens that an endpoint allows in a time: waited for, in turn, until a deadline.

What the configuration says counts in sliding windows, so that no span of a minute ever holds more
than a minute's worth. What the endpoint's headers say (x-ratelimit-*) is what it would refuse
next; without either, asking costs one look into a dictionary. Whoever waits is served in turn of
the conversations, not of the requests: a busy one does not keep the others waiting.
https://platform.openai.com/docs/guides/rate-limits
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.completions.faults import duration
from core.completions.types import Target
from core.errors import ModelError, ModelRateLimited

MOST = 4096
"""Models of which limits are known; the first is forgotten beyond that."""

_SLOTS = 60
"""Pieces of a window: what was used is forgotten one piece at a time."""

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests and tokens in `seconds`; 0: not limited."""

    seconds: float
    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Window:
    """What was used of one allowance within the last `seconds`."""

    limit: int
    seconds: float
    _used: deque[list[float]] = field(default_factory=deque)
    _sum: float = 0.0

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` more fits; more than the limit fits when nothing else is used."""
        self._forget(now)
        missing = self._sum + min(amount, self.limit) - self.limit
        if missing <= 0:
            return 0.0
        for ends, used in self._used:
            missing -= used
            if missing <= 0:
                return max(0.0, ends - now)
        return self.seconds

    def use(self, amount: float, now: float) -> None:
        step = self.seconds / _SLOTS
        ends = (now // step + 1) * step + self.seconds
        if self._used and self._used[-1][0] == ends:
            self._used[-1][1] += amount
        else:
            self._used.append([ends, amount])
        self._sum += amount

    def left(self, now: float) -> int:
        self._forget(now)
        return max(0, int(self.limit - self._sum))

    def _forget(self, now: float) -> None:
        while self._used and self._used[0][0] <= now:
            self._sum -= self._used.popleft()[1]


@dataclass(slots=True)
class _Reported:
    """What the endpoint said is left, which fills up again until `full_at`."""

    limit: float = 0.0
    remaining: float = 0.0
    reported_at: float = 0.0
    full_at: float = 0.0

    def left(self, now: float) -> float:
        if now >= self.full_at:
            return self.limit
        passed = (now - self.reported_at) / (self.full_at - self.reported_at)
        return self.remaining + (self.limit - self.remaining) * max(0.0, passed)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until it fits, as fast as it fills up; nothing before a first report."""
        if not self.limit:
            return 0.0
        wanted = min(amount, self.limit)
        left = self.left(now)
        if left >= wanted:
            return 0.0
        return (self.full_at - now) * (wanted - left) / (self.limit - left)

    def use(self, amount: float) -> None:
        self.remaining -= amount


@dataclass(slots=True)
class _Waiter:
    tokens: int
    admitted: asyncio.Future[None]


class _Gate:
    """The allowances of one target, and who waits for them."""

    def __init__(self, rates: Sequence[Rate], clock: Callable[[], float]) -> None:
        self.clock = clock
        self.requests = [_Window(rate.requests, rate.seconds) for rate in rates if rate.requests]
        self.tokens = [_Window(rate.tokens, rate.seconds) for rate in rates if rate.tokens]
        self.reported_requests = _Reported()
        self.reported_tokens = _Reported()
        self.shut_until = 0.0
        self.under_way = 0
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, tokens: int) -> float:
        """Seconds until a request of so many tokens may leave, if nobody else waits."""
        now = self.clock()
        return max(
            self.shut_until - now,
            self.reported_requests.wait(1, now),
            self.reported_tokens.wait(tokens, now),
            *(window.wait(1, now) for window in self.requests),
            *(window.wait(tokens, now) for window in self.tokens),
            0.0,
        )

    def use(self, tokens: int) -> None:
        now = self.clock()
        self.under_way += 1
        self.reported_requests.use(1)
        self.reported_tokens.use(tokens)
        for window in self.requests:
            window.use(1, now)
        self.spend(tokens)

    def spend(self, tokens: int) -> None:
        """Count tokens; a negative number gives back what an estimate had taken too much."""
        now = self.clock()
        for window in self.tokens:
            window.use(tokens, now)

    async def enter(self, key: str, tokens: int, patience: float) -> None:
        """Return when the request may leave; ModelRateLimited when that takes too long."""
        wait = self.wait(tokens)
        if wait <= 0 and not self._waiting:
            self.use(tokens)
            return
        if wait > patience:
            raise ModelRateLimited("the rate limit is used up", status=429, retry_after=wait)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key, deque()).append(waiter)
        self._look()
        try:
            async with asyncio.timeout(patience):
                await waiter.admitted
        except TimeoutError as exc:
            wait = max(self.wait(tokens), 1.0)
            raise ModelRateLimited(
                "the rate limit is used up by those who came before", status=429, retry_after=wait
            ) from exc
        finally:
            if waiter.admitted.cancelled() or not waiter.admitted.done():
                self._leave(key, waiter)

    def _leave(self, key: str, waiter: _Waiter) -> None:
        """Whoever goes away must not be served, nor keep the next one waiting."""
        queue = self._waiting.get(key)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[key]
        self._look()

    def _look(self) -> None:
        """Admit whoever may leave now, one of each conversation in turn, and come back for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            key, queue = next(iter(self._waiting.items()))
            wait = self.wait(queue[0].tokens)
            if wait > 0:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(wait + 0.001, self._look)
                return
            waiter = queue.popleft()
            if queue:
                self._waiting.move_to_end(key)
            else:
                del self._waiting[key]
            if not waiter.admitted.done():
                self.use(waiter.tokens)
                waiter.admitted.set_result(None)


class Turn:
    """One request that was let in: to be told what came of it, and closed."""

    __slots__ = ("_estimated", "_gate", "_limits", "_target")

    def __init__(self, limits: Limits, target: Target, gate: _Gate | None, estimated: int) -> None:
        self._limits = limits
        self._target = target
        self._gate = gate
        self._estimated = estimated

    def replied(self, headers: Mapping[str, str]) -> None:
        """Learn from a reply's headers what is left."""
        self.close()
        if "x-ratelimit-limit-requests" in headers:  # who limits tokens limits these too
            gate = self._limits.gate(self._target)
            _report(gate.reported_requests, headers, "requests", gate.clock(), gate.under_way)
            _report(gate.reported_tokens, headers, "tokens", gate.clock(), 0)

    def failed(self, error: ModelError) -> None:
        """When the target asks for a pause, everybody takes it."""
        self.close()
        if isinstance(error, ModelRateLimited) and error.retry_after is not None:
            gate = self._limits.gate(self._target)
            gate.shut_until = max(gate.shut_until, gate.clock() + error.retry_after)

    def used(self, tokens: int) -> None:
        """Correct the estimate by what the reply says; the endpoint's own count is its own."""
        if self._limits.is_limited(self._target):
            self._limits.gate(self._target).spend(tokens - self._estimated)

    def close(self) -> None:
        """It is not under way any more; once is enough."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.under_way -= 1


@dataclass(frozen=True, slots=True)
class Left:
    """What remains of a limit: `requests` and `tokens`, None where there is none."""

    requests: int | None
    tokens: int | None


class Limits:
    """The limits of every target; `rates` by the endpoint's name, as configured."""

    def __init__(
        self,
        rates: Mapping[str, Sequence[Rate]] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._rates = rates or {}
        self._clock = clock or _loop_time
        self._gates: dict[Key, _Gate] = {}

    def is_limited(self, target: Target) -> bool:
        """Whether anything is known that could make a request wait."""
        return target.endpoint.name in self._rates or target.key in self._gates

    async def enter(self, target: Target, key: str, tokens: int, patience: float) -> Turn:
        """Wait for a request's turn; `key` is its conversation, `tokens` an estimate.

        Raises ModelRateLimited with the seconds to wait when `patience` seconds do not suffice.
        """
        if not self.is_limited(target):
            return Turn(self, target, None, tokens)
        gate = self.gate(target)
        await gate.enter(key, tokens, patience)
        return Turn(self, target, gate, tokens)

    def left(self, target: Target) -> Left:
        """What remains now, of the tightest limit."""
        gate = self._gates.get(self._place(target))
        if gate is None:
            if target.endpoint.name not in self._rates:
                return Left(None, None)
            gate = self.gate(target)
        now = self._clock()
        return Left(
            _least(gate.requests, gate.reported_requests, now),
            _least(gate.tokens, gate.reported_tokens, now),
        )

    def _place(self, target: Target) -> Key:
        """Configured limits hold for a whole endpoint, reported ones for a model."""
        name = target.endpoint.name
        return (name, "") if name in self._rates else target.key

    def gate(self, target: Target) -> _Gate:
        """The target's allowances, from now on."""
        place = self._place(target)
        found = self._gates.get(place)
        if found is None:
            rates = self._rates.get(target.endpoint.name, ())
            found = _Gate(rates, self._clock)
            if len(self._gates) >= MOST:  # never a configured one: it would forget what was used
                del self._gates[next(key for key in self._gates if key[1])]
            self._gates[place] = found
        return found


def _least(windows: Sequence[_Window], reported: _Reported, now: float) -> int | None:
    found = [window.left(now) for window in windows]
    if reported.limit:
        found.append(max(0, int(reported.left(now))))
    return min(found, default=None)


def _report(
    found: _Reported, headers: Mapping[str, str], kind: str, now: float, under_way: int
) -> None:
    """The headers' numbers; requests that the endpoint may not have counted are taken off."""
    told = reported(headers, kind)
    if told is not None:
        limit, remaining, reset = told
        found.limit, found.remaining = limit, min(limit, remaining) - under_way
        found.reported_at, found.full_at = now, now + reset


def reported(headers: Mapping[str, str], kind: str) -> tuple[float, float, float] | None:
    """Of "requests" or "tokens": the limit, what is left, seconds until all of it is back."""
    names = ("limit", "remaining", "reset")
    most, rest, wait = (headers.get(f"x-ratelimit-{name}-{kind}", "") for name in names)
    limit, reset = duration(most), duration(wait)
    left = 0.0 if rest.startswith("-") else duration(rest)  # proxies count on below nothing
    if not limit or left is None or reset is None:
        return None
    return limit, left, reset


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
