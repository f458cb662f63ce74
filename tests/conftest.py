"""Databases for tests, and the walls around them: a clean environment, no network but loopback."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from glob import glob
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_postgresql import factories

from core.storage import Store
from core.storage.postgres import PostgresStore
from core.storage.sqlite import SqliteStore

OURS = ("TALKWARDEN_", "SLACK_", "DISCORD_", "OPENAI_", "DATABASE_URL")
GIVEN = os.environ.get("TALKWARDEN_TEST_POSTGRES_URL", "")
IS_REQUIRED = os.environ.get("TALKWARDEN_REQUIRE_POSTGRES", "") == "1"
DEFAULT = "postgresql://postgres@127.0.0.1:5432/test"
LOOPBACK = ("127.", "::1", "localhost")


def _pg_ctl() -> str:
    installed = sorted(glob("/usr/lib/postgresql/*/bin/pg_ctl"))
    return shutil.which("pg_ctl") or (installed[-1] if installed else "pg_ctl")


started_postgres = factories.postgresql_proc(executable=_pg_ctl(), port=None)


class NetworkRefused(socket.gaierror):
    """A test reached for a host that is not this one: to the code under test, an unknown one."""


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Refuse every connection and every name that is not loopback's."""
    connect, connect_ex, getaddrinfo = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def refuse(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not str(name).startswith(LOOPBACK):
            raise NetworkRefused(socket.EAI_NONAME, f"a test may not reach {name!r}")

    def guarded(original: Any) -> Any:
        def connecting(self: socket.socket, address: Any) -> Any:
            if self.family != socket.AF_UNIX:
                refuse(address[0])
            return original(self, address)

        return connecting

    def resolving(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(host or None)
        return getaddrinfo(host, *args, **kwargs)

    guards: dict[str, Any] = {"connect": guarded(connect), "connect_ex": guarded(connect_ex)}
    for name, guard in guards.items():
        setattr(socket.socket, name, guard)
    socket.getaddrinfo = resolving
    yield
    for name in guards:
        delattr(socket.socket, name)
    socket.getaddrinfo = getaddrinfo


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the configuration of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A server: the one that is named, the usual one, or one that is started; else a skip."""
    url = GIVEN or DEFAULT
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as exc:
        if GIVEN:
            return _without_postgres(f"PostgreSQL at {GIVEN} does not answer: {exc}")
        return _started_url(request)
    return url


def _started_url(request: pytest.FixtureRequest) -> str:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return _without_postgres("no PostgreSQL answers, and one can't be started as root")
    try:
        server = request.getfixturevalue("started_postgres")
        url = f"postgresql://{server.user}@{server.host}:{server.port}"
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE test")
    except Exception as exc:  # noqa: BLE001  # whatever keeps it from starting is the reason
        return _without_postgres(f"PostgreSQL can't be started: {exc}")
    return f"{url}/test"


def _without_postgres(why: str) -> str:
    if IS_REQUIRED:
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """This run's own schema."""
    schema = f"test_{uuid.uuid4().hex[:12]}"
    yield schema
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty database file, open."""
    async with SqliteStore(tmp_path / "talkwarden.db") as store:
        yield store


@pytest.fixture
async def postgres_store(postgres_url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """This run's schema, emptied, open."""
    async with PostgresStore(postgres_url, schema=postgres_schema, size=6) as store:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (postgres_schema,)
            ).fetchall()
            names = ", ".join(f"{postgres_schema}.{name}" for (name,) in tables)
            kept = f"{postgres_schema}.schema_version"
            names = ", ".join(name for name in names.split(", ") if name != kept)
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY")
        yield store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each database in turn."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found
