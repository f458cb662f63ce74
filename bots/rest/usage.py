"""What keys have used, and what is left of their limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Response, get
from litestar.params import FromQuery

from bots.rest.answers import document
from bots.rest.bodies import storable
from bots.rest.problems import invalid, missing
from bots.rest.services import LONGEST_USER, Asked, Services, caller_of, services_of
from core.callers import Caller
from core.conversations import PLATFORM
from core.keys import list_op
from core.usage import Totals, Whose

ALL: Final = "all"
"""Stands for every key: no id of one."""
_LONGEST = 400  # days


@dataclass(frozen=True, slots=True)
class _Days:
    """From one day (UTC) to another, as the ledger names them."""

    since: str
    until: str


@get("/v1/usage", operation_id="usage", tags=["Operation"])
async def usage(
    request: Asked,
    days: FromQuery[int] = 1,
    user: FromQuery[str | None] = None,
    conversation_id: FromQuery[str | None] = None,
    key: FromQuery[str | None] = None,
) -> Response[bytes]:
    """What the key has used in the last days (UTC), this one included, and what is left.

    Of all its calls, of those for one `user`, or of those in one conversation. With the scope
    admin also what another `key` has used, by its id, or `all` of them have.
    """
    if not 1 <= days <= _LONGEST:
        raise invalid(f"days: expected a number from 1 to {_LONGEST}", "days")
    given = {"user": user, "conversation_id": conversation_id, "key": key}
    named = [name for name, value in given.items() if value and storable(value, name)]
    if len(named) > 1:
        raise invalid(f"{named[1]}: give a user, a conversation or a key", named[1])
    caller = await caller_of(
        request, "admin" if key else "read", user=(user or "")[:LONGEST_USER], is_counted=False
    )
    services = services_of(request)
    if key == ALL:
        return document(await _of_all(services, days))
    if key:
        caller = await _other(services, key)
    elif conversation_id:
        caller = caller.in_conversation(conversation_id)
    return document(await _of_one(services, caller, days))


async def _other(services: Services, key: str) -> Caller:
    """The key with this id, with what it has used elsewhere. Raises Problem."""
    found = next((each for each in await services.store.read(list_op()) if each.id == key), None)
    if found is None:
        raise missing("key", "key")
    caller = Caller(found)
    await services.calls.passed(caller)
    return caller


async def _of_one(services: Services, caller: Caller, days: int) -> dict[str, Any]:
    span = _days(services, days)
    whose: Whose = "author" if caller.user else "channel" if caller.conversation else "workspace"
    totals = await services.ledger.spent(
        caller.place, caller.author, span.until, whose=whose, since=span.since
    )
    return {**_shown(services, span, totals), "limits": services.calls.left(caller)}


async def _of_all(services: Services, days: int) -> dict[str, Any]:
    """What all keys have used, together and each; what is left is said of those that work."""
    span, now = _days(services, days), services.clock()
    spent = await services.ledger.spent_by_workspace(PLATFORM, span.until, since=span.since)
    listed = []
    for key in await services.store.read(list_op()):
        caller, state = Caller(key), key.state(now)
        if state == "active":
            await services.calls.passed(caller)
        listed.append(
            {
                "id": key.id,
                "name": key.name,
                "state": state,
                **_counted(spent.get(key.id, Totals())),
                "limits": services.calls.left(caller) if state == "active" else [],
            }
        )
    return {**_shown(services, span, sum(spent.values(), Totals())), "keys": listed}


def _days(services: Services, days: int) -> _Days:
    today = datetime.fromtimestamp(services.clock(), UTC).date()
    return _Days((today - timedelta(days=days - 1)).isoformat(), today.isoformat())


def _shown(services: Services, span: _Days, totals: Totals) -> dict[str, Any]:
    currency = services.ledger.config.currency
    return {"object": "usage", "since": span.since, **_counted(totals), "currency": currency}


def _counted(totals: Totals) -> dict[str, Any]:
    return {
        "requests": totals.calls,
        "prompt_tokens": totals.prompt_tokens,
        "cached_tokens": totals.cached_tokens,
        "completion_tokens": totals.completion_tokens,
        "total_tokens": totals.tokens,
        "cost": round(totals.cost, 6),
    }
