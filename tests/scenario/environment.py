"""What an operator would set up for a world: its variables, its PostgreSQL database."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from bots.simulators.slack import SlackSimulator

POSTGRES = os.environ.get(
    "TALKWARDEN_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Somebody listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def slack_environ(sim: SlackSimulator, port: int) -> dict[str, str]:
    """The variables for a simulated Slack; in HTTP mode the bot listens on `port`."""
    found = {"SLACK_BOT_TOKEN": sim.bot_token, "SLACK_API_URL": sim.api_url}
    if sim.options.mode == "socket":
        return found | {"SLACK_APP_TOKEN": sim.app_token}
    sim.point_at(f"http://127.0.0.1:{port}/slack/events")
    found["TALKWARDEN_SLACK__PORT"] = str(port)
    return found | {"SLACK_SIGNING_SECRET": sim.signing_secret}


def variables(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Configuration keys ("answers.mode") as variables; lists and tables go as JSON."""
    for key, value in settings.items():
        section, *names = key.split(".")
        name = "__".join(["TALKWARDEN_" + section.upper(), *(_upper(each) for each in names)])
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _upper(name: str) -> str:
    """A key as a variable has it; ids and names that people chose stay as they are."""
    return name.upper() if name.islower() and name.isidentifier() else name


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """The URL of a database of its own; skips the test when no server answers."""
    name = f"scenario_{uuid.uuid4().hex[:12]}"
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as exc:
        if os.environ.get("TALKWARDEN_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(f"no PostgreSQL answers: {exc}")
    try:
        server.execute(f"CREATE DATABASE {name}")
        yield POSTGRES.rpartition("/")[0] + "/" + name
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        server.close()


def run_sql(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement beside the bot; no rows while there is no such table yet."""
    if not url.startswith("sqlite:///"):
        with psycopg.connect(url) as server:
            cursor = server.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
    path = url.removeprefix("sqlite:///")
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            return file.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Read no configuration file of whoever runs the tests."""
    with contextlib.chdir(folder):
        yield
