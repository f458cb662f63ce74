"""Configurations that a test writes, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ConfigErrors, load

BOT = "xoxb-1111-bot-token-aaaa"
APP = "xapp-1-app-token-bbbb"
SLACK = {"SLACK_BOT_TOKEN": BOT, "SLACK_APP_TOKEN": APP}


def write(text: str, name: str = "talkwarden.toml") -> Path:
    """Write a file into the test's own folder."""
    path = Path(name).absolute()
    path.write_text(text, "utf-8")
    return path


def rejected(path: Path | None = None, **environ: str) -> dict[str, str]:
    """What is said about each key when this configuration is refused."""
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ)
    return {problem.key: problem.message for problem in caught.value.problems}
