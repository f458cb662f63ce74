"""What local moderation costs; run as `PYTHONPATH=. python tests/bench/moderation.py`.

The pipeline (terms through evasion, expressions, conduct, a verdict) beside a raw scan of the same
messages with the same terms by ahocorasick-rs, in the same run; then the loading of many terms,
and the longest of adversarial texts.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import ahocorasick_rs

sys.path.insert(0, str(Path(__file__).parent.parent))

from evasion.sieges import every

from core.messages import Author, ConversationId, Message, Place
from core.moderation.conduct import Conduct, ConductSettings
from core.moderation.conduct_settings import Flood
from core.moderation.rules import LocalRules, RuleSpec

MESSAGES = 6000
ROUNDS = 21
T = TypeVar("T")
WORDS = (
    "the a to and you of is it that for on was my with have this be are not but what so just "
    "at do we if they your all like me up when out can about get know time go no one would "
    "there time really think good people how yeah want see make because some them right now "
    "back still well could then also even need thing here day way work sure off much said "
    "never why where who great last year same today tomorrow maybe someone nothing always "
    "something better please thanks first every love look feel long two another next come "
    "before server channel update"
)
COMMON = tuple(WORDS.split(" "))
ENDS = (
    "!",
    "?",
    ".",
    "...",
    ", ok?",
    " lol",
    " :)",
    " https://example.com/a-b?c=1",
    " don't",
    " 5",
)
SCRIPTS = (" 😀", " naïve", " ❤️", " привет", " señor", " – yes", "’s")


def chat(terms: list[str], draw: Random) -> list[str]:
    """Messages of about 45 characters: 13 % not ASCII, 5 % with a planted term."""
    found = []
    for _ in range(MESSAGES):
        text = " ".join(draw.choices(COMMON, k=draw.randint(6, 12)))
        chance = draw.random()
        if chance < 0.13:
            text += draw.choice(SCRIPTS)
        elif chance < 0.4:
            text += draw.choice(ENDS)
        if draw.random() < 0.05:
            text += " " + draw.choice(terms)
        found.append(text)
    return found


def random_terms(count: int, draw: Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(4, 12)))] = None
    return list(found)


def expressions(draw: Random) -> tuple[str, ...]:
    """500 as operators have them: loose words, invitations, scam phrases."""
    words = random_terms(500, draw)
    forms = (r"\b{0}[a-z]*\b", r"{0}\s+(?:now|here|free)", r"(?:https?://)?{0}\.(?:gg|example)/\w+",
             r"\b{0}s?\s*[:=]\s*\d+")  # fmt: skip
    return tuple(draw.choice(forms).format(word) for word in words)


def each(call: Callable[[T], object], messages: list[T], rounds: int = ROUNDS) -> float:
    """Microseconds for one message, of the best round."""
    best = 1e9
    for _ in range(rounds):
        start = time.perf_counter()
        for message in messages:
            call(message)
        best = min(best, time.perf_counter() - start)
    return best / len(messages) * 1e6


def traffic(messages: list[str], draw: Random, since: float) -> list[Message]:
    """A post of each, of 500 members, twenty a second."""
    place = Place("slack", "T1", "C1")
    authors = [Author(f"U{n}", f"user {n}") for n in range(500)]
    talk = ConversationId("slack:T1:C1:1")
    return [
        Message(
            talk, place, f"{since}-{at}", at, draw.choice(authors), text, sent_at=since + at / 20
        )
        for at, text in enumerate(messages)
    ]


def pipeline() -> None:
    draw = Random(20260920)
    terms = random_terms(10_000, draw)
    messages = chat(terms, draw)
    raw = ahocorasick_rs.AhoCorasick(terms, store_patterns=False).find_matches_as_indexes
    words = LocalRules.build([RuleSpec("words", terms=tuple(terms))])
    rules = LocalRules.build(
        [RuleSpec("words", terms=tuple(terms)), RuleSpec("regexes", regexes=expressions(draw))]
    )
    conduct = Conduct(ConductSettings(flood=Flood()))
    gc.collect()
    gc.freeze()
    length = sum(map(len, messages)) / len(messages)
    print(f"{len(messages)} messages of {length:.0f} characters, 10,000 terms, 500 regexes")
    floor = each(lambda text: raw(text, overlapping=True), messages)

    def full(post: Message) -> None:
        rules.check(post.text)
        conduct.observe(post, post.text, post.sent_at)

    calls = {"terms": words.check, "terms and regexes": rules.check}
    flooded = min(each(full, traffic(messages, draw, at * 1e4), 1) for at in range(ROUNDS))
    costs = {"raw scan": floor} | {name: each(call, messages) for name, call in calls.items()}
    costs["with flood"] = flooded
    for name, cost in costs.items():
        print(f"  {name:18} {cost:6.2f} us  {cost / floor:5.1f} x")
    spread = sorted(timed(rules.check, text) for text in messages)
    print(f"  p99 of local rules {spread[int(0.99 * len(spread))] * 1000:.3f} ms")


def timed(call: Callable[[str], object], text: str) -> float:
    start = time.perf_counter()
    call(text)
    return time.perf_counter() - start


def resident() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def loading() -> None:
    """In a process of its own, whose memory holds nothing else."""
    terms = tuple(random_terms(100_000, Random(1)))
    LocalRules.build([RuleSpec("r", terms=("x",))]).check("é b.a")
    gc.collect()
    before, start = resident(), time.perf_counter()
    rules = LocalRules.build([RuleSpec("r", terms=terms)])
    took = time.perf_counter() - start
    gc.collect()
    print(f"100,000 terms ready after {took:.2f} s, {resident() - before:.0f} MiB")
    assert rules


def sieges() -> None:
    """The longest messages that there are, written to cost time, under rules of every kind."""
    draw = Random(2)
    words = RuleSpec("words", terms=tuple(random_terms(1000, draw)))
    links = RuleSpec("links", domains=("*", "bad.site"), invites=True)
    regexes = RuleSpec("regexes", regexes=expressions(draw))
    kinds = {
        "terms": LocalRules.build([words]),
        "every kind of rule": LocalRules.build(
            [words, links, RuleSpec("secrets", secrets=True), regexes]
        ),
    }
    texts = every()
    for name, rules in kinds.items():
        costs = {
            kind: min(timed(rules.check, text) for _ in range(5)) * 1000
            for kind, text in texts.items()
        }
        worst = max(costs, key=costs.__getitem__)
        middle = sorted(costs.values())[len(costs) // 2]
        print(
            f"{len(texts)} texts of 40,000 characters, {name}: median {middle:.1f} ms, "
            f"at most {costs[worst]:.1f} ms ({worst})"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["loading"]:
        loading()
    else:
        pipeline()
        sieges()
        subprocess.run([sys.executable, __file__, "loading"], check=True)
