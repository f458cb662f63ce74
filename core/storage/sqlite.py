"""SQLite: one writer connection with group commit, one reader apart.

A full commit waits for the disk, so everything that is submitted while one is under way shares
the next. A batch runs as one function in the connection's thread, each operation inside a
savepoint, so that one failure takes nothing else with it.

There is never a second writer: https://www.sqlite.org/wal.html#walresetbug corrupts databases
that two connections write at once with SQLite before 3.51.3, and the lock file beside the
database keeps a second process waiting before it connects to any platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import aiosqlite

from core import faults
from core.errors import Conflict, SchemaTooNew, StoreError, StoreUnavailable
from core.storage.lock import FileLock
from core.storage.store import Op, Row, Write, migrations, statements
from core.telemetry import logger

T = TypeVar("T")

DIALECT = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "clustered": "WITHOUT ROWID"}
BUSY_TIMEOUT = 5.0  # seconds; only a foreign tool can hold the lock
BATCH = 256  # operations in one commit
REOPEN = 1.0  # seconds between attempts to open the file again

_log = logger("talkwarden.storage")


class SqliteStore:
    """A database file. `waiting` is called once if another process holds the lock."""

    is_exclusive = True

    def __init__(self, path: Path, *, waiting: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"), waiting)
        self._queue: deque[Write[Any]] = deque()
        self._wake = asyncio.Event()
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Wait for the lock, open both connections, migrate."""
        self._loop = asyncio.get_running_loop()
        await self._lock.acquire()
        try:
            with translated():
                self._writer = await self._connect()
                self._reader = await self._connect()
                await _in_thread(self._writer, migrate)
                await self._reader.execute("PRAGMA query_only = ON")
        except BaseException as exc:
            await self._close()
            if isinstance(exc, StoreUnavailable):
                where = f"{self._path}; see storage.url (DATABASE_URL)"
                raise StoreUnavailable(f"{exc}: {where}") from exc
            raise
        self._task = self._loop.create_task(self._write_batches(), name="sqlite-writer")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Commit what was submitted, then close."""
        self._is_closing = True
        self._wake.set()
        try:
            await self._task
        finally:
            await self._close()

    def submit(self, op: Op[T]) -> Write[T]:
        """Queue a write for the next commit."""
        write = Write(op, self._loop)
        if self._is_closing:
            write.settle(StoreUnavailable("The database is closing."))
            return write
        self._queue.append(write)
        self._wake.set()
        return write

    async def write(self, op: Op[T]) -> T:
        """Submit and wait for the commit."""
        return await asyncio.shield(self.submit(op).durable)

    async def read(self, op: Op[T]) -> T:
        """Read what was committed, without waiting for the writer."""
        with translated():
            return await _in_thread(self._reader, run, op)

    async def now(self) -> float:
        """This machine's clock."""
        return time.time()

    async def signal(self, text: str) -> None:
        """Nobody else is there."""

    async def signals(self) -> AsyncIterator[str]:
        """Nobody else will ever tell anything."""
        yield ""
        await asyncio.Event().wait()

    async def _connect(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(
            self._path, isolation_level=None, timeout=BUSY_TIMEOUT, cached_statements=256
        )
        try:
            await connection
            await _in_thread(connection, _prepare)
        except BaseException:
            await connection.close()
            # A connection that could not be made leaves its thread to report to a closed loop.
            await asyncio.to_thread(connection._thread.join)  # noqa: SLF001
            raise
        return connection

    async def _close(self) -> None:
        # aiosqlite's thread is not a daemon: an unclosed connection would hang the exit.
        for name in ("_reader", "_writer"):
            connection = getattr(self, name, None)
            if connection is not None:
                await connection.close()
        self._lock.release()

    async def _write_batches(self) -> None:
        try:
            while self._queue or not self._is_closing:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                try:
                    await _in_thread(self._writer, self._run_batch)
                except Exception as exc:  # noqa: BLE001  # a supervisor: no write may wait for ever
                    await self._recover(exc)
        finally:
            self._is_closing = True
            self._settle_queue(StoreUnavailable("The database is closing."))

    async def _recover(self, cause: Exception) -> None:
        """The writer itself broke: fail what waits, and go on with a new connection."""
        _log.error("The database's writer broke; it is opened again.", why=repr(cause))
        self._settle_queue(StoreUnavailable(f"The database can't be used: {cause}"))
        with contextlib.suppress(Exception):
            await self._writer.close()
        try:
            with translated():
                self._writer = await self._connect()
        except StoreUnavailable as exc:
            _log.warning("The database can't be opened.", why=str(exc))
            await asyncio.sleep(REOPEN)

    def _settle_queue(self, error: StoreUnavailable) -> None:
        while self._queue:
            self._queue.popleft().settle(error)

    def _run_batch(self, connection: sqlite3.Connection) -> None:
        """Runs in the writer's thread."""
        batch: list[Write[Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            while self._queue and len(batch) < BATCH:
                write = self._queue.popleft()
                batch.append(write)
                self._run_isolated(connection, write)
            faults.reach("commit.before")
            connection.execute("COMMIT")
            faults.reach("commit.after")
        except sqlite3.Error as exc:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if not batch and self._queue:  # the batch could not even begin: its first one fails
                batch.append(self._queue.popleft())
            self._tell(_settle_all, batch, translate(exc))
        except Exception as exc:
            self._tell(_settle_all, batch, StoreUnavailable(f"The database can't be used: {exc}"))
            raise
        else:
            self._tell(_settle_all, batch, None)

    def _run_isolated(self, connection: sqlite3.Connection, write: Write[Any]) -> None:
        connection.execute("SAVEPOINT one")
        try:
            result = run(connection, write.op)
        except Exception as exc:  # whatever it is belongs to the submitter
            if not connection.in_transaction:  # a full disk rolls everything back by itself
                self._tell(write.settle, translate(exc))
                raise sqlite3.OperationalError(str(exc)) from exc
            connection.execute("ROLLBACK TO one")
            self._tell(write.settle, translate(exc))
        else:
            self._tell(write.store, result)
        connection.execute("RELEASE one")

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)


def run(connection: sqlite3.Connection, op: Op[T]) -> T:
    """Drive an operation to its end."""
    texts = statements()
    rows: list[Row] | None = None
    while True:
        try:
            step = next(op) if rows is None else op.send(rows)
        except StopIteration as stop:
            return cast("T", stop.value)
        try:
            rows = connection.execute(texts[step.name], step.params).fetchall()
        except sqlite3.Error as exc:
            op.close()
            raise translate(exc) from exc


def migrate(connection: sqlite3.Connection) -> None:
    """Apply each migration that this file has not seen, one transaction each."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    known = migrations(DIALECT)
    if version > known[-1][0]:
        raise SchemaTooNew
    for number, text in known:
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;"
            )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn sqlite3's exceptions into ours."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as exc:
        raise translate(exc) from exc


def translate(exc: BaseException) -> BaseException:
    """The StoreError for a sqlite3 exception; anything else stays what it is."""
    if isinstance(exc, sqlite3.IntegrityError):
        return Conflict(str(exc))
    if isinstance(exc, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return StoreError(f"The database refused a statement: {exc}")
    if isinstance(exc, sqlite3.Error):
        return StoreUnavailable(f"The database can't be used: {exc}")
    return exc


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # NORMAL may lose the last commits on power loss
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "cache_size = -4000",  # KiB
    ):
        connection.execute(f"PRAGMA {pragma}")


def _settle_all(batch: list[Write[Any]], error: BaseException | None) -> None:
    for write in batch:
        if error is None and not write.has_result:
            continue  # it failed alone
        write.settle(error)


async def _in_thread(
    connection: aiosqlite.Connection, function: Callable[..., T], *args: object
) -> T:
    # One hop for a whole batch; aiosqlite has no public way to run a function in its thread.
    execute: Callable[..., Awaitable[T]] = connection._execute  # noqa: SLF001
    return await execute(function, connection._conn, *args)  # noqa: SLF001
