"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import ConfigError, TalkwardenError

if TYPE_CHECKING:
    from core.config import Config

WRONG_CONFIGURATION = 2

app = typer.Typer(
    name="talkwarden",
    help="A durable, moderated assistant for Slack and Discord on any OpenAI-compatible endpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file (default: ./talkwarden.toml)."),
]


@app.command()
def run(config: ConfigFile = None) -> None:
    """Answer on every platform whose tokens are set, until SIGTERM or Ctrl-C."""
    from bots.app import serve  # noqa: PLC0415
    from core.config import credentials, missing_platforms  # noqa: PLC0415
    from core.telemetry import configure  # noqa: PLC0415

    settings = _load(config)
    if missing := missing_platforms(settings):
        _fail("\n".join(missing), WRONG_CONFIGURATION)
    configure(settings.log, secrets=credentials(settings))
    _execute(serve(settings))


@app.command()
def demo(config: ConfigFile = None) -> None:
    """Talk to it on a simulated Slack and Discord: no account, no key."""
    from bots.demo import demo as play  # noqa: PLC0415

    _execute(play(_load(config)))


@app.command()
def version() -> None:
    """Print the version."""
    from core import __version__  # noqa: PLC0415

    typer.echo(__version__)


def main() -> None:
    """The console script."""
    app()


def _load(path: Path | None) -> Config:
    from core.config import from_environment  # noqa: PLC0415

    try:
        settings = from_environment(path)
    except ConfigError as exc:
        _fail(str(exc), WRONG_CONFIGURATION)
    for warning in settings.warnings:
        typer.echo(f"talkwarden: {warning}", err=True)
    return settings


def _execute(main: Coroutine[Any, Any, int]) -> None:
    """Run to the end and exit with its code; what goes wrong is one sentence."""
    try:
        code = _loop_runner()(main)
    except ConfigError as exc:
        _fail(str(exc), WRONG_CONFIGURATION)
    except TalkwardenError as exc:
        _fail(str(exc), 1)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def _loop_runner() -> Any:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run
    return uvloop.run


def _fail(message: str, code: int) -> Any:
    typer.echo(f"talkwarden: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
