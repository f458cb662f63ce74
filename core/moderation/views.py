"""Further ways to read a text: without markup, decoded, backwards, upside down, joined letters.

Each is tried only where a hint of it is seen; hints are found by one pass for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from core.moderation.fold_table import TURNED_HINT, UPSIDE_DOWN, any_of, tables
from core.moderation.peeling import (
    MAX_DECODINGS,
    backwards,
    has_layers,
    is_spaced,
    uncoded,
    without_markup,
)
from core.moderation.reading import Reading, reordered, reread, rewrite

MIXED = 1000
"""Characters of a long text by which it is told whether it has many different ones."""
SHORT = 200
"""Characters of a text of which it is not worth the while to look for the different ones."""
PIECE = 200
OVERLAP = 60
"""Characters of a long text that are looked at together, and that they share with the next."""

SPLIT, CODED, MASKED, DRAWN, PHRASED, SIGNED = range(6)
"""Hints: letters apart or doubled, markup or codes, masks, letters drawn with signs,
words apart by more than a space, signs that may be letters between letters."""

NONE: frozenset[int] = frozenset()
_LETTER = "abcdefghijklmnopqrstuvwxyz"
_HINTS = (
    (SPLIT, "|".join(letter * 3 for letter in _LETTER)),
    (SPLIT, "aa|hh|ii|jj|kk|qq|uu|vv|ww|xx|yy|@@|00|33|44|11|\\$\\$"),
    (SPLIT, r"(?:^|[^\pL\pN])(?:" + "|".join(letter * 2 for letter in _LETTER) + ")"),
    (SPLIT, "(?:%s)[a-z]*(?:%s)" % (("|".join(letter * 2 for letter in "bcdefglmnoprstz"),) * 2)),
    (SPLIT, r"[\pL\pN][^\pL\pN\s'’,]+[\pL\pN]"),
    (SPLIT, r"\pL['’]['’]\pL|\pL{2}['’]\pL{3}"),
    (SPLIT, r"(?:^|[^\pL\pN])[\pL\pN@$!|][^\pL\pN]+[\pL\pN@$!|](?:[^\pL\pN]|$)"),
    (SPLIT, r"(?:^|[^a-z])[b-hj-z]\s+[a-z]{4}"),
    (SPLIT, r"[^\x00-\x{2e7f}]\s+[^\x00-\x{2e7f}]"),
    (SIGNED, r"[\pL\pN][^\pL\pN]*[@$!|+(<\[{][^\pL\pN]*[\pL\pN]"),
    (PHRASED, r"\s{2}|[\t\n\r\f\v]|\pL\s[|~*_]+\pL"),
    (CODED, r"&#?[a-z0-9]+|%[0-9a-f][0-9a-f]|\\[ux]|\*\*|__|~~|\|\||`|<|\]\(|\[/?[a-z]+\]"),
    (CODED, r"[\s(\[{]d[o0]t[\s)\]}]|[\[({]\.[\])}]|:[a-z_-]+[a-z]:|[:_][a-z]:"),
    (MASKED, r"[\pL\pN][*#%&?@$!^~+=._\-]+[\pL\pN]|\pL[*#]{2}|[*#]\pL{3}|\pL[*#•●■█▪×]+\s+\pL"),
    (MASKED, r"\pL[^\x00-\x7f\pL\pN\pM\s‘’´…–—]+\pL"),
    (DRAWN, r"\|[-<(){\]=_>*238?\\]|\\/|/\\|/-\\|\(\)|\[\]|><|\)\(|\(_\)|<>|vv|ph|`/|13"),
)

_DRAWINGS = {
    "|\\/|": "m", "/\\/\\": "m", "|v|": "m", "(v)": "m", "|\\|": "n", "/\\/": "n", "\\/\\/": "w",
    "vv": "w", "\\^/": "w", "\\|/": "w", "\\/": "v", "/-\\": "a", "/\\": "a", "|-|": "h",
    "]-[": "h", ")-(": "h", "}-{": "h", "|<": "k", "|{": "k", "|(": "k", "|_|": "u", "(_)": "u",
    "|_": "l", "()": "o", "[]": "o", "<>": "o", "|)": "d", "|]": "d", "[)": "d", "|>": "p",
    "|*": "p", "|3": "b", "|8": "b", "13": "b", "|=": "f", "ph": "f", "|2": "r", "|?": "r",
    "><": "x", ")(": "x", "}{": "x", "`/": "y",
}  # fmt: skip
_DRAWN = re.compile("|".join(map(re.escape, sorted(_DRAWINGS, key=len, reverse=True))))
_DRAWN_OUT = re.compile(r"([^\W_])\1\1+")
_OVERRIDES = frozenset("\u202e\u2067")
_TAGS = frozenset(map(chr, range(0xE0020, 0xE007F)))


class View(NamedTuple):
    """A reading, and the name under which its hits are reported."""

    name: str
    reading: Reading


_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_ASCII_CLASSES = ((r"\pL\pN", "a-z0-9"), (r"\pM", ""))


def match_hints(folded: bytes) -> Sequence[int]:
    """The numbers of the hints that a folded text in UTF-8 holds, as fast as it goes."""
    # the classes of all scripts take megabytes, which most channels never need
    return hint_set(is_ascii=folded.isascii())(folded)


@cache
def hint_set(*, is_ascii: bool) -> Callable[[bytes], Sequence[int]]:
    """The matcher of all hints, for texts in ASCII or for all; made at its first use."""
    import re2  # noqa: PLC0415  # only for who has terms

    options = re2.Options()
    options.log_errors = False
    if is_ascii:
        options.encoding = re2.Options.Encoding.LATIN1
    built = re2.Set.SearchSet(options)
    for _, pattern in _HINTS:
        built.Add(_in_ascii(pattern) if is_ascii else pattern)
    built.Compile()
    match: Callable[[bytes], Sequence[int]] = built._set.Match  # noqa: SLF001  # spares a wrapper
    return match


def _in_ascii(pattern: str) -> str:
    """The same hint in a text of ASCII alone, whose case is folded."""
    pattern = _BEYOND_ASCII.sub("", pattern)
    for classes, letters in _ASCII_CLASSES:
        pattern = pattern.replace(classes, letters)
    pattern = re.sub(r"(\[[^\]]*)\\pL", r"\1a-z", pattern)
    pattern = pattern.replace(r"\pL", "[a-z]")
    return pattern.replace(r"\x{2e7f}", r"\xff")


def hints(folded: bytes) -> frozenset[int]:
    """What the text, in UTF-8, gives reason to try."""
    return kinds(match_hints(folded))


def kinds(found: Sequence[int]) -> frozenset[int]:
    """What the hints with these numbers hint at."""
    return frozenset([_HINTS[index][0] for index in found]) if found else NONE


def is_layered(part: str) -> bool:
    """Whether something of the part of a text is a layer, or may be."""
    seen = hints(part.lower().encode(errors="replace"))
    return (
        CODED in seen
        or (SPLIT in seen and is_spaced(part))
        or (not part.isascii() and has_layers(part))
    )


def excerpt(reading: Reading, wanted: Callable[[str], bool], limit: int) -> Reading:
    """The parts of a long text that are wanted, up to `limit` characters of them, lines apart."""
    text = reading.text
    spans: list[list[int]] = []
    left = limit
    for at in range(0, len(text), PIECE):
        low, high = max(0, at - OVERLAP), min(len(text), at + PIECE + OVERLAP)
        if left <= 0 or not wanted(text[low:high]):
            continue
        left -= PIECE
        if spans and low <= spans[-1][1]:
            spans[-1][1] = high
        else:
            spans.append([low, high])
    order: list[int] = []
    parts: list[str] = []
    for low, high in spans:
        order += range(low, high)
        order.append(high - 1)
        parts.append(text[low:high])
    return reordered(reading, "\n".join([*parts, ""]), order)


def hinted(reading: Reading, limit: int) -> tuple[Reading, frozenset[int]]:
    """What of a text is worth reading anew, up to about `limit` characters, and what hints at it.

    A long text is looked at piece by piece, until enough of them are chosen.
    """
    if len(reading.text) <= limit:
        return reading, hints(reading.text.encode())
    seen: set[int] = set()

    def is_odd(piece: str) -> bool:
        found = hints(piece.encode())
        seen.update(found)
        return bool(found)

    return excerpt(reading, is_odd, limit), frozenset(seen)


def decoded(reading: Reading) -> Reading:
    """Without markup, codes taken for what they stand for; the reading itself if it has none."""
    looks, _ = tables()
    for _ in range(MAX_DECODINGS):
        plain = without_markup(uncoded(reading))
        if plain is reading:
            break
        reading = plain if plain.text.isascii() and plain.text.islower() else reread(plain, looks)
    return reading


def drawn(reading: Reading) -> Reading:
    """With letters in place of what is drawn of signs."""
    return rewrite(reading, _DRAWN, lambda match: _DRAWINGS[match[0]])


@cache
def _special() -> re.Pattern[str]:
    looks, cased = tables()
    differ = [code for code, read in looks.items() if cased[code] != read]
    special = map(ord, (*_OVERRIDES, *TURNED_HINT))
    return re.compile(any_of((*differ, *special, *range(0xE0020, 0xE007F))))


_RUNS = b"aa|hh|ii|jj|kk|qq|uu|vv|ww(?!w)|xx|yy|([a-z])\\1\\1"
_WORDS = rb"[a-z0-9]{2,}+(?:[-_.](?:[a-z0-9][-_.])?[a-z0-9]{2,}+)*+"
_TORN = rb"(?:[a-z0-9_-]+\.)*[a-z0-9]{1,3}(?:[-_][a-z0-9]{1,3})+(?![a-z0-9_-])"
"""A host with a label of nothing but scraps: words that are torn apart look like that."""
_ORDINARY = re.compile(
    rb"(?<![^\s(<])https?://(?:www\.)?(?!" + _TORN + rb")(?!\S*?(?:" + _RUNS + rb"))"
    + _WORDS + rb"(?::\d+)?"
    rb"(?:/" + _WORDS + rb")*+(?:/[a-z0-9](?:[-_.][a-z0-9])?(?![a-z0-9_.-]))?/?"
    rb"(?:\?[a-z0-9_]+=[a-z0-9_-]*(?:&[a-z0-9_]{2,}=[a-z0-9_]*)*)?(?![^\s)>,.!?]|[.!?,)>]\w)"
)  # fmt: skip


def without_links(folded: bytes) -> bytes:
    """The text without what is between the words of links that look as links do.

    Dashes, dots and single letters hint at nothing there.
    """
    return _ORDINARY.sub(b"http", folded)


@cache
def _inert() -> frozenset[str]:
    looks, _ = tables()
    signs = (*range(0x2010, 0x2C00), *range(0x1F000, 0x1FB00))
    still = [chr(code) for code in signs if looks.get(code) == chr(code)]
    return frozenset((*map(chr, range(128)), *still, "\ufe0f"))


_QUOTES = {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"'}
QUOTED = frozenset(_QUOTES)
FEW = 12
"""Characters for each of which a text is rewritten faster than character by character."""

_ASTRAY = re.compile("(?<![\u2190-\u2bff\U0001f000-\U0001faff])\ufe0f")


def beyond_ascii(text: str) -> list[str]:
    """The characters of a text that are not ASCII; of a longer one each once."""
    if len(text) < SHORT:
        return _BEYOND_ASCII.findall(text)
    return [each for each in set(text) if each > "\x7f"]


def straight(text: str) -> str:
    """With straight quotation marks."""
    for quote, plain in _QUOTES.items():
        text = text.replace(quote, plain)
    return text


def folded_by(text: str, odd: str) -> str:
    """As it is read when letter case does not matter; `odd` is all of it that is not ASCII."""
    _, cased = tables()
    if len(odd) > FEW:
        return text.translate(cased)
    for each in odd:
        text = text.replace(each, cased.get(ord(each), each))
    return text.lower()


def is_inert(text: str, beyond: Sequence[str]) -> bool:
    """Whether all of it `beyond` ASCII are signs and pictures that stand for no letter."""
    return _inert().issuperset(beyond) and ("\ufe0f" not in text or _ASTRAY.search(text) is None)


def has_other_ways(text: str) -> bool:
    """Whether a text holds something that can be read in another way than letter by letter."""
    search = _special().search
    if len(text) <= MIXED or search(text[:MIXED]) is not None:
        return search(text) is not None
    if len(set(text[:MIXED])) < MIXED // 4:
        text = "".join(set(text))  # what few characters there are tells as much
    return search(text) is not None


def other_ways(reading: Reading) -> Iterator[View]:
    """Readings of a text as it was written, not all ASCII: backwards, upside down, in tags."""
    looks, _ = tables()
    text = reading.text
    characters = set(text)
    if not _OVERRIDES.isdisjoint(characters):
        yield View("reversed", reread(backwards(reading), looks))
    if not TURNED_HINT.isdisjoint(characters):
        turned = text.translate(UPSIDE_DOWN)
        yield View("flipped", reread(reordered(reading, turned, range(len(text))), looks))
        back = range(len(text) - 1, -1, -1)
        yield View("flipped", reread(reordered(reading, turned[::-1], back), looks))
    if not _TAGS.isdisjoint(characters):
        at = [i for i, each in enumerate(text) if each in _TAGS]
        hidden = "".join(chr(ord(text[i]) - 0xE0000) for i in at).lower()
        yield View("hidden", reordered(reading, hidden, at))


def drawn_in(reading: Reading) -> Reading:
    """With letters that stand three times or more once only."""
    return rewrite(reading, _DRAWN_OUT, lambda match: (match.start(), match.start() + 1))
