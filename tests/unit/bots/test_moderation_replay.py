"""Replay and status: what is stored, judged anew and counted, on both databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from bots.cli_moderation import parse_since
from bots.moderation.replay import PAGE, replay, summary
from bots.moderation.standing import work
from core.errors import ConfigError
from core.moderation import Book, Source, Verdict
from core.moderation.verdicts import Hit
from core.overview import overview_op
from core.storage import Op, Store, query
from core.storage.reading import open_reader
from core.storage.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
NOW = 1_700_000_000.0
LANE = "discord:1:c1"
POLICY = """
[[rules]]
id = "new-words"
terms = ["badword"]

[categories."hate"]
flag = 0.2
block = 0.4
"""


def book(tmp_path: Path, text: str = POLICY) -> Book:
    """The policy file as it would be loaded."""
    path = tmp_path / "new.toml"
    path.write_text(text)
    return Source(file=path).load()


def said_op(texts: list[tuple[str, Verdict | None]], role: str = "user") -> Op[None]:
    """So many messages with their verdicts."""
    yield query("history.open", id=LANE, platform="discord", workspace="1", channel="c1", now=NOW)
    for seq, (text, verdict) in enumerate(texts, 1):
        yield query(
            "history.append",
            conversation=LANE,
            seq=seq,
            platform_id=f"m{seq}",
            role=role,
            author_id="ann",
            author_name="Ann",
            content=text,
            parent=seq - 1,
            turn=f"t{seq}" if role == "assistant" else None,
            now=NOW + seq,
        )
        subject = f"out t{seq}" if role == "assistant" else f"in {LANE} m{seq}"
        if verdict is not None:
            yield from verdict_op(subject, verdict, NOW + seq)


def verdict_op(subject: str, verdict: Verdict, now: float) -> Op[None]:
    yield query(
        "verdicts.record",
        subject=subject,
        direction=subject.split(maxsplit=1)[0],
        decision=verdict.decision,
        verdict=msgspec.json.encode(verdict).decode(),
        now=now,
    )


async def test_a_replay_compares_with_what_was_decided(store: Store, tmp_path: Path) -> None:
    """Rules judge the texts anew, scores are those that were stored, what is gone is undone."""
    gone = Verdict("refuse", {"custom": 1.0}, (Hit("old", "custom", 0, 3),), reason="rule old")
    scored = Verdict("flag", {"hate": 0.5}, (), "remote", "hate 0.50")
    await store.write(
        said_op(
            [
                ("all is well", Verdict()),
                ("a b4dword", Verdict()),
                ("was refused", gone),
                ("hateful", scored),
                ("never judged", None),
                ("badword", Verdict("refuse", reason="rule new-words")),
            ]
        )
    )
    found = await replay(store, book(tmp_path), NOW)

    assert (found.messages, found.same, found.unjudged) == (6, 3, 1)
    assert found.changed == {"allow -> refuse": 1, "refuse -> allow": 1, "flag -> refuse": 1}
    assert found.rules == {"+ rule new-words": 1, "- rule old": 1, "- hate": 1, "+ hate": 1}
    assert [each["message"] for each in found.examples] == ["m2", "m3", "m4"]
    text = summary(found, 1.0)
    assert "3 decided as before, 3 differently" in text
    assert "allow -> refuse: 1" in text


async def test_a_replay_reads_answers_and_edits_by_their_own_verdicts(
    store: Store, tmp_path: Path
) -> None:
    """An answer is judged as one; each version of a message has its verdict."""
    await store.write(said_op([("fine", Verdict())]))

    def edit_op() -> Op[None]:
        for number, text in enumerate(("a badword", "fine again"), 1):
            yield query(
                "history.revise",
                conversation=LANE,
                seq=1,
                content=text,
                is_deleted=0,
                now=NOW + 10 * number,
            )
            decision = "refuse" if number == 1 else "allow"
            verdict = Verdict(decision)  # type: ignore[arg-type]
            yield from verdict_op(f"in {LANE} m1 v{number}", verdict, NOW + 10 * number)

    await store.write(edit_op())
    found = await replay(store, book(tmp_path), NOW)

    assert (found.messages, found.same, found.unjudged) == (3, 3, 0)


async def test_a_replay_goes_back_no_further_than_asked(store: Store, tmp_path: Path) -> None:
    """By the time of each version, page by page, telling how far it is."""
    count = PAGE + 5
    await store.write(said_op([("all is well", Verdict())] * count, role="assistant"))
    told: list[tuple[int, int]] = []
    found = await replay(store, book(tmp_path), NOW + 6, lambda *each: told.append(each))

    assert found.messages == count - 5
    assert found.unjudged == 0
    assert told[-1] == (count - 5, count - 5)


async def test_a_replay_is_quick(sqlite_store: SqliteStore, tmp_path: Path) -> None:
    """Thousands of messages a second."""
    await sqlite_store.write(
        said_op([("an ordinary message of this length, more or less", Verdict())] * 5000)
    )
    rules = book(tmp_path)
    await replay(sqlite_store, rules, NOW)
    began = time.process_time()
    found = await replay(sqlite_store, rules, NOW)

    assert found.messages / (time.process_time() - began) > 5_000


async def test_open_work_is_counted(store: Store) -> None:
    """Nothing is open in a new database; verdicts of a day count."""
    await store.write(said_op([("x", Verdict("refuse")), ("y", Verdict())]))
    found = work(await store.read(overview_op(NOW)))

    assert found == {
        "unchecked": 0, "actions": 0, "cases": 0, "oldest": [], "verdicts": 2, "against": 1,
        "acted": {},
    }  # fmt: skip


async def test_a_reader_writes_nothing_and_wants_a_database(
    sqlite_store: SqliteStore, tmp_path: Path
) -> None:
    """It works beside the process that has the lock; a missing file is named."""
    await sqlite_store.write(said_op([("x", Verdict())]))
    async with open_reader(f"sqlite:///{tmp_path / 'talkwarden.db'}") as reader:
        assert (await reader.read(overview_op(NOW))).verdicts == 1
    with pytest.raises(ConfigError, match="there is no database"):
        async with open_reader(f"sqlite:///{tmp_path / 'gone.db'}"):
            pass
    assert not (tmp_path / "gone.db").exists()


def talkwarden(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bots.cli", "moderation", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )


async def test_the_commands_run_beside_the_bot(sqlite_store: SqliteStore, tmp_path: Path) -> None:
    """While the database is open elsewhere: replay and status, for people and programs."""
    await sqlite_store.write(said_op([("a badword", Verdict())]))
    book(tmp_path)
    (tmp_path / "talkwarden.toml").write_text('[moderation]\nwords = ["other"]\n')

    done = talkwarden(tmp_path, "replay", "--policy", "new.toml", "--since", "2020-01-01", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"] == {"allow -> refuse": 1}
    done = talkwarden(tmp_path, "status", "--json")
    found = json.loads(done.stdout)
    assert (found["rules"], found["terms"], found["mode"]) == (1, 1, "enforce")
    assert found["database"]["unchecked"] == 0
    assert "1 rules: 1 terms" in talkwarden(tmp_path, "status").stdout


def test_the_commands_name_what_is_wrong(tmp_path: Path) -> None:
    """No database, a broken policy, a span that is none: exit 2, no traceback."""
    (tmp_path / "bad.toml").write_text("[[rules]]\nid = 5\n")
    book(tmp_path)
    for words, fault in (
        (("replay", "--policy", "new.toml"), "there is no database"),
        (("replay", "--policy", "bad.toml"), "bad.toml:2"),
        (("replay", "--policy", "gone.toml"), "gone.toml"),
        (("replay", "--policy", "new.toml", "--since", "soon"), "'soon' is no time"),
    ):
        done = talkwarden(tmp_path, *words)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert fault in done.stderr
        assert "Traceback" not in done.stderr
    assert "database: none yet" in talkwarden(tmp_path, "status").stdout


def test_a_span_is_counted_back_from_now() -> None:
    """Minutes, hours, days, weeks, or a date in UTC."""
    assert parse_since("90m", 10_000.0) == 10_000.0 - 5400
    assert parse_since("2w", 0.0) == -14 * 86_400
    assert parse_since("2026-01-31", 0.0) == 1_769_817_600.0
