"""`moderation status`: what moderators' decisions say about thresholds, and how to set them.

Nothing here sets one: a person reads the grounds and writes the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from core.config_moderation import CATEGORIES
from core.messages import Place
from core.moderation import Book
from core.moderation.book import NOBODY
from core.moderation.policy import Threshold
from core.moderation.thresholds import ENOUGH, PRECISION, Proposal
from core.overview import Decisions

CONFIGURATION = "talkwarden.toml"
NEVER = 1.0
"""A block threshold that scores hardly reach."""


def describe(
    decisions: Iterable[Decisions], book: Book, file: str, now: float
) -> list[dict[str, Any]]:
    """By category: what was decided, the present thresholds, the proposed ones, how to set them.

    `file` is the configured policy file. Present is what holds where no layer of a place differs.
    """
    policy = book.at(Place("", "", ""), NOBODY, now).settings.policy
    return [_described(each, policy.threshold(each.category), book, file) for each in decisions]


def _described(found: Decisions, present: Threshold, book: Book, file: str) -> dict[str, Any]:
    proposed = None if found.proposal is None else _proposed(found.proposal, present)
    changes = {} if proposed is None else _changes(proposed, present)
    return {
        "category": found.category,
        "right": found.right,
        "wrong": found.wrong,
        "scored": _counts(found, 0.0),
        "present": _with_counts(found, present),
        "proposed": None if proposed is None else _with_counts(found, proposed),
        "differs": list(_differing(book, found.category)),
        "set": _setting(found.category, changes, file) if changes else None,
        "note": _note(found, proposed, changes),
    }


def _proposed(given: Proposal, present: Threshold) -> Threshold | None:
    """Both thresholds as they would be; None: no number tells right from wrong."""
    if given.block is None:
        is_telling = given.flag is not None and given.flag < NEVER
        return Threshold(given.flag or 0.0, NEVER) if is_telling else None
    flag = min(present.flag, given.block) if given.flag is None else given.flag
    return Threshold(flag, given.block)


def _changes(proposed: Threshold, present: Threshold) -> dict[str, float]:
    return {
        name: value
        for name in ("flag", "block")
        if (value := getattr(proposed, name)) != getattr(present, name)
    }


def _counts(found: Decisions, score: float) -> dict[str, int]:
    right, wrong = found.reaching(score)
    return {"right": right, "wrong": wrong}


def _with_counts(found: Decisions, limits: Threshold) -> dict[str, Any]:
    return {
        name: {"score": score, **_counts(found, score)}
        for name, score in (("flag", limits.flag), ("block", limits.block))
    }


def _differing(book: Book, category: str) -> Iterator[str]:
    """The layers of places, roles and times that have thresholds of their own for it."""
    names = {category, category.partition("/")[0]}
    for path, layer in book.document.layers():
        given = (layer.categories[name] for name in names if name in layer.categories)
        if path and any(each.flag is not None or each.block is not None for each in given):
            yield ".".join(path)


def _setting(category: str, changes: dict[str, float], file: str) -> dict[str, str]:
    """What to write where."""
    name = msgspec.json.encode(category).decode()
    if file or category not in CATEGORIES:
        lines = [f"{key} = {value:g}" for key, value in changes.items()]
        return {"file": file, "toml": "\n".join((f"[categories.{name}]", *lines))}
    tables = (f"[moderation.{key}]\n{name} = {value:g}" for key, value in changes.items())
    return {"file": CONFIGURATION, "toml": "\n".join(tables)}


def _note(found: Decisions, proposed: Threshold | None, changes: dict[str, float]) -> str:
    """Why nothing is to be set, or what a threshold means that does not speak for itself."""
    if not found.examples:
        return "found by rules alone: these have no thresholds"
    if found.proposal is None:
        return f"too few for a proposal: it takes {ENOUGH} right and {ENOUGH} wrong ones"
    if proposed is None:
        return "no threshold would tell the right ones from the wrong ones"
    if not changes:
        return "the thresholds are what the decisions speak for"
    if found.proposal.block is None:
        return f"no score is proven right in {PRECISION:.0%}, so block moves out of reach"
    return ""


def shown(found: Sequence[dict[str, Any]] | None) -> Iterator[str]:
    """For people."""
    if found is None:
        return
    if not found:
        yield "moderators' decisions: none yet"
        return
    yield (
        "moderators' decisions, and the thresholds that they propose; in brackets what each"
        " reaches of the decided texts:"
    )
    for each in found:
        yield from (f"  {line}" for line in _shown(each))


def _shown(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['category']}: {found['right']} right, {found['wrong']} wrong" + (
        f"; {found['note']}" if found["note"] else ""
    )
    if found["scored"]["right"] + found["scored"]["wrong"]:
        yield f"  now:      {_line(found['present'])}"
    if found["set"] is None:
        return
    yield f"  proposed: {_line(found['proposed'])}"
    if found["differs"]:
        yield f"  has thresholds of its own in: {', '.join(found['differs'])}"
    file = found["set"]["file"] or "a policy file, to be named as moderation.file"
    start = " (read at the next start)" if file == CONFIGURATION else ""
    yield f"  to set it, write into {file}{start}:"
    yield from (f"    {line}" for line in found["set"]["toml"].splitlines())


def _line(limits: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} from {each['score']:g} ({each['right']} right, {each['wrong']} wrong)"
        for name, each in limits.items()
    )
