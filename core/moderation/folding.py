"""Text as the rules compare it, and the way back to the characters that were written.

Folding treats each character by itself, so that fold(a + b) == fold(a) + fold(b): the streaming
gate relies on it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from typing import NamedTuple

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class Folded(NamedTuple):
    """A folded text; `origin[i]` is where its character i comes from, None where nothing moved."""

    text: str
    origin: list[int] | None

    def start(self, index: int) -> int:
        """Where a span that begins at the folded `index` begins in the original."""
        return index if self.origin is None else self.origin[index]

    def folded_from(self, start: int) -> int:
        """Where the original character `start` begins in the folded text."""
        return start if self.origin is None else bisect_left(self.origin, start)

    def end(self, index: int) -> int:
        """Where a span that ends before the folded `index` ends in the original."""
        return index if self.origin is None else self.origin[index - 1] + 1


def fold(text: str) -> Folded:
    """Case-fold by Unicode's full rules, under which one character may become up to three."""
    folded = (text if text.isascii() else encodable(text)).casefold()
    if len(folded) == len(text):
        return Folded(folded, None)
    origin: list[int] = []
    for index, character in enumerate(text):
        origin.extend([index] * len(character.casefold()))
    return Folded(folded, origin)


def encodable(text: str) -> str:
    """The text at the same length with lone surrogates replaced, which UTF-8 can't express."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATES.sub("\ufffd", text)
    return text


def is_word(character: str) -> bool:
    """Whether it belongs to a word: letters, digits, `_`, and marks that sit on a letter."""
    if character.isalnum() or character == "_":
        return True
    return character > "\x7f" and unicodedata.category(character)[0] == "M"
