"""A text without escapes and disguises, and the way back to the characters that were written.

For links: what a browser or a reader would make of `bad%2Esite`, `bad[.]site`, `ｂａｄ。ｓｉｔｅ`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from core.moderation.fold_table import GONE, tables

# each begins with one of few signs, which is fast to look for
_ESCAPE = re.compile(
    r"[%&\[({<\\](?:(?<=%)(?:[0-9a-f]{2}(?:%[0-9a-f]{2})*)"
    r"|(?<=&)(?:#?[a-z0-9]{1,8};(?:&#?[a-z0-9]{1,8};)*)"
    r"|(?<=[\[({<])[\[({<]?\s{0,2}(?:[.。．｡․]|dot|punkt|punto|point)\s{0,2}[\])}>]{1,2}"
    r"|(?<=\\)(?=[.。．｡․]))",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_SPOT = re.compile(r"[./\\dD](?:(?<![dD])|[oO][tT]\s)")
_SPACED = re.compile(r"\s{1,3}(?:dot|\.)\s{1,3}|\s{1,3}\.(?=\w)", re.IGNORECASE)


LONG = 4000
"""Characters of a text whose disguised links are all looked for."""
DISGUISED = 3000
"""Characters around dots and slashes in which they are looked for in a longer one."""
AROUND = 80
PIECE = 1000
"""Characters after which the way back may begin anew."""

_Swap: TypeAlias = tuple[int, int, int, int]
"""Where something else is read than what is written: from and to in either."""


class Reading:
    """What a text reads like; `span` leads back, and is worked out only when it is asked for."""

    __slots__ = ("_before", "_cuts", "_places", "_rest", "_step", "_swaps", "text")

    def __init__(self, text: str, before: Reading | None = None, step: str = "") -> None:
        self.text = text
        self._before = before
        self._step = step
        self._cuts: list[tuple[int, int]] = []
        self._rest: Iterator[_Swap] | None = None
        self._swaps: list[_Swap] = [(0, 0, 0, 0)]
        self._places: list[int] = [0]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where these characters stand in the text as it was written."""
        if self._before is None:
            return start, end
        if self._rest is None:
            self._rest = self._traced(self._before.text)
        while self._places[-1] < end:
            swap = next(self._rest, None)
            self._places.append(len(self.text) if swap is None else swap[0])
            self._swaps.append(swap or (len(self.text), len(self.text) + 1, 0, 0))
        return self._before.span(self._place(start)[0], self._place(end - 1)[1])

    def plain(self) -> Reading:
        """Escapes resolved, unseen characters gone, forms of letters as letters."""
        found = self
        if _may_hold_escape(self.text):
            found = Reading(_ESCAPE.sub(_meant, self.text), self, "escapes")
        if not found.text.isascii():
            found = Reading(found.text.translate(forms()), found, "forms")
        return found

    def doubtful(self) -> Reading:
        """Where a link may be in disguise; of a long text, parts of a bounded length in all."""
        text = self.text
        if len(text) <= LONG:
            return self
        is_ascii = text.isascii()
        spots = _SPACED if is_ascii else _SPOT
        cuts, parts, last, left, at = [], [], 0, DISGUISED, 0
        while left > 0 and (spot := spots.search(text, at)) is not None:
            at = spot.start() + AROUND
            low, high = max(last, spot.start() - AROUND), at + AROUND
            piece = text[low:high]
            if not is_ascii and piece.isascii() and _SPACED.search(piece) is None:
                continue
            if low > last:
                cuts.append((last, low))
                parts.append("\n")
            parts.append(piece)
            left -= len(piece)
            last = low + len(piece)
        if last < len(text):
            cuts.append((last, len(text)))
            parts.append("\n")
        found = Reading("".join(parts), self, "cuts")
        found._cuts = cuts
        return found

    def looks(self) -> Reading:
        """Each letter as the one that it looks like."""
        if self.text.isascii():
            return self
        return Reading(self.text.translate(_looks()), self, "looks")

    def closed(self) -> Reading | None:
        """With the spaces around dots gone, and "dot" as a dot; None if there are none."""
        if _SPACED.search(self.text) is None:
            return None
        return Reading(_SPACED.sub(".", self.text), self, "spaces")

    def _place(self, index: int) -> tuple[int, int]:
        low, high, start, end = self._swaps[bisect_right(self._places, index) - 1]
        if index >= high:
            start = end + index - high
            return start, start + 1
        if 3 * (high - low) == end - start:  # %61%62
            start += 3 * (index - low)
            return start, start + 3
        return start, end

    def _traced(self, source: str) -> Iterator[_Swap]:
        moved = 0
        if self._step == "cuts":
            for start, end in self._cuts:
                yield start - moved, start - moved + 1, start, end
                moved += end - start - 1
            return
        if self._step in ("forms", "looks"):
            yield from _widened(source, forms() if self._step == "forms" else _looks())
            return
        for match in (_SPACED if self._step == "spaces" else _ESCAPE).finditer(source):
            start, end = match.span()
            count = 1 if self._step == "spaces" else len(_meant(match))
            if count == 1 == end - start:
                continue
            low = start - moved
            yield low, low + count, start, end
            moved += end - start - count


def _may_hold_escape(text: str) -> bool:
    return "%" in text or "&" in text or "\\" in text or any(each in text for each in "[({<")


def _meant(match: re.Match[str]) -> str:
    if match[0][0] in "%&":
        return _decoded(match[0])
    return "" if match[0] == "\\" else "."


@lru_cache(2048)
def _decoded(code: str) -> str:
    return unquote(code, errors="replace") if code[0] == "%" else html.unescape(code)


# the parts of Unicode in which something is unseen, or a form of something else
_FORMED = ((0x80, 0x3400), (0xA640, 0xAC00), (0xF900, 0x12000), (0x13430, 0x13460),
           (0x16A00, 0x17000), (0x1BC00, 0x1FC00), (0x2F800, 0x2FA20),
           (0xE0000, 0xE01F0))  # fmt: skip


@cache
def forms() -> dict[int, str]:
    """Full stops as dots, what is not seen as nothing, forms of letters as letters."""
    found: dict[int, str] = {}
    for low, high in _FORMED:
        for code in range(low, high):
            character = chr(code)
            if unicodedata.category(character) in ("Cf", "Mn", "Me"):
                found[code] = ""
            elif not unicodedata.is_normalized("NFKC", character):
                found[code] = unicodedata.normalize("NFKC", character)
    return found | dict.fromkeys(map(ord, "。．｡․"), ".")


def _widened(source: str, table: Mapping[int, str]) -> Iterator[_Swap]:
    """What the table reads as none or several, and where each piece begins anew.

    Who asks where one place is need not go on to the end.
    """
    moved = 0
    for at in range(0, len(source), PIECE):
        yield at - moved, at - moved, at, at
        piece = source[at : at + PIECE]
        if piece.isascii():
            continue
        for match in _FOREIGN.finditer(piece):
            count = len(table.get(ord(match[0]), " "))
            if count != 1:
                start = at + match.start()
                yield start - moved, start - moved + count, start, start + 1
                moved += 1 - count


@cache
def _looks() -> dict[int, str]:
    return {code: "" if read == GONE else read for code, read in tables()[0].items() if code > 127}
