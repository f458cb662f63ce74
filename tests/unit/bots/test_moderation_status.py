"""`talkwarden moderation status`: decisions, present and proposed thresholds, how to set them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bots.moderation.thresholds import describe, shown
from core.config import load
from core.moderation import Book, Source
from core.moderation.thresholds import Example, propose_thresholds
from core.overview import Decisions
from core.storage import Op, query
from core.storage.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
NOW = 1_900_000_000.0
POLICY = """
[categories."hate"]
flag = 0.5
block = 0.95

[channels.C1.categories."hate"]
block = 0.7
"""


def decisions(category: str, right: Iterable[float], wrong: Iterable[float]) -> Decisions:
    """What moderators said of texts with these scores."""
    examples = [Example(category, score, True) for score in right]
    right_ones = len(examples)
    examples += [Example(category, score, False) for score in wrong]
    proposal = next(iter(propose_thresholds(examples)), None)
    wrong_ones = len(examples) - right_ones
    return Decisions(category, right_ones, wrong_ones, tuple(examples), proposal)


def book(folder: Path, policy: str = "") -> Book:
    """The policy as it would be loaded."""
    file = folder / "policy.toml"
    file.write_text(policy)
    return Source(file=file).load()


SPLIT = ([0.75] * 30, [0.6] * 30)
UNSURE = ([n / 100 for n in range(60, 90)], [n / 100 for n in range(60, 90)])


def described(folder: Path, found: Decisions, policy: str = "") -> dict[str, Any]:
    file = "policy.toml" if policy else ""
    (one,) = describe([found], book(folder, policy), file, NOW)
    return one


def test_a_proposal_shows_its_grounds(tmp_path: Path) -> None:
    """The thresholds that hold beside those that are proposed, and what each would catch."""
    found = described(tmp_path, decisions("hate", *SPLIT), POLICY)

    assert found["present"] == {
        "flag": {"score": 0.5, "right": 30, "wrong": 30},
        "block": {"score": 0.95, "right": 0, "wrong": 0},
    }
    assert found["proposed"]["block"] == {"score": 0.75, "right": 30, "wrong": 0}
    assert found["differs"] == ["channels.C1"]
    assert found["set"] == {"file": "policy.toml", "toml": '[categories."hate"]\nblock = 0.75'}
    text = "\n".join(shown([found]))
    assert "hate: 30 right, 30 wrong" in text
    assert (
        "now:      flag from 0.5 (30 right, 30 wrong), block from 0.95 (0 right, 0 wrong)" in text
    )
    assert "write into policy.toml:" in text


@pytest.mark.parametrize("is_policy", [True, False])
@pytest.mark.parametrize("scores", [SPLIT, UNSURE, ([0.3] * 40, [0.2] * 40)])
def test_what_is_proposed_can_be_written_as_it_is_shown(
    tmp_path: Path, scores: tuple[list[float], list[float]], is_policy: bool
) -> None:
    """The lines are valid where they are to be written, and the next proposal changes nothing."""
    found = decisions("hate", *scores)
    policy = "watch = true\n" if is_policy else ""
    setting = described(tmp_path, found, policy)["set"]
    file = tmp_path / setting["file"]
    file.write_text(f"{policy}{setting['toml']}\n")
    if is_policy:
        loaded = Source(file=file).load()
    else:
        from bots.building import build_source

        loaded = build_source(load(file, {}).moderation).load()

    (after,) = describe([found], loaded, setting["file"], NOW)
    assert after["set"] is None
    assert after["note"] == "the thresholds are what the decisions speak for"


def test_a_category_of_ones_own_goes_into_a_policy_file(tmp_path: Path) -> None:
    """The configuration knows the endpoint's categories only; there is no policy file yet."""
    found = described(tmp_path, decisions('my "scam"', *SPLIT))

    assert found["set"]["toml"].startswith('[categories."my \\"scam\\""]\n')
    assert "a policy file, to be named as moderation.file" in "\n".join(shown([found]))


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (decisions("spam", [0.9] * 12, [0.6] * 40), "too few for a proposal"),
        (decisions("spam", [1.0] * 30, [1.0] * 30), "no threshold would tell"),
        (Decisions("insult", 5, 2, (), None), "found by rules alone"),
    ],
)
def test_what_proposes_nothing_says_why(tmp_path: Path, found: Decisions, note: str) -> None:
    """Its decisions are counted all the same."""
    one = described(tmp_path, found)

    assert (one["proposed"], one["set"]) == (None, None)
    (line, *_) = list(shown([one]))[1:]
    assert f"{found.right} right, {found.wrong} wrong; {note}" in line


def test_scores_that_prove_little_move_block_out_of_reach(tmp_path: Path) -> None:
    """Where right and wrong mix everywhere nothing is to be refused, and members are flagged."""
    found = described(tmp_path, decisions("violence", *UNSURE))

    assert found["proposed"]["block"]["score"] == 1.0
    assert 0.6 < found["proposed"]["flag"]["score"] < 0.7
    assert "no score is proven right in 90%" in found["note"]


def label_op(number: int, is_violation: bool) -> Op[None]:
    yield query(
        "cases.label", case_id=f"c{number}", platform="slack", workspace="T1", text="x",
        category="hate", scores=f'{{"hate": {0.8 if is_violation else 0.6}}}',
        is_violation=int(is_violation), now=time.time(),
    )  # fmt: skip


def status(folder: Path, *words: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bots.cli", "moderation", "status", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return done.stdout


async def test_the_command_reads_a_store_in_use_and_a_stopped_one(tmp_path: Path) -> None:
    """The same proposals, for people and for programs; nothing is changed by looking."""
    (tmp_path / "talkwarden.toml").write_text("[moderation]\nblock = { hate = 0.9 }\n")
    assert json.loads(status(tmp_path, "--json"))["decisions"] is None
    async with SqliteStore(tmp_path / "talkwarden.db") as store:
        assert "moderators' decisions: none yet" in status(tmp_path)
        for number in range(60):
            await store.write(label_op(number, number % 2 == 0))
        running = json.loads(status(tmp_path, "--json"))["decisions"]
    text = status(tmp_path)

    assert running == json.loads(status(tmp_path, "--json"))["decisions"]
    assert running[0]["set"]["toml"] == '[moderation.block]\n"hate" = 0.8'
    assert "block from 0.9 (0 right, 0 wrong)" in text
    assert "write into talkwarden.toml (read at the next start):" in text
