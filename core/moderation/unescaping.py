"""A text without escapes and disguises, and the way back to the characters that were written.

For links: what a browser or a reader would make of `bad%2Esite`, `bad[.]site`, `ｂａｄ。ｓｉｔｅ`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from core.moderation.fold_table import FOREIGN, GONE, tables, translated

# each begins with one of few signs, which is fast to look for
_ESCAPE = re.compile(
    r"[%&\[({<\\](?:(?<=%)(?:[0-9a-f]{2}(?:%[0-9a-f]{2})*)"
    r"|(?<=&)(?:#?[a-z0-9]{1,8};(?:&#?[a-z0-9]{1,8};)*)"
    r"|(?<=[\[({<])[\[({<]?\s{0,2}(?:[.。．｡․]|dot|punkt|punto|point)\s{0,2}[\])}>]{1,2}"
    r"|(?<=\\)(?=[.。．｡․]))",
    re.IGNORECASE,
)
_SPOT = re.compile(r"[./\\dD](?:(?<![dD])|[oO][tT]\s)")
_SPACES = r"\s{1,3}(?:dot|\.)\s{1,3}|\s{1,3}\.(?=\w)"
_SPACED = re.compile(_SPACES, re.IGNORECASE)
_ODD = re.compile(rf"[^\x00-\x7f]|{_SPACES}", re.IGNORECASE)

LONG = 4000
"""Characters of a text whose disguised links are all looked for."""
DISGUISED = 3000
"""Characters around dots and slashes in which they are looked for in a longer one."""
AROUND = 80

_Translation: TypeAlias = tuple[dict[int, str], frozenset[str]]
"""What characters beyond ASCII are read as, and those that are not read as one."""
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
            found = self._unescaped()
        if not found.text.isascii():
            found = Reading(translated(found.text, forms()), found, "forms")
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
                odd = _ODD.search(text, high)
                if odd is None:
                    break
                at = max(at, odd.start() - 2 * AROUND)
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
        return Reading(translated(self.text, _looks()[0]), self, "looks")

    def closed(self) -> Reading | None:
        """With the spaces around dots gone, and "dot" as a dot; None if there are none."""
        if _SPACED.search(self.text) is None:
            return None
        return Reading(_SPACED.sub(".", self.text), self, "spaces")

    def _unescaped(self) -> Reading:
        """With what escapes stand for: so many in a siege that they are traced at once."""
        found = Reading("", self, "escapes")
        swaps, places, moved = found._swaps, found._places, 0

        def meant(match: re.Match[str]) -> str:
            nonlocal moved
            start, end = match.span()
            read = _meant(match[0])
            low = start - moved
            swaps.append((low, low + len(read), start, end))
            places.append(low)
            moved = end - low - len(read)
            return read

        found.text = _ESCAPE.sub(meant, self.text)
        found._rest = iter(())
        return found

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
        for start, end, count in self._changed(source):
            low = start - moved
            yield low, low + count, start, end
            moved += end - start - count

    def _changed(self, source: str) -> Iterator[tuple[int, int, int]]:
        """What was replaced, from and to, and by how many characters."""
        if self._step == "spaces":
            for match in _SPACED.finditer(source):
                yield *match.span(), 1
            return
        table, resized = _forms() if self._step == "forms" else _looks()
        for run in FOREIGN.finditer(source):
            if not resized.isdisjoint(run[0]):
                for at, each in enumerate(run[0], run.start()):
                    if each in resized:
                        yield at, at + 1, len(table[ord(each)])


def _may_hold_escape(text: str) -> bool:
    return "%" in text or "&" in text or "\\" in text or any(each in text for each in "[({<")


@lru_cache(2048)
def _meant(escape: str) -> str:
    if escape[0] == "%":
        return unquote(escape, errors="replace")
    if escape[0] == "&":
        return html.unescape(escape)
    return "" if escape == "\\" else "."


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


@cache
def _forms() -> _Translation:
    return _translation(forms())


@cache
def _looks() -> _Translation:
    looks, _ = tables()
    return _translation(
        {code: "" if read == GONE else read for code, read in looks.items() if code > 127}
    )


def _translation(table: dict[int, str]) -> _Translation:
    return table, frozenset(chr(code) for code, read in table.items() if len(read) != 1)
