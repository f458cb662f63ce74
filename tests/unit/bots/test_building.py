"""Rules of the configuration: they find what rules of the policy file find."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bots.building import build_source
from core.config import RuleConfig, load
from core.config_moderation import ModerationConfig
from core.errors import ConfigError
from core.moderation import RuleSpec

TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
CONSEQUENCES = {"do", "timeout", "points"}
"""What only the policy file can say of a rule."""


def test_no_kind_of_rule_is_missing() -> None:
    """Every key of a policy file's rule but its consequences has the same default here."""
    known = {field.name: field for field in msgspec.structs.fields(RuleConfig)}
    for field in msgspec.structs.fields(RuleSpec):
        if field.name not in CONSEQUENCES:
            assert known[field.name].default == field.default, field.name


@pytest.mark.parametrize(
    ("rule", "found", "passed"),
    [
        ('terms = ["badword"]', "a b4dword", "a badwording"),
        ('terms = ["badword"]\nstrict_spelling = true', "a badword", "a b4dword"),
        ('terms = ["bad*"]\nallow = ["badminton"]', "badly", "badminton"),
        ('file = "lists/words.txt"', "a filed thing", "a thing"),
        ('regexes = ["b+d", "x[0-9]"]', "x7", "y7"),
        ('regexes = ["Bad"]\ncase_sensitive = true', "Bad", "bad"),
        ('domains = ["bad.example"]', "see https://a.bad.example/x", "see https://good.example"),
        ('domains = ["*"]\nallow = ["good.com"]', "https://other.com/x", "https://good.com/x"),
        ("invites = true", "discord.gg/abcdef", "discord.com/terms"),
        ("secrets = true", f"it is {TOKEN}", "it is ghp_short"),
    ],
)
def test_a_rule_finds_the_same_in_both_places(
    tmp_path: Path, rule: str, found: str, passed: str
) -> None:
    """The same table in talkwarden.toml and in the policy file; files beside either."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "words.txt").write_text("# ours\nfiled\n")
    table = f'id = "ours"\naction = "redact"\n{rule}\n'
    own = tmp_path / "talkwarden.toml"
    own.write_text(f"[[moderation.rules]]\n{table}")
    policy = tmp_path / "policy.toml"
    policy.write_text(f"[[rules]]\n{table}")
    for given in (load(own, {}).moderation, ModerationConfig(file=str(policy))):
        rules = build_source(given).load().rules
        verdict = rules.check(found)
        assert (verdict.decision, verdict.reason) == ("redact", "rule ours")
        assert rules.check(passed).decision == "allow"


def test_both_ways_of_writing_a_term_or_an_expression_count() -> None:
    """`term` and `regex` are one more of `terms` and `regexes`."""
    rule = RuleConfig(id="a", term="one", terms=("two",), regex="t.ree", regexes=("f.ur",))
    rules = build_source(ModerationConfig(rules=(rule,))).load().rules
    for text in ("one", "two", "three", "four"):
        assert rules.check(text).decision == "refuse", text


def test_what_only_building_shows_is_blamed_on_the_rule() -> None:
    """A domain that is none stops the start with the rule's id."""
    rule = RuleConfig(id="links", domains=("not a domain",))
    with pytest.raises(ConfigError, match=r"moderation\.rules: links"):
        build_source(ModerationConfig(rules=(rule,))).load()
