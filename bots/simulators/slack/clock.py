"""Instants and Slack timestamps."""

from __future__ import annotations

import time
from typing import NamedTuple


class Instant(NamedTuple):
    """One moment on both clocks, in seconds: `monotonic` compares across local processes."""

    monotonic: float
    time: float


def now() -> Instant:
    """Read both clocks."""
    return Instant(time.monotonic(), time.time())


class TimestampSource:
    """Makes message timestamps ("1700000000.000100"), each later than the one before."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        """Return a timestamp no other message of this workspace has."""
        micros = time.time_ns() // 1000
        if micros <= self._last:
            micros = self._last + 1
        self._last = micros
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
