"""`talkwarden key`, beside a talkwarden that runs and without one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scenario.rest_side import api_under_test

from bots.cli_keys import handlers
from bots.control import ask, path_of, served
from core.storage.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]


def key(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this folder, whose database is api.db."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "bots.cli", "key", *arguments],
        capture_output=True, text=True, timeout=60, cwd=folder, check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{folder}/api.db"},
    )  # fmt: skip


async def test_from_the_first_key_to_its_end(tmp_path: Path) -> None:
    """Made without a running talkwarden, used, listed without its secret, revoked beside one."""
    made = key(tmp_path, "create", "laptop", "--scope", "chat", "--limit", "requests_per_day=9")
    token = made.stdout.strip()
    assert made.returncode == 0
    assert token.startswith("tw_")
    url = f"sqlite:///{tmp_path}/api.db"
    async with (
        api_under_test(tmp_path / "api.db", key=token) as api,
        served(url, handlers(api.store)),
    ):
        answer = await api.get("/v1/models")
        assert answer.headers.get("x-ratelimit-limit-requests", "9") == "9"
        (listed,) = await ask(url, "key.list")
        assert token not in json.dumps(listed)
        assert await ask(url, "key.revoke", id=listed["id"]) == "revoked"
        again = await api.get("/v1/models")

    assert (answer.status, again.status) == (200, 401)
    assert again.error["code"] == "revoked_api_key"
    shown = json.loads(key(tmp_path, "list", "--json").stdout)["keys"]
    assert [each["state"] for each in shown] == ["revoked"]
    assert token not in json.dumps(shown)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "x", "--scope", "write"], "no such scope"),
        (["create", "x", "--scope", "chat", "--expires", "soon"], "expires: 'soon' is no time"),
        (["create", "x", "--scope", "chat", "--expires", "2020-01-01"], "has passed"),
        (["create", "x", "--scope", "chat", "--limit", "speed=3"], "NAME=NUMBER"),
        (["create", " ", "--scope", "chat"], "1 to 100 characters"),
        (["create", "x"], "scope"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], says: str) -> None:
    """A sentence that says what is wrong, exit 2, and no key."""
    done = key(tmp_path, *arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unknown_key(tmp_path: Path) -> None:
    """Exit 1 and where to look."""
    done = key(tmp_path, "revoke", "nothing")

    assert done.returncode == 1
    assert "talkwarden key list" in done.stderr


async def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else may speak to it, and it goes with the process."""
    url = f"sqlite:///{tmp_path}/a.db"
    path = path_of(url)
    assert path is not None

    async def echo(given: Any) -> Any:
        return given

    async with served(url, {"echo": echo}):
        assert path.stat().st_mode & 0o777 == 0o600
        assert await ask(url, "echo", said="x") == {"said": "x"}
        with pytest.raises(Exception, match="another version"):
            await ask(url, "other")
    assert not path.exists()


async def test_a_stop_while_it_waits_for_the_database(tmp_path: Path) -> None:
    """A second talkwarden on the same file ends when it is told to, and never took part."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {"TALKWARDEN_REST__ENABLED": "true", "TALKWARDEN_REST__PORT": "0"}
    async with SqliteStore(tmp_path / "api.db"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bots.cli", "run",
            stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
            env={**kept, **settings, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-none",
                 "DATABASE_URL": f"sqlite:///{tmp_path}/api.db"},
        )  # fmt: skip
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while b"waiting for it to stop" not in await process.stderr.readline():
                pass
            process.terminate()
            assert await process.wait() == 0
