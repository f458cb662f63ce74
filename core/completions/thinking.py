"""Splits `<think>...</think>` out of content that arrives in pieces, without I/O.

A tag counts wherever it stands except inside backticks, where a model that explains the tag
quotes it.
"""

from __future__ import annotations

_OPEN = "<think>"
_CLOSE = "</think>"


class ThinkSplitter:
    """Feed it content; it returns (visible text, reasoning) that is certain so far."""

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._is_code = False
        self._trim = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Hold back at most what may still become a tag."""
        if not (self._held or self._is_thinking or self._trim or "<" in piece):
            self._count_backticks(piece)
            return piece, ""
        self._held += piece
        text: list[str] = []
        reasoning: list[str] = []
        while self._held:
            wanted = _CLOSE if self._is_thinking else _OPEN
            before, tag, after = self._held.partition(wanted)
            if not tag:
                keep = _partial_tag(before, wanted)
                before, after = before[: len(before) - keep], before[len(before) - keep :]
            (reasoning if self._is_thinking else text).append(self._pass(before, tag))
            self._held = after
            if not tag:
                break
        return "".join(text), "".join(reasoning)

    def end(self) -> tuple[str, str]:
        """What was held back when the content ended."""
        held, self._held = self._held, ""
        return ("", held) if self._is_thinking else (held, "")

    def _pass(self, before: str, tag: str) -> str:
        """Account for `before` and the tag after it; return what of both is text."""
        if self._is_thinking:
            if tag:
                self._is_thinking = False
                self._trim = True
            return before
        if self._trim:
            before = before.lstrip()
            self._trim = not before
        self._count_backticks(before)
        if tag and self._is_code:
            return before + tag
        self._is_thinking = bool(tag)
        return before

    def _count_backticks(self, text: str) -> None:
        if text.count("`") % 2:
            self._is_code = not self._is_code


def _partial_tag(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins the tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
