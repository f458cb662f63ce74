"""Which end of a text may be a disguise that is still being written."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_SUSPENSE = 128
"""Characters that may be held for it."""

_PLAIN = re.compile(
    r"[\"'(\[«“‘*_`]*[^\W\d_]*(?:['’-][^\W\d_]+)*[.,!?;:…)\]\"'»”’*_`]*|\d+(?:[.,:]\d+)*[.,!?;:%)]*"
)
"""A word, or number, with the punctuation around it."""
_ODD = re.compile(r"(\w)\1\1|(?:^|\W)(\w)\2|([ahijkquvwxy])\3", re.IGNORECASE)
_LONE = re.compile(r"(?:(?<=\s)|^)(?:[^\s]{1,2}\s+)+[^\s]{0,2}$")


def undecided_from(text: str) -> int:
    """Where the last word begins if it is no plain one, or the single letters that end the text."""
    tail = text[-MAX_SUSPENSE:]
    base = len(text) - len(tail)
    at = max(tail.rfind(" "), tail.rfind("\n"), tail.rfind("\t")) + 1
    word = tail[at:]
    lone = _LONE.search(tail) if len(word) <= 2 else None
    if lone is not None and _has_lone_letters(lone[0]):
        return base + lone.start()
    return len(text) if not word or _is_plain(word) else base + at


@lru_cache(4096)
def _is_plain(word: str) -> bool:
    return word.isascii() and _PLAIN.fullmatch(word) is not None and _ODD.search(word) is None


def _has_lone_letters(run: str) -> bool:
    """Whether it begins with a letter that stands alone."""
    pieces = run.split()
    return bool(pieces) and sum(map(str.isalnum, pieces[0])) <= 1
