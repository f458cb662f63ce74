"""Words some of whose letters are covered: f*ck, s**t, b#dword."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.moderation.likeness import STANDS_FOR, spell

_TOKEN = re.compile(
    r"(?<![^\W_])[^\W_]++(?:(?:[*#%&?@$!^~+=._\-]|[^\x00-\x7f\w\s])++[^\W_]*+)+|[*#]++[^\W_]{3,}"
)
_WEAK = frozenset("._-")
_STRONG = frozenset("*#•●■█▪")
_ENDS = ".,!?-_~&=+:;%"
_WORD = re.compile(r"[^\W_]+")
_COVERS = frozenset("*#%&?@$!^~+=_•●▪■█×")
_PATH = frozenset("/@")
"""What stands before the parts of a link."""
MIN_LETTERS = 4
MIN_IN_PHRASE = 2
MIN_PHRASE = 6
"""Characters of a term of several words, one of which may be covered in part."""
MAX_TOKENS = 400
"""Different covered words that are looked at in one text."""


class Masked(NamedTuple):
    """A covered word that a term fits."""

    start: int
    end: int
    term: int


class MaskIndex:
    """The terms by length and ends, so that few have to be tried on a covered word."""

    __slots__ = ("_cores", "_ends", "_phrases", "_shapes")

    def __init__(self, cores: Sequence[str], numbers: Sequence[int]) -> None:
        self._cores = cores
        self._shapes: dict[str, array[int]] = {}
        self._phrases: dict[str, array[int]] = {}
        shapes = self._shapes
        for term in numbers:
            letters = cores[term]
            if not (letters.isascii() and letters.isalnum()):
                letters, cuts = spell(letters)
                if cuts:
                    self._add_phrase(term)
                    continue
            if len(letters) >= MIN_LETTERS:
                key = f"{len(letters)}{letters[0]}{letters[-1]}"
                known = shapes.get(key)
                if known is None:
                    shapes[key] = array("I", (term,))
                else:
                    known.append(term)
        keys = shapes.keys() | self._phrases.keys()
        self._ends = "".join({key[-1] for key in keys}), "".join({key[-2] for key in keys})

    def _add_phrase(self, term: int) -> None:
        """By each of its words; every other number is where in the term the word begins."""
        core = self._cores[term]
        for match in _WORD.finditer(core):
            word = match[0]
            if len(word) >= MIN_IN_PHRASE and len(core) >= MIN_PHRASE:
                key = f"{len(word)}{word[0]}{word[-1]}"
                self._phrases.setdefault(key, array("I")).extend((term, match.start()))

    def find(self, text: str) -> Iterator[Masked]:
        """Every covered word in a folded text that some term fits."""
        known: dict[str, list[int]] = {}
        phrased: dict[str, list[tuple[int, int]]] = {}
        for start, end, token in _covered(text):
            if len(known) + len(phrased) >= MAX_TOKENS:
                return
            word = text[start:end]
            if self._phrases:
                spots = phrased.get(word)
                if spots is None:
                    spots = phrased[word] = list(self._spots(word))
                yield from self._in_phrases(text, start, spots)
            if len(word) < MIN_LETTERS or _is_emphasised(text, *token, word):
                continue
            terms = known.get(word)
            if terms is None:
                terms = known[word] = list(self._fitting(word))
            for term in terms:
                yield Masked(start, end, term)

    def _fitting(self, word: str) -> Iterator[int]:
        if not _is_masked(word):
            return
        second = word[1] if word.isascii() else "*"
        for key in self._keys(word):
            for term in self._shapes.get(key, ()):
                core = self._cores[term]
                if core[1] != second and second.isalpha() and core.isalnum():
                    continue
                if _fits(spell(core).letters, word):
                    yield term

    def _keys(self, word: str) -> list[str]:
        size, first, last = len(word), word[0], word[-1]
        lasts = _readings(last) if last.isalnum() else self._ends[0]
        firsts = _readings(first) if first.isalnum() else self._ends[1]
        return [f"{size}{a}{b}" for a in firsts for b in lasts]

    def _spots(self, word: str) -> Iterator[tuple[int, int]]:
        """The terms of several words that may have this one, and where in them it begins."""
        if not _COVERS.issuperset(each for each in word if not each.isalnum()):
            return
        for key in self._keys(word):
            known = self._phrases.get(key)
            if known is not None:
                yield from zip(known[::2], known[1::2], strict=True)

    def _in_phrases(self, text: str, at: int, spots: Sequence[tuple[int, int]]) -> Iterator[Masked]:
        """The terms of which all the other words are there too."""
        for term, offset in spots:
            core = self._cores[term]
            start = at - offset
            piece = text[start : start + len(core)] if start >= 0 else ""
            if len(piece) == len(core) and _reads(core, piece):
                yield Masked(start, start + len(core), term)


def _covered(text: str) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Where words with covers stand, each with the token that it is of."""
    for match in _TOKEN.finditer(text):
        token, at = match[0], match.start()
        if text[at - 1 : at] in _PATH and _STRONG.isdisjoint(token):
            continue
        for start, end in _parts(token):
            word = token[start:end]
            if not word.isalnum() and len(word) >= MIN_IN_PHRASE:
                yield at + start, at + end, match.span()


def _reads(core: str, piece: str) -> bool:
    """Whether the piece is the phrase, some of whose letters are covered."""
    covered = 0
    for letter, character in zip(core, piece, strict=True):
        if character == letter or (letter == " " and character.isspace()):
            continue
        if not letter.isalnum():
            return False
        if character in _COVERS:
            covered += 1
        elif character.isalpha() or letter not in STANDS_FOR.get(character, ""):
            return False
    return 0 < 3 * covered <= sum(map(str.isalnum, core))


def _is_emphasised(text: str, start: int, end: int, word: str) -> bool:
    """Whether the stars at an end of a word belong to others around it."""
    if word[-1:] in _STRONG:
        stars = word[len(word.rstrip("*#")) :]
        return stars in text[max(0, start - 200) : start]
    if word[:1] in _STRONG:
        stars = word[: len(word) - len(word.lstrip("*#"))]
        return stars in text[end : end + 200]
    return False


def _parts(token: str) -> Iterator[tuple[int, int]]:
    """The token without punctuation at its ends, and its pieces between dots and dashes."""
    end = len(token.rstrip(_ENDS))
    yield 0, end
    if _WEAK.isdisjoint(token[:end]):
        return
    at = 0
    for piece in re.split(r"[._\-]", token[:end]):
        if at or len(piece) < end:
            yield at, at + len(piece)
        at += len(piece) + 1


def _is_masked(word: str) -> bool:
    """Whether enough is seen, and what covers the rest is fit to cover."""
    covers = [character for character in word if not character.isalnum()]
    if not covers or len(word) < MIN_LETTERS or not (word[0].isalnum() or word[-1].isalnum()):
        return False
    seen = len(word) - len(covers)
    if _WEAK.intersection(covers):
        return len(covers) == 1 and seen >= 3 and word[0].isalnum() and word[-1].isalnum()
    if not (word[0].isalnum() and word[-1].isalnum()):
        return seen >= 2 and 2 * seen >= len(word) and _STRONG.issuperset(covers)
    return seen >= 2 and seen >= 0.28 * len(word)


def _readings(character: str) -> str:
    return character + "".join(each for each in STANDS_FOR.get(character, "") if each != character)


def _fits(letters: str, word: str) -> bool:
    for letter, character in zip(letters, word, strict=True):
        if character == letter or not character.isalnum():
            continue
        if character.isalpha() or letter not in STANDS_FOR.get(character, ""):
            return False
    return True
