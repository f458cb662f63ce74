"""What somebody types, a line at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import threading
from typing import Any, Self


class Lines:
    """Standard input; on a terminal lines can be edited, and its settings are put back after."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty()
        self._is_edited = self.is_terminal and sys.stdout.isatty()
        self._asked: asyncio.Future[str | None] | None = None
        self._is_ended = False
        self._settings: list[Any] | None = None

    def __enter__(self) -> Self:
        if self.is_terminal:
            self._settings = termios.tcgetattr(sys.stdin)
            # a terminal's own line editing drops what comes after 4,095 characters
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401, PLC0415
        return self

    def __exit__(self, *_: object) -> None:
        if self._settings is not None:
            # a line that is still being edited holds the terminal without echo and signals
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._settings)

    async def next(self, prompt: str) -> str | None:
        """The next line without its end, None when there are no more."""
        if self._is_ended:
            return None
        if self.is_terminal and not self._is_edited:
            sys.stdout.write(prompt)
            sys.stdout.flush()
            return await self.meanwhile()
        if self._asked is None:
            self._asked = self._read(prompt if self.is_terminal else "")
        else:
            sys.stdout.write(prompt)
            sys.stdout.flush()
        # a read can't be given up: one that nobody waits for any more serves who asks next
        line = await asyncio.shield(self._asked)
        self._asked = None
        return line

    async def meanwhile(self) -> str | None:
        """A line that is typed on the terminal while `next` is not asked for one."""
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(sys.stdin)
        line = os.read(sys.stdin.fileno(), 4096)
        self._is_ended = not line
        return line.decode(errors="replace").rstrip("\n") if line else None

    def end(self) -> None:
        """No more lines, whatever is typed."""
        self._is_ended = True
        if self._asked is not None:
            _settle(self._asked, None)

    def _read(self, prompt: str) -> asyncio.Future[str | None]:
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str | None] = loop.create_future()

        def read() -> None:
            try:
                found: str | None = input(prompt)
            except (EOFError, KeyboardInterrupt):
                found = None
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, line, found)

        # a daemon thread: a pending read must not keep the process alive
        threading.Thread(target=read, daemon=True).start()
        return line


def _settle(line: asyncio.Future[str | None], found: str | None) -> None:
    if not line.done():
        line.set_result(found)
