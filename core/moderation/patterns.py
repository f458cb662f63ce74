"""Regular expressions on RE2: one pass over the text for all of them, in linear time.

RE2's `\\b`, `\\w` and `\\d` know ASCII only; letters of all scripts are `\\pL`
(https://github.com/google/re2/wiki/Syntax). It refuses look-around and back-references.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from core.moderation.folding import encodable
from core.moderation.verdicts import Found

MAX_MATCHES = 100
"""Matches taken of one expression in one text; the last one then spans the rest of the text."""
_PROBE = "\x00probe\x00"
_SMALLEST, _LARGEST = 8 << 20, 256 << 20


class PatternError(ValueError):
    """RE2 can't take the expression, or not so many of them."""


def compile_pattern(written: str, *, case_sensitive: bool = False) -> Any:
    """A compiled expression; raises PatternError with RE2's own reason."""
    import re2  # noqa: PLC0415  # 6 ms and some memory, only for who has expressions

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = case_sensitive
    try:
        compiled = re2.compile(encodable(written), options)
    except re2.error as exc:
        reason = exc.args[0]
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from exc
    if compiled.search("") is not None:
        raise PatternError("it matches the empty text, so it would match everything")
    return compiled


class PatternSet:
    """All expressions of all rules; `rules[i]` is the number of the rule that owns the i-th."""

    __slots__ = ("_patterns", "_rules", "_set", "match")

    def __init__(self, owned: Sequence[tuple[int, Any]]) -> None:
        self._rules = [rule for rule, _ in owned]
        self._patterns = [pattern for _, pattern in owned]
        self._set = build_set(
            [(pattern.pattern, pattern.options.case_sensitive) for pattern in self._patterns]
        )
        self.match: Callable[[bytes], Sequence[int]] = self._set._set.Match  # noqa: SLF001
        """The indexes of the expressions that a text in UTF-8 holds, without a wrapper."""

    def serves(self, rules: Collection[int]) -> bool:
        """Whether one of these rules has an expression here."""
        return not set(self._rules).isdisjoint(rules)

    def find(self, text: str) -> Iterator[Found]:
        """Start, end and rule of every match; those of one expression don't overlap."""
        text = encodable(text)
        return self.spans(text, self.match(text.encode()))

    def spans(self, text: str, indexes: Sequence[int]) -> Iterator[Found]:
        """As `find`, of the expressions with these indexes, which `match` gave for the text."""
        for index in indexes:
            if index < len(self._rules):
                matches = list(islice(self._spans(index, text, 0), MAX_MATCHES))
                yield from matches[: MAX_MATCHES - 1]
                for start, _, rule in matches[MAX_MATCHES - 1 :]:
                    yield start, len(text), rule

    def find_from(
        self, text: str, start: int, only: Collection[int] | None = None
    ) -> Iterator[Found]:
        """As `find`, without its bound: from `start` on, of `only` these rules.

        What stands before `start` is context for `^` and `\\b`.
        """
        for index in self._set.Match(encodable(text[start:])) or ():
            if index < len(self._rules) and (only is None or self._rules[index] in only):
                yield from self._spans(index, encodable(text), start)

    def _spans(self, index: int, text: str, start: int) -> Iterator[Found]:
        rule = self._rules[index]
        for match in self._patterns[index].finditer(text, start):
            yield match.start(), match.end(), rule


def build_set(patterns: Sequence[tuple[str, bool]]) -> Any:
    """One search for all of these; its `Match` gives the indexes of those that match.

    Each with whether letter case matters; the last index is the set's own and never matches.

    Raises PatternError where they are too many for the memory that RE2 is given.
    """
    memory = _SMALLEST
    while memory <= _LARGEST:
        built = _try_set(patterns, memory)
        # A set short of memory answers "no match" instead of failing, so it has to prove itself.
        if built is not None and built.Match(_PROBE):
            return built
        memory *= 2
    raise PatternError("together the expressions need more memory than RE2 is given")


def _try_set(patterns: Sequence[tuple[str, bool]], memory: int) -> Any:
    import re2  # noqa: PLC0415  # 6 ms and some memory, only for who has expressions

    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    built = re2.Set.SearchSet(options)
    for pattern, is_case_sensitive in patterns:
        built.Add(pattern if is_case_sensitive else "(?i)" + pattern)
    built.Add(_PROBE)
    try:
        built.Compile()
    except re2.error:
        return None
    return built
