"""What is natural in real languages and in code, and so is no disguise."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from core.moderation.fold_table import strip_marks

_BLOCKS = (
    (0x370, 0x3FF, "greek"), (0x400, 0x52F, "cyrillic"), (0x530, 0x58F, "armenian"),
    (0x590, 0x5FF, "hebrew"), (0x600, 0x77F, "arabic"), (0x900, 0xDFF, "indic"),
    (0xE00, 0xEFF, "thai"), (0x1000, 0x109F, "burmese"), (0x10A0, 0x10FF, "georgian"),
    (0x1200, 0x139F, "ethiopic"), (0x13A0, 0x13FF, "cherokee"), (0x1780, 0x17FF, "khmer"),
    (0x1F00, 0x1FFF, "greek"), (0x2E80, 0x9FFF, "cjk"), (0xAC00, 0xD7AF, "hangul"),
    (0xF900, 0xFAFF, "cjk"), (0xFB1D, 0xFB4F, "hebrew"), (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFF, "arabic"), (0x20000, 0x3FFFF, "cjk"),
)  # fmt: skip
NEAR = 3000
"""Characters of a text that tell its language."""
MANY = 50
"""Words that tell it."""
SHORT = 4
"""Up to so many letters a word of one language is easily one of another without its marks."""


def script(character: str) -> str:
    """The script of a letter; empty for what belongs to none that a language is written in."""
    code = ord(character)
    if code < 0x250 or 0x1E00 <= code < 0x1F00:
        return "latin"
    for low, high, name in _BLOCKS:
        if low <= code <= high:
            return name
    return ""


def scripts(text: str) -> Counter[str]:
    """How many letters of each script."""
    return Counter(script(character) for character in text if character.isalpha())


def is_foreign(written: str, source: str) -> bool:
    """Whether it is a word of another script in a text of that script, whose letters look Latin."""
    name, count = _only_script(written)
    if name in ("", "latin"):
        return False
    around, mixed = _surroundings(source)
    return around[name] - count >= max(2, around["latin"]) and name not in mixed


@lru_cache(maxsize=256)
def _only_script(written: str) -> tuple[str, int]:
    """The one script of its letters, and how many they are; an empty one if there are several."""
    own = scripts(written)
    return next(iter(own.items())) if len(own) == 1 else ("", 0)


@lru_cache(maxsize=1)
def _surroundings(source: str) -> tuple[Counter[str], frozenset[str]]:
    """Letters by script, and the scripts that share a word with Latin letters."""
    around: Counter[str] = Counter()
    mixed: set[str] = set()
    for word in source[:NEAR].split():
        found = scripts(word)
        around += found
        if found["latin"]:
            mixed |= found.keys()
    return around, frozenset(mixed)


def is_marked_language(written: str, source: str) -> bool:
    """Whether its marks are those of a language that the text around is written in."""
    letters = [character for character in written if character.isalpha()]
    if len(letters) > SHORT or any(script(each) != "latin" for each in letters):
        return False
    if not any(each > "\x80" for each in letters):
        return False
    if not all(_is_ordinary(written)):
        return False
    return sum(written not in word for word in _ordinary_words(source)) >= 2


@lru_cache(maxsize=1)
def _ordinary_words(source: str) -> list[str]:
    """Of those near its beginning, the words with marks that some alphabet has."""
    words = source[:NEAR].split()
    return [word for word in words if not word.isascii() and all(_is_ordinary(word))][:MANY]


def _is_ordinary(word: str) -> Iterable[bool]:
    """For each character, whether some alphabet of Latin letters has it."""
    plain = unicodedata.normalize("NFC", word)
    return (each.isascii() or not each.isalpha() or script(each) == "latin" for each in plain)


def is_ambiguous(written: str) -> bool:
    """Whether only the text around it tells if it is a word of another language."""
    own = scripts(written)
    if len(own) != 1:
        return False
    name = next(iter(own))
    return name not in ("", "latin") or (len(written) <= SHORT and not written.isascii())


def is_native(core: str, written: str) -> bool:
    """Whether what it has of the term's own script is the term's letters, in order."""
    names = {script(each) for each in core if not each.isascii() and each.isalpha()}
    wanted = strip_marks(core).casefold() if names != {"latin"} else core
    have = strip_marks(written).casefold() if names != {"latin"} else written.casefold()
    at = 0
    own = 0
    for character in have:
        if character.isascii() or script(character) not in names:
            continue
        own += 1
        if at and character == wanted[at - 1]:
            continue
        at = wanted.find(character, at) + 1
        if not at:
            return False
    return own > 0


_HEXADECIMAL = frozenset("0123456789abcdef-:")


def is_hexadecimal(text: str, start: int, end: int) -> bool:
    """Whether it is a part of a longer number in hexadecimal, as UUIDs, colours and hashes are."""
    if not _HEXADECIMAL.issuperset(text[start:end]):
        return False
    if start and text[start - 1] == "#":
        return True
    low, high = start, end
    while low and text[low - 1] in _HEXADECIMAL:
        low -= 1
    while high < len(text) and text[high] in _HEXADECIMAL:
        high += 1
    return high - low >= end - start + 4
