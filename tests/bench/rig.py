"""Processes under measurement: simulators, a model endpoint and one bot, each on its own.

All times are CLOCK_MONOTONIC seconds, which processes of one machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def scratch() -> Path:
    """A folder on the checkout's disk: /tmp may be memory, where a commit costs nothing."""
    folder = ROOT / ".bench"
    folder.mkdir(exist_ok=True)
    return folder


class Rig:
    """One platform with one bot; `bot` is "talkwarden" or a floor ("openai", "sdk")."""

    def __init__(self, platform: str, bot: str, *, model: dict[str, Any], sim: dict[str, Any]):
        self.platform = platform
        self.bot = bot
        self.model_options = model
        self.sim_options = sim
        self.process: asyncio.subprocess.Process
        self.spawned_at = 0.0

    @asynccontextmanager
    async def running(self, *, env: dict[str, str] | None = None) -> AsyncIterator[Rig]:
        async with AsyncExitStack() as stack:
            self.http = await stack.enter_async_context(aiohttp.ClientSession())
            model = await self._simulator(stack, "completions", self.model_options)
            sim = await self._simulator(stack, self.platform, self.sim_options)
            self.model_control = model["control_url"]
            self.addresses = sim
            self.control = sim["control_url"].rstrip("/")
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch()))
            await self._bot(stack, model["base_url"], Path(folder), env or {})
            yield self
            await _end(self.process)  # while its platform still answers

    async def _simulator(
        self, stack: AsyncExitStack, name: str, options: dict[str, Any]
    ) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"bots.simulators.{name}", "--port", "0",
            "--json-options", json.dumps(options),
            stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        stack.push_async_callback(_end, process)
        assert process.stdout is not None
        return json.loads(await process.stdout.readline())

    async def _bot(
        self, stack: AsyncExitStack, base_url: str, folder: Path, extra: dict[str, str]
    ) -> None:
        kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        env = {key: value for key, value in os.environ.items() if key in kept}
        env |= {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-none", "PYTHONPATH": str(ROOT)}
        env |= self._platform_env()
        command = [sys.executable, str(HERE / "floors.py"), f"{self.platform}-{self.bot}"]
        if self.bot == "talkwarden":
            command = [sys.executable, "-m", "bots.cli", "run"]
            env |= {
                "DATABASE_URL": f"sqlite:///{folder}/bench.db",
                "TALKWARDEN_MODEL__NAME": "offline",
                "TALKWARDEN_MODERATION__WORDS": "forbiddenword,anotherforbiddenword",
                "TALKWARDEN_LOG__LEVEL": "warning",
            } | extra
        self.spawned_at = time.monotonic()
        self.process = await asyncio.create_subprocess_exec(*command, env=env, cwd=folder)
        stack.push_async_callback(_end, self.process)
        self.watched = psutil.Process(self.process.pid)

    def _platform_env(self) -> dict[str, str]:
        found = self.addresses
        if self.platform == "slack":
            return {
                "SLACK_BOT_TOKEN": found["bot_token"],
                "SLACK_APP_TOKEN": found["app_token"],
                "SLACK_API_URL": found["api_url"],
            }
        return {
            "DISCORD_TOKEN": found["token"],
            "DISCORD_API_URL": found["api_url"],
            "DISCORD_GATEWAY_URL": found["gateway_url"],
        }

    # driving

    async def post(self, verb: str, **arguments: Any) -> Any:
        async with self.http.post(f"{self.control}/{verb}", json=arguments) as reply:
            reply.raise_for_status()
            return await reply.json()

    async def get(self, verb: str, **query: str) -> Any:
        async with self.http.get(f"{self.control}/{verb}", params=query) as reply:
            reply.raise_for_status()
            return await reply.json()

    async def connected(self) -> None:
        """Wait until the bot receives events."""
        for _ in range(1000):
            state = await self.get("state")
            if state.get("connections") or any(s["connected"] for s in state.get("sessions", ())):
                return
            await asyncio.sleep(0.02)
        raise TimeoutError("the bot did not connect")

    async def ask(self, count: int, *, first: int = 0, channels: int = 50) -> dict[Any, int]:
        """Post questions back to back, each a mention that opens a conversation of its own.

        The number of each question by its platform id.
        """
        mention = f"<@{self.addresses['bot_user_id']}> "
        numbers = range(first, first + count)
        messages = [
            {"channel": self.channel(i % channels), "user": self.user, "text": f"{mention}Q{i}?"}
            for i in numbers
        ]
        said = await self.post("say_many", messages=messages)
        ids = [one["ts"] for one in said] if self.platform == "slack" else said
        return dict(zip(ids, numbers, strict=True))

    def channel(self, index: int) -> Any:
        return f"C{index:04d}" if self.platform == "slack" else f"c{index}"

    @property
    def user(self) -> str:
        return "U0ALICE" if self.platform == "slack" else "alice"

    async def answers(self) -> list[dict[str, Any]]:
        """The bot's messages with `asked`, `first_text`, `changed` and `text`."""
        own = {"own": "1"} if self.platform == "slack" else {"bot": "1"}
        found = await self.get("messages", **own)
        if self.platform == "slack":
            return [
                {
                    "question": message["thread_ts"],
                    "first_text": (message["first_text_at"] or [None])[0],
                    "changed": message["changed_at"][0],
                    "text": message["text"],
                    "is_live": message["stream"] == "in_progress",
                }
                for message in found
            ]
        return [
            {
                "question": message["reference"],
                "first_text": message["monotonic"]["first_text"],
                "changed": message["monotonic"]["last_change"],
                "text": message["text"],
                "is_live": "tw:stop" in json.dumps(message["components"]),
            }
            for message in found
        ]

    async def asked(self) -> dict[Any, float]:
        """When each question left the simulator, by its id."""
        if self.platform == "slack":
            return {
                delivery["ts"]: delivery["sent_at"][0]
                for delivery in await self.get("deliveries")
                if delivery["type"] == "app_mention" and delivery["sent_at"]
            }
        found = await self.get("messages")
        return {m["id"]: m["monotonic"]["sent"] for m in found if not m["bot"]}

    async def requests(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.model_control}/requests") as reply:
            return [r for r in await reply.json() if "chat" in r["route"]]

    async def scoring_trip(self) -> float:
        """Seconds that one request to the scorer takes from here."""
        began = time.monotonic()
        url = self.model_control.removesuffix("/_control") + "/v1/moderations"
        async with self.http.post(url, json={"input": [str(began)]}) as reply:
            await reply.read()
        return time.monotonic() - began

    async def wait_answers(
        self, count: int, patience: float, *, every: float = 0.05, words: int = 1
    ) -> list[dict[str, Any]]:
        """Poll seldom where there is much to read: the driver shares the machine's cores."""
        until = time.monotonic() + patience
        while True:
            found = await self.answers()
            done = [a for a in found if len(a["text"].split()) >= words and not a["is_live"]]
            if len({a["question"] for a in done}) >= count:
                return found
            if time.monotonic() > until:
                raise TimeoutError(f"{len(done)} of {count} answers after {patience} s")
            await asyncio.sleep(every)

    async def reset(self) -> None:
        await self.post("reset")
        async with self.http.post(f"{self.model_control}/reset", json={}) as reply:
            await reply.read()

    # what it costs

    def cpu(self) -> float:
        times = self.watched.cpu_times()
        return times.user + times.system

    def memory(self, *, peak: bool = False) -> float:
        """MiB resident, now or at its highest."""
        if not peak:
            return self.watched.memory_info().rss / 2**20
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()
