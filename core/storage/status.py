"""A look at the database from outside: it locks nothing, migrates nothing, and writes nothing.

A talkwarden that runs on the same database does not notice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from core.storage import sqlite
from core.storage.store import Row, migrations, query, statements

CHANGES = 1_000
"""Settings changed in chat that are read at most."""


@dataclass(frozen=True, slots=True)
class Status:
    """What was found; version 0 is an empty database, `changes` the settings made in chat."""

    version: int
    known: int
    changes: tuple[Row, ...] = ()


COUNTS: Final = {
    "conversations": "SELECT count(*) FROM conversations",
    "messages": "SELECT count(*) FROM current_messages WHERE is_deleted = 0",
    "waiting": "SELECT count(*) FROM inbox WHERE state = 'queued'",
    "open turns": "SELECT count(*) FROM turns WHERE state <> 'done'",
    "oldest waiting": "SELECT coalesce(min(received_at), 0) FROM inbox WHERE state <> 'done'",
}
"""What an operator asks of a database; the last one is a time, 0 for none."""


def count_in_sqlite(path: Path) -> dict[str, float]:
    """COUNTS of a database file at this version. Raises StoreError."""
    with _opened(path) as connection:
        return {name: connection.execute(text).fetchone()[0] for name, text in COUNTS.items()}


async def count_in_postgres(url: str) -> dict[str, float]:
    """COUNTS of a PostgreSQL database at this version. Raises StoreError."""
    import psycopg  # noqa: PLC0415  # an extra

    from core.storage.postgres import translated  # noqa: PLC0415

    found = {}
    with translated():
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
            await connection.set_read_only(True)
            for name, text in COUNTS.items():
                cursor = await connection.execute(text.encode())
                (found[name],) = await cursor.fetchone() or (0,)
    return found


def newest() -> int:
    """The version that this talkwarden writes."""
    return migrations(sqlite.DIALECT)[-1][0]


def look_at_sqlite(path: Path) -> Status:
    """Read a database file that exists. Raises StoreError."""
    with _opened(path) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= newest():
            return Status(version, newest())
        step = query("settings.all", most=CHANGES)
        rows = connection.execute(statements()[step.name], step.params).fetchall()
        return Status(version, newest(), tuple(map(dict, rows)))


async def look_at_postgres(url: str, timeout: float = 10.0) -> Status:  # noqa: ASYNC109
    """Read a PostgreSQL database; `timeout` in seconds is for connecting. Raises StoreError."""
    import psycopg  # noqa: PLC0415  # an extra
    from psycopg.rows import dict_row  # noqa: PLC0415

    from core.storage.postgres import translated  # noqa: PLC0415

    with translated():
        connection = await psycopg.AsyncConnection.connect(
            url, row_factory=dict_row, connect_timeout=max(2, int(timeout))
        )
        async with connection:
            await connection.set_read_only(True)
            cursor = await connection.execute("SELECT to_regclass('schema_version') AS found")
            if (await cursor.fetchone() or {"found": None})["found"] is None:
                return Status(0, newest())
            cursor = await connection.execute(
                "SELECT coalesce(max(version), 0) AS version FROM schema_version"
            )
            version = int((await cursor.fetchone() or {"version": 0})["version"])
            if not 0 < version <= newest():
                return Status(version, newest())
            cursor = await connection.execute(
                "SELECT scope, name, value, set_by FROM settings ORDER BY scope, name LIMIT %s",
                (CHANGES,),
            )
            return Status(version, newest(), tuple(await cursor.fetchall()))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, for reading alone. Raises StoreError."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    with sqlite.translated(), closing(sqlite3.connect(address, uri=True, timeout=1.0)) as found:
        yield found
