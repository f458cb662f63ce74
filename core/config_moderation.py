"""The section [moderation]: the outermost layer of the policy, and which scorer to ask."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.ranges import Count, Seconds
from core.secret import Secret

Threshold = Annotated[float, msgspec.Meta(ge=0, le=1)]

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""https://platform.openai.com/docs/guides/moderation"""


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One local moderation rule; it finds what a `[[rules]]` of the policy file can find."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    """The name that verdicts and logs carry."""
    term: str = ""
    """A word or phrase; `word*`, `*word`, `*word*` find parts; letter case never matters."""
    terms: tuple[str, ...] = ()
    """Several of them."""
    regex: str = ""
    """A regular expression in RE2's syntax."""
    regexes: tuple[str, ...] = ()
    """Several of them."""
    case_sensitive: bool = False
    """For the regexes."""
    file: str = ""
    """A file with one term a line; blank lines and those that begin with `#` are left out."""
    allow: tuple[str, ...] = ()
    """Terms that are no hit where they cover all of it; for domains, the ones let through."""
    strict_spelling: bool = False
    """Terms are found only as they are spelled, not through evasions."""
    domains: tuple[str, ...] = ()
    """Domains with all below them; `*` means all but those in `allow`."""
    invites: bool = False
    """Whether links that invite to other servers are hits."""
    secrets: bool = False
    """Whether API keys, tokens and passwords are hits; redact keeps them from history and model."""
    category: str = "custom"
    """What it is about, in the vocabulary of the moderators."""
    action: Literal["refuse", "flag", "redact"] = "refuse"
    """What a hit leads to."""

    @property
    def all_terms(self) -> tuple[str, ...]:
        """Both ways of writing them."""
        return (*self.terms, *filter(None, (self.term,)))

    @property
    def all_regexes(self) -> tuple[str, ...]:
        """Both ways of writing them."""
        return (*self.regexes, *filter(None, (self.regex,)))


class ModerationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged before the model reads it and before people do."""

    file: str = ""
    """The policy file: rules, thresholds and actions by workspace, channel, role and time."""
    words: tuple[str, ...] = ()
    """Terms to refuse."""
    word_file: str = ""
    """A file of further terms, one per line."""
    rules: tuple[RuleConfig, ...] = ()
    """Rules with a category and an action of their own."""
    remote: Literal[
        "",
        "openai",
        "inline",
        "llama-guard",
        "shieldgemma",
        "gpt-oss-safeguard",
        "qwen3guard",
        "off",
    ] = ""
    """The remote scorer: /v1/moderations, the model's own endpoint with each completion (inline),
    or a policy model; empty: openai if the model's endpoint is OpenAI's own, else off."""
    model: str = "omni-moderation-latest"
    """The remote scorer's model."""
    base_url: str = ""
    """The remote scorer's endpoint, up to /v1; empty: the model's."""
    policy_text: str = ""
    """What gpt-oss-safeguard judges by; empty: our own text."""
    requests_per_minute: Count | None = None
    """Requests that the scorer's endpoint grants a minute, 0: as many as its replies allow; unset:
    250 of /v1/moderations, which is OpenAI's lowest tier, and 0 of a policy model."""
    tokens_per_minute: Count = 0
    """Tokens that it grants a minute; 0: as many as its replies allow."""
    requests_per_day: Count = 0
    """Requests that it grants a day; 0: no limit."""
    learn: bool = True
    """Learn from moderators' decisions, and score with what was learned."""
    api_key: Secret | None = None
    """Its key; unset: the model's, if the endpoint is the same host."""
    when: Literal["overlap", "before"] = "overlap"
    """Score a question while the model already works on it, or before it may start."""
    on_error: Literal["allow", "hold", "block"] = "allow"
    """A scorer that gives no answer in time: allow and recheck later, hold for a moderator, or
    block."""
    deadline: Seconds = 1.5
    """Seconds that a score may take."""
    flag: dict[str, Threshold] = {}
    """Score per category from which a text is flagged."""
    block: dict[str, Threshold] = {}
    """Score per category from which a text is refused."""
