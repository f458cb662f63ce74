"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bots import cli_calls, cli_db, cli_keys, cli_moderation
from bots.terminal import WRONG_CONFIGURATION, ConfigFile, execute, fail, load

if TYPE_CHECKING:
    from bots.findings import Probe

app = typer.Typer(
    name="talkwarden",
    help="A durable, moderated assistant for Slack and Discord on any OpenAI-compatible endpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(short_help="Answer on every platform whose tokens are set.")
def run(config: ConfigFile = None) -> None:
    """Answer on every platform whose tokens are set, until SIGTERM or Ctrl-C."""
    from bots.app import serve  # noqa: PLC0415
    from core.config import credentials, missing_platforms  # noqa: PLC0415
    from core.telemetry import configure  # noqa: PLC0415

    settings = load(config)
    if missing := missing_platforms(settings):
        fail("\n".join(missing), WRONG_CONFIGURATION)
    configure(settings.log, secrets=credentials(settings))
    execute(serve(settings))


@app.command(short_help="Try it on a simulated Slack and Discord.")
def demo(config: ConfigFile = None) -> None:
    """Talk to it on a simulated Slack and Discord: no account, no key."""
    from bots.demo import demo as play  # noqa: PLC0415

    execute(play(load(config, warn=False)))


@app.command("check", short_help="Say what is wrong with the settings, and what to do.")
def check_command(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List every setting, defaults too.")
    ] = False,
) -> None:
    """Say what is wrong with tokens, scopes, intents, database, endpoint, and what to do."""
    import functools  # noqa: PLC0415

    from bots.check import check  # noqa: PLC0415

    settings = load(config, warn=False)
    probes: dict[str, Probe] = {}
    if settings.slack.is_enabled:
        from bots.slack.check import probe as probe_slack  # noqa: PLC0415

        probes["slack"] = functools.partial(probe_slack, settings.slack)
    if settings.discord.is_enabled:
        from bots.discord.check import probe as probe_discord  # noqa: PLC0415

        probes["discord"] = functools.partial(probe_discord, settings.discord)

    async def report() -> int:
        found = await check(settings, probes)
        typer.echo(found.json() if as_json else found.text(is_verbose=verbose))
        return found.exit_code

    execute(report())


manifests = typer.Typer(help="What to give to Slack and Discord.", no_args_is_help=True)
app.add_typer(manifests, name="manifest")


class Mode(StrEnum):
    """Slack's transports."""

    SOCKET = "socket"
    HTTP = "http"


@manifests.command("slack")
def manifest_slack(
    mode: Annotated[Mode, typer.Option(help="How Slack reaches talkwarden.")] = Mode.SOCKET,
    url: Annotated[str, typer.Option(help="The public https:// address, for http.")] = "",
) -> None:
    """Print the manifest to create the Slack app from."""
    from bots.slack.manifest import manifest  # noqa: PLC0415

    if url and mode is Mode.SOCKET:
        fail("--url belongs to --mode http: Socket Mode needs no address", WRONG_CONFIGURATION)
    try:
        typer.echo(manifest(mode.value, url), nl=False)
    except ValueError as exc:
        fail(f"--url: {exc}", WRONG_CONFIGURATION)


@manifests.command("discord")
def manifest_discord(
    application: Annotated[
        str, typer.Argument(help="The application id; else it is asked with DISCORD_TOKEN.")
    ] = "",
    config: ConfigFile = None,
) -> None:
    """Print the steps in Discord's portal, and the invite link."""
    from bots.discord.check import application_of  # noqa: PLC0415
    from bots.discord.invite import steps  # noqa: PLC0415
    from bots.findings import Unreachable  # noqa: PLC0415

    if application and not (application.isascii() and application.isdecimal()):
        fail("an application id is a number, as on the page General Information", 2)
    if application:
        typer.echo(steps(application))
        return
    settings = load(config, warn=False)
    if settings.discord.token is None:
        fail("give the application id, or set DISCORD_TOKEN", WRONG_CONFIGURATION)
    try:
        typer.echo(steps(asyncio.run(application_of(settings.discord))))
    except Unreachable as exc:
        fail(f"{exc}; or give the application id as an argument", 1)


app.add_typer(cli_db.app, name="db")
app.add_typer(cli_keys.app, name="key")
app.add_typer(cli_moderation.app, name="moderation", short_help="What the rules find and why.")
app.add_typer(cli_calls.app)


@app.command()
def version() -> None:
    """Print the version."""
    from core import __version__  # noqa: PLC0415

    typer.echo(__version__)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
