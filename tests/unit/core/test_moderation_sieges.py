"""Texts that are written to cost time, or to hide one thing behind floods of another."""

from __future__ import annotations

import time

import pytest
from evasion.insults import INSULTS, OTHERS
from evasion.sieges import every, fragments

from core.moderation.gate import StreamGate, Violation
from core.moderation.rules import LocalRules, RuleSpec

TERMS = LocalRules.build([RuleSpec("terms", terms=INSULTS + OTHERS)])
EVERYTHING = LocalRules.build(
    [
        RuleSpec("terms", terms=INSULTS + OTHERS),
        RuleSpec("links", domains=("*",)),
        RuleSpec("domains", domains=("bad.site", "evil.example")),
        RuleSpec("invites", invites=True),
        RuleSpec("secrets", secrets=True),
        RuleSpec("regexes", regexes=tuple(rf"\b{word}[a-z]*\b" for word in INSULTS)),
    ]
)
SIEGES = every()


def cost(rules: LocalRules, text: str) -> float:
    """Seconds of CPU, at best."""
    rules.check(text[:100])
    best = 1.0
    for _ in range(3):
        start = time.process_time()
        rules.check(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("kind", sorted(SIEGES))
def test_no_long_text_takes_long(kind: str) -> None:
    """40,000 characters of anything cost milliseconds under rules of every kind at once."""
    # 20 ms on a core of its own (tests/bench/moderation.py); this one is shared
    assert cost(EVERYTHING, SIEGES[kind]) < 0.06


@pytest.mark.parametrize("size", [300, 2000])
def test_no_mixture_of_layers_takes_long(size: int) -> None:
    """Whatever lies below whatever, all that is read of a text comes out of one budget."""
    # 5 ms for 300 on a core of its own; this one is shared
    assert cost(TERMS, fragments(size, size)) < (0.02 if size == 300 else 0.06)


def streamed(rules: LocalRules, text: str) -> None:
    """Let it out as an answer. Raises Violation."""
    gate = StreamGate(rules)
    gate.feed(text)
    gate.finish()


MILD_AND_BAD = LocalRules.build(
    [
        RuleSpec("mild", terms=("damn",), action="flag"),
        RuleSpec("bad", terms=("badword", "kill yourself")),
    ]
)


@pytest.mark.parametrize(
    "bad",
    [
        "badword", "b a d w o r d", "b4dword", "bádword", "<b>bad</b>word", "b*dword",
        "k*ll yourself", "\u202edrowdab",
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [300, 700, 5000])
def test_a_flood_of_one_rule_hides_no_other(bad: str, count: int) -> None:
    """However often a mild rule is broken, before or after, a strict one is still enforced."""
    assert MILD_AND_BAD.check("damn " * count + bad).decision == "refuse"
    assert MILD_AND_BAD.check(bad + " damn" * count).decision == "refuse"


def test_a_flood_is_covered_to_its_end() -> None:
    """Of more sightings than anybody reads the last one spans the rest."""
    hits = MILD_AND_BAD.check("damn " * 5000).hits
    assert len(hits) <= 256
    assert (hits[0].start, max(hit.end for hit in hits)) == (0, 24_999)


def test_pretended_hosts_hide_no_link() -> None:
    """What only looks like the name of a host does not use up the look for those that are."""
    links = LocalRules.build([RuleSpec("links", domains=("*",)), RuleSpec("i", invites=True)])
    padding = "main.py e.g this.is " * 1500
    assert {hit.rule for hit in links.check(padding + "https://x.example discord.gg/abc").hits} == {
        "links",
        "i",
    }


@pytest.mark.parametrize("rules", [TERMS, EVERYTHING], ids=["terms", "everything"])
@pytest.mark.parametrize(
    "text",
    ["\ud800 b a d w o r d", "<b>bad</b>word 😀\udfff", "\ud83d\u202edrowdab", "傻\ud800逼badword"],
)
def test_half_a_character_stops_nothing(rules: LocalRules, text: str) -> None:
    """A cut pair of surrogates, which no encoding can express, hides no term, streamed or not."""
    assert rules.check(text).decision == "refuse"
    with pytest.raises(Violation):
        streamed(rules, text)
