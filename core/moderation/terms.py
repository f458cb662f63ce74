"""Terms: literal words and phrases, found all at once by Aho-Corasick.

An asterisk opens an end: `word` is the whole word, `word*` a prefix, `*word` a suffix, `*word*`
any substring. An end that is not open asks for the edge of a word there, unless the term's own
character at that end is no word character ("c++" ends wherever it ends). Scripts that put no
spaces between words need `*word*`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from core.moderation.folding import fold, is_word

MAX_TERM = 200
"""Characters of a folded term; it bounds what the streaming gate may hold back."""

Owner: TypeAlias = tuple[int, bool, bool]
"""A rule's number, and the ends of the term at which it wants the edge of a word."""
Owners: TypeAlias = tuple[Owner, ...]


class Term(NamedTuple):
    """One parsed term; `left` and `right` say whether that end must be the edge of a word."""

    core: str
    left: bool
    right: bool


class Match(NamedTuple):
    """A term in a folded text; if `right`, the character after it decides."""

    rule: int
    start: int
    end: int
    right: bool


def parse_term(written: str) -> Term:
    """Read the asterisks; raises ValueError with the reason for a term that can't be used."""
    body = written.strip()
    open_left, open_right = body.startswith("*"), body.endswith("*") and len(body) > 1
    core = fold(body[1 if open_left else 0 : -1 if open_right else None].strip()).text
    if not core:
        raise ValueError("the term is empty")
    if len(core) > MAX_TERM:
        raise ValueError(f"the term is longer than {MAX_TERM} characters")
    left = not open_left and is_word(core[0])
    right = not open_right and is_word(core[-1])
    return Term(core, left, right)


class TermIndex:
    """All terms of all rules; a rule is known here by its number."""

    __slots__ = ("_automaton", "_lone", "_owners", "_prefixes", "longest")

    def __init__(self, terms: Iterable[tuple[int, Term]]) -> None:
        import ahocorasick_rs  # noqa: PLC0415  # only for who has terms

        owners: dict[str, Owners] = {}
        # most terms share their owner, so 100,000 of them keep one tuple
        same: dict[Owner, Owners] = {}
        for rule, (core, left, right) in terms:
            owner = (rule, left, right)
            known = owners.get(core, ())
            if not known:
                owners[core] = same.setdefault(owner, (owner,))
            elif owner not in known:
                owners[core] = (*known, owner)
        self._owners = list(owners.values())
        self._automaton = ahocorasick_rs.AhoCorasick(list(owners), store_patterns=False)
        self.longest = max(map(len, owners), default=0)
        floating = {
            core: each for core, each in owners.items() if not all(left for _, left, _ in each)
        }
        self._prefixes = _Prefixes(owners), _Prefixes(floating)

    def find(self, folded: str) -> Iterator[Match]:
        """Every match, overlapping ones too, ordered by their ends."""
        length = len(folded)
        for pattern, start, end in self._automaton.find_matches_as_indexes(
            folded, overlapping=True
        ):
            for rule, left, right in self._owners[pattern]:
                if left and start and is_word(folded[start - 1]):
                    continue
                if right and end < length and is_word(folded[end]):
                    continue
                yield Match(rule, start, end, right)

    def open_from(self, folded: str, low: int) -> int:
        """The first index from `low` on where a term may begin that the text has not ended yet."""
        anywhere, floating = self._prefixes
        length = len(folded)
        for index in range(max(low, length - self.longest), length):
            character = folded[index]
            if character not in anywhere.first:
                continue
            inside_word = index > 0 and is_word(folded[index - 1]) and is_word(character)
            prefixes = floating if inside_word else anywhere
            if character in prefixes.first and prefixes.may_grow(folded[index:]):
                return index
        return length


class _Prefixes:
    """Answers whether a text is the beginning of a term, from a sorted list: no tree to keep."""

    __slots__ = ("_complete", "_sorted", "first")

    def __init__(self, owners: dict[str, Owners]) -> None:
        self._sorted = sorted(owners)
        self.first = frozenset(core[0] for core in owners)
        self._complete = frozenset(
            core for core, each in owners.items() if not any(right for _, _, right in each)
        )

    def may_grow(self, beginning: str) -> bool:
        at = bisect_left(self._sorted, beginning)
        # a term that is whole, and needs no edge after it, was found already
        if beginning in self._complete:
            at += 1
        return at < len(self._sorted) and self._sorted[at].startswith(beginning)
