"""Terms: literal words and phrases, found all at once by Aho-Corasick.

An asterisk opens an end: `word` is the whole word, `word*` a prefix, `*word` a suffix, `*word*`
any substring. An end that is not open asks for the edge of a word there, unless the term's own
character at that end is no word character ("c++" ends wherever it ends), or belongs to a script
that puts no spaces between words.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from core.moderation.coarse import has_letters
from core.moderation.folding import fold, is_word
from core.moderation.matcher import BOTH, Matcher
from core.moderation.sighting import Sighting

MAX_TERM = 200
"""Characters of a folded term; it bounds what the streaming gate may hold back."""

_UNSPACED = re.compile(
    "[\u0e00-\u0edf\u1000-\u109f\u1780-\u17ff\u2e80-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Kana and Han: a term in them is found anywhere."""


class Term(NamedTuple):
    """One parsed term; `left` and `right` say whether that end must be the edge of a word."""

    core: str
    left: bool
    right: bool


def parse_term(written: str) -> Term:
    """Read the asterisks; raises ValueError with the reason for a term that can't be used."""
    body = written.strip()
    open_left, open_right = body.startswith("*"), body.endswith("*") and len(body) > 1
    inner = body[1 if open_left else 0 : -1 if open_right else None]
    core = fold(" ".join(inner.split())).text
    if not core:
        raise ValueError("the term is empty")
    if len(core) > MAX_TERM:
        raise ValueError(f"the term is longer than {MAX_TERM} characters")
    left = not open_left and _is_edge(core[0])
    right = not open_right and _is_edge(core[-1])
    return Term(core, left, right)


def _is_edge(character: str) -> bool:
    """Whether words end there: not at signs, and not in scripts that put no spaces between."""
    return is_word(character) and _UNSPACED.match(character) is None


class TermList:
    """Parsed terms before they are indexed, in lists, since there may be very many."""

    __slots__ = ("cores", "flags", "rules")

    def __init__(self) -> None:
        self.cores: list[str] = []
        self.rules = array("I")
        self.flags = bytearray()

    def __len__(self) -> int:
        return len(self.cores)

    def add(self, rule: int, written: str) -> None:
        """Parse one; raises as `parse_term` does."""
        if written.isalnum() and written.isascii() and len(written) <= MAX_TERM:
            core, flags = written if written.islower() else written.lower(), BOTH
        else:
            core, left, right = parse_term(written)
            flags = left + 2 * right
        self.cores.append(core)
        self.rules.append(rule)
        self.flags.append(flags)


class Terms:
    """All terms of all rules, each known by its number.

    Rules that want a strict spelling have their own automaton, for text in folded case alone.
    """

    __slots__ = ("_exact", "_flags", "_matcher", "_prefixes", "cores", "rules")

    def __init__(self, given: TermList, strict: Collection[int] = ()) -> None:
        """`strict` are the numbers of the rules that want a strict spelling."""
        self.cores = given.cores
        self.rules = given.rules
        self._flags = bytes(given.flags)
        numbers = range(len(self.cores))
        rules, cores = self.rules, self.cores
        exact = [n for n in numbers if not cores[n].isascii() and not has_letters(cores[n])]
        if strict:
            exact = sorted({*exact, *(n for n in numbers if rules[n] in strict)})
        self._exact = TermIndex(self.cores, self._flags, exact) if exact else None
        known = set(exact)
        loose = [n for n in numbers if n not in known] if exact else numbers
        self._matcher = Matcher(self.cores, self._flags, self.rules, loose) if loose else None
        self._prefixes = (
            _Prefixes(self.cores, self._flags, 0),
            _Prefixes(self.cores, self._flags, 1),
        )

    def find(self, text: str) -> Sequence[Sighting]:
        """Every sighting, in no order."""
        found: Sequence[Sighting] = () if self._matcher is None else self._matcher.find(text)
        if self._exact is not None:
            return [*found, *self._exact.find(text)]
        return found

    @property
    def finder(self) -> Callable[[str], Sequence[Sighting]]:
        """`find`, by the shortest way."""
        return self.find if self._exact is not None or self._matcher is None else self._matcher.find

    @property
    def has_views(self) -> bool:
        """Whether any term is looked for in other ways than as it is spelled."""
        return self._matcher is not None

    def needs_edge(self, term: int) -> bool:
        """Whether what follows the term decides."""
        return bool(self._flags[term] & 2)

    def open_from(self, folded: str, low: int) -> int:
        """The first index from `low` on where a term may begin that the text has not ended yet."""
        anywhere, floating = self._prefixes
        length = len(folded)
        for index in range(max(low, length - anywhere.longest), length):
            character = folded[index]
            if character not in anywhere.first:
                continue
            inside_word = index > 0 and is_word(folded[index - 1]) and is_word(character)
            prefixes = floating if inside_word else anywhere
            if character in prefixes.first and prefixes.may_grow(folded[index:]):
                return index
        return length


class TermIndex:
    """Terms that are found as they are spelled only, whatever the case of their letters."""

    __slots__ = ("_automaton", "_flags", "_numbers")

    def __init__(self, cores: Sequence[str], flags: bytes, numbers: Sequence[int]) -> None:
        import ahocorasick_rs  # noqa: PLC0415  # only for who has terms

        self._numbers = list(numbers)
        self._flags = flags
        self._automaton = ahocorasick_rs.AhoCorasick(
            [cores[number] for number in numbers], store_patterns=False
        )

    def find(self, text: str) -> Iterator[Sighting]:
        """Every sighting, overlapping ones too."""
        folded, origin = fold(text)
        length = len(folded)
        for pattern, start, end in self._automaton.find_matches_as_indexes(
            folded, overlapping=True
        ):
            number = self._numbers[pattern]
            flags = self._flags[number]
            if flags & 1 and start and is_word(folded[start - 1]):
                continue
            if flags & 2 and end < length and is_word(folded[end]):
                continue
            if origin is None:
                yield Sighting(start, end, number, "")
            else:
                yield Sighting(origin[start], origin[end - 1] + 1, number, "")


class _Prefixes:
    """Answers whether a text is the beginning of a term, from a sorted list: no tree to keep."""

    __slots__ = ("_cores", "_flags", "_order", "first", "longest")

    def __init__(self, cores: Sequence[str], flags: bytes, floating: int) -> None:
        """With `floating` only of the terms that may begin inside of a word."""
        self._cores = cores
        self._flags = flags
        chosen: Sequence[int] = range(len(cores))
        if floating:
            chosen = [] if flags.count(3) == len(flags) else [n for n in chosen if not flags[n] & 1]
        self._order = array("I", sorted(chosen, key=cores.__getitem__))
        self.first = frozenset(cores[number][0] for number in chosen)
        self.longest = max((len(cores[number]) for number in chosen), default=0)

    def may_grow(self, beginning: str) -> bool:
        order, cores = self._order, self._cores
        at = bisect_left(order, beginning, key=cores.__getitem__)
        while at < len(order) and cores[order[at]] == beginning:
            # a term that is whole, and needs no edge after it, was found already
            if self._flags[order[at]] & 2:
                return True
            at += 1
        return at < len(order) and cores[order[at]].startswith(beginning)
