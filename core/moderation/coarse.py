"""Coarse letters: all that may stand for each other are one, so that one automaton finds them all.

Everything here only finds candidates; what is no disguise after all is told apart later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress, islice
from typing import TypeAlias

from core.moderation.fold_table import tables

Match: TypeAlias = tuple[int, int, int]
"""The number of a pattern, and from where to where it stands."""

_SAME = {"l": "i", "v": "u", "q": "g", "b": "g"}
_FIGURES = {
    "0": "o", "1": "i", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "g",
    "9": "g", "@": "a", "$": "s", "!": "i", "|": "i", "+": "t", "(": "c", "<": "c", "[": "c",
    "{": "c",
}  # fmt: skip
_PAIRS = str.maketrans(_SAME | _FIGURES)
_LONE = "surrogatepass"
_WITHOUT_SIGNS = dict.fromkeys(map(ord, "@$!|+(<[{"), " ")
CLASSES = bytes(ord(chr(code).translate(_PAIRS)) for code in range(128)) + bytes(range(128, 256))
"""For bytes in UTF-8, which is several times as fast as translating a text that is not ASCII."""


def classes(folded: str) -> str:
    """The text with all letters and figures that may stand for each other as one."""
    return folded.encode(errors=_LONE).translate(CLASSES).decode(errors=_LONE)


def in_characters(data: bytes, matches: Sequence[Match]) -> Sequence[Match]:
    """Matches in UTF-8, by character instead of by byte."""
    if not matches or data.isascii():
        return matches
    at = count = 0
    known: dict[int, int] = {}
    for place in sorted({place for _, *span in matches for place in span}):
        count += len(data[at:place].decode(errors=_LONE))
        known[place] = count
        at = place
    return [(pattern, known[start], known[end]) for pattern, start, end in matches]


class Squeezed:
    """The letters of a text alone, each run of one as one, with the way back."""

    __slots__ = ("_at", "_coarse", "_heads", "_letters", "units")

    def __init__(self, folded: str, *, signs: bool = True) -> None:
        """Without `signs`, those that look like letters are none."""
        self._coarse = coarse = classes(folded if signs else folded.translate(_WITHOUT_SIGNS))
        self._letters = _letters(coarse)
        self.units = _REPEATED.sub("", self._letters)
        self._at: list[int] = []
        self._heads: list[int] = []

    def trace(self, count: int) -> None:
        """Work out the way back from the first so many units.

        Asked for once something was found, which is seldom.
        """
        coarse, letters = self._coarse, self._letters
        heads: list[int] = []
        last = 0
        for run in _RUN.finditer(letters):
            heads += range(last, run.start() + 1)
            last = run.end()
            if len(heads) > count:
                break
        heads += range(last, min(len(letters), last + count - len(heads)) + 1)
        are_letters = (
            coarse.encode().translate(_ARE_LETTERS)
            if coarse.isascii()
            else map(str.isalnum, coarse)
        )
        self._at = list(islice(compress(range(len(coarse)), are_letters), heads[-1] + 1))
        self._heads = heads

    def is_inside(self, low: int, high: int, text: str) -> bool:
        """Whether letters that are no part of it stand directly beside the units: the quick no."""
        at, heads = self._at, self._heads
        start = at[heads[low]]
        if start and heads[low + 1] == heads[low] + 1 and text[start - 1].isalnum():
            return True
        end = at[heads[high] - 1] + 1
        return heads[high - 1] == heads[high] - 1 and text[end : end + 1].isalnum()

    def spans(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Where the units may begin and end in the text: as close as can be, and as far.

        In "grab bad" the b's are one run in two blocks; the term begins with the second.
        """
        first, last = self._run(low), self._run(high - 1)
        start = first[-1]
        while start - 1 in first:
            start -= 1
        end = last[0]
        while end + 1 in last:
            end += 1
        yield start, end + 1
        if start != first[0] or end != last[-1]:
            yield first[0], last[-1] + 1

    def _run(self, unit: int) -> list[int]:
        return self._at[self._heads[unit] : self._heads[unit + 1]]


_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())
_ARE_LETTERS = bytes(code < 128 and chr(code).isalnum() for code in range(256))


def _letters(coarse: str) -> str:
    if coarse.isascii():
        return coarse.encode().translate(None, _NO_LETTERS).decode()
    return "".join(filter(str.isalnum, coarse))


_SEPARATOR = re.compile(r"[^\w\n]|_")
_REPEATED = re.compile(r"([^\n])(?=\1)")
_RUN = re.compile(r"([^\n])\1+")


def patterns_of(cores: Sequence[str], numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Each term in coarse letters: as it is spelled, and without gaps and repetitions."""
    coarse = classes(_folded([cores[number] for number in numbers]))
    plain = coarse.encode(errors=_LONE).split(b"\n")
    yield from zip(numbers, plain, strict=True)
    squeezed = _REPEATED.sub("", _SEPARATOR.sub("", coarse))
    for number, one, other in zip(numbers, plain, squeezed.split("\n"), strict=True):
        if len(other) > 1 and one != (pattern := other.encode(errors=_LONE)):
            yield number, pattern


def has_letters(core: str) -> bool:
    """Whether something of the term is left once it is folded, so that it can be looked for."""
    return core.isascii() or len(_folded([core])) > 1


def _folded(cores: Sequence[str]) -> str:
    text = "\n".join(cores)
    return text if text.isascii() else text.translate(tables()[1]).replace("\0", "")
