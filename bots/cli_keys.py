"""`talkwarden key create|list|revoke`: who may use the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bots.terminal import ConfigFile, execute, fail, load
from core.secret import mask_url

if TYPE_CHECKING:
    from core.config import Config
    from core.storage import Store

app = typer.Typer(help="Keys of the HTTP API.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; you see it in the list.")],
    scope: Annotated[
        list[str], typer.Option(help="chat, read or admin; several with a comma, or repeated.")
    ],
    expires: Annotated[str, typer.Option(help="A span (30d, 12h) or a date; else never.")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="As requests_per_minute=60; may be repeated.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: this once, since only its hash is kept."""
    given = {"name": name, "scopes": scope, "expires": expires, "limits": limit or []}
    execute(_create(load(config, warn=False), given, as_json=as_json))


@app.command("list", short_help="Every key with its scopes, and whether it works.")
def list_keys(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every key with its scopes, and whether it works; never the key itself."""
    execute(_list(load(config, warn=False), as_json=as_json))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as in the list.")],
    config: ConfigFile = None,
) -> None:
    """End a key, for good."""
    execute(_revoke(load(config, warn=False), key_id))


def handlers(store: Store) -> dict[str, Any]:
    """What a running talkwarden does for these commands, by name."""
    from core.keys import (  # noqa: PLC0415
        create_op,
        list_op,
        parse_expiry,
        parse_name,
        parse_scopes,
        revoke_op,
        shown,
    )

    async def create_key(given: Mapping[str, Any]) -> dict[str, Any]:
        now = time.time()
        expires_at = parse_expiry(given["expires"], now)
        scopes, limits = parse_scopes(given["scopes"]), _limits(given["limits"])
        name = parse_name(given["name"])
        key, token = await store.write(create_op(name, scopes, limits, expires_at, now))
        return {**shown(key, now), "key": token}

    async def list_all(_: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [shown(key, time.time()) for key in await store.read(list_op())]

    async def revoke_key(given: Mapping[str, Any]) -> str:
        return await store.write(revoke_op(given["id"], time.time()))

    return {"key.create": create_key, "key.list": list_all, "key.revoke": revoke_key}


async def _create(config: Config, given: dict[str, Any], *, as_json: bool) -> int:
    made = await _done(config, "key.create", given)
    if as_json:
        _print(made)
        return 0
    typer.echo(made["key"])
    typer.echo(
        f"Key {made['id']} ({made['name']}) with {', '.join(made['scopes'])}, "
        f"expires: {made['expires'] or 'never'}. It is shown this once, and known to whoever "
        f"serves {mask_url(config.storage.url)}.",
        err=True,
    )
    if not config.rest.enabled:
        typer.echo("The HTTP API is off: set rest.enabled = true to serve it.", err=True)
    return 0


async def _list(config: Config, *, as_json: bool) -> int:
    keys = await _done(config, "key.list", {})
    if as_json:
        _print({"keys": keys})
        return 0
    if not keys:
        where = mask_url(config.storage.url)
        typer.echo(f"There are no keys in {where}: talkwarden key create NAME --scope chat")
    for key in keys:
        ends = f", expires {key['expires']}" if key["expires"] else ""
        limits = "".join(f", {name} {value}" for name, value in key["limits"].items())
        scopes = ",".join(key["scopes"])
        typer.echo(
            f"{key['id']}  {key['state']:<8}  {scopes:<16}  {key['name']}"
            f"  (made {key['created']}{ends}{limits})"
        )
    return 0


async def _revoke(config: Config, key_id: str) -> int:
    outcome = await _done(config, "key.revoke", {"id": key_id})
    if outcome == "unknown":
        fail(f"there is no key with the id {key_id}; see talkwarden key list", 1)
    typer.echo(f"Key {key_id} is revoked." if outcome == "revoked" else "It was revoked already.")
    return 0


async def _done(config: Config, name: str, given: dict[str, Any]) -> Any:
    """Have it done by the talkwarden that runs, or do it, if none does."""
    from bots.building import open_store  # noqa: PLC0415
    from bots.control import ask  # noqa: PLC0415

    try:
        return await ask(config.storage.url, name, **given)
    except (ConnectionError, FileNotFoundError):
        pass

    def waiting() -> None:
        typer.echo("Another process uses the database; waiting for it.", err=True)

    async with open_store(config.storage.url, waiting) as store:
        return await handlers(store)[name](given)


def _limits(written: list[str]) -> Any:
    import msgspec  # noqa: PLC0415

    from core.errors import ConfigError  # noqa: PLC0415
    from core.rates import Limits  # noqa: PLC0415

    found = {}
    for each in written:
        name, _, value = each.partition("=")
        if name not in Limits.__struct_fields__ or not value.isdecimal():
            names = ", ".join(Limits.__struct_fields__)
            raise ConfigError(f"--limit {each}: write NAME=NUMBER with one of {names}")
        found[name] = int(value)
    return msgspec.convert(found, Limits)


def _print(found: Any) -> None:
    import json  # noqa: PLC0415

    typer.echo(json.dumps(found, indent=2))
