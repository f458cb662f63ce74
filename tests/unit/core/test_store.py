"""Reading the SQL that ships with the program."""

from __future__ import annotations

import asyncio
import socket

import pytest

from core.errors import StoreUnavailable
from core.storage import Op, Write, query
from core.storage.store import migrations, statements


def nothing() -> Op[int]:
    """An operation that is never run."""
    yield query("memory.get", key="a")
    return 1


def test_statements_are_named_by_file() -> None:
    """Every statement of queries/*.sql is found under "file.name", without its semicolon."""
    texts = statements()
    assert texts["memory.get"].startswith("SELECT value FROM memory")
    assert {name.partition(".")[0] for name in texts} >= {"inbox", "outbox", "turns", "history"}
    assert not [name for name, text in texts.items() if text.endswith(";") or not text]


def test_migrations_come_in_order_with_the_dialects_words() -> None:
    """Numbers are 1, 2, 3...; a database's words replace those in braces."""
    found = migrations({"serial": "SERIAL", "clustered": ""})
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert "id SERIAL" in found[0][1]
    assert "{" not in found[0][1]


async def test_a_write_has_two_moments() -> None:
    """The result is known at the first; the second brings the same."""
    write = Write(nothing(), asyncio.get_running_loop())
    write.store(1)
    assert await write.stored == 1
    assert not write.durable.done()
    write.settle()
    assert await write.durable == 1


async def test_a_commit_that_fails_fails_the_second_moment_only() -> None:
    """What was stored and not committed says so to whoever waits for durability."""
    write = Write(nothing(), asyncio.get_running_loop())
    write.store(1)
    write.settle(StoreUnavailable())
    assert await write.stored == 1
    with pytest.raises(StoreUnavailable):
        await write.durable


async def test_a_server_that_is_not_there_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the pool only calls a timeout is told as what the connection met."""
    postgres = pytest.importorskip("core.storage.postgres")
    monkeypatch.setattr(postgres, "TIMEOUT", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=rf"{port}.*refused.*see storage\.url") as told:
            async with postgres.PostgresStore(f"postgresql://me:secret@127.0.0.1:{port}/none"):
                pass

    assert "secret" not in str(told.value)
