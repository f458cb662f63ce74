"""What every command does: read the configuration, run to the end, say what failed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from core.errors import ConfigError, TalkwardenError

if TYPE_CHECKING:
    from core.config import Config

WRONG_CONFIGURATION = 2

T = TypeVar("T")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file (default: ./talkwarden.toml)."),
]


def load(path: Path | None, *, warn: bool = True) -> Config:
    """The configuration; exits with 2, naming everything that is wrong with it."""
    from core.config import from_environment  # noqa: PLC0415

    settings = guarded(lambda: from_environment(path))
    for warning in settings.warnings if warn else ():
        typer.echo(f"talkwarden: {warning}", err=True)
    return settings


def execute(main: Coroutine[Any, Any, int]) -> None:
    """Run to the end and exit with its code; what goes wrong is one sentence."""
    try:
        code = guarded(lambda: _loop_runner()(main))
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def guarded(work: Callable[[], T]) -> T:
    """What it returns; what is wrong with input or configuration is told, with exit code 2."""
    try:
        return work()
    except ConfigError as exc:
        fail(str(exc), WRONG_CONFIGURATION)
    except TalkwardenError as exc:
        fail(str(exc), 1)


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error, and exit."""
    typer.echo(f"talkwarden: {message}", err=True)
    sys.exit(code)


def _loop_runner() -> Any:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run
    return uvloop.run
