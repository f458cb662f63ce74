"""What was seen in one text, and how much of it may still be read in other ways."""

from __future__ import annotations

from collections.abc import Sequence

from core.moderation.reading import Reading

BUDGET = 7_000
"""Characters that are read anew in all ways together; what is beyond them would be a siege."""
CROWD = 600
"""Sightings of one rule in one text, after which it is clear enough: the rest is one more."""


class Notes(dict[tuple[int, int, int], str]):
    """Where in the original which term was found, and in which view."""

    __slots__ = ("_counts", "_full", "_kinds", "_left", "_rules", "decoded")

    def __init__(self, rules: Sequence[int], kinds: int) -> None:
        """`rules` has the rule of each term, `kinds` says how many different ones those are."""
        super().__init__()
        self._left = BUDGET
        self._rules = rules
        self._kinds = kinds
        self._counts: dict[int, int] = {}
        self._full = 0
        self.decoded: set[str] = set()
        """Texts that were read for what the codes and the markup of this one hide."""

    def may_read(self, reading: Reading) -> bool:
        """Whether the text may be read once more; counts it."""
        self._left -= len(reading.text) + 50  # none is for nothing
        return self._left >= 0 and not self.is_over

    def is_full(self, term: int) -> bool:
        """Whether its rule has been sighted often enough."""
        return self._counts.get(self._rules[term], 0) >= CROWD

    def are_full(self, terms: int | tuple[int, ...]) -> bool:
        """As `is_full`, of one term or of all of several."""
        if not self._full:
            return False
        return self.is_full(terms) if isinstance(terms, int) else all(map(self.is_full, terms))

    @property
    def is_over(self) -> bool:
        """Whether all rules have: a flood of one hides no sighting of another."""
        return self._full == self._kinds

    def branch(self) -> Notes:
        """Notes on a text that this one was read as, with what is left to read."""
        found = Notes(self._rules, self._kinds)
        found._left, found._full, found._counts = self._left, self._full, dict(self._counts)
        return found

    def rejoin(self, branch: Notes) -> None:
        """What was read for the branch was read for all."""
        self._left = branch._left

    def note(self, key: tuple[int, int, int], name: str) -> None:
        """Of several views of the same term at the same place, the plainest stays."""
        if key not in self:
            rule = self._rules[key[2]]
            count = self._counts[rule] = self._counts.get(rule, 0) + 1
            self._full += count == CROWD
            self[key] = name
        elif not name:
            self[key] = name
