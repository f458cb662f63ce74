"""`talkwarden demo` as somebody uses it who has just cloned the project."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "bots.cli", "demo"]
ROOT = Path(__file__).parents[2]
PROMPT = b" #general> "
LONG = b"word " * 1200 + b"the end\n"


def demo(folder: Path, *lines: str) -> str:
    """The transcript of these lines, given through a pipe."""
    done = subprocess.run(
        DEMO,
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=_environment(),
        check=True,
    )
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm"}


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@pytest.mark.parametrize("platform", ["slack", "discord"])
def test_a_command_first_then_a_question(tmp_path: Path, platform: str) -> None:
    """Who begins with `help` goes on asking in the same conversation, on both platforms."""
    said = demo(tmp_path, f"/{platform}", "help", "what is up?")

    assert "`reset`" in said
    assert "alice: what is up?" in said.lower()
    assert "no answer came" not in said


def test_a_long_line_on_a_terminal(tmp_path: Path) -> None:
    """A pasted line that is longer than a terminal's own line buffer is asked whole."""
    with played(tmp_path) as (ours, process):
        os.write(ours, LONG)
        seen = _read_until(ours, b"the last one from a user says", b"no answer came")
        assert b"no answer came" not in seen
        os.write(ours, b"/quit\n")
        assert process.wait(30) == 0


@contextmanager
def played(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The demo on a terminal that we hold the other end of, once it asks for a line."""
    with terminal() as (ours, theirs):
        process = subprocess.Popen(
            DEMO, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
            cwd=folder, env=_environment(),
        )  # fmt: skip
        try:
            _read_until(ours, PROMPT)
            yield ours, process
        finally:
            process.kill()
            process.wait()
            os.close(theirs)


@pytest.mark.parametrize("platform", ["slack", "discord"])
def test_an_answer_is_stopped(tmp_path: Path, platform: str) -> None:
    """`stop` that is typed during an answer ends it, and so does Ctrl-C; the demo goes on."""
    with played(tmp_path) as (ours, process):
        os.write(ours, f"/{platform}\n".encode())
        _read_until(ours, PROMPT)
        os.write(ours, LONG)
        _read_until(ours, b"> alice: word")
        os.write(ours, b"stop\n")
        assert b"Stopped." in _read_until(ours, PROMPT)
        os.write(ours, LONG)
        _read_until(ours, b"> alice: word")
        process.send_signal(signal.SIGINT)
        assert b"Stopped." in _read_until(ours, PROMPT)
        os.write(ours, b"/quit\n")
        assert process.wait(30) == 0


@pytest.mark.parametrize("typed", [b"", b"half a line"])
def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path, typed: bytes) -> None:
    """At the prompt it ends the demo, and the shell's terminal still echoes."""
    with played(tmp_path) as (ours, process):
        os.write(ours, typed)
        time.sleep(0.2)
        assert not termios.tcgetattr(ours)[3] & termios.ECHO
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert termios.tcgetattr(ours)[3] & termios.ECHO


def test_leaving_does_not_wait_for_the_answer(tmp_path: Path) -> None:
    """/quit during a long answer leaves at once."""
    with played(tmp_path) as (ours, process):
        os.write(ours, LONG)
        _read_until(ours, b"> alice: word")
        os.write(ours, b"/quit\n")
        assert process.wait(5) == 0


def _read_until(terminal: int, *ends: bytes) -> bytes:
    seen = b""
    while not any(end.lower() in seen.lower() for end in ends):
        seen += os.read(terminal, 65536)
    return seen
