"""`talkwarden moderation`: look into the rules, try them out, exchange them with Discord."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bots.terminal import WRONG_CONFIGURATION, ConfigFile, execute, fail, guarded, load
from core.errors import ConfigError

if TYPE_CHECKING:
    from core.config import Config

app = typer.Typer(
    help="What the rules find and why; rules from and for Discord's AutoMod.",
    no_args_is_help=True,
)

PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="This policy file instead of the configured one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Platform(StrEnum):
    """Where a text may have been written."""

    SLACK = "slack"
    DISCORD = "discord"


@app.command(short_help="Every hit of the rules in a text, and what follows.")
def explain(  # noqa: PLR0913, PLR0917  # each is one option
    text: Annotated[str, typer.Argument(help="The text; `-` reads it from the standard input.")],
    config: ConfigFile = None,
    policy: PolicyFile = None,
    platform: Annotated[Platform, typer.Option(help="As if written there.")] = Platform.SLACK,
    workspace: Annotated[str, typer.Option(help="As if written in this workspace (id).")] = "",
    channel: Annotated[str, typer.Option(help="As if written in this channel (id).")] = "",
    role: Annotated[list[str] | None, typer.Option(help="As if by one with this role.")] = None,
    as_json: Json = False,
) -> None:
    """Show every hit of the local rules with its span, the verdict, and what would be done."""
    import json  # noqa: PLC0415

    from bots.moderation.explaining import explain as find  # noqa: PLC0415
    from bots.moderation.explaining import shown  # noqa: PLC0415
    from core.messages import Author, Place  # noqa: PLC0415

    written = sys.stdin.read() if text == "-" else text
    book = guarded(lambda: _book(load(config, warn=False), policy))
    place = Place(platform.value, workspace, channel)
    author = Author("", roles=tuple(role or ()))
    found = find(book, written, place, author, time.time())
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else shown(found))


@app.command("eval", short_help="Judge a file's lines by the file's own terms.")
def eval_command(
    file: Annotated[Path, typer.Argument(help="JSON lines: id, text, term, should_match.")],
    terms: Annotated[Path | None, typer.Option(help="More terms, one a line.")] = None,
    as_json: Json = False,
) -> None:
    """Judge a file's lines by the file's own terms: what is caught, missed, hit falsely."""
    import msgspec  # noqa: PLC0415

    from bots.moderation.evaluation import (  # noqa: PLC0415
        evaluate,
        read_lines,
        read_terms,
        summary,
    )

    def run() -> None:
        lines = read_lines(file)
        began = time.perf_counter()
        result = evaluate(lines, read_terms(terms) if terms else [], progress("judged"))
        seconds = time.perf_counter() - began
        found = msgspec.json.encode(result).decode()
        typer.echo(found if as_json else summary(result, len(lines), seconds))

    guarded(run)


@app.command(short_help="Rules, scorers, open work, proposed thresholds.")
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """Say which rules, policy and scorers hold, what is undone, which thresholds are proposed."""
    import json  # noqa: PLC0415

    from bots.moderation import standing, thresholds  # noqa: PLC0415
    from core.overview import overview_op  # noqa: PLC0415
    from core.storage.reading import open_reader  # noqa: PLC0415

    async def run() -> int:
        settings, now = load(config, warn=False), time.time()
        book = _book(settings, None)
        found = standing.describe(settings, book) | {"database": None, "decisions": None}
        try:
            async with open_reader(settings.storage.url) as reader:
                overview = await reader.read(overview_op(now - standing.DAY))
        except ConfigError:  # there is none before the first start
            pass
        else:
            found["database"] = standing.work(overview)
            found["decisions"] = thresholds.describe(
                overview.decisions, book, settings.moderation.file, now
            )
        typer.echo(json.dumps(found, ensure_ascii=False) if as_json else standing.shown(found))
        return 0

    execute(run())


@app.command(short_help="What another policy would change of stored traffic.")
def replay(
    policy: Annotated[Path, typer.Option("--policy", help="The policy file to try.")],
    since: Annotated[str, typer.Option(help="How far back: a span (30d, 12h) or a date.")] = "30d",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Judge the stored traffic under another policy, and say what would change."""
    import msgspec  # noqa: PLC0415

    from bots.moderation.replay import replay as judge  # noqa: PLC0415
    from bots.moderation.replay import summary  # noqa: PLC0415
    from core.storage.reading import open_reader  # noqa: PLC0415

    async def run() -> int:
        settings = load(config, warn=False)
        begin = parse_since(since, time.time())
        book = _book(settings, policy)
        began = time.perf_counter()
        async with open_reader(settings.storage.url) as reader:
            found = await judge(reader, book, begin, progress("messages"))
        seconds = time.perf_counter() - began
        typer.echo(msgspec.json.encode(found).decode() if as_json else summary(found, seconds))
        return 0

    execute(run())


def parse_since(written: str, now: float) -> float:
    """The time that "30d", "12h" or "2026-01-31" means. Raises ConfigError."""
    from datetime import UTC, datetime  # noqa: PLC0415

    units = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    number, unit = written[:-1], written[-1:]
    if unit in units and number.isascii() and number.isdecimal():
        return now - int(number) * units[unit]
    try:
        return datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp()
    except ValueError:
        reason = f"{written!r} is no time: write a span (30d, 12h) or a date (2026-01-31)"
        raise ConfigError(reason, key="--since") from None


imports = typer.Typer(help="Rules from elsewhere, as a policy file.", no_args_is_help=True)
pushes = typer.Typer(help="Rules to where they act by themselves.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(pushes, name="push")

Guild = Annotated[str, typer.Option("--guild", help="The Discord server's id.")]


@imports.command("discord-automod")
def import_automod(
    file: Annotated[
        Path | None, typer.Argument(help="JSON as Discord's API gives it; else use --guild.")
    ] = None,
    guild: Guild = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print a policy file with the rules of a server's AutoMod."""
    from bots.discord import automod_commands as exchange  # noqa: PLC0415

    if (file is None) == (not guild):
        fail("give either a file or --guild ID", WRONG_CONFIGURATION)
    if file is not None:
        given = file
        rules = guarded(lambda: exchange.read_file(given))
    else:
        rules = guarded(lambda: exchange.fetch_rules(load(config, warn=False), guild))
    made = guarded(lambda: exchange.imported(rules))
    if as_json:
        typer.echo(exchange.as_json(made))
        return
    typer.echo(made.toml, nl=False)
    for note in made.notes:
        typer.echo(f"talkwarden: {note}", err=True)


@pushes.command("discord-automod")
def push_automod(
    guild: Guild,
    config: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Let AutoMod block what our rules refuse, before it appears; only our own rules change."""
    from bots.discord import automod_commands as exchange  # noqa: PLC0415

    def run() -> None:
        settings = load(config, warn=False)
        pushed = exchange.push(settings, _book(settings, None), guild, is_trial=dry_run)
        typer.echo(exchange.as_json(pushed) if as_json else pushed.text())

    guarded(run)


def progress(word: str) -> Callable[[int, int], None] | None:
    """Shows how far something is, on a terminal only; to be called with done and total."""
    if not sys.stderr.isatty():
        return None

    def advance(done: int, total: int) -> None:
        width = 30
        full = width * done // max(total, 1)
        bar = "#" * full + "." * (width - full)
        end = "\r\x1b[K" if done >= total else ""
        sys.stderr.write(f"\r[{bar}] {done} of {total} {word}{end}")
        sys.stderr.flush()

    return advance


def _book(settings: Config, policy: Path | None) -> Any:
    import msgspec  # noqa: PLC0415

    from bots.building import build_source  # noqa: PLC0415

    given = settings.moderation
    if policy is not None:
        given = msgspec.structs.replace(given, file=str(policy))
    return build_source(given).load()
