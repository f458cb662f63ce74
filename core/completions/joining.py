"""Joins the continuation of a broken answer to what had arrived of it, without I/O.

Models that are asked to go on often start by repeating: the last words, the last line, or the
whole text so far. What is repeated is dropped; nothing is decided before it is certain.
"""

from __future__ import annotations

_LONG = 6
"""Characters from which an overlap is no coincidence, wherever it starts."""

_WORD = 3
"""The same for an overlap that starts where a word does."""

_RESTART = 20
"""So many characters of the beginning repeated, then a difference: it is another answer."""


class Joiner:
    """Feed it the continuation; it returns what has to be appended to `partial`."""

    def __init__(self, partial: str) -> None:
        self._partial = partial
        self._held: str | None = ""
        self.is_other_answer = False
        """The model began anew and then differed: appending would repeat what is visible."""

    def feed(self, piece: str) -> str:
        """Hold the text back while it may still turn out to be a repetition."""
        if self._held is None:
            return piece
        self._held += piece
        at = self._partial.find(self._held)
        if at >= 0 and at + len(self._held) < len(self._partial):
            return ""
        if at >= 0 and len(self._held) < _LONG:  # it ends the partial: what follows decides
            return ""
        return self._decide()

    def end(self) -> str:
        """What was held back when the continuation ended."""
        return "" if self._held is None else self._decide()

    def _decide(self) -> str:
        text, self._held = self._held or "", None
        skip = _overlap(self._partial, text)
        head = text[:_RESTART]
        begins_anew = len(head) == _RESTART and self._partial.startswith(head)
        self.is_other_answer = begins_anew and skip < _RESTART
        return text[skip:]


def _overlap(partial: str, text: str) -> int:
    """Length of the longest beginning of `text` that ends `partial` and is no coincidence."""
    for size in range(min(len(partial), len(text)), 0, -1):
        if partial.endswith(text[:size]) and _is_repetition(partial, text, size):
            return size
    return 0


def _is_repetition(partial: str, text: str, size: int) -> bool:
    if size >= _LONG or size == len(partial) or text[:size].strip(" ") == "":
        return True
    begins_inside_word = partial[-size - 1].isalnum() and text[0].isalnum()
    # one or two letters of a word that was cut are repeated with it; digits may well be new
    return not begins_inside_word and (size >= _WORD or text[:size].isalpha())
