"""Terms through evasion: one automaton over coarse letters, then each candidate is spelled out.

The coarse letters of a text keep their places, so one pass finds what is written plainly, with
figures for letters or with look-alikes. Only where something hints at it, the text is also read
without the gaps and repetitions between letters, decoded, backwards and so on (`views.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from core.moderation.candidates import disguise_of, is_plain, is_set_off
from core.moderation.coarse import CLASSES, Match, Squeezed, in_characters, patterns_of
from core.moderation.fold_table import GONE, tables
from core.moderation.folding import encodable, is_word
from core.moderation.masks import MaskIndex
from core.moderation.notes import Notes
from core.moderation.peeling import (
    PUNCTUATION,
    can_be_peeled,
    has_layers,
    is_torn,
    joined,
    peeled,
)
from core.moderation.reading import Reading, reread
from core.moderation.sighting import Sighting
from core.moderation.views import (
    CODED,
    DRAWN,
    MASKED,
    PHRASED,
    QUOTED,
    SIGNED,
    SPLIT,
    View,
    beyond_ascii,
    decoded,
    drawn,
    drawn_in,
    excerpt,
    folded_by,
    has_other_ways,
    hint_set,
    hinted,
    hints,
    is_inert,
    is_layered,
    kinds,
    match_hints,
    other_ways,
    straight,
    without_links,
)

Scan: TypeAlias = Callable[[bytes, bool], list[Match]]

LAYERED = frozenset((SPLIT, CODED))
"""Hints that something may be below a layer."""
BOTH = 3
"""A term that asks for the edge of a word at either end."""
ASCII_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
FULL = (0,)
LONG = 2000
"""Characters of a text, or of the parts of a longer one that hint at it, that are read anew."""
MANY = 300
"""Candidates in one reading that are looked at."""


NOTHING: tuple[Sighting, ...] = ()


class Matcher:
    """All terms that are to be found through evasion; a term is known here by its number."""

    __slots__ = (
        "_cores",
        "_flags",
        "_has_phrases",
        "_hinted_ascii",
        "_kinds",
        "_masks",
        "_owners",
        "_rules",
        "_scan",
        "_words",
    )

    def __init__(
        self, cores: Sequence[str], flags: bytes, rules: Sequence[int], numbers: Sequence[int]
    ) -> None:
        """`flags` has a byte for each term: 1 for an edge of a word at its left, 2 at its right.

        `rules` has the number of the rule of each. Only the terms with these `numbers` are found.
        """
        import ahocorasick_rs  # noqa: PLC0415  # only for who has terms

        self._cores = cores
        self._flags = flags
        self._rules = rules
        self._kinds = len({rules[number] for number in numbers})
        patterns: dict[bytes, int | tuple[int, ...]] = {}
        for term, pattern in patterns_of(cores, numbers):
            known = patterns.setdefault(pattern, term)
            if known is not term:
                sharing = known if isinstance(known, tuple) else (known,)
                if term not in sharing:
                    patterns[pattern] = (*sharing, term)
        self._owners = owners = list(patterns.values())
        every = flags.count(BOTH) == len(flags)
        self._words = b"\1" * len(owners) if every else bytes(map(self._wants_edges, owners))
        self._scan: Scan = ahocorasick_rs.BytesAhoCorasick(list(patterns)).find_matches_as_indexes
        del patterns
        self._hinted_ascii = hint_set(is_ascii=True)
        self._masks = MaskIndex(cores, numbers)
        self._has_phrases = any(" " in cores[number] for number in numbers)

    def _wants_edges(self, owner: int | tuple[int, ...]) -> bool:
        terms = (owner,) if isinstance(owner, int) else owner
        return all(self._flags[term] == BOTH for term in terms)

    def find(self, text: str) -> Sequence[Sighting]:
        """Every sighting; of one term at one span in several views, the plainest."""
        torn = False
        if text.isascii():
            data = text.encode().lower()
        else:
            text = encodable(text)
            beyond = beyond_ascii(text[:LONG])
            if len(text) > LONG and is_inert(text[:LONG], beyond):
                beyond = beyond_ascii(text)
            if not is_inert(text, beyond):
                return self._found_in_scripts(text, beyond)
            plain = text if QUOTED.isdisjoint(beyond) else straight(text)
            data = plain.encode("ascii", "replace").lower()
            torn = not PUNCTUATION.issuperset(beyond) and is_torn(text)
        matches = self._scan(data.translate(CLASSES), True)
        candidates = self._candidates(data, matches) if matches else matches
        seen = self._hinted_ascii(data) if len(data) <= LONG else FULL
        if seen and seen is not FULL and b"://" in data:
            seen = self._hinted_ascii(without_links(data))
        if not seen and not torn:
            return self._plainly(text, data, candidates) if candidates else NOTHING
        found = Notes(self._rules, self._kinds)
        first = Reading(text, data.decode())
        self._weigh_all(first, "", found, candidates)
        of = self._by_hints(View("", first), found, kinds(seen))
        if torn or not LAYERED.isdisjoint(of):
            self._peel(first if text.isascii() else Reading(text, text), found)
        return [Sighting(*key, view) for key, view in found.items()] if found else NOTHING

    def _plainly(self, text: str, data: bytes, candidates: list[Match]) -> Sequence[Sighting]:
        """What is found where nothing hints at another way to read the text."""
        if len(candidates) == 1:
            ((pattern, start, end),) = candidates
            owner, folded = self._owners[pattern], data[start:end].decode()
            if isinstance(owner, int) and self._cores[owner] == folded:
                beside = data[start - 1 : start] + data[end : end + 1]
                if self._words[pattern] and b"_" not in beside and text.isascii():
                    return (Sighting(start, end, owner, ""),)
        found = Notes(self._rules, self._kinds)
        self._weigh_all(Reading(text, data.decode()), "", found, candidates)
        return [Sighting(*key, view) for key, view in found.items()] if found else NOTHING

    def _found_in_scripts(self, text: str, beyond: Sequence[str]) -> Sequence[Sighting]:
        # what characters there are tells as much as the text, and is shorter
        odd = "".join(set(beyond)) if len(text) <= LONG else text
        has_more = has_layers(odd)
        if not has_more and len(text) <= LONG and self._is_innocent(text, odd):
            return NOTHING
        found = Notes(self._rules, self._kinds)
        of = self._all_scripts(Reading(text, text), "", found)
        if has_more or not LAYERED.isdisjoint(of):
            self._peel(Reading(text, text), found)
        return [Sighting(*key, view) for key, view in found.items()] if found else NOTHING

    def _is_innocent(self, text: str, odd: str) -> bool:
        """Whether nothing is found in it, as most texts show without any ado.

        `odd` are the characters of it that are not ASCII, each once.
        """
        if has_other_ways(odd):
            return False
        folded = folded_by(text, odd)
        if len(folded) != len(text) or GONE in folded:
            return False
        data = folded.encode()
        matches = self._scan(data.translate(CLASSES), True)
        if matches and self._candidates(data, matches):
            return False
        return not match_hints(data)

    def _peel(self, whole: Reading, found: Notes) -> None:
        """What is below layers of disguise may be of all scripts: each text is read by itself."""
        if not can_be_peeled(whole):
            return
        if len(whole.text) > LONG:
            whole = excerpt(whole, is_layered, LONG // 2)
        for name, plain in peeled(whole):
            if plain.text in found.decoded and plain.text.isascii():
                continue  # read already, letter by letter; other scripts are read in more ways
            if not found.may_read(plain):
                return
            inner = found.branch()
            self._all_scripts(Reading(plain.text, plain.text), "", inner)
            found.rejoin(inner)
            for start, end, term in inner:
                found.note((*plain.span(start, end), term), name)

    def _all_scripts(self, whole: Reading, name: str, found: Notes) -> frozenset[int]:
        _, cased = tables()
        first = reread(whole, cased)
        self._direct(first, name, found)
        seen = self._by_hints(View(name, first), found)
        if has_other_ways(whole.text):
            self._otherwise(whole, first, name, found)
        return seen

    def _otherwise(self, whole: Reading, first: Reading, name: str, found: Notes) -> None:
        looks, _ = tables()
        if len(whole.text) > LONG:
            whole = excerpt(whole, has_other_ways, LONG)
        by_looks = reread(whole, looks)
        if by_looks.text != first.text and found.may_read(whole):
            self._direct(by_looks, name, found)
            self._by_hints(View(name, by_looks), found)
        for view in other_ways(whole):
            if not found.may_read(whole):
                return
            self._direct(view.reading, view.name, found)
            self._by_hints(view, found)

    def _by_hints(
        self, view: View, found: Notes, seen: frozenset[int] | None = None
    ) -> frozenset[int]:
        """Read it in the ways that are hinted at; gives the hints."""
        name, reading = view
        if seen is None or len(reading.text) > LONG:
            whole = reading
            reading, seen = hinted(whole, LONG)
            if reading is not whole and SPLIT in seen and whole.text.isascii():
                self._squeezed(whole, name, found)
        if seen:
            self._in_ways(reading, name, seen, found)
        return seen

    def _in_ways(self, reading: Reading, name: str, seen: frozenset[int], found: Notes) -> None:
        self._apart(reading, name, seen, found)
        if CODED in seen and found.may_read(reading):
            plain = decoded(reading)
            if plain is not reading:
                found.decoded.add(plain.text)
                again = hints(plain.text.encode())
                self._direct(plain, name or "encoded", found)
                self._apart(plain, name or "encoded", again, found)

    def _apart(self, reading: Reading, name: str, seen: frozenset[int], found: Notes) -> None:
        """The readings that put letters together, or do without some."""
        if not found.may_read(reading):
            return
        if SPLIT in seen or (PHRASED in seen and self._has_phrases):
            self._squeezed(reading, name, found)
        if SPLIT in seen:
            if SIGNED in seen and found.may_read(reading):
                self._squeezed(reading, name, found, signs=False)
            for each in joined(reading):
                if not found.may_read(each):
                    return
                self._direct(each, name or "spaced", found)
                self._masked(each, name or "spaced", found)
        if MASKED in seen and found.may_read(reading):
            self._masked(reading, name or "masked", found)
            short = drawn_in(reading)
            if short is not reading and found.may_read(short):
                self._masked(short, name or "masked", found)
        if DRAWN in seen and found.may_read(reading):
            self._drawn(reading, name or "leet", found)

    def _drawn(self, reading: Reading, name: str, found: Notes) -> None:
        other = drawn(reading)
        if other is not reading:
            self._direct(other, name, found)
            self._squeezed(other, name, found)

    def _candidates(self, text: bytes, matches: list[Match]) -> list[Match]:
        """The matches that may count; what is inside of words is most of them."""
        words, last, letters = self._words, len(text), ASCII_WORD
        found = []
        for match in matches:
            pattern, start, end = match
            if words[pattern] and (
                (start and text[start - 1] in letters) or (end < last and text[end] in letters)
            ):
                continue
            found.append(match)
        return found

    def _direct(self, reading: Reading, name: str, found: Notes) -> None:
        """What is found letter by letter at its place."""
        data = reading.text.encode(errors="surrogatepass")
        matches = self._scan(data.translate(CLASSES), True)
        if matches:
            candidates = self._candidates(data, matches)
            self._weigh_all(reading, name, found, in_characters(data, candidates))

    def _weigh_all(
        self, reading: Reading, name: str, found: Notes, candidates: Sequence[Match]
    ) -> None:
        cores, left = self._cores, MANY
        for pattern, start, end in candidates:
            owner = self._owners[pattern]
            for term in (owner,) if isinstance(owner, int) else owner:
                # in a siege, what is spelled plainly is still found
                if found.is_full(term) or not (left or reading.is_spelled(start, end, cores[term])):
                    continue
                if not self._weighed(term, reading, start, end, name, found):
                    left = max(0, left - 1)
                elif found.is_full(term):
                    rest = reading.span(start, candidates[-1][2])
                    found.setdefault((*rest, term), name)
                    if found.is_over:
                        return

    def _squeezed(self, reading: Reading, name: str, found: Notes, *, signs: bool = True) -> None:
        """What is found once everything but letters is left out, and each stands once."""
        text = reading.text
        squeezed = Squeezed(text, signs=signs)
        units = squeezed.units.encode(errors="surrogatepass")
        owners = self._owners
        open_yet = [m for m in self._scan(units, True) if not found.are_full(owners[m[0]])]
        matches = in_characters(units, open_yet[:MANY])
        if matches:
            squeezed.trace(max(high for _, _, high in matches))
        for pattern, low, high in matches:
            if self._words[pattern] and squeezed.is_inside(low, high, text):
                continue
            owner = owners[pattern]
            spans = list(squeezed.spans(low, high))
            if (
                spans[0][1] - spans[0][0] == high - low
                and self._words[pattern]
                and (text[spans[0][0] : spans[0][1]].isalpha())
            ):
                spans = spans[1:]  # found already, at its place
            for term in (owner,) if isinstance(owner, int) else owner:
                for start, end in spans:
                    if self._weighed(term, reading, start, end, name, found):
                        break

    def _weighed(
        self, term: int, reading: Reading, start: int, end: int, name: str, found: Notes
    ) -> bool:
        return self._edges(term, reading.text, start, end) and self._weigh(
            term, reading, start, end, name, found
        )

    def _masked(self, reading: Reading, name: str, found: Notes) -> None:
        for start, end, term in self._masks.find(reading.text):
            if found.is_full(term):
                continue
            if self._edges(term, reading.text, start, end):
                found.note((*reading.span(start, end), term), name)

    def _edges(self, term: int, text: str, start: int, end: int) -> bool:
        """Whether the term has the edges of a word where it asks for them."""
        flags = self._flags[term]
        left, right = flags & 1, flags & 2
        if left and start and is_word(text[start - 1]):
            return text[start - 1] == "_" and is_set_off(text, start, end)
        if right and end < len(text) and is_word(text[end]):
            return text[end] == "_" and is_set_off(text, start, end)
        return True

    def _weigh(
        self, term: int, reading: Reading, start: int, end: int, name: str, found: Notes
    ) -> bool:
        core = self._cores[term]
        span = reading.span(start, end)
        written = reading.source[slice(*span)]
        if written.casefold() == core:
            if is_plain(reading.source, *span, self._flags[term]):
                name = ""
            elif reading.source.isascii() and not name:
                name = "markup"
        else:
            view = disguise_of(core, reading, start, end, written)
            if view is None:
                return False
            name = name or view
        found.note((*span, term), name)
        return True
