"""`talkwarden moderation` as a process of its own, and what it is made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bots.moderation.evaluation import evaluate, read_lines

ROOT = Path(__file__).parents[3]
POLICY = """
[[rules]]
id = "words"
category = "insult"
terms = ["badword"]
do = ["delete", "timeout"]
timeout = 60
points = 2.0

[[rules]]
id = "keys"
secrets = true
action = "redact"

[[rules]]
id = "links"
domains = ["bad.site"]
"""
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"


def talkwarden(
    folder: Path, *words: str, stdin: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `talkwarden moderation` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "bots.cli", "moderation", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        input=stdin,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and a policy file."""
    (tmp_path / "talkwarden.toml").write_text('[moderation]\nfile = "policy.toml"\n')
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def test_explain_shows_every_hit_under_the_text(folder: Path) -> None:
    """Rule, category, view and exact span, the verdict, and what would be done."""
    text = f"you b4dw0rd, see bad dot site and {TOKEN}"
    done = talkwarden(folder, "explain", text)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "verdict: refuse (rule words)"
    for found in ("b4dw0rd", "bad dot site", TOKEN):
        at = text.index(found)
        marks = "  " + " " * at + "^" * len(found)
        assert lines[lines.index(marks) - 1] == f"  {text}"
    assert "rule words: insult" in done.stdout
    assert "GitHub token" in done.stdout
    assert "delete (words" in lines[-1]
    assert "timeout for 60 s" in lines[-1]


def test_explain_prints_one_object_for_programs(folder: Path) -> None:
    """Spans count characters of the text, also when it comes from the standard input."""
    text = f"ж {TOKEN}\nbadword"
    done = talkwarden(folder, "explain", "-", "--json", stdin=text)

    found = json.loads(done.stdout)
    assert [(hit["rule"], hit["span"]) for hit in found["hits"]] == [
        ("keys", TOKEN),
        ("words", "badword"),
    ]
    assert all(text[hit["start"] : hit["end"]] == hit["span"] for hit in found["hits"])
    assert found["decision"] == "refuse"
    assert found["policy"]


def test_explain_says_that_nothing_was_found(folder: Path) -> None:
    """And shows nothing else."""
    done = talkwarden(folder, "explain", "a good word")

    assert done.stdout.splitlines()[:2] == ["verdict: allow", "no rule found anything"]
    assert done.returncode == 0


def test_explain_with_a_broken_policy_names_file_line_and_key(folder: Path) -> None:
    """Exit 2, without a traceback."""
    (folder / "other.toml").write_text('[[rules]]\nid = "x"\nregexes = ["(?=a)"]\n')
    done = talkwarden(folder, "explain", "x", "--policy", "other.toml")

    assert done.returncode == 2
    assert "other.toml:3" in done.stderr
    assert "regexes" in done.stderr
    assert "Traceback" not in done.stderr


def lines_file(folder: Path, *lines: object) -> Path:
    path = folder / "lines.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", "utf-8")
    return path


LINES = (
    {"id": 1, "text": "you b4dword here", "term": "badword", "should_match": True},
    {"id": "two", "text": "evil-site[.]com", "term": "evil-site.com", "should_match": True},
    {"id": 3, "text": "all is well", "term": "badword", "should_match": False},
    {"id": 4, "text": "a badword", "should_match": False},
    {"id": 5, "text": "a badword", "term": "other", "should_match": False},
    {"id": 6, "text": "a badword", "term": "other", "should_match": True},
    {"id": 7, "text": "a fourth thing", "term": None, "should_match": False},
)


def test_eval_counts_what_is_caught_missed_and_hit_falsely(folder: Path) -> None:
    """A line is judged by its own term, or by all where it names none."""
    lines_file(folder, *LINES)
    done = talkwarden(folder, "eval", "lines.jsonl", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"caught": 2, "missed": [6], "false_hits": [4]}
    done = talkwarden(folder, "eval", "lines.jsonl")
    assert "caught 2 of 3" in done.stdout
    assert "missed lines, by id: 6" in done.stdout
    assert done.returncode == 0


def test_eval_takes_further_terms_from_a_list(folder: Path) -> None:
    """They hit lines that name no term."""
    lines_file(folder, *LINES)
    (folder / "terms.txt").write_text("# a list\nfourth\n", "utf-8")
    done = talkwarden(folder, "eval", "lines.jsonl", "--terms", "terms.txt", "--json")

    assert json.loads(done.stdout)["false_hits"] == [4, 7]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("x", "it is not JSON"),
        ("[]", "expected an object"),
        ('{"text": "a", "should_match": true}', "id is missing"),
        ('{"id": true, "text": "a", "should_match": true}', "id: expected"),
        ('{"id": 1, "should_match": true}', "text is missing"),
        ('{"id": 1, "text": 5, "should_match": true}', "text: expected"),
        ('{"id": 1, "text": "a", "should_match": "yes"}', "should_match: expected"),
        ('{"id": 1, "text": "a", "term": 5, "should_match": true}', "term: expected"),
        ('{"id": 1, "text": "a", "term": "  ", "should_match": true}', "term: "),
    ],
)
def test_eval_names_file_and_line_of_a_bad_line(folder: Path, line: str, fault: str) -> None:
    """Exit 2, and no result."""
    path = folder / "bad.jsonl"
    path.write_text(json.dumps(LINES[0]) + "\n\n" + line + "\n", "utf-8")
    done = talkwarden(folder, "eval", "bad.jsonl", "--json")

    assert done.returncode == 2
    assert f"bad.jsonl:3: {fault}" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_eval_without_its_files_says_which(folder: Path) -> None:
    """Missing files, and bytes that are no text."""
    assert "gone.jsonl: No such file" in talkwarden(folder, "eval", "gone.jsonl").stderr
    lines_file(folder, *LINES)
    (folder / "terms.txt").write_bytes(b"ok\n\xff\n")
    done = talkwarden(folder, "eval", "lines.jsonl", "--terms", "terms.txt")
    assert done.returncode == 2
    assert "terms.txt:2: it is not UTF-8" in done.stderr


def test_eval_is_quick_with_many_lines_and_terms(folder: Path) -> None:
    """Ten thousand lines with two thousand terms take seconds at most."""
    path = lines_file(
        folder,
        *(
            {
                "id": number,
                "text": f"some words and qx{number % 2000}z in line {number}",
                "term": f"qx{number % 2000}z",
                "should_match": True,
            }
            for number in range(10_000)
        ),
    )
    lines = read_lines(path)
    began = time.process_time()

    assert evaluate(lines, []).caught == 10_000
    assert time.process_time() - began < 5
