"""`talkwarden db status|migrate|backup|restore`: the database, seen from outside."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bots.terminal import ConfigFile, execute, load
from core.errors import ConfigError, StoreError, StoreUnavailable
from core.secret import mask_url

if TYPE_CHECKING:
    from core.config import Config

app = typer.Typer(help="The database: look at it, save it, put it back.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SQLITE = "sqlite:///"
RUNNING = "A talkwarden uses this database; it migrates by itself when it starts."
PACKAGES = "PostgreSQL needs an extra: pip install 'talkwarden[postgres]'"


@app.command()
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """Version, size and what is still to be done. Reads only; a running talkwarden goes on."""
    execute(_status(load(config, warn=False), as_json=as_json))


@app.command(short_help="Bring the database to this talkwarden's version.")
def migrate(config: ConfigFile = None) -> None:
    """Bring the database to this talkwarden's version, as `run` does at its start."""
    execute(_migrate(load(config, warn=False)))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; replaced if it is there.")],
    config: ConfigFile = None,
) -> None:
    """Save everything to one file, also while talkwarden runs."""
    execute(_backup(load(config, warn=False), file))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `db backup` has written.")],
    config: ConfigFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also over a database that holds something.")
    ] = False,
) -> None:
    """Put a backup in the place of the database. Stop talkwarden first."""
    execute(_restore(load(config, warn=False), file, force=force))


async def _status(config: Config, *, as_json: bool) -> int:
    from core.storage import status as looking  # noqa: PLC0415

    url, counts = config.storage.url, {}
    if (path := _file(url)) is not None:
        if not path.exists():
            raise StoreError(f"There is no database at {path}; `run` makes one.")
        found = looking.look_at_sqlite(path)
        if found.version == found.known:
            counts = looking.count_in_sqlite(path)
    else:
        _need_postgres()
        found = await looking.look_at_postgres(url)
        if found.version == found.known:
            counts = await looking.count_in_postgres(url)
    facts: dict[str, Any] = {
        "database": mask_url(url),
        "version": found.version,
        "newest version": found.known,
        **counts,
    }
    if path is not None:
        # what a running talkwarden wrote last is in the -wal file only
        facts["bytes"] = _size(path) + _size(path.with_name(path.name + "-wal"))
    typer.echo(json.dumps(facts) if as_json else "\n".join(map(_line, facts, facts.values())))
    return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _line(name: str, value: object) -> str:
    if name == "oldest waiting":
        value = f"{time.time() - float(str(value)):.0f} s" if value else "-"
    return f"{name + ':':16} {value}"


async def _migrate(config: Config) -> int:
    from bots.building import open_store  # noqa: PLC0415
    from core.storage.status import newest  # noqa: PLC0415

    def in_use() -> None:
        raise StoreUnavailable(RUNNING)

    async with open_store(config.storage.url, in_use):
        typer.echo(f"The database is at version {newest()}.")
    return 0


async def _backup(config: Config, file: Path) -> int:
    started = time.monotonic()
    if (path := _file(config.storage.url)) is not None:
        from core.storage import backup as files  # noqa: PLC0415

        size = files.back_up(path, file)
    else:
        _need_postgres()
        from core.storage import dump  # noqa: PLC0415

        size = await dump.back_up(config.storage.url, file)
    typer.echo(f"{file}: {size} bytes in {time.monotonic() - started:.1f} s.")
    return 0


async def _restore(config: Config, file: Path, *, force: bool) -> int:
    url = config.storage.url
    if (path := _file(url)) is not None:
        from core.storage import backup as files  # noqa: PLC0415

        kept = files.restore(file, path, force=force)
        typer.echo(f"{path} now holds what {file} holds.")
        if kept is not None:
            typer.echo(f"What was there is in {kept}.")
        return 0
    _need_postgres()
    from core.storage import dump  # noqa: PLC0415

    await dump.restore(url, file, force=force)
    typer.echo(f"The database now holds what {file} holds.")
    return 0


def _file(url: str) -> Path | None:
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def _need_postgres() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError as exc:
        raise ConfigError(PACKAGES, key="storage.url") from exc
