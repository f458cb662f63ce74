"""SQLite's own promises: group commit, one process at a time, and what a full disk leaves."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import aiosqlite
import pytest

from core.errors import SchemaTooNew, StoreUnavailable
from core.storage import Op, Write, query
from core.storage.sqlite import BATCH, SqliteStore, _in_thread
from core.storage.store import migrations


def put(key: str, value: str) -> Op[str]:
    """Keep a value; give the key back."""
    yield query("memory.put", key=key, value=value)
    return key


def get(key: str) -> Op[str | None]:
    """The value kept under this key."""
    rows = yield query("memory.get", key=key)
    return str(rows[0]["value"]) if rows else None


def waiting_for(event: threading.Event) -> Op[None]:
    """Hold the open batch until the event is set."""
    assert event.wait(5)
    yield query("memory.get", key="a")


async def test_what_is_stored_is_not_visible_before_it_is_durable(
    sqlite_store: SqliteStore,
) -> None:
    """A result is known while its batch is open; readers see it only after the commit."""
    held = threading.Event()
    first = sqlite_store.submit(put("a", "1"))
    blocking = sqlite_store.submit(waiting_for(held))
    assert await first.stored == "a"
    assert not first.durable.done()
    assert await sqlite_store.read(get("a")) is None
    held.set()
    await first.durable
    await blocking.durable
    assert await sqlite_store.read(get("a")) == "1"


async def test_what_comes_during_a_commit_shares_the_next(sqlite_store: SqliteStore) -> None:
    """Writes that pile up are committed in batches, not one by one."""
    commits: list[int] = []
    settled = sqlite_store._run_batch

    def counting(connection: sqlite3.Connection) -> None:
        commits.append(1)
        settled(connection)

    sqlite_store._run_batch = counting  # type: ignore[method-assign]
    writes = [sqlite_store.submit(put(f"k{number}", "")) for number in range(BATCH * 2)]
    for write in writes:
        await write.durable
    assert len(commits) <= 4


async def test_commits_reach_the_disk_and_the_log_is_ahead(sqlite_store: SqliteStore) -> None:
    """The writer runs in WAL mode with full synchronisation."""

    def pragmas(connection: sqlite3.Connection) -> tuple[str, int]:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        return mode, level

    assert await _in_thread(sqlite_store._writer, pragmas) == ("wal", 2)


async def test_the_reader_can_not_write(sqlite_store: SqliteStore) -> None:
    """An operation that writes is refused where only reading is meant."""
    with pytest.raises(StoreUnavailable):
        await sqlite_store.read(put("a", "1"))


async def test_closing_commits_what_was_submitted(tmp_path: Path) -> None:
    """Writes that are queued when the store closes are durable; later ones are refused."""
    store = SqliteStore(tmp_path / "t.db")
    async with store:
        writes = [store.submit(put(f"k{number}", "1")) for number in range(700)]
    assert all(write.durable.done() for write in writes)
    for write in writes:
        await write.durable
    with pytest.raises(StoreUnavailable):
        await store.submit(put("late", "1")).durable
    async with SqliteStore(tmp_path / "t.db") as again:
        assert await again.read(get("k699")) == "1"
        assert await again.read(get("late")) is None


async def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    """The second store on a file says once that it waits, and gets in when the first closes."""
    told: list[bool] = []
    path = tmp_path / "t.db"
    async with SqliteStore(path) as first:
        second = SqliteStore(path, waiting=lambda: told.append(True))
        opening = asyncio.create_task(second.__aenter__())
        await first.write(put("a", "1"))
        await asyncio.sleep(0.5)
        assert told == [True]
        assert not opening.done()
    async with asyncio.timeout(2):
        await opening
    assert await second.read(get("a")) == "1"
    await second.__aexit__(None, None, None)


async def test_giving_up_the_wait_leaves_no_lock(tmp_path: Path) -> None:
    """A start that is cancelled while it waits does not keep others out."""
    path = tmp_path / "t.db"
    async with SqliteStore(path):
        opening = asyncio.create_task(SqliteStore(path).__aenter__())
        await asyncio.sleep(0.05)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    async with asyncio.timeout(2), SqliteStore(path) as third:
        await third.write(put("a", "1"))


async def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A file of a newer program is neither changed nor kept locked."""
    path = tmp_path / "t.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {migrations({})[-1][0] + 1}")
    connection.close()
    for _ in range(2):
        with pytest.raises(SchemaTooNew):
            await SqliteStore(path).__aenter__()
    connection = sqlite3.connect(path)
    assert not connection.execute("SELECT * FROM sqlite_schema").fetchall()
    connection.close()


async def test_a_schema_is_made_once(tmp_path: Path) -> None:
    """A new file is migrated to the newest version; a second start finds everything there."""
    path = tmp_path / "folder" / "t.db"
    async with SqliteStore(path) as store:
        await store.write(put("a", "1"))
    async with SqliteStore(path) as store:
        assert await store.read(get("a")) == "1"
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (migrations({})[-1][0],)
    connection.close()


@pytest.mark.parametrize("make", ["folder", "garbage", "below_a_file"])
async def test_a_file_that_can_not_be_opened(tmp_path: Path, make: str) -> None:
    """A path that is no database is StoreUnavailable with the reason, and nothing stays open."""
    path = tmp_path / "t.db"
    if make == "folder":
        path.mkdir()
    elif make == "garbage":
        path.write_bytes(b"this is not a database at all" * 100)
    else:
        path.write_text("a file")
        path /= "t.db"
    with pytest.raises(StoreUnavailable, match="database") as caught:
        await SqliteStore(path).__aenter__()

    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("; see storage.url (DATABASE_URL)")
    assert "Errno" not in str(caught.value)


async def test_a_full_disk_loses_nothing_that_was_durable(sqlite_store: SqliteStore) -> None:
    """Without room a write is refused and retryable; with room again everything works."""

    def limit(connection: sqlite3.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def size(connection: sqlite3.Connection) -> int:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        return int(pages)

    await sqlite_store.write(put("kept", "1"))
    used = await _in_thread(sqlite_store._writer, size)
    await _in_thread(sqlite_store._writer, limit, used + 2)
    large = "x" * 20_000
    writes = [sqlite_store.submit(put(f"k{number}", large)) for number in range(5)]
    for write in writes:
        with pytest.raises(StoreUnavailable) as caught:
            await write.durable
        assert caught.value.retryable
    assert await sqlite_store.read(get("kept")) == "1"
    assert await sqlite_store.read(get("k0")) is None
    await _in_thread(sqlite_store._writer, limit, 1_000_000)
    assert await sqlite_store.write(put("k0", large)) == "k0"
    assert await sqlite_store.read(get("k0")) == large


async def test_a_small_write_beside_one_without_room(sqlite_store: SqliteStore) -> None:
    """Whatever is told to be durable is there after the batch that ran out of room."""

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    await _in_thread(sqlite_store._writer, limit)
    writes = [sqlite_store.submit(put(f"k{n}", "x" * (50_000 if n == 1 else 1))) for n in range(3)]
    outcomes = await asyncio.gather(*(write.durable for write in writes), return_exceptions=True)
    assert isinstance(outcomes[1], StoreUnavailable)
    for number, outcome in enumerate(outcomes):
        found = await sqlite_store.read(get(f"k{number}"))
        assert (found is not None) == (outcome == f"k{number}")


async def test_a_foreign_lock_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    """While a foreign tool holds the file a write fails in time; afterwards all is well."""
    path = tmp_path / "t.db"
    async with SqliteStore(path) as store:

        def impatient(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA busy_timeout = 50")

        await _in_thread(store._writer, impatient)
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        writes = [store.submit(put(f"k{number}", "1")) for number in range(3)]
        for write in writes:
            with pytest.raises(StoreUnavailable):
                await write.durable
        foreign.execute("ROLLBACK")
        foreign.close()
        assert await store.write(put("a", "1")) == "a"


async def test_a_writer_that_breaks_fails_what_waits_and_goes_on(
    sqlite_store: SqliteStore,
) -> None:
    """An error that nobody foresaw fails the writes that it concerns; the next one works."""
    run_batch = sqlite_store._run_batch

    def breaking(connection: sqlite3.Connection) -> None:
        sqlite_store._run_batch = run_batch  # type: ignore[method-assign]
        raise MemoryError

    sqlite_store._run_batch = breaking  # type: ignore[method-assign]
    writes = [sqlite_store.submit(put(f"k{number}", "")) for number in range(3)]
    async with asyncio.timeout(5):
        for write in writes:
            with pytest.raises(StoreUnavailable):
                await write.durable
        assert await sqlite_store.write(put("a", "1")) == "a"
    assert await sqlite_store.read(get("k0")) is None


async def test_an_error_in_the_middle_of_a_batch_keeps_nothing_of_it(
    sqlite_store: SqliteStore,
) -> None:
    """What ran before the error was never durable, and says so."""

    run_isolated = sqlite_store._run_isolated
    breaking = sqlite_store.submit(put("breaking", "1"))

    def run(connection: sqlite3.Connection, write: Write[object]) -> None:
        run_isolated(connection, write)
        if write is breaking:
            raise RuntimeError("a bug")

    sqlite_store._run_isolated = run  # type: ignore[method-assign]
    before, write = breaking, sqlite_store.submit(put("after", "1"))
    async with asyncio.timeout(5):
        for each in (before, write):
            with pytest.raises(StoreUnavailable):
                await each.durable
        assert await sqlite_store.write(put("a", "1")) == "a"
    assert await sqlite_store.read(get("breaking")) is None


async def test_a_connection_that_was_lost_is_opened_again(sqlite_store: SqliteStore) -> None:
    """A writer whose thread has ended is replaced, also if that takes several attempts."""
    connect, attempts = sqlite_store._connect, 0

    async def failing() -> aiosqlite.Connection:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise sqlite3.OperationalError("unable to open database file")
        return await connect()

    sqlite_store._connect = failing  # type: ignore[method-assign]
    await sqlite_store._writer.close()
    async with asyncio.timeout(10):
        for number in range(2):
            with pytest.raises(StoreUnavailable):
                await sqlite_store.write(put(f"lost{number}", ""))
        assert await sqlite_store.write(put("a", "1")) == "a"


async def test_a_writer_that_is_cancelled_leaves_nobody_waiting(tmp_path: Path) -> None:
    """When the whole program is torn down, writes fail instead of hanging."""
    store = await SqliteStore(tmp_path / "t.db").__aenter__()
    await store.write(put("a", "1"))
    store._task.cancel()
    write = store.submit(put("b", "1"))
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(write.durable, 5)
    with pytest.raises(asyncio.CancelledError):
        await store.__aexit__()


async def test_the_thread_that_aiosqlite_lends() -> None:
    """`_execute` runs a function in the connection's thread and brings back what it returns.

    It is aiosqlite's private method: this test fails first when a release changes it.
    """
    connection = await aiosqlite.connect(":memory:")
    try:
        here = threading.get_ident()
        there = await connection._execute(threading.get_ident)
        assert there != here
        with pytest.raises(KeyError):
            await connection._execute({}.__getitem__, "a")
        assert isinstance(connection._conn, sqlite3.Connection)
    finally:
        await connection.close()
