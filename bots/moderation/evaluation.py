"""`moderation eval`: how many of a file's lines the local rules judge as the file says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from core.errors import ConfigError
from core.moderation import LocalRules, RuleSpec
from core.moderation.domains import looks_like_domain
from core.moderation.rules import parse_words
from core.moderation.terms import parse_term

MAX_FAULTS = 20
"""Bad lines that are named."""
Id: TypeAlias = str | int
Advance: TypeAlias = Callable[[int, int], None]


class Line(NamedTuple):
    """One line of the file."""

    id: Id
    text: str
    term: str
    """Empty: none in particular."""
    should_match: bool


class Result(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    caught: int
    missed: list[Id]
    false_hits: list[Id]


def read_lines(path: Path) -> list[Line]:
    """The lines of a file; raises ConfigError that names file and line of each bad one."""
    lines: list[Line] = []
    faults: list[str] = []
    for number, raw in enumerate(_bytes(path).split(b"\n"), 1):
        if raw.strip():
            try:
                lines.append(_line(raw))
            except ValueError as exc:
                faults.append(f"{path}:{number}: {exc}")
    if faults:
        more = len(faults) - MAX_FAULTS
        also = [f"and {more} more lines"] if more > 0 else []
        raise ConfigError("\n".join([*faults[:MAX_FAULTS], *also]))
    return lines


def read_terms(path: Path) -> list[str]:
    """The terms of a list, one a line; raises ConfigError for those that can't be used."""
    try:
        content = _bytes(path).decode("utf-8")
    except UnicodeDecodeError as exc:
        number = exc.object[: exc.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{number}: it is not UTF-8") from exc
    faults = []
    for number, line in enumerate(content.removeprefix("\ufeff").splitlines(), 1):
        for term in parse_words(line):
            try:
                parse_term(term)
            except ValueError as exc:
                faults.append(f"{path}:{number}: {exc}")
    if faults:
        raise ConfigError("\n".join(faults[:MAX_FAULTS]))
    return list(parse_words(content))


def evaluate(lines: list[Line], terms: list[str], advance: Advance | None = None) -> Result:
    """Judge every line by the lines' own terms and these."""
    numbers: dict[str, int] = {}
    for term in (*(line.term for line in lines if line.term), *terms):
        numbers.setdefault(term, len(numbers))
    rules = LocalRules.build([_spec(number, term) for term, number in numbers.items()])
    missed: list[Id] = []
    false_hits: list[Id] = []
    caught = 0
    for done, line in enumerate(lines):
        if advance is not None and not done % 512:
            advance(done, len(lines))
        is_hit = _is_hit(rules, line, numbers)
        if line.should_match:
            caught += is_hit
        if is_hit != line.should_match:
            (missed if line.should_match else false_hits).append(line.id)
    return Result(caught, missed, false_hits)


def summary(result: Result, count: int, seconds: float) -> str:
    """For people."""
    meant = result.caught + len(result.missed)
    share = f" ({100 * result.caught / meant:.1f} %)" if meant else ""
    clean = count - meant
    parts = [
        f"{count} lines in {seconds:.1f} s",
        f"caught {result.caught} of {meant} that should match{share}",
        f"false hits: {len(result.false_hits)} of {clean} that should not",
    ]
    for name, ids in (("missed lines", result.missed), ("falsely hit", result.false_hits)):
        if ids:
            more = f" and {len(ids) - MAX_FAULTS} more" if len(ids) > MAX_FAULTS else ""
            parts.append(f"{name}, by id: {', '.join(map(str, ids[:MAX_FAULTS]))}{more}")
    return "\n".join(parts)


def _spec(number: int, term: str) -> RuleSpec:
    domains = (term,) if looks_like_domain(term) else ()
    return RuleSpec(str(number), terms=(term,), domains=domains)


def _is_hit(rules: LocalRules, line: Line, numbers: dict[str, int]) -> bool:
    hits = rules.check(line.text).hits
    if not line.term or not hits:
        return bool(hits)
    own = str(numbers[line.term])
    return any(hit.rule == own for hit in hits)


def _line(raw: bytes) -> Line:
    try:
        found: Any = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise ValueError("it is not UTF-8") from exc
    except ValueError as exc:
        raise ValueError(f"it is not JSON: {exc}") from exc
    for fault in _faults(found):
        raise ValueError(fault)
    return Line(found["id"], found["text"], found.get("term") or "", found["should_match"])


def _faults(found: Any) -> Iterator[str]:
    if not isinstance(found, dict):
        yield "expected an object with id, text, term and should_match"
    for key in ("id", "text", "should_match"):
        if key not in found:
            yield f"{key} is missing"
    if isinstance(found["id"], bool) or not isinstance(found["id"], str | int):
        yield "id: expected a text or a number"
    if not isinstance(found["text"], str):
        yield "text: expected a text"
    if not isinstance(found["should_match"], bool):
        yield "should_match: expected true or false"
    term = found.get("term")
    if term is not None and not isinstance(term, str):
        yield "term: expected a text"
    if term:
        try:
            parse_term(term)
        except ValueError as exc:
            yield f"term: {exc}"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
