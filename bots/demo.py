"""`talkwarden demo`: the real adapters against simulated platforms, driven from a terminal.

Nothing is faked between the two: the same SDKs, sockets, database and pipeline as in `run`. What
is simulated are Slack, Discord and, without OPENAI_API_KEY, the model.
"""

from __future__ import annotations

import asyncio
import html
import signal
import sys
import tempfile
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TextIO

import msgspec

from bots.app import App, opened
from bots.lines import Lines
from bots.simulators.completions import CompletionsSimulator, Options
from bots.simulators.discord import DiscordOptions, DiscordSimulator
from bots.simulators.slack import SlackChannel, SlackOptions, SlackSimulator, SlackUser
from core.commands import parse
from core.config import Config
from core.config_schema import DiscordConfig, LogConfig, ModelConfig, SlackConfig
from core.secret import Secret
from core.telemetry import configure

PATIENCE = 180.0  # seconds for one answer
OFFLINE = "offline"
FRAME = 0.04  # seconds between looks at a growing answer

HELP = """\
Type as alice, a member of the channel; each line asks talkwarden in one running conversation.
  /slack  /discord   go to that platform's channel      /new    begin another conversation
  /say TEXT          post without asking talkwarden     /quit   leave (or Ctrl-D)
Commands work as in the real channel: help, reset, model, persona, usage, stop.
What you type during an answer is said at once; Ctrl-C stops the answer, at the prompt it leaves."""


class Room(Protocol):
    """A channel of a simulated platform, as one member uses it."""

    name: str

    async def ask(self, text: str) -> None:
        """Post a question in the running conversation."""

    async def interject(self, text: str) -> None:
        """Say something in the running conversation while it is answered."""

    async def say(self, text: str) -> None:
        """Post something that is not for talkwarden."""

    def begin(self) -> None:
        """The next question opens a conversation."""

    def answers(self) -> list[str]:
        """What talkwarden shows since the last question, one text for each message."""


class SlackRoom:
    """#general of the simulated workspace; a question's thread is the conversation."""

    name = "Slack #general"
    channel = "C0GENERAL"
    user = "U0ALICE"

    def __init__(self, slack: SlackSimulator) -> None:
        self._slack = slack
        self._thread: str | None = None
        self._asked = ""

    async def ask(self, text: str) -> None:
        """Mention talkwarden, or go on in the thread."""
        self._asked = await self._post(text)
        self._thread = self._thread or self._asked

    async def interject(self, text: str) -> None:
        """Go on in the thread."""
        await self._post(text)

    async def say(self, text: str) -> None:
        """Post to the channel."""
        await self._slack.say(self.channel, self.user, text)

    def begin(self) -> None:
        """Leave the thread."""
        self._thread = None

    def answers(self) -> list[str]:
        """The bot's messages in the thread, and what only alice sees."""
        thread = self._slack.thread(self.channel, self._thread or "")
        shown = [(seen.ts, seen.text) for seen in self._slack.ephemerals]
        shown += [(each.ts, each.text) for each in thread if each.bot_id and not each.deleted]
        return [html.unescape(text) for ts, text in sorted(shown) if ts > self._asked]

    async def _post(self, text: str) -> str:
        if self._thread is None or parse(text):
            text = f"<@{self._slack.bot_user_id}> {text}"
        return await self._slack.say(self.channel, self.user, text, thread_ts=self._thread)


class DiscordRoom:
    """#general of the simulated server; replies make the conversation."""

    name = "Discord #general"
    user = "alice"

    def __init__(self, discord: DiscordSimulator) -> None:
        self._discord = discord
        self._channel = discord.channel_id("general")
        self._is_new = True
        self._asked = 0

    async def ask(self, text: str) -> None:
        """Mention talkwarden, or reply to its last message."""
        self._asked = await self._post(text)
        self._is_new = False

    async def interject(self, text: str) -> None:
        """Reply to the message that grows."""
        await self._post(text)

    async def say(self, text: str) -> None:
        """Post to the channel."""
        await self._discord.say(self._channel, self.user, text)

    def begin(self) -> None:
        """Do not reply to the last message."""
        self._is_new = True

    def answers(self) -> list[str]:
        """The bot's messages after the question."""
        return [
            message.content
            for message in self._discord.bot_messages(self._channel)
            if message.id > self._asked and not message.deleted
        ]

    async def _post(self, text: str) -> int:
        last = self._discord.bot_messages(self._channel)
        reply_to = None if self._is_new or not last else last[-1].id
        if reply_to is None:
            text = f"<@{self._discord.bot_user_id}> {text}"
        return await self._discord.say(self._channel, self.user, text, reply_to=reply_to)


async def demo(config: Config) -> int:
    """Run the demo on standard input and output; the exit code."""
    is_terminal = sys.stdin.isatty()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="talkwarden-demo-"))
        slack = await stack.enter_async_context(SlackSimulator(_SLACK))
        discord = await stack.enter_async_context(DiscordSimulator(DiscordOptions()))
        model = config.model
        if model.api_key is None:
            offline = await stack.enter_async_context(
                CompletionsSimulator(Options(rate=60.0 if is_terminal else 0.0))
            )
            model = ModelConfig(name=OFFLINE, base_url=offline.base_url)
        config = _simulated(config, slack, discord, model, Path(folder))
        configure(config.log)
        app = await stack.enter_async_context(opened(config))
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        stack.push_async_callback(_stop, stop, running)
        await slack.wait_connected()
        await discord.wait_for(lambda: discord.sessions, timeout=10.0)
        rooms: dict[str, Room] = {"slack": SlackRoom(slack), "discord": DiscordRoom(discord)}
        lines = stack.enter_context(Lines())
        sys.stdout.write(_welcome(model, is_terminal=is_terminal))
        await _Demo(app, rooms, lines, sys.stdout).run()
    return 0


_SLACK = SlackOptions(
    users=(SlackUser(id="U0ALICE", name="alice", real_name="Alice", is_admin=True),),
    channels=(SlackChannel(id="C0GENERAL", name="general", members=["U0ALICE"]),),
)


def _simulated(
    config: Config, slack: SlackSimulator, discord: DiscordSimulator, model: ModelConfig,
    folder: Path,
) -> Config:  # fmt: skip
    return msgspec.structs.replace(
        config,
        model=model,
        slack=SlackConfig(
            bot_token=Secret(slack.bot_token),
            app_token=Secret(slack.app_token),
            api_url=slack.api_url,
        ),
        discord=DiscordConfig(
            token=Secret(discord.token), api_url=discord.api_url, gateway_url=discord.gateway_url
        ),
        storage=msgspec.structs.replace(config.storage, url=f"sqlite:///{folder}/demo.db"),
        engine=msgspec.structs.replace(config.engine, grace=0.0),  # who leaves does not wait
        log=LogConfig(level="warning"),
    )


def _welcome(model: ModelConfig, *, is_terminal: bool) -> str:
    what = f"the model {model.name}"
    if model.name == OFFLINE:
        what = (
            "an offline model that only shows what it was given\n"
            "(set OPENAI_API_KEY for a real one)"
        )
    return f"talkwarden, on a simulated Slack and Discord, with {what}.\n{HELP * is_terminal}\n"


class _Demo:
    """What alice types, and what she sees."""

    def __init__(self, app: App, rooms: dict[str, Room], lines: Lines, out: TextIO) -> None:
        self._app = app
        self._rooms = rooms
        self._room = rooms["slack"]
        self._lines = lines
        self._out = out
        self._watching: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._waiting: deque[str] = deque()

    async def run(self) -> None:
        """Until the end of the input, /quit, or Ctrl-C at the prompt."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        try:
            while (line := await self._lines.next(f"alice in {self._room.name}> ")) is not None:
                text = line.strip()
                if text == "/quit":
                    return
                if text.startswith("/"):
                    await self._obey(text)
                elif text:
                    await self._ask(text)
            if self._lines.is_terminal:
                self._out.write("\n")
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _interrupted(self) -> None:
        """Ctrl-C: stop the answer; leave at the prompt, or when it didn't stop."""
        if self._watching is None:
            self._lines.end()
        elif self._stopping is None:
            self._stopping = asyncio.create_task(self._room.interject("stop"))
        else:
            self._watching.cancel()

    async def _obey(self, text: str) -> None:
        """Do what a line that begins with a slash says."""
        word, _, rest = text.partition(" ")
        if word.removeprefix("/") in self._rooms:
            self._room = self._rooms[word.removeprefix("/")]
        elif word == "/new":
            self._room.begin()
        elif word == "/say":
            await self._room.say(rest)
        elif word == "/help":
            self._out.write(HELP + "\n")
        else:
            self._out.write(f"There is no {word} here; /help shows what there is.\n")

    async def _ask(self, text: str) -> None:
        """Ask, and show the answer; what is typed meanwhile is said in the conversation too."""
        if not self._lines.is_terminal:
            self._out.write(f"alice in {self._room.name}> {text}\n")
        await self._room.ask(text)
        self._stopping = None
        self._watching = watching = asyncio.create_task(self._watch())
        async with asyncio.TaskGroup() as group:
            typing = None
            if self._lines.is_terminal:
                typing = group.create_task(self._interject(watching))
            await asyncio.wait([watching])
            if typing is not None:
                typing.cancel()
        self._watching = None
        self._out.write("\n\n")
        while self._waiting:
            await self._obey(self._waiting.popleft())

    async def _interject(self, watching: asyncio.Task[None]) -> None:
        while (line := await self._lines.meanwhile()) is not None:
            text = line.strip()
            if text == "/quit":
                self._lines.end()
                watching.cancel()
            elif text.startswith("/"):
                self._waiting.append(text)
            elif text:
                await self._room.interject(text)

    async def _watch(self) -> None:
        """Print the answer as it grows."""
        self._out.write("talkwarden> ")
        printed = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    is_done = self._app.engine.running == 0
                    text = "\n".join(self._room.answers())
                    if not text.startswith(printed):  # it was rewritten, not continued
                        self._out.write("\ntalkwarden (edited)> ")
                        printed = ""
                    self._out.write(text[len(printed) :])
                    self._out.flush()
                    printed = text
                    if text and is_done:
                        break
                    await asyncio.sleep(FRAME)
        except TimeoutError:
            self._out.write("(no answer came)")


async def _stop(stop: asyncio.Event, running: asyncio.Task[int]) -> None:
    stop.set()
    await running
