"""`talkwarden db` as an operator uses it, beside a bot that runs and after one that has ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from scenario.harness import Options, World, bot_process, together, world
from scenario.process import PATHS

ECHO = Options(mode="echo")


async def talkwarden(w: World, *arguments: str) -> tuple[int, str]:
    """Run a command with the bot's environment; its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bots.cli", *arguments, cwd=w.folder,
        env={"PYTHONPATH": PATHS, "PATH": os.environ["PATH"], **w.environ},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def saved_and_put_back(store: str) -> None:
    """Talk, save, talk on, lose what came after, and go on from there."""
    async with world(model=ECHO, store=store, is_started=False) as w, bot_process(w) as bot:
        file = Path(w.folder) / "saved"
        first = await w.ask("one")
        await w.idle()
        if store == "sqlite":
            _, said = await talkwarden(w, "db", "status", "--json")
            assert json.loads(said)["bytes"] > 4096  # most of it is in the -wal file
        code, said = await talkwarden(w, "db", "backup", str(file))
        assert code == 0, said
        assert (await talkwarden(w, "db", "restore", str(file)))[0] == 1  # not while it runs
        second = await w.discord.say("general", "alice", "two", reply_to=first.id)
        await w.answer(second)
        assert await bot.terminate() == 0
        code, said = await talkwarden(w, "db", "restore", str(file))
        assert (code, "--force" in said) == (1, True)
        code, said = await talkwarden(w, "db", "restore", str(file), "--force")
        assert code == 0, said
        code, said = await talkwarden(w, "db", "status", "--json")
        assert code == 0, said
        facts = json.loads(said)
        assert (facts["conversations"], facts["waiting"], facts["open turns"]) == (1, 0, 0)
        assert (await talkwarden(w, "db", "migrate"))[0] == 0
        await bot.start()
        third = await w.discord.say("general", "alice", "three", reply_to=first.id)
        assert (await w.answer(third)).content == "Alice: three"
        assert "Alice: one" in str(w.prompt)


async def test_saved_while_it_runs_and_put_back() -> None:
    """A backup beside a running bot, a loss, and a bot that goes on from the backup."""
    await together(saved_and_put_back("sqlite"), saved_and_put_back("postgres"))


async def test_what_can_not_be_done_is_one_sentence() -> None:
    """A missing database or file, and a database in use, end with 1 and say why."""
    async with world(model=ECHO, is_started=False) as w:
        for arguments in (("status",), ("backup", "x"), ("restore", "missing")):
            code, said = await talkwarden(w, "db", *arguments)
            assert code == 1
            assert said.startswith("talkwarden: ")
            assert "Traceback" not in said
        async with bot_process(w):
            code, said = await talkwarden(w, "db", "migrate")
            assert (code, "uses this database" in said) == (1, True)
