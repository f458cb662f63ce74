"""Measures talkwarden beside two floors, in one run: a fifteen-line bot with the `openai`
library, and the SDK alone posting a fixed reply.

    python tests/bench/bench.py [--platform slack|discord] [--only latency,load,...]

Prints a table and the targets that were missed; exits 1 if there is one. Absolute times depend on
the machine: compare inside a run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rig import Rig, scratch

BOTS = ("sdk", "openai", "talkwarden")
SIM = {
    "slack": {"own_events": False},
    "discord": {
        "echo_own_events": False,
        "guilds": [{"name": "Bench", "extra_text_channels": 500}],
    },
}
SHORT = {"tokens": 12}
LONG = {"tokens": 200, "duration": 2.0}


@dataclass
class Results:
    """Figures by name, and the targets that were missed."""

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def note(self, bot: str, **figures: float) -> None:
        for name, value in figures.items():
            self.figures.setdefault(name, {})[bot] = value

    def of(self, name: str, bot: str = "talkwarden") -> float:
        return self.figures.get(name, {}).get(bot, float("nan"))

    def expect(self, what: str, value: float, limit: float) -> None:
        met = value <= limit
        mark = "ok  " if met else "MISS"
        print(f"  {mark} {what}: {value:.2f} (at most {limit:.2f})", flush=True)
        if not met:
            self.missed.append(what)


def rig(name: str, bot: str, model: dict[str, Any], **sim: Any) -> Rig:
    return Rig(name, bot, model=model, sim={**SIM[name], **sim})


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def commit_ms() -> float:
    """The median cost of one durable SQLite commit on this disk, in milliseconds."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        connection = sqlite3.connect(f"{folder}/commit.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (x TEXT)")
        times = []
        for _ in range(200):
            began = time.perf_counter()
            connection.execute("INSERT INTO t VALUES ('x')")
            times.append((time.perf_counter() - began) * 1000)
        connection.close()
    return statistics.median(times)


async def latency(name: str, bot: str, results: Results, count: int = 200) -> None:
    """One question at a time, model delay 0: until the model is asked, until text is visible."""
    bench = rig(name, bot, SHORT)
    async with bench.running():
        await bench.connected()
        await bench.ask(50)
        await bench.wait_answers(50, 30)
        await bench.reset()
        numbers: dict[Any, int] = {}
        for i in range(count):
            numbers |= await bench.ask(1, first=i)
            await asyncio.sleep(0.04)  # reading the answers would compete with the bot
            await bench.wait_answers(i + 1, 10)
        asked = await bench.asked()
        by_number = {n: asked[i] for i, n in numbers.items()}
        visible = {}
        for answer in await bench.answers():
            first = answer["first_text"]
            question = answer["question"]
            visible[question] = min(first, visible.get(question, first))
        to_text = [(visible[i] - asked[i]) * 1000 for i in numbers]
        results.note(bot, **{"visible p50 ms": quantile(to_text, 0.5),
                             "visible p99 ms": quantile(to_text, 0.99)})  # fmt: skip
        if bot == "sdk":
            return
        to_request = []
        for request in await bench.requests():
            said = next(m for m in reversed(request["body"]["messages"]) if m["role"] == "user")
            number = int(re.findall(r"Q(\d+)\?", str(said["content"]))[-1])
            to_request.append((request["monotonic"] - by_number[number]) * 1000)
        results.note(bot, **{"request p50 ms": quantile(to_request, 0.5),
                             "request p99 ms": quantile(to_request, 0.99)})  # fmt: skip


async def scored(name: str, bot: str, results: Results, count: int = 60) -> None:
    """As `latency`, with a remote scorer that takes 50 ms for questions and answers."""
    bench = rig(name, bot, {**SHORT, "moderation_delay": 0.05})
    async with bench.running(env={"TALKWARDEN_MODERATION__REMOTE": "openai"}):
        await bench.connected()
        await bench.ask(20)
        await bench.wait_answers(20, 30)
        await bench.reset()
        trips = []
        numbers: dict[Any, int] = {}
        for i in range(count):
            trips.append(await bench.scoring_trip())
            numbers |= await bench.ask(1, first=i)
            await asyncio.sleep(0.12)
            await bench.wait_answers(i + 1, 10)
        asked = await bench.asked()
        first = {a["question"]: a["first_text"] for a in await bench.answers()}
        to_text = [(first[i] - asked[i]) * 1000 for i in numbers]
        results.note(bot, **{"scored visible p50 ms": quantile(to_text, 0.5),
                             "scoring trip p50 ms": quantile(trips, 0.5) * 1000})  # fmt: skip


async def load(name: str, bot: str, results: Results, total: int = 640) -> None:
    """64 questions outstanding, platform limits off: replies per second and CPU per reply."""
    bench = rig(name, bot, SHORT)
    async with bench.running(env={f"TALKWARDEN_{name.upper()}__LIMITS": "false"}):
        await bench.connected()
        await bench.ask(64)
        await bench.wait_answers(64, 60)
        await bench.reset()
        cpu, began = bench.cpu(), time.monotonic()
        for wave in range(total // 64):
            await bench.ask(64, first=wave * 64)
            await bench.wait_answers((wave + 1) * 64, 60)
        took = time.monotonic() - began
        results.note(bot, **{"replies/s": total / took,
                             "cpu ms/reply": (bench.cpu() - cpu) * 1000 / total})  # fmt: skip


async def streams(name: str, bot: str, results: Results, count: int = 500) -> None:
    """500 conversations of 200 tokens, streamed over 2 s, platform limits off."""
    bench = rig(name, bot, LONG)
    limits = {f"TALKWARDEN_{name.upper()}__LIMITS": "false"}
    async with bench.running(env=limits):
        await bench.connected()
        await bench.ask(3, channels=500)
        await bench.wait_answers(3, 30)
        await bench.reset()
        cpu = bench.cpu()
        numbers = await bench.ask(count, channels=500)
        await asyncio.sleep(2.5)
        answers = await bench.wait_answers(count, 60, every=0.5, words=195)
        asked = await bench.asked()
        began = min(asked[i] for i in numbers)
        first: dict[Any, float] = {}
        for answer in answers:
            first[answer["question"]] = min(
                answer["first_text"], first.get(answer["question"], answer["first_text"])
            )
        results.note(bot, **{
            "streams all s": max(a["changed"] for a in answers) - began,
            "streams first p50 s": quantile([first[i] - asked[i] for i in numbers], 0.5),
            "streams calls/reply": await message_calls(bench) / count,
            "streams peak MiB": bench.memory(peak=True),
            "streams cpu s": bench.cpu() - cpu,
        })  # fmt: skip
        whole = sum(len(a["text"].split()) for a in answers) / count
        if whole < 195:
            results.missed.append(f"{name}: answers of {whole:.0f} words instead of 200")


async def limits(name: str, bot: str, results: Results, count: int = 100) -> None:
    """100 conversations at once with the platform's limits enforced."""
    bench = rig(name, bot, LONG, rate_limits=True)
    async with bench.running():
        await bench.connected()
        began = time.monotonic()
        await bench.ask(count, channels=100)
        answers = await bench.wait_answers(count, 300, every=0.5, words=195)
        state = await bench.get("state")
        ignored = state.get("ignored_limits", state.get("ignored_rate_limits"))
        whole = {a["question"] for a in answers if len(a["text"].split()) >= 195}
        results.note(bot, **{
            "limited answers whole": len(whole),
            "limited 429 ignored": ignored if isinstance(ignored, int) else sum(ignored.values()),
            "limited all s": time.monotonic() - began,
        })  # fmt: skip


async def start(name: str, bot: str, results: Results) -> None:
    """From the process's start to its first answer; memory when idle."""
    firsts, idle = [], 0.0
    for _ in range(3):
        bench = rig(name, bot, SHORT)
        async with bench.running():
            await bench.connected()
            await bench.ask(1)
            answers = await bench.wait_answers(1, 30)
            firsts.append(min(a["first_text"] for a in answers) - bench.spawned_at)
            if _ == 0:
                await asyncio.sleep(3)
                idle = bench.memory()
    results.note(bot, **{"start s": statistics.median(firsts), "idle MiB": idle})


async def message_calls(bench: Rig) -> int:
    """Creates, edits and stream calls; typing and status do not count."""
    if bench.platform == "slack":
        counts = (await bench.get("state"))["counts"]
        return sum(n for method, n in counts.items() if method.startswith("chat."))
    counts = await bench.get("counts")
    return sum(n for call, n in counts.items() if re.search(r"^(POST|PATCH) .*/messages", call))


PARTS = {
    "latency": latency,
    "scored": scored,
    "load": load,
    "streams": streams,
    "limits": limits,
    "start": start,
}


def judge(results: Results, commit: float, parts: list[str]) -> None:
    of = results.of
    if "latency" in parts:
        floor = of("request p50 ms", "openai")
        results.expect("to the model request, p50 ms", of("request p50 ms"), floor)
        results.expect("to the model request, p99 ms", of("request p99 ms"), 8.0)
        floor = of("visible p50 ms", "openai") + 2 * commit
        results.expect("to first visible text, p50 ms", of("visible p50 ms"), floor)
    if "scored" in parts and "latency" in parts:
        floor = of("visible p50 ms", "openai") + 2 * commit + of("scoring trip p50 ms")
        results.expect("with a scorer, to visible text, p50 ms", of("scored visible p50 ms"), floor)
    if "load" in parts:
        results.expect("CPU ms per reply", of("cpu ms/reply"), 0.75 * of("cpu ms/reply", "openai"))
    if "streams" in parts:
        results.expect("500 streams whole, s", of("streams all s"), 3.0)
        results.expect("500 streams, first text p50, s", of("streams first p50 s"), 1.0)
        results.expect("500 streams, message calls per reply", of("streams calls/reply"), 3.5)
        results.expect("500 streams, peak MiB", of("streams peak MiB"), 110.0)
    if "limits" in parts:
        results.expect("answers not whole under limits", 100 - of("limited answers whole"), 0)
        results.expect("429 ignored", of("limited 429 ignored"), 0)
    if "start" in parts:
        results.expect("start to first answer, s", of("start s"), of("start s", "openai"))
        results.expect("idle MiB", of("idle MiB"), 65.0)


async def measure(name: str, parts: list[str]) -> Results:
    results = Results()
    commit = commit_ms()
    print(f"\n{name} on {platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, load {os.getloadavg()[0]:.1f}, "
          f"one commit {commit:.2f} ms", flush=True)  # fmt: skip
    for part in parts:
        floors = ("talkwarden",) if part in {"limits", "scored"} else BOTS
        for bot in floors:
            if part == "streams" and bot == "sdk":
                continue
            try:
                await PARTS[part](name, bot, results)
            except (TimeoutError, KeyError, ValueError, StopIteration) as exc:
                print(f"  {part} of {bot}: {exc!r}", flush=True)
                if bot == "talkwarden":
                    results.missed.append(f"{part}: {exc}")
    print(f"  {'':24}" + "".join(f"{bot:>12}" for bot in BOTS))
    for figure, values in results.figures.items():
        print(f"  {figure:24}" + "".join(f"{values.get(bot, float('nan')):12.2f}" for bot in BOTS))
    judge(results, commit, parts)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platform", choices=("slack", "discord"))
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    missed = []
    for name in (given.platform,) if given.platform else ("slack", "discord"):
        missed += asyncio.run(measure(name, given.only.split(","))).missed
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {what}" for what in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
