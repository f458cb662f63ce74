"""What the policy file says: layers that lie over one another, each key by itself.

The settings of the configuration are the outermost layer, then come the policy file's general
part, the workspace, the channel, the author's roles, and last the schedules that hold now. Of two
layers that say something about one key the later one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from core.moderation.policy import OnError, Policy, Threshold

Mode: TypeAlias = Literal["enforce", "shadow"]
When: TypeAlias = Literal["overlap", "before"]
Do: TypeAlias = Literal["delete", "warn", "timeout", "kick", "ban", "alert"]
Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
Points = Annotated[float, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]
Timeout = Annotated[int, msgspec.Meta(ge=1, le=2_419_200)]
"""Seconds; 28 days is the longest that Discord knows."""

S = TypeVar("S", bound=msgspec.Struct)

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CategoryLayer(msgspec.Struct, frozen=True, kw_only=True):
    """`[categories."hate"]`: what scores of one category lead to."""

    flag: Score | None = None
    """Score from which a text is flagged for moderators."""
    block: Score | None = None
    """Score from which `action` and `do` follow."""
    action: Literal["allow", "flag", "warn", "hold", "refuse"] | None = None
    """The decision at `block`: refuse, unless something else is said."""
    do: tuple[Do, ...] | None = None
    """What is done at `block` besides."""
    flag_do: tuple[Do, ...] | None = None
    """What is done at `flag`."""
    timeout: Timeout | None = None
    """Seconds that a timeout lasts."""
    points: Points | None = None
    """What `block` adds to the author's account."""
    on_error: OnError | None = None
    """What it means that this category could not be scored."""


class RuleLayer(msgspec.Struct, frozen=True, kw_only=True):
    """`[channels.C1.rules.ID]`: how a rule differs there; `allow` switches it off."""

    action: Literal["allow", "flag", "warn", "redact", "hold", "refuse"] | None = None
    """See `[[rules]]`."""
    do: tuple[Do, ...] | None = None
    """See `[[rules]]`."""
    timeout: Timeout | None = None
    """See `[[rules]]`."""
    points: Points | None = None
    """See `[[rules]]`."""


class General(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of every layer but for its rules; unset: as the layer below has it."""

    mode: Mode | None = None
    """enforce; shadow: nothing is done, and verdicts say what would have been decided."""
    on_error: OnError | None = None
    """A scorer that fails: allow (and recheck later), hold (for a moderator), or block."""
    deadline: Seconds | None = None
    """Seconds that a scorer may take."""
    when: When | None = None
    """Score a question while the model works on it (overlap), or before it may start."""
    watch: bool | None = None
    """Judge what members say to one another by scorers and `[conduct]` too; off: by rules alone."""
    refusal: str | None = None
    """The sentence in place of a text that is refused."""
    exempt: bool | None = None
    """Nothing is done about what is written here or by this role, but secrets are masked."""
    exempt_users: frozenset[str] = frozenset()
    """People who are exempt here, by their ids."""
    exempt_roles: frozenset[str] = frozenset()
    """Roles and user groups that are exempt here, by their ids."""
    categories: dict[str, CategoryLayer] = {}
    """Per category, by the scorer's names."""


class Layer(General, frozen=True, kw_only=True):
    """`[workspaces.ID]`, `[channels.ID]` or `[roles.ID]`."""

    rules: dict[str, RuleLayer] = {}
    """Per rule, by its id."""


class Schedule(Layer, frozen=True, kw_only=True):
    """`[[schedules]]`: a layer that holds at times."""

    days: tuple[Day, ...] = DAYS
    """On which days; a span of hours past midnight belongs to the day it begins on."""
    hours: str = "00:00-24:00"
    """From and to, such as 22:00-06:00."""
    zone: str = "UTC"
    """The time zone, such as Europe/Berlin."""
    workspaces: frozenset[str] = frozenset()
    """In these workspaces only."""
    channels: frozenset[str] = frozenset()
    """In these channels only."""
    roles: frozenset[str] = frozenset()
    """For authors with one of these roles only."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack of layers comes to."""

    mode: Mode = "enforce"
    when: When = "overlap"
    deadline: float = 1.5
    watch: bool = True
    exempt: bool = False
    exempt_users: frozenset[str] = frozenset()
    exempt_roles: frozenset[str] = frozenset()
    policy: Policy = Policy()
    rules: Mapping[str, RuleLayer] = {}


def merged(layers: Iterable[General]) -> Merged:
    """Lay them over one another, the first one undermost."""
    found = Merged()
    for layer in layers:
        found = _over(found, layer)
    return found


def _over(below: Merged, layer: General) -> Merged:
    policy = below.policy
    thresholds, responses = dict(policy.thresholds), dict(policy.responses)
    for name, given in layer.categories.items():
        thresholds[name] = _threshold(policy.threshold(name), given)
        responses[name] = _laid(policy.response(name), given)
    rules = dict(below.rules)
    for name, change in layer.rules.items() if isinstance(layer, Layer) else ():
        rules[name] = _laid(rules.get(name, RuleLayer()), change)
    return Merged(
        mode=layer.mode or below.mode,
        when=layer.when or below.when,
        deadline=layer.deadline or below.deadline,
        watch=below.watch if layer.watch is None else layer.watch,
        exempt=below.exempt if layer.exempt is None else layer.exempt,
        exempt_users=below.exempt_users | layer.exempt_users,
        exempt_roles=below.exempt_roles | layer.exempt_roles,
        rules=rules,
        policy=Policy(
            thresholds,
            policy.fallback,
            layer.on_error or policy.on_error,
            policy.refusal if layer.refusal is None else layer.refusal,
            responses,
        ),
    )


def _threshold(below: Threshold, given: CategoryLayer) -> Threshold:
    """Where one number alone is given, the other gives way."""
    flag, block = given.flag, given.block
    low = min(below.flag, 1.0 if block is None else block) if flag is None else flag
    high = max(below.block, flag or 0.0) if block is None else block
    return Threshold(low, high)


def _laid(below: S, above: msgspec.Struct) -> S:
    """The one under the other: what `above` says of the fields of `below`."""
    names = below.__struct_fields__
    said = {name: value for name in names if (value := getattr(above, name, None)) is not None}
    return msgspec.structs.replace(below, **said)
