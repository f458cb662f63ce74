"""What moderation has been doing, and what waits for a person: for whoever runs the bot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from core.cases import File
from core.moderation.thresholds import Example, Proposal, propose_thresholds
from core.storage import Op, Row, query

LISTED = 20
"""Cases that are listed; the oldest first."""
LABELS = 5_000
"""The newest labels that proposals are made from."""

_decode_file = msgspec.json.Decoder(File).decode
_decode_scores = msgspec.json.Decoder(dict[str, float]).decode


@dataclass(frozen=True, slots=True)
class WaitingCase:
    """A case that a moderator has to decide; it shows no words of the message."""

    id: str
    platform: str
    workspace: str
    state: str
    """open, or appealed."""
    decision: str
    reason: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """What moderators decided about the findings of one category."""

    category: str
    right: int
    wrong: int
    examples: tuple[Example, ...]
    """Those that a scorer had found; what a rule finds has no score that could be too low."""
    proposal: Proposal | None
    """Thresholds that they speak for; nothing applies them. None: they are too few."""

    def reaching(self, score: float) -> tuple[int, int]:
        """Of the examples with at least this score: how many were right, how many wrong."""
        found = [each.is_violation for each in self.examples if each.score >= score]
        return sum(found), len(found) - sum(found)


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of affairs at one moment."""

    waiting: int
    oldest: tuple[WaitingCase, ...]
    open_actions: int
    actions: dict[str, dict[str, int]]
    """Of late, by action, by what became of it: intended, done, impossible, ..."""
    rechecks: int
    """Texts that went through unchecked and wait for their scorer."""
    verdicts: int
    """Of late."""
    against: int
    """Those of them that were not to allow."""
    decisions: tuple[Decisions, ...]
    """By category."""


def overview_op(since: float) -> Op[Overview]:
    """What is "of late" is from `since` on, in epoch seconds; what waits may be of any age."""
    work = (yield query("moderation.open_work", since=since))[0]
    waiting = yield query("cases.waiting", most=LISTED)
    actions: dict[str, dict[str, int]] = {}
    for row in (yield query("actions.counts", since=since)):
        actions.setdefault(row["action"], {})[row["state"]] = row["number"]
    labels = yield query("cases.newest_labels", most=LABELS)
    return Overview(
        waiting=work["cases"],
        oldest=tuple(
            _waiting(row["file"], row["id"], row["state"], row["created_at"]) for row in waiting
        ),
        open_actions=work["actions"],
        actions=actions,
        rechecks=work["unchecked"],
        verdicts=work["verdicts"],
        against=work["against"],
        decisions=_decisions(labels),
    )


def _waiting(file: str, case: str, state: str, created_at: float) -> WaitingCase:
    found = _decode_file(file)
    place = found.place
    return WaitingCase(
        case, place.platform, place.workspace, state, found.decision, found.reason, created_at
    )


def _decisions(labels: Sequence[Row]) -> tuple[Decisions, ...]:
    """Of labels, newest first: after an appeal the first decision counts no more."""
    last = {row["case_id"]: row for row in reversed(labels)}
    said: defaultdict[str, list[bool]] = defaultdict(list)
    examples: defaultdict[str, list[Example]] = defaultdict(list)
    for row in last.values():
        # without one: a text that no scorer had looked at
        if not row["category"]:
            continue
        category, is_violation = row["category"], bool(row["is_violation"])
        said[category].append(is_violation)
        score = _decode_scores(row["scores"]).get(category)
        if score is not None:
            examples[category].append(Example(category, score, is_violation))
    return tuple(
        Decisions(
            category,
            sum(said[category]),
            len(said[category]) - sum(said[category]),
            tuple(examples[category]),
            next(iter(propose_thresholds(examples[category])), None),
        )
        for category in sorted(said)
    )
