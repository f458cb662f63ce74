"""The command line as a process of its own: what it prints and with which code it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SLACK = {"SLACK_BOT_TOKEN": "xoxb-1-abcdef", "SLACK_APP_TOKEN": "xapp-1-abcdef"}


def talkwarden(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it in `folder` with nothing of this process's environment but the path."""
    return subprocess.run(
        [sys.executable, "-m", "bots.cli", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_run_with_nothing_enabled(tmp_path: Path) -> None:
    """`run` without a token names the variables, exits 2, and makes no database."""
    done = talkwarden(tmp_path, "run")

    assert done.returncode == 2
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "DISCORD_TOKEN", "talkwarden demo"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_wrong_configuration(tmp_path: Path, command: str) -> None:
    """All errors come at once, with key and source and without the secret; exit 2."""
    (tmp_path / "talkwarden.toml").write_text(
        '[model]\nnmae = "x"\ntemperature = 9\n[slack]\nbot_token = "xoxb-secret-secret"\n'
    )
    done = talkwarden(tmp_path, command, TALKWARDEN_LOG__LEVEL="loud")

    assert done.returncode == 2
    for part in ("model.nmae", "model.temperature", "slack.bot_token", "TALKWARDEN_LOG__LEVEL"):
        assert part in done.stderr
    assert "secret-secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_configuration_file_that_is_not_there(tmp_path: Path) -> None:
    """--config names a file that must exist."""
    done = talkwarden(tmp_path, "run", "--config", "absent.toml")

    assert done.returncode == 2
    assert "absent.toml" in done.stderr


def test_database_that_can_not_be_opened(tmp_path: Path) -> None:
    """A database error is one sentence and exit 1."""
    (tmp_path / "file").write_text("no folder")
    done = talkwarden(tmp_path, "run", DATABASE_URL=f"sqlite:///{tmp_path}/file/a.db", **SLACK)

    assert done.returncode == 1
    assert "The database can't be opened" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    """One sentence with the address and the keys to set; exit 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = talkwarden(
            tmp_path, "run", TALKWARDEN_REST__ENABLED="1", TALKWARDEN_REST__PORT=port,
            OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        )  # fmt: skip

    assert done.returncode == 2
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "set rest.host or rest.port" in done.stderr


def test_check_exits_with_what_it_found(tmp_path: Path) -> None:
    """Nothing enabled: exit 2 with the whole report on standard output."""
    done = talkwarden(tmp_path, "check", OPENAI_BASE_URL="http://127.0.0.1:1/v1")

    assert done.returncode == 2
    assert "model.base_url" in done.stdout
    assert "FAIL  platforms: Nothing is enabled" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["socket", "http"])
def test_the_shipped_manifests_are_what_is_printed(tmp_path: Path, mode: str) -> None:
    """deploy/ holds the command's own output."""
    done = talkwarden(tmp_path, "manifest", "slack", "--mode", mode)

    assert done.returncode == 0
    assert done.stdout == (DEPLOY / f"slack-manifest-{mode}.yaml").read_text()


def test_manifest_with_an_address(tmp_path: Path) -> None:
    """The public address stands in all three places; one that Slack refuses is refused."""
    http = ("manifest", "slack", "--mode", "http", "--url")
    done = talkwarden(tmp_path, *http, "https://bot.example.org")

    assert done.stdout.count("url: https://bot.example.org/slack/events\n") == 3
    assert "talkwarden.example.com" not in done.stdout
    assert talkwarden(tmp_path, *http, "http://bot.example.org").returncode == 2
    assert talkwarden(tmp_path, "manifest", "slack", "--url", "https://a.org").returncode == 2


def test_manifest_of_discord(tmp_path: Path) -> None:
    """The guide's two invite links, for the given application; without one, what is needed."""
    done = talkwarden(tmp_path, "manifest", "discord", "123456")
    guide = (DEPLOY / "discord.md").read_text()

    links = [word for word in done.stdout.split() if "oauth2/authorize" in word]
    assert len(links) == 2
    assert all(link.replace("123456", "APPLICATION_ID") in guide for link in links)
    assert talkwarden(tmp_path, "manifest", "discord", "my-bot").returncode == 2
    assert "DISCORD_TOKEN" in talkwarden(tmp_path, "manifest", "discord").stderr


@pytest.mark.parametrize("group", ["", "db", "key"])
def test_help_says_in_a_line_what_each_command_does(tmp_path: Path, group: str) -> None:
    """No command's line is cut off on 80 columns."""
    done = talkwarden(tmp_path, *filter(None, [group]), "--help", COLUMNS="80")

    _, heading, commands = done.stdout.partition("Commands:")
    assert heading
    assert "..." not in commands


def test_help_is_quick(tmp_path: Path) -> None:
    """--help loads no SDK, no rich, and is there at once."""
    began = time.monotonic()
    done = talkwarden(tmp_path, "--help")
    took = time.monotonic() - began
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bots.cli", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip

    assert done.returncode == 0
    for command in ("run", "demo", "check", "manifest", "version"):
        assert f"  {command} " in done.stdout
    for package in ("rich", "httpx", "aiohttp", "discord", "slack_bolt", "msgspec"):
        assert f"| {package}\n" not in loaded
    assert took < 2.0  # 0.1 s on an idle machine
