"""Keys of the HTTP API: made once, shown once, stored as a hash.

A key is 256 random bits behind a prefix, so a plain SHA-256 of it can't be searched, and looking
the hash up in an index says nothing about a wrong key's distance from a right one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from core.errors import ConfigError
from core.rates import Limits
from core.storage import Op, Row, query

Scope: TypeAlias = Literal["chat", "read", "admin"]
"""chat: ask models and hold conversations. read: look at one's own conversations, models and
usage. admin: all of that, look at what every key uses, and make and end keys."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "tw_"
MAX_NAME: Final = 100
LATEST: Final = 253_402_300_800.0
"""The end of the year 9999."""

_SPAN = re.compile(r"(\d{1,6})\s*([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; the key itself is not among it. Times are seconds since the epoch."""

    id: str
    name: str
    scopes: frozenset[Scope]
    limits: Limits
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key may be used for this."""
        if "admin" in self.scopes:
            return True
        return scope in self.scopes or (scope == "read" and "chat" in self.scopes)

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        """Whether it works."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"


def create_op(
    name: str, scopes: Collection[Scope], limits: Limits, expires_at: float | None, now: float
) -> Op[tuple[Key, str]]:
    """Make a key: what is known of it, and the key itself, which nobody can read again."""
    key_id = secrets.token_hex(4)
    token = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(key_id, name, frozenset(scopes), limits, now, expires_at)
    yield query(
        "keys.add",
        id=key_id,
        name=name,
        hash=_hash(token),
        scopes=" ".join(sorted(scopes)),
        limits=msgspec.json.encode(limits).decode(),
        now=now,
        expires_at=expires_at,
    )
    return key, token


def find_op(token: str) -> Op[Key | None]:
    """The key that this is; None for a stranger's."""
    rows = yield query("keys.by_hash", hash=_hash(token))
    return _key(rows[0]) if rows else None


def list_op() -> Op[list[Key]]:
    """Every key, the oldest first; revoked and expired ones too."""
    return [_key(row) for row in (yield query("keys.all"))]


def revoke_op(key_id: str, now: float) -> Op[Literal["revoked", "already", "unknown"]]:
    """End a key, for good."""
    if (yield query("keys.revoke", id=key_id, now=now)):
        return "revoked"
    return "already" if (yield query("keys.find", id=key_id)) else "unknown"


def shown(key: Key, now: float) -> dict[str, Any]:
    """A key as lists hold it; times to the minute, empty for none."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": key.state(now),
        "created": _minute(key.created_at),
        "expires": _minute(key.expires_at),
        "limits": msgspec.to_builtins(key.limits),
    }


def parse_name(written: str) -> str:
    """What a key is called, on one line. Raises ConfigError."""
    name = " ".join(written.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ConfigError(f"a key's name has 1 to {MAX_NAME} characters")
    return name


def parse_scopes(written: Sequence[str]) -> frozenset[Scope]:
    """Scopes from "chat,read" or several of them. Raises ConfigError."""
    names = [name.strip() for each in written for name in each.split(",") if name.strip()]
    if wrong := sorted(set(names) - set(SCOPES)):
        raise ConfigError(f"{', '.join(wrong)}: no such scope; there are {', '.join(SCOPES)}")
    if not names:
        raise ConfigError(f"a key needs a scope: {', '.join(SCOPES)}")
    return frozenset(cast("list[Scope]", names))


def parse_expiry(written: str, now: float) -> float | None:
    """When a key ends, from "30d", "12h" or "2027-01-31"; empty: never. Raises ConfigError."""
    if not written.strip():
        return None
    if match := _SPAN.fullmatch(written.strip().lower()):
        ends = now + int(match[1]) * _SECONDS[match[2]]
    else:
        try:
            found = datetime.fromisoformat(written.strip())
        except ValueError as exc:
            raise ConfigError(
                f"expires: {written!r} is no time: write a span (30d, 12h) or a date (2027-01-31)"
            ) from exc
        ends = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if ends >= LATEST:
        raise ConfigError(f"expires: {written!r} is further away than the calendar goes")
    if ends <= now:
        raise ConfigError(f"expires: {written!r} has passed already")
    return ends


def _minute(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes")


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()


def _key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(row["scopes"].split()),
        limits=msgspec.json.decode(row["limits"], type=Limits),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
