"""What was seen in one text, and how much of it may still be read in other ways."""

from __future__ import annotations

from core.moderation.reading import Reading

BUDGET = 9_000
"""Characters that are read anew in all ways together; what is beyond them would be a siege."""
CROWD = 600
"""Sightings in one text after which it is clear enough."""


class Notes(dict[tuple[int, int, int], str]):
    """Where in the original which term was found, and in which view."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        super().__init__()
        self._left = BUDGET

    def may_read(self, reading: Reading) -> bool:
        """Whether the text may be read once more; counts it."""
        self._left -= len(reading.text) + 50  # none is for nothing
        return self._left >= 0 and len(self) < CROWD

    def branch(self) -> Notes:
        """Notes on a text that this one was read as, with what is left to read."""
        found = Notes()
        found._left = self._left
        return found

    def rejoin(self, branch: Notes) -> None:
        """What was read for the branch was read for all."""
        self._left = branch._left

    def note(self, key: tuple[int, int, int], name: str) -> None:
        """Of several views of the same term at the same place, the plainest stays."""
        if not name or key not in self:
            self[key] = name
