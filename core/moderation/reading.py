"""A text as it is read once its characters are taken for what they look like.

Every reading knows the way back: the span of the original that a span of it was read off.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, compress, repeat
from re import Match, Pattern
from typing import TypeAlias

from core.moderation.fold_table import GONE, Table, any_of, tables, translated

Kept: TypeAlias = tuple[int, int]
"""The part of a match that stays: where it begins and ends in the text."""

Run: TypeAlias = tuple[int, int, int, bool]
"""Single characters evenly apart: from where to where, by which step, and whether the first one
may be a word of its own."""

SHORT = 500
"""Characters up to which a text is folded one by one."""
MANY = 8000
"""Characters more than were written, from which on a text is gone through one by one."""


class Reading:
    """`text`, whose character i was read off `source[starts[i]:ends[i]]`; without lists, off i."""

    __slots__ = ("ends", "runs", "source", "starts", "text", "unmarked")

    def __init__(
        self,
        source: str,
        text: str,
        starts: Sequence[int] | None = None,
        ends: Sequence[int] | None = None,
    ) -> None:
        self.source = source
        self.text = text
        self.starts = starts
        self.ends = ends
        self.runs: list[Run] | None = None
        """The single characters that stand evenly apart, once somebody asked for them."""
        self.unmarked: Reading | None = None
        """Without markup, once somebody asked for it."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the source this span was read off, least to last."""
        if self.starts is None:
            return start, end
        first, last = self.starts[start], self.starts[end - 1]
        if last < first:  # read backwards
            start, end = end - 1, start + 1
            first, last = last, first
        return first, last + 1 if self.ends is None else self.ends[end - 1]

    def written(self, index: int) -> str:
        """The characters of the source that this one was read off."""
        if self.starts is None:
            return self.source[index]
        start = self.starts[index]
        return self.source[start : start + 1 if self.ends is None else self.ends[index]]

    def is_spelled(self, start: int, end: int, core: str) -> bool:
        """Whether the source has the very letters there, whatever their case."""
        if self.text[start:end] != core:
            return False
        return self.source[slice(*self.span(start, end))].casefold() == core

    def index(self, start: int) -> int:
        """The first character that was read off the source's `start` or what follows."""
        return start if self.starts is None else bisect_left(self.starts, start)


def read(source: str, table: Table) -> Reading:
    """Each character as the table has it; what is not seen is left out."""
    text = source.translate(table) if len(source) < SHORT else translated(source, table)
    more = len(text) - len(source)
    starts = _starts(source, table, more) if more else None
    unseen = text.count(GONE)
    if not unseen:
        return Reading(source, text, starts)
    origin: Sequence[int] = range(len(text)) if starts is None else starts
    return Reading(source, text.replace(GONE, ""), _kept(text, unseen, origin))


def _kept(text: str, unseen: int, origin: Sequence[int]) -> list[int]:
    """Of `origin`, what belongs to characters that are seen."""
    if unseen * 8 > len(text):
        codes = memoryview(text.encode("utf-32-le", "surrogatepass")).cast("I")
        return list(compress(origin, codes))
    kept: list[int] = []
    at = 0
    for piece in text.split(GONE):
        kept += origin[at : at + len(piece)]
        at += len(piece) + 1
    return kept


def _starts(source: str, table: Table, more: int) -> list[int]:
    """For each character that the table gives, `more` in all, where it was read off."""
    if more > MANY:
        widths = map(len, map(table.get, map(ord, source), source))
        return list(chain.from_iterable(map(repeat, range(len(source)), widths)))
    starts: list[int] = []
    at = 0
    for match in _longer().finditer(source):
        here = match.start()
        starts += range(at, here)
        starts += [here] * len(table.get(ord(match[0]), match[0]))
        at = here + 1
    starts += range(at, len(source))
    return starts


@cache
def _longer() -> Pattern[str]:
    """The characters that are read as more than one."""
    return re.compile(
        any_of(code for table in tables() for code, read in table.items() if len(read) > 1)
    )


def reread(reading: Reading, table: Table) -> Reading:
    """A reading read once more, as `read` does."""
    again = read(reading.text, table)
    if again.text == reading.text:
        return reading
    return _through(reading, again.text, again.starts)


def _through(reading: Reading, text: str, kept: Sequence[int] | None) -> Reading:
    starts, ends = reading.starts, reading.ends
    if kept is None:
        return Reading(reading.source, text, starts, ends)
    if starts is None:
        return Reading(reading.source, text, kept)
    return Reading(
        reading.source,
        text,
        [starts[index] for index in kept],
        None if ends is None else [ends[index] for index in kept],
    )


def reordered(reading: Reading, text: str, order: Sequence[int]) -> Reading:
    """`text`, whose character i is the reading's `order[i]`."""
    return _through(reading, text, order)


def rewrite(
    reading: Reading, pattern: Pattern[str], replace: Callable[[Match[str]], str | Kept | None]
) -> Reading:
    """Each match replaced, or cut down to a part of it; where `replace` gives None it stays."""
    text, at = reading.text, 0
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in pattern.finditer(text):
        new = replace(match)
        if new is None:
            continue
        low, high = match.span()
        parts.append(text[at:low])
        _copy(reading, at, low, starts, ends)
        at = high
        if isinstance(new, tuple):
            low, high = new
            parts.append(text[low:high])
            _copy(reading, low, high, starts, ends)
        elif new:
            begin, end = reading.span(low, high)
            parts.append(new)
            starts += [begin] * len(new)
            ends += [end] * len(new)
    if not at:
        return reading
    parts.append(text[at:])
    _copy(reading, at, len(text), starts, ends)
    return Reading(reading.source, "".join(parts), starts, ends)


def _copy(reading: Reading, low: int, high: int, starts: list[int], ends: list[int]) -> None:
    if reading.starts is None:
        starts += range(low, high)
        ends += range(low + 1, high + 1)
        return
    starts += reading.starts[low:high]
    if reading.ends is None:
        ends += [start + 1 for start in reading.starts[low:high]]
    else:
        ends += reading.ends[low:high]
