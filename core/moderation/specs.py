"""One rule as an operator writes it; the shape of a `[[rules]]` table of the policy file."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Action: TypeAlias = Literal["flag", "warn", "redact", "refuse", "hold"]


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to look for, how to judge it, and what else to do about it."""

    id: str
    category: str = "custom"
    action: Action = "refuse"
    terms: tuple[str, ...] = ()
    """`word`, `word*`, `*word` or `*word*`; letter case never matters."""
    regexes: tuple[str, ...] = ()
    """In RE2's syntax."""
    case_sensitive: bool = False
    """For the regexes."""
    file: str = ""
    """A file with one term a line; blank lines and those that begin with `#` are left out."""
    allow: tuple[str, ...] = ()
    """Terms that are no hit where they cover all of it; for domains, the ones let through."""
    strict_spelling: bool = False
    """Terms are found only as they are spelled, not through evasions."""
    domains: tuple[str, ...] = ()
    """Domains with all below them; `*` means all but those in `allow`."""
    invites: bool = False
    """Whether links that invite to other servers are hits."""
    secrets: bool = False
    """Whether API keys, tokens and passwords are hits."""
    do: tuple[str, ...] = ()
    """Actions that a hit asks for besides its decision."""
    timeout: int = 0
    """Seconds, for the action of that name."""
    points: float = 0.0
    """What a hit adds to its author's account."""
