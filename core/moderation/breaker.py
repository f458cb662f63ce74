"""When to leave a failing endpoint alone; pure, the caller brings the time."""

from __future__ import annotations


class Breaker:
    """After so many failures in a row it rests for `rest` seconds; then each try counts again.

    A pause that the endpoint asks for is kept in any case, and is no failure.
    """

    __slots__ = ("_failures", "_limit", "_rest", "reason", "resting_until")

    def __init__(self, limit: int, rest: float) -> None:
        self._limit = limit
        self._rest = rest
        self._failures = 0
        self.resting_until = 0.0
        self.reason = ""

    def succeeded(self) -> None:
        """The endpoint works."""
        self._failures = 0

    def failed(self, reason: str, now: float, retry_after: float | None) -> None:
        """It does not; `retry_after` in seconds if it said when to come back."""
        self.reason = reason
        if retry_after is not None:
            self.resting_until = max(self.resting_until, now + retry_after)
            return
        self._failures += 1
        # one more failure after the rest is enough: the count stays at the limit
        if self._failures >= self._limit:
            self.resting_until = max(self.resting_until, now + self._rest)
