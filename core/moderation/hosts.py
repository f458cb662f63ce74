"""Names with dots between their words, wherever they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TypeAlias

MOST = 64
"""Endings of names that are looked for one by one."""
_LONGEST = 300
"""Characters of a name that are looked at, counted from its end; DNS has 253."""

# begun at the dot, which is fast to look for, and possessive: no text makes these slow
_REST = re.compile(r"\.(?<=(?:[^\W_]|-)\.)(?:[^\W_]++|-)++(?:\.(?:[^\W_]++|-)++)*+")
_FIRST = re.compile(r"(?:[^\W_]++|-)++")
_BEFORE = re.compile(r"(?:[^\W_]++|-)++(?:\.(?:[^\W_]++|-)++)*+")
_MORE = re.compile(r"\.?(?:[^\W_]|-)")
_ASCII = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++")
_ASCII_DOT = re.compile(r"\.(?<=[A-Za-z0-9-]\.)(?=[A-Za-z0-9-])")

Host: TypeAlias = tuple[int, int, str]
"""Where it stands, start and end, and its last word as it is written."""


def hosts(text: str, begin: int = 0) -> Iterator[Host]:
    """All that is written with dots between its words from `begin` on, from left to right.

    Of a name that is not all ASCII the parts that are come first: other letters may touch them.
    """
    is_ascii, last = text.isascii(), begin
    for match in _REST.finditer(text, begin):
        dot, end = match.span()
        first = _FIRST.match(text[last:dot][::-1])
        if first is None:  # begun in the middle of one
            continue
        start, last = dot - first.end(), end
        if not is_ascii and not (name := text[start:end]).isascii():
            yield from _in_ascii(name, start)
        yield start, end, text[text.rindex(".", dot, end) + 1 : end]


class Endings:
    """The last words of the names that somebody looks for, in small letters."""

    __slots__ = ("_pattern", "_words")

    def __init__(self, words: Collection[str]) -> None:
        self._words = frozenset(words)
        written = [*self._words, *(_punycode(word) for word in words if not word.isascii())]
        self._pattern = None
        if 0 < len(written) <= MOST:
            either = "|".join(map(re.escape, written))
            # other letters may touch a name in ASCII
            self._pattern = re.compile(rf"\.(?:{either})(?!\.?[A-Za-z0-9-])", re.IGNORECASE)

    def hosts(self, text: str, begin: int = 0) -> Iterator[Host]:
        """As `hosts`, those that end like this."""
        if self._pattern is None:
            for each in hosts(text, begin) if self._words else ():
                if spelled_out(each[2]) in self._words:
                    yield each
            return
        for match in self._pattern.finditer(text, begin):
            dot, end = match.span()
            before = _BEFORE.match(text[max(0, dot - _LONGEST) : dot][::-1])
            if before is None:
                continue
            start = dot - before.end()
            if not (name := text[start:end]).isascii():
                yield from _in_ascii(name, start)
                if _MORE.match(text, end) is not None:
                    continue
            yield start, end, text[dot + 1 : end]


def _in_ascii(name: str, at: int) -> Iterator[Host]:
    if _ASCII_DOT.search(name) is None:
        return
    for part in _ASCII.finditer(name):
        start, end = part.span()
        before = name[start - 1 : start]
        # the rest of a word with letters like these is no address; other scripts may touch one
        if before >= "\u0530" or not before.isalpha():
            yield at + start, at + end, name[name.rindex(".", start, end) + 1 : end]


def labels_of(name: str) -> list[str]:
    """The words of a name in small letters, punycode as what it stands for."""
    labels = name.lower().split(".")
    return [spelled_out(label) for label in labels] if "xn--" in name.lower() else labels


def spelled_out(label: str) -> str:
    """One word of a name in small letters, punycode as what it stands for."""
    label = label.lower()
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:64].encode("ascii").decode("punycode").lower()
    except (UnicodeError, ValueError):
        return label


def _punycode(label: str) -> str:
    return "xn--" + label.encode("punycode").decode("ascii")
