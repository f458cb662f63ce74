"""The lock that keeps a second process from the same SQLite file."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from core.errors import StoreUnavailable

POLL = 0.2  # seconds


class FileLock:
    """An advisory lock of the operating system: gone with the process, however it ends."""

    def __init__(self, path: Path, waiting: Callable[[], None]) -> None:
        self._path = path
        self._waiting = waiting
        self._fd: int | None = None

    async def acquire(self) -> None:
        """Wait until no other process holds it. Raises StoreUnavailable if it can't be made."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            why = f"{self._path}: {exc.strerror}; see storage.url (DATABASE_URL)"
            raise StoreUnavailable(f"The database can't be opened: {why}") from exc
        told = False
        try:
            while not _try_lock(fd):
                if not told:
                    self._waiting()
                    told = True
                await asyncio.sleep(POLL)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Let the next process in."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
