"""Keys of the API, for a key with the scope admin: what `talkwarden key` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath
from litestar.response import Stream

from bots.rest.answers import document
from bots.rest.bodies import read, storable
from bots.rest.once import Keep, carried_out_once
from bots.rest.problems import all_of, missing
from bots.rest.services import Asked, Services, caller_of, services_of
from core.completions.checking import Check, array, choice, kind_of, number, shape, under
from core.completions.checking import Problem as Wrong
from core.errors import ConfigError
from core.keys import (
    SCOPES,
    Key,
    create_op,
    list_op,
    parse_expiry,
    parse_name,
    parse_scopes,
    revoke_op,
    shown,
)
from core.rates import Limits
from core.storage import Op

MOST: Final = 10**15
"""The highest limit that can be set."""


@get("/keys", operation_id="listKeys")
async def list_keys(request: Asked) -> Response[bytes]:
    """Every key with its scopes, and whether it works; never the key itself."""
    await caller_of(request, "admin")
    services = services_of(request)
    found = await services.store.read(list_op())
    return document({"object": "list", "data": [_shown(each, services.clock()) for each in found]})


@post("/keys", status_code=201, operation_id="createKey")
async def create(request: Asked) -> Response[bytes] | Stream:
    """Make a key: it is in this answer as `key`, and never shown again."""
    caller = await caller_of(request, "admin")
    body = await read(request)

    async def work(keep: Keep | None) -> Response[bytes]:
        return await _created(services_of(request), body, keep)

    return await carried_out_once(request, caller, body, work)


@delete("/keys/{key_id:str}", status_code=200, operation_id="revokeKey")
async def revoke(request: Asked, key_id: FromPath[str]) -> Response[bytes]:
    """End a key, for good; it stays in the list."""
    await caller_of(request, "admin")
    services = services_of(request)
    op = revoke_op(storable(key_id, "id"), services.clock())
    if await services.store.write(op) == "unknown":
        raise missing("key")
    return document({"id": key_id, "object": "key.revoked", "revoked": True})


def router(path: str = "/v1") -> Router:
    """All of them below this path."""
    return Router(path, route_handlers=[list_keys, create, revoke], tags=["Keys"])


async def _created(
    services: Services, body: Mapping[str, Any], keep: Keep | None
) -> Response[bytes]:
    now = services.clock()
    problems: list[Wrong] = []
    _check(now)(body, "", problems)
    if problems:
        raise all_of(problems)
    given = {name: int(value) for name, value in (body.get("limits") or {}).items() if value}

    def op() -> Op[tuple[Key, str]]:
        made = yield from create_op(
            parse_name(body["name"]),
            parse_scopes(body["scopes"]),
            Limits(**given),
            parse_expiry(body.get("expires") or "", now),
            now,
        )
        if keep is not None:  # without the key: only its hash is ever stored
            yield from keep(document(_shown(made[0], now), 201))
        return made

    key, token = await services.store.write(op())
    return document({**_shown(key, now), "key": token}, 201)


def _shown(key: Key, now: float) -> dict[str, Any]:
    found = shown(key, now)
    return {**found, "object": "key", "expires": found["expires"] or None}


def _check(now: float) -> Check:
    limits = dict.fromkeys(Limits.__struct_fields__, number(0, MOST, whole=True))
    fields = {
        "name": _parsed(parse_name),
        "scopes": array(choice(*SCOPES), 1),
        "expires": _parsed(partial(parse_expiry, now=now)),
        "limits": shape(limits, more=_nothing_but(limits)),
    }
    # a misspelt `expires` must not make a key that never ends
    return shape(fields, required=("name", "scopes"), more=_nothing_but(fields))


def _parsed(parse: Callable[[str], object]) -> Check:
    """Text that can be read in this way."""

    def check(value: Any, path: str, found: list[Wrong]) -> None:
        if not isinstance(value, str):
            found.append(Wrong(path, f"expected text, got {kind_of(value)}"))
            return
        if not value:  # null and nothing else means that a key never ends
            found.append(Wrong(path, "must not be empty"))
            return
        try:
            parse(value)
        except ConfigError as exc:
            found.append(Wrong(path, str(exc)))

    return check


def _nothing_but(known: Collection[str]) -> Check:
    def check(value: Any, path: str, found: list[Wrong]) -> None:
        found.extend(
            Wrong(under(path, name[:80]), f"is not known; there are {', '.join(known)}")
            for name in value
            if name not in known
        )

    return check
