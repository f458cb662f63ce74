"""Writes many paced streams with one timer, which is what lets one core feed hundreds of them.

A task and a timer per stream would cost more than the bytes: 500 streams of 100 chunks a second
are 50,000 wake-ups a second. Here one tick looks at all of them and writes what is due.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

TICK = 0.004
"""Seconds between two looks."""

_HIGH_WATER = 1 << 20
"""Bytes in a connection's buffer from which its stream waits for the reader."""


@dataclass(slots=True)
class Paced:
    """Frames (chunked encoding included) that are due at `began + interval * (n + 1)`."""

    transport: asyncio.Transport
    frames: list[bytes]
    interval: float
    began: float
    done: asyncio.Future[None]
    sent: int = field(default=0)

    def write_due(self, now: float) -> bool:
        """Write what is due; True when nothing is left or nobody reads any more."""
        if self.transport.is_closing():
            return True
        due = len(self.frames)
        if self.interval > 0:
            due = min(due, int((now - self.began) / self.interval + 1e-6))
        if due > self.sent and self.transport.get_write_buffer_size() < _HIGH_WATER:
            self.transport.write(b"".join(self.frames[self.sent : due]))
            self.sent = due
        return self.sent >= len(self.frames)


class Pacer:
    """Runs its timer only while there is something to write."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: list[Paced] = []
        self._timer: asyncio.TimerHandle | None = None

    async def write(
        self, transport: asyncio.Transport, frames: list[bytes], interval: float
    ) -> None:
        """Return when all frames are written or the reader has gone."""
        paced = Paced(transport, frames, interval, self._loop.time(), self._loop.create_future())
        if paced.write_due(self._loop.time()):
            return
        self._streams.append(paced)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._tick)
        await paced.done

    def close(self) -> None:
        """Give all streams up."""
        if self._timer is not None:
            self._timer.cancel()
        for paced in self._streams:
            if not paced.done.done():
                paced.done.set_result(None)

    def _tick(self) -> None:
        now = self._loop.time()
        kept = []
        for paced in self._streams:
            if paced.done.done():
                continue
            if paced.write_due(now):
                paced.done.set_result(None)
            else:
                kept.append(paced)
        self._streams = kept
        self._timer = self._loop.call_later(TICK, self._tick) if kept else None


def framed(event: bytes) -> bytes:
    """One event as one chunk of HTTP's chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(event), event)
