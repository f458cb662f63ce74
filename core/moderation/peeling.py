"""A text without one layer of its disguise, and without the next, in whatever order they lie.

Disguises are put one on the other: letters apart in front of codes, codes in markup, all of it
backwards. Each layer taken off gives a text of its own, in whatever script, with the way back to
the original; `peeled` gives all of them that some order of taking off leads to.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from html.entities import html5
from typing import TypeAlias
from urllib.parse import unquote

from core.moderation.fold_table import GONE, Table, any_of, tables
from core.moderation.reading import Kept, Reading, Run, reordered, reread, rewrite

MAX_TEXTS = 24
"""How many texts one is peeled into."""
MAX_DECODINGS = 3
"""How often what was decoded is decoded once more."""

Peel: TypeAlias = Callable[[Reading], Iterator[Reading]]

CODE = re.compile(
    r"&(?:#\d{1,7};?|#x[0-9a-f]{1,6};?|[a-z][a-z0-9]{1,31};)"
    r"|(?:%[0-9a-f]{2})+|\\u000[01e][0-9a-f]{4}|\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}",
    re.IGNORECASE,
)
# each begins with one of few signs, which is fast to look for
MARKUP = re.compile(
    r"[<!\[*_~|`\s({:](?:(?<=<)[^<>\n]{1,300}>"
    r"|(?<=!)\[[^\[\]\n]{0,300}\]\([^()\n]{0,300}\)|(?<=\[)[^\[\]\n]{0,300}\]\([^()\n]{0,300}\)"
    r"|(?<=\[)/?[a-z]{1,8}(?:=[^\]\n]{0,80})?\]"
    r"|(?<=\*)\*{1,2}|(?<=_)_{1,2}|(?<=~)~|(?<=\|)\||(?<=`)`{0,2}"
    r"|(?:(?<=[\[({])|(?<=\s)\s{0,7}[\[({])\s{0,8}(?:d[o0]t|\.)\s{0,8}[\])}]\s{0,8}|(?<=\s)d[o0]t\s"
    r"|(?<=:)(?:regional_indicator_|alphabet-white-|alphabet-yellow-|letter_)?[a-z]:)",
    re.IGNORECASE,
)
_TAG = re.compile(r"/?[a-z][^<>]*", re.IGNORECASE)
_SPACED = re.compile(r"(?<![^\W_])(\S)([^\w]{1,3}|_{1,3})(?:(.)\2)+(\S)(?![^\W_])")
_OVERRIDES = frozenset("\u202e\u2067")
_BACKWARDS = re.compile("\u202e[^\u202c\n]*|\u2067[^\u2069\n]*")
_PICTURES = ((0xA6, 0xB8), (0x2C2, 0x36F), (0x2000, 0x2BFF), (0x3000, 0x303F), (0xFE00, 0xFE0F),
             (0x1F000, 0x1FAFF))  # fmt: skip
_MARKS = ("<", "[", "(", "{", "|", "`", "~", "**", "__")
_NAMED = re.compile(r":[a-z_\-]{1,22}:", re.IGNORECASE)
_DOT = re.compile(r"[dD](?<!\w.)[oO0][tT]\b")
_BULLETS = frozenset("•‣․‥‧‖†‡※‼⁂⁃⁎⁑⁕⁛⁜⁝⁞∙⋅·")
_SPACES = dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), GONE)
_SPACED_OUT = frozenset(map(chr, _SPACES))
_INNER = "‘’´…–—"
PUNCTUATION = frozenset(_INNER)
"""Beyond ASCII, what may stand between two letters and tear no word."""

_SIGN = rf"[^\w\s\x00-\x7f{_INNER}]"
_TORN = re.compile(rf"{_SIGN}(?<=\w.){_SIGN}*\w")  # begun at the sign: there are few of them


def is_torn(text: str) -> bool:
    """Whether a picture, or another sign that is not ASCII, stands between two letters."""
    return _TORN.search(text) is not None


def has_layers(text: str) -> bool:
    """Whether something of a text that is not all ASCII is a layer of its own."""
    return _layers().search(text) is not None


def is_spaced(text: str) -> bool:
    """Whether single characters stand evenly apart somewhere."""
    return _SPACED.search(text) is not None


def can_be_peeled(reading: Reading) -> bool:
    """Whether `peeled` would give anything of it: the quick no."""
    text = reading.text
    if _is_coded(text) or _is_marked(text) or (not text.isascii() and has_layers(text)):
        return True
    return bool(_runs(reading))


def _is_coded(text: str) -> bool:
    return "&" in text or "%" in text or "\\" in text


def _is_marked(text: str) -> bool:
    """Whether there may be markup: the quick no."""
    return (
        any(mark in text for mark in _MARKS)
        or (":" in text and _NAMED.search(text) is not None)
        or _DOT.search(text) is not None
    )


def peeled(whole: Reading) -> Iterator[tuple[str, Reading]]:
    """Every text that is left when layers are taken off, with the name of the outermost."""
    seen = {whole.text}
    queue = [("", whole)]
    for name, reading in queue:
        for layer, peel in _PEELS:
            for other in peel(reading):
                if other.text in seen:
                    continue
                seen.add(other.text)
                queue.append((name or layer, other))
                yield queue[-1]
                if len(seen) > MAX_TEXTS:
                    return


def uncoded(reading: Reading) -> Reading:
    """With what codes stand for; the same where there are none."""
    for _ in range(MAX_DECODINGS if _is_coded(reading.text) else 0):
        plain = rewrite(reading, CODE, _decode)
        if plain is reading:
            break
        reading = plain
    return reading


def without_markup(reading: Reading) -> Reading:
    """With what is seen once the markup has done its work; the same where there is none."""
    if reading.unmarked is None:
        is_marked = _is_marked(reading.text)
        reading.unmarked = rewrite(reading, MARKUP, _without_markup) if is_marked else reading
    return reading.unmarked


def joined(reading: Reading) -> Iterator[Reading]:
    """With single characters that stand evenly apart put together, with and without a lone a."""
    # of three are many lists
    runs = [run for run in _runs(reading) if run[1] - run[0] > 3 * run[2]]
    if not runs:
        return
    yield _joined(reading, runs)
    if any(lone for *_, lone in runs):
        shorter = [(start + step * lone, end, step, False) for start, end, step, lone in runs]
        yield _joined(reading, shorter)


def _runs(reading: Reading) -> list[Run]:
    if reading.runs is None:
        reading.runs = [
            (match.start(), match.end(), 1 + len(match[2]), match[1] in "aiuAIU")
            for match in _SPACED.finditer(reading.text)
        ]
    return reading.runs


def backwards(reading: Reading) -> Reading:
    """With what is shown from right to left in the order in which it is read."""
    order: list[int] = []
    at = 0
    text = reading.text
    for match in _BACKWARDS.finditer(text):
        order += range(at, match.start())
        order += range(match.end() - 1, match.start(), -1)
        at = match.end()
    order += range(at, len(text))
    return reordered(reading, "".join([text[index] for index in order]), order)


def _codes(reading: Reading) -> Iterator[Reading]:
    yield uncoded(reading)


def _pictures(reading: Reading) -> Iterator[Reading]:
    if not _pictured().isdisjoint(reading.text):
        yield reread(reading, _unseen())


def _spaces(reading: Reading) -> Iterator[Reading]:
    if not _SPACED_OUT.isdisjoint(reading.text):
        yield reread(reading, _SPACES)


def _turns(reading: Reading) -> Iterator[Reading]:
    if not _OVERRIDES.isdisjoint(reading.text):
        yield backwards(reading)


_PEELS: tuple[tuple[str, Peel], ...] = (
    ("lookalike", _pictures),
    ("encoded", _codes),
    ("markup", lambda reading: iter((without_markup(reading),))),
    ("reversed", _turns),
    ("spaced", joined),
    ("spaced", _spaces),
)


@cache
def _unseen() -> Table:
    """Pictures and whatever is not seen, but nothing that a letter can be read off."""
    looks, _ = tables()
    found: Table = {code: GONE for code, read in looks.items() if read == GONE}
    for low, high in _PICTURES:
        for code in range(low, high + 1):
            character = chr(code)
            is_sign = unicodedata.category(character) in ("So", "Sk", "Cn")
            is_sign = is_sign or character in _BULLETS
            if is_sign and not looks.get(code, character).isalnum():
                found[code] = GONE
    # directions are a layer of their own
    return {code: read for code, read in found.items() if not 0x202A <= code <= 0x202E
            and not 0x2066 <= code <= 0x2069}  # fmt: skip


@cache
def _pictured() -> frozenset[str]:
    return frozenset(map(chr, _unseen()))


@cache
def _layers() -> re.Pattern[str]:
    codes = (*_unseen(), *_SPACES, *map(ord, _OVERRIDES), *range(0x1F000, 0x1FB00))
    return re.compile(any_of(code for code in codes if code > 127))


def _decode(match: re.Match[str]) -> str | None:
    code = match[0]
    if code[0] == "&":
        return _entity(code)
    if code[0] == "%":
        plain = unquote(code, errors="replace")
        return None if "\ufffd" in plain else plain
    number = int(code[2:].strip("{}"), 16)
    return None if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)


def _entity(code: str) -> str | None:
    if code[1] == "#":
        return html.unescape(code.rstrip(";") + ";")
    return _entities().get(code[1:-1].lower())


@cache
def _entities() -> dict[str, str]:
    """HTML's named characters, whatever the case of their names: folding took it away."""
    names = sorted(html5, key=str.islower)
    return {name[:-1].lower(): html5[name] for name in names if name[-1] == ";"}


def _without_markup(match: re.Match[str]) -> str | Kept | None:
    piece = match[0]
    first = piece[0]
    start = match.start()
    if first == "<":
        return _without_brackets(piece[1:-1], start + 1)
    if piece[-1] == ")" and "](" in piece:
        return start + piece.index("[") + 1, start + piece.index("](")
    if first == ":":
        return match.end() - 2, match.end() - 1
    inner = piece.strip(" [](){}\n\t").lower()
    return "." if inner in ("dot", "d0t", ".") else ""


def _without_brackets(inner: str, start: int) -> str | Kept | None:
    end = start + len(inner)
    if "|" in inner:
        return start + inner.index("|") + 1, end
    if inner.startswith(("http", "mailto:")):
        return start, end
    if inner[0] in "@#!:" or _TAG.fullmatch(inner.strip("*_~|`")):
        return ""
    return None


def _joined(reading: Reading, runs: list[Run]) -> Reading:
    order: list[int] = []
    parts: list[str] = []
    at = 0
    text = reading.text
    for start, end, step, _ in runs:
        order += range(at, start)
        order += range(start, end, step)
        parts += text[at:start], text[start:end:step]
        at = end
    order += range(at, len(text))
    parts.append(text[at:])
    return reordered(reading, "".join(parts), order)
