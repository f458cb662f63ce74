"""`moderation status`: what is loaded, and what is still to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bots.moderation import thresholds
from core.config import Config
from core.moderation import Book
from core.overview import Overview

DAY = 86_400.0


def describe(config: Config, book: Book) -> dict[str, Any]:
    """What the configuration and the policy file come to."""
    given, specs = config.moderation, book.rules.specs
    document = book.document
    return {
        "policy": book.digest,
        "file": given.file,
        "mode": document.mode or "enforce",
        "rules": len(specs),
        "terms": len(book.rules.terms.cores) if book.rules.terms else 0,
        "regexes": sum(len(spec.regexes) for spec in specs),
        "domains": sum(len(spec.domains) for spec in specs),
        "secrets": any(spec.secrets for spec in specs),
        "conduct": [
            name
            for name in document.conduct.__struct_fields__
            if getattr(document.conduct, name).on
        ],
        "layers": {
            name: len(getattr(document, name))
            for name in ("workspaces", "channels", "roles", "schedules")
        },
        "review": dict(document.review),
        "scorers": scorers(config),
        "on_error": document.on_error or given.on_error,
        "deadline": document.deadline or given.deadline,
    }


def scorers(config: Config) -> list[str]:
    """Who gives scores."""
    found = []
    if config.uses_remote_moderation:
        found.append(f"/v1/moderations ({config.moderation.model})")
    elif config.moderation.remote not in ("", "off"):
        found.append(config.moderation.remote)
    if config.moderation.learn:
        found.append("learned from moderators' decisions")
    return found


def work(found: Overview) -> dict[str, Any]:
    """What is unchecked and undone, and the last day's verdicts and actions."""
    return {
        "unchecked": found.rechecks,
        "actions": found.open_actions,
        "cases": found.waiting,
        "oldest": [asdict(each) for each in found.oldest],
        "verdicts": found.verdicts,
        "against": found.against,
        "acted": found.actions,
    }


def shown(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"policy {found['policy']}: {found['file'] or 'no policy file'}, mode {found['mode']}",
        (
            f"{found['rules']} rules: {found['terms']} terms, {found['regexes']} regexes,"
            f" {found['domains']} domains, secrets {'on' if found['secrets'] else 'off'}"
        ),
        f"conduct: {', '.join(found['conduct']) or 'off'}",
        (
            f"scorers: {', '.join(found['scorers']) or 'none, local rules alone'}"
            f" (on error {found['on_error']}, deadline {found['deadline']:g} s)"
        ),
        "layers: " + ", ".join(f"{count} {name}" for name, count in found["layers"].items()),
        f"review channels: {len(found['review'])}",
    ]
    return "\n".join(
        [*lines, *_shown_work(found["database"]), *thresholds.shown(found["decisions"])]
    )


def _shown_work(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "database: none yet"
        return
    yield (
        f"unchecked: {found['unchecked']}, open actions: {found['actions']},"
        f" open cases: {found['cases']}"
    )
    for case in found["oldest"][:1]:
        since = datetime.fromtimestamp(case["created_at"], UTC)
        yield (
            f"oldest open case: {case['decision']} ({case['reason']}), {case['platform']}"
            f" {case['workspace']}, since {since:%Y-%m-%d %H:%M} UTC"
        )
    yield f"last 24 hours: {found['verdicts']} verdicts, {found['against']} not allowed"
    for action, states in found["acted"].items():
        yield f"  {action}: " + ", ".join(f"{count} {name}" for name, count in states.items())
