"""How much a key may ask for: requests and tokens in a minute, an hour, a day and a month (UTC).

A span begins at a full minute, hour, day or month, so that what is left of it is easy to say.
Tokens are known only afterwards: calls that are under way together may pass a limit once.

Counted in memory, stored about once a second as what was added since: so processes that share a
database learn of one another's calls. A process that is killed forgets its last second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from core.errors import StoreError
from core.ranges import Count
from core.storage import Op, Store, query

SPANS: Final = ("minute", "hour", "day", "month")
KINDS: Final = ("requests", "tokens")
FRESH: Final = 1.0
"""Seconds for which what other processes have used need not be asked for again."""
_SECONDS: Final = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}

_Name: TypeAlias = tuple[str, str]
"""A key's id and a span."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one key may use; 0: no limit."""

    requests_per_minute: Count = 0
    """Requests in a minute; 0: no limit."""
    requests_per_hour: Count = 0
    """Requests in an hour; 0: no limit."""
    requests_per_day: Count = 0
    """Requests in a day; 0: no limit."""
    requests_per_month: Count = 0
    """Requests in a month; 0: no limit."""
    tokens_per_minute: Count = 0
    """Tokens in a minute; 0: no limit."""
    tokens_per_hour: Count = 0
    """Tokens in an hour; 0: no limit."""
    tokens_per_day: Count = 0
    """Tokens in a day; 0: no limit."""
    tokens_per_month: Count = 0
    """Tokens in a month; 0: no limit."""

    def of(self, kind: str, span: str) -> int:
        """The limit on requests or tokens in this span; 0: none."""
        found: int = getattr(self, f"{kind}_per_{span}")
        return found

    def over(self, general: Limits) -> Limits:
        """These limits, and the general ones where these say nothing."""
        return Limits(
            **{
                name: getattr(self, name) or getattr(general, name)
                for name in self.__struct_fields__
            }
        )


@dataclass(slots=True)
class Used:
    """What a key has used since the span began."""

    begins: float
    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """A limit that is used up."""

    kind: str
    span: str
    limit: int
    seconds: float
    """Until the span is over."""

    def __str__(self) -> str:
        return f"The limit of {self.limit:,} {self.kind} per {self.span} is used up for this key."


class Rates:
    """All keys' spans, in memory; `save` shares them with who comes later, or works beside."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._used: dict[_Name, Used] = {}
        self._unsaved: dict[_Name, Used] = {}
        self._seen: dict[str, float] = {}
        """When each key's spans were last read from the database, by `clock`."""
        self._clock = clock
        self._saving = asyncio.Lock()

    def load_op(self) -> Op[None]:
        """Take up where an earlier process ended."""
        for row in (yield query("rates.all")):
            self._used[row["api_key"], row["span"]] = Used(
                row["begins"], row["requests"], row["tokens"]
            )

    async def refresh(self, store: Store, key: str, now: float) -> None:
        """Learn what other processes have used of this key's limits. Raises StoreError."""
        if not self._is_fresh(key):
            async with self._saving:
                if not self._is_fresh(key):
                    await self._exchange(store, self._taken(key, now))

    async def save(self, store: Store) -> None:
        """Store what was used since the last time. Raises StoreError, and keeps it then."""
        async with self._saving:
            if self._unsaved:
                unsaved, self._unsaved = self._unsaved, {}
                await self._exchange(store, unsaved)

    def passed(self, key: str, limits: Limits, now: float) -> Passed | None:
        """The limit that has to be waited for the longest; None: go on."""
        found = [
            Passed(kind, span, limit, ends_at(span, now) - now)
            for kind, span, limit in _set(limits)
            if getattr(self._now(key, span, now), kind) >= limit
        ]
        return max(found, key=lambda each: each.seconds, default=None)

    def count(self, key: str, now: float, *, requests: int = 0, tokens: int = 0) -> None:
        """Note what was used."""
        for span in SPANS:
            used = self._now(key, span, now)
            unsaved = self._unsaved.get((key, span))
            if unsaved is None or unsaved.begins != used.begins:
                unsaved = self._unsaved[key, span] = Used(used.begins)
            for each in (used, unsaved):
                each.requests += requests
                each.tokens += tokens

    def left(self, key: str, limits: Limits, now: float) -> list[dict[str, Any]]:
        """Each limit: of what, in which span, how much, what is left, seconds until it is anew."""
        return [
            {
                "kind": kind,
                "span": span,
                "limit": limit,
                "remaining": max(0, limit - getattr(self._now(key, span, now), kind)),
                "resets_in": round(ends_at(span, now) - now, 1),
            }
            for kind, span, limit in _set(limits)
        ]

    def headers(self, key: str, limits: Limits, now: float) -> dict[str, str]:
        """What is left, of the limit of each kind that is the nearest to its end.

        Named as OpenAI names them: https://platform.openai.com/docs/guides/rate-limits
        """
        found: dict[str, str] = {}
        for kind in KINDS:
            left = [
                (max(0, limit - getattr(self._now(key, span, now), kind)) / limit, span, limit)
                for which, span, limit in _set(limits)
                if which == kind
            ]
            if left:
                share, span, limit = min(left)
                found[f"x-ratelimit-limit-{kind}"] = str(limit)
                found[f"x-ratelimit-remaining-{kind}"] = str(round(share * limit))
                found[f"x-ratelimit-reset-{kind}"] = f"{ends_at(span, now) - now:.0f}s"
        return found

    def _is_fresh(self, key: str) -> bool:
        return self._clock() - self._seen.get(key, -FRESH) < FRESH

    def _taken(self, key: str, now: float) -> dict[_Name, Used]:
        """What was used of this key and not stored yet, which may be nothing."""
        nothing = {(key, span): Used(self._now(key, span, now).begins) for span in SPANS}
        return {name: self._unsaved.pop(name, used) for name, used in nothing.items()}

    async def _exchange(self, store: Store, added: Mapping[_Name, Used]) -> None:
        """Add to what is stored, and believe what is stored then."""
        asked_at = self._clock()
        try:
            stored = await store.write(_add_op(added))
        except StoreError:
            for (key, span), used in added.items():
                unsaved = self._unsaved.setdefault((key, span), Used(used.begins))
                if unsaved.begins == used.begins:
                    unsaved.requests += used.requests
                    unsaved.tokens += used.tokens
            raise
        for name, used in stored.items():
            newer = self._unsaved.get(name)
            if newer is not None and newer.begins == used.begins:
                used.requests += newer.requests
                used.tokens += newer.tokens
            if name not in self._used or self._used[name].begins <= used.begins:
                self._used[name] = used
            self._seen[name[0]] = asked_at

    def _now(self, key: str, span: str, now: float) -> Used:
        begins = begin_of(span, now)
        used = self._used.get((key, span))
        # a clock that was set back must not give the span anew
        if used is None or used.begins < begins:
            used = self._used[key, span] = Used(begins)
        return used


def _add_op(added: Mapping[_Name, Used]) -> Op[dict[_Name, Used]]:
    """Add to the spans; what they come to with what others have added."""
    found = {}
    for key, span in sorted(added):  # in one order: two processes must not wait for each other
        used = added[key, span]
        rows = yield query(
            "rates.add",
            api_key=key,
            span=span,
            begins=used.begins,
            requests=used.requests,
            tokens=used.tokens,
        )
        (row,) = rows
        found[key, span] = Used(row["begins"], row["requests"], row["tokens"])
    return found


def begin_of(span: str, now: float) -> float:
    """When the span that holds `now` began, in seconds since the epoch."""
    if span == "month":
        return datetime.fromtimestamp(now, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        ).timestamp()  # fmt: skip
    return now - now % _SECONDS[span]


def ends_at(span: str, now: float) -> float:
    """When it ends."""
    begins = begin_of(span, now)
    if span == "month":
        return begin_of("month", begins + 32 * _SECONDS["day"])
    return begins + _SECONDS[span]


def _set(limits: Limits) -> Iterator[tuple[str, str, int]]:
    for kind in KINDS:
        for span in SPANS:
            if limit := limits.of(kind, span):
                yield kind, span, limit
