"""Moderation as the pipeline sees it: one object, built once, used by every conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from core.moderation.gate import StreamGate
from core.moderation.policy import Policy
from core.moderation.rules import LocalRules
from core.moderation.scorer import Scorer, Unchecked
from core.moderation.verdicts import Verdict, merge, merge_all, redact

When: TypeAlias = Literal["overlap", "before"]

WINDOW = 4000
"""Characters that a scorer is given at once; a longer text goes in overlapping windows."""
OVERLAP = 500


class Moderation:
    """Local rules first, at once; then the scorer, if there is one, under the policy."""

    def __init__(
        self,
        rules: LocalRules,
        scorer: Scorer | None = None,
        policy: Policy | None = None,
        *,
        when: When = "overlap",
    ) -> None:
        self.rules = rules
        self.policy = policy or Policy()
        self.when = when
        """Whether the question's scorer may run beside the model call, or has to end before it."""
        self._scorer = scorer

    @property
    def has_scorer(self) -> bool:
        """Whether `score` asks anybody."""
        return self._scorer is not None

    def check_local(self, text: str) -> Verdict:
        """What the local rules say of one text; no waiting."""
        return self.rules.check(text)

    def check_all(self, texts: Sequence[str]) -> Verdict:
        """One verdict on all texts of a message, quotes and attachments too.

        A hit's `part` is the index of its text.
        """
        verdicts = []
        for part, text in enumerate(texts):
            verdict = self.rules.check(text)
            if part and verdict.hits:
                hits = tuple(msgspec.structs.replace(hit, part=part) for hit in verdict.hits)
                verdict = msgspec.structs.replace(verdict, hits=hits)
            verdicts.append(verdict)
        return merge_all(verdicts)

    async def score(self, text: str, verdict: Verdict) -> Verdict:
        """The verdict with the scorer's findings added; never raises for a scorer that fails."""
        return await self.score_all((text,), verdict)

    async def score_all(self, texts: Sequence[str], verdict: Verdict) -> Verdict:
        """As `score`, of texts that `check_all` has judged together.

        A text that is refused or held already is not sent; what is redacted is not sent either.
        """
        if self._scorer is None or not verdict.is_allowed:
            return verdict
        items = [
            window
            for part, text in enumerate(texts)
            if text.strip()
            for window in windows(redact(text, verdict, part))
        ]
        if not items:
            return verdict
        results = await self._scorer.score(items)
        judged = [
            self.policy.unscored(result.reason)
            if isinstance(result, Unchecked)
            else self.policy.judge(result)
            for result in results
        ]
        return merge(verdict, merge_all(judged))

    def gate(self) -> StreamGate:
        """A fresh gate for one answer."""
        return StreamGate(self.rules, None if self._scorer is None else self._score_released)

    async def _score_released(self, text: str) -> Verdict:
        # the gate has applied the local rules, so there is nothing to add to
        return await self.score(text, Verdict(source="remote"))

    def redact(self, text: str, verdict: Verdict, part: int = 0) -> str:
        """The text with what the rules redact masked; to be done before it is kept or sent."""
        return redact(text, verdict, part)

    def sentence(self, verdict: Verdict, *, outgoing: bool = False) -> str:
        """What the member reads in place of a text that is not let through."""
        return self.policy.sentence(verdict, outgoing=outgoing)

    async def aclose(self) -> None:
        """Stop the scorer."""
        if self._scorer is not None:
            await self._scorer.aclose()


def windows(text: str, size: int = WINDOW, overlap: int = OVERLAP) -> Iterator[str]:
    """The text in pieces that a scorer takes whole, each beginning with the end of the last."""
    start = 0
    while True:
        yield text[start : start + size]
        if start + size >= len(text):
            return
        start += size - overlap
