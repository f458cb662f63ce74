"""From scores to a decision: thresholds by category, and the sentence that a member reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from core.errors import ConfigError
from core.moderation.verdicts import Verdict

OnError: TypeAlias = Literal["allow", "block"]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores from which a text is flagged for moderators, and from which it is refused."""

    flag: float = 0.5
    block: float = 0.85


DEFAULTS: dict[str, Threshold] = {
    "harassment": Threshold(0.6, 0.9),
    "harassment/threatening": Threshold(0.4, 0.8),
    "hate": Threshold(0.5, 0.8),
    "hate/threatening": Threshold(0.3, 0.7),
    "illicit": Threshold(0.6, 0.9),
    "illicit/violent": Threshold(0.4, 0.8),
    "self-harm": Threshold(0.5, 0.9),
    "self-harm/intent": Threshold(0.4, 0.9),
    "self-harm/instructions": Threshold(0.3, 0.7),
    "sexual": Threshold(0.6, 0.9),
    "sexual/minors": Threshold(0.1, 0.3),
    "violence": Threshold(0.7, 0.95),
    "violence/graphic": Threshold(0.6, 0.9),
}
"""By the endpoint's own names: https://platform.openai.com/docs/guides/moderation"""

_NO_ANSWER = "the scorer gave no answer"
_UNCHECKED = "I can't check messages against the rules right now, so I can't answer this one."
_REFUSED = "I can't help with this one: it goes against the rules here."
_WITHDRAWN = "I stopped here: what I was about to say goes against the rules here."
_HELD = "A moderator has to look at this before I can answer."
_CARE = (
    "I can't help with this one, but if you are thinking about hurting yourself, please talk to"
    " someone you trust or to a crisis line near you."
)


class Policy(msgspec.Struct, frozen=True):
    """What the workspace makes of scores, and of a scorer that gives none."""

    thresholds: Mapping[str, Threshold] = msgspec.field(default_factory=lambda: dict(DEFAULTS))
    fallback: Threshold = Threshold()
    """For a category that nobody named, such as one that the endpoint adds one day."""
    on_error: OnError = "allow"
    refusal: str = ""
    """The operator's own sentence for a refused text."""

    @classmethod
    def build(
        cls,
        thresholds: Mapping[str, Threshold],
        *,
        on_error: OnError = "allow",
        refusal: str = "",
    ) -> Policy:
        """The defaults with these thresholds over them; raises ConfigError naming all faults."""
        problems = [fault for name, given in thresholds.items() for fault in _faults(name, given)]
        if problems:
            raise ConfigError("\n".join(problems), key="moderation")
        return cls(DEFAULTS | dict(thresholds), on_error=on_error, refusal=refusal)

    @classmethod
    def tuned(
        cls,
        flag: Mapping[str, float],
        block: Mapping[str, float],
        *,
        on_error: OnError = "allow",
        refusal: str = "",
    ) -> Policy:
        """As `build`, from the two numbers apart; where one alone is given the other gives way."""
        usual = cls()
        thresholds = {}
        for name in {*flag, *block}:
            low, high = msgspec.structs.astuple(usual.threshold(name))
            thresholds[name] = Threshold(
                flag.get(name, min(low, block.get(name, low))),
                block.get(name, max(high, flag.get(name, high))),
            )
        return cls.build(thresholds, on_error=on_error, refusal=refusal)

    def threshold(self, category: str) -> Threshold:
        """The category's own numbers, else those of the category it belongs to."""
        found = self.thresholds.get(category)
        if found is None:
            found = self.thresholds.get(category.partition("/")[0], self.fallback)
        return found

    def judge(self, scores: Mapping[str, float]) -> Verdict:
        """What one text's scores amount to."""
        worst: tuple[int, float, str] = (0, 0.0, "")
        for category, score in scores.items():
            limits = self.threshold(category)
            level = 2 if score >= limits.block else 1 if score >= limits.flag else 0
            worst = max(worst, (level, score, category))
        level, score, category = worst
        return Verdict(
            decision=("allow", "flag", "refuse")[level],
            categories=dict(scores),
            source="remote",
            reason=f"{category} {score:.2f}" if level else "",
        )

    def unscored(self, why: str) -> Verdict:
        """What it means that the scorer gave no answer."""
        decision: Literal["allow", "refuse"] = "allow" if self.on_error == "allow" else "refuse"
        reason = "" if decision == "allow" else _NO_ANSWER
        return Verdict(decision=decision, source="remote", reason=reason, unchecked=why)

    def sentence(self, verdict: Verdict, *, outgoing: bool = False) -> str:
        """What the member reads in place of a text that is not let through."""
        if verdict.decision == "hold":
            return _HELD
        if self.refusal:
            return self.refusal
        if verdict.reason == _NO_ANSWER:
            return _UNCHECKED
        if outgoing:
            return _WITHDRAWN
        worrying = verdict.reason.startswith("self-harm")
        return _CARE if worrying else _REFUSED


def _faults(name: str, threshold: Threshold) -> Iterator[str]:
    alike = next((known for known in DEFAULTS if _key(known) == _key(name)), name)
    if alike != name:
        yield f"{name!r}: no such category; did you mean {alike!r}?"
    if not 0 <= threshold.flag <= threshold.block:
        yield (
            f"{name!r}: flag ({threshold.flag:g}) must lie between 0 and block"
            f" ({threshold.block:g})"
        )


def _key(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
