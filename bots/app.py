"""The composition root: builds everything from the configuration, runs it, and takes it down.

Nothing else constructs. The order matters at both ends: the store is first in and last out, and
an adapter's calls outlive its intake, so that answers under way can be finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from bots.building import build_client, build_moderation, build_source, open_store
from bots.cli_keys import handlers
from bots.control import served
from core.acquaintance import acquaint
from core.adapter import Adapter
from core.answer import Means
from core.chat import Chat
from core.commands import Commands
from core.completions.client import CompletionsClient
from core.completions.tokens import TokenCounters
from core.config import Config
from core.enforcement import Enforcer
from core.engine import Engine
from core.errors import ConfigError, CredentialsRejected, PlatformError, StoreError
from core.history import forget_op
from core.inbox import Inbox, drop_kept_op, forget_done_op
from core.lessons import Lessons
from core.messages import Author, Command, ConversationId, Place
from core.moderation import Moderation
from core.moderation.reload import Reloader
from core.recheck import Rechecker
from core.requests import forget_op as forget_requests_op
from core.retention import DAY, erase_op
from core.reviewing import Reviews
from core.secret import mask_url
from core.settings import Settings
from core.storage import Store
from core.telemetry import Counters, logger
from core.turns import forget_leases_op
from core.usage import Ledger
from core.waiting import Signs

if TYPE_CHECKING:
    from bots.rest.server import RestServer
    from core.tools.turns import Tools

_log = logger("talkwarden.app")

REMEMBERED = 7 * 24 * 3600.0  # seconds that a done event is still recognised as a duplicate
ACTING = 5.0  # seconds at most that actions under way get to finish at a stop
HOUSEKEEPING = 3600.0  # seconds
REFRESH = 5.0  # seconds until a change made through another process counts
RECONNECT = 60.0  # seconds at most between attempts to start a platform


class App:
    """A running talkwarden."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.counters = Counters()
        self.settings = Settings(config, store)
        self.ledger = Ledger(config.usage, store)
        self._live: dict[str, Adapter] = {}
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
        self.engine = Engine(
            store,
            concurrency=config.engine.concurrency,
            per_workspace=config.engine.per_workspace,
            counters=self.counters,
            owner=self.owner,
        )
        self.enforcer = Enforcer(store, self._live, owner=self.owner, counters=self.counters)
        self.inbox = Inbox(
            store, self.engine, limit=config.engine.queue, counters=self.counters,
            settings=self.settings,
        )  # fmt: skip
        self.inbox.is_judging = config.is_judging
        self.lessons = Lessons(store)
        reviews = Reviews(
            store, config.access, self.enforcer.wake, self.engine.wake, self.lessons.notice
        )
        self.commands = Commands(
            config, self.settings, self.ledger, store, forget=self._forget, stop=self.engine.stop,
            review=reviews.run, approve=self.engine.approve,
        )  # fmt: skip
        self.tokens = TokenCounters(config.model.tokenizer)
        self.adapters = self._build_adapters()
        self.rest: RestServer | None = None
        self._failed: dict[str, Exception] = {}
        self._reloader: Reloader | None = None
        self._rechecker: Rechecker | None = None

    async def run(self, stop: asyncio.Event) -> int:
        """Work until `stop` is set, then drain; the exit code."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(build_client(self.config))
            source = build_source(self.config.moderation)
            learner = self.lessons.learner if self.config.moderation.learn else None
            moderation = build_moderation(self.config, client, source, learner=learner)
            stack.push_async_callback(moderation.aclose)
            tools = await self._open_tools(stack)
            means = Means(
                self.config, self.store, client, moderation, self.tokens,
                enforce=self.enforcer.wake, tools=tools,
            )  # fmt: skip
            Chat(
                means, self.engine, self.inbox, self._live, self.settings, self.commands,
                self.ledger, self.counters,
            ).attach()  # fmt: skip
            await self.settings.load()
            await acquaint(moderation, self.store)
            self.rest = self._build_rest(client, moderation)
            self._reloader = Reloader(source, moderation)
            self._rechecker = Rechecker(means, self._live, self.counters)
            _announce(moderation)
            await self._work(stack, stop)
        is_useless = self._failed and len(self._failed) == len(self.adapters)
        return 1 if is_useless and self.rest is None else 0

    async def _open_tools(self, stack: AsyncExitStack) -> Tools | None:
        """What the model may call, connected; what runs it is imported only then."""
        if not self.config.tools.is_enabled:
            return None
        from bots.toolbox import tools_of  # noqa: PLC0415

        tools = await stack.enter_async_context(tools_of(self.config))
        self.engine.decide = tools.approvals.run
        return tools

    def _build_adapters(self) -> dict[str, Adapter]:
        """An adapter for each platform whose tokens are present; an SDK is imported only then."""
        adapters: dict[str, Adapter] = {}
        if self.config.slack.is_enabled:
            from bots.slack.adapter import SlackAdapter  # noqa: PLC0415

            adapters["slack"] = SlackAdapter(self.config.slack, usage_of=self.usage_of)
        if self.config.discord.is_enabled:
            from bots.discord.adapter import DiscordAdapter  # noqa: PLC0415

            adapters["discord"] = DiscordAdapter(self.config.discord, choices=self.choices)
        return adapters

    def _build_rest(self, client: CompletionsClient, moderation: Moderation) -> RestServer | None:
        """The HTTP API if it is on, with its address taken; imported only then."""
        if not self.config.rest.enabled:
            return None
        from bots.rest.server import Parts, rest_server  # noqa: PLC0415

        server = rest_server(
            Parts(
                self.config,
                self.store,
                client,
                moderation,
                self.ledger,
                self.tokens,
                self.counters,
                self.owner,
                self.missing,
            )
        )
        server.bind()
        return server

    def missing(self) -> dict[str, str]:
        """What does not work at the moment, by name, and why."""
        found = {name: str(exc) for name, exc in self._failed.items()}
        waiting = self.adapters.keys() - self._live.keys() - found.keys()
        return found | dict.fromkeys(waiting, "it can't be reached yet")

    def choices(self, kind: str, typed: str, place: Place) -> Sequence[str]:
        """What completes an option of a command: the models that may be chosen here."""
        known = (*self.settings.choices(place), "default") if kind == "model" else ()
        return [name for name in known if typed.lower() in name.lower()]

    async def usage_of(self, place: Place, author: Author) -> str:
        """One member's own usage, as a home page shows it."""
        command = Command(ConversationId(""), place, "", author, "usage", "me")
        return (await self.commands.run(command)).text

    def reload(self) -> None:
        """Load the moderation policy anew."""
        if self._reloader is not None:
            self._reloader.ask()

    async def _work(self, stack: AsyncExitStack, stop: asyncio.Event) -> None:
        entered = (self._enter(stack, name) for name in self.adapters)
        await asyncio.gather(*entered)
        await self.engine.start()
        _settle_garbage_collection()
        signs = Signs(self.engine, self._live, self.settings, self.config.access, self.store)
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._supervise(stack, name), name=name) for name in self.adapters
            ]
            chores = [
                group.create_task(self.engine.keep_leases(), name="leases"),
                group.create_task(self.engine.listen(), name="listening"),
                group.create_task(self.enforcer.run(), name="enforcer"),
                group.create_task(self._keep_settings(), name="settings"),
                group.create_task(signs.run(), name="signs"),
                group.create_task(self._keep_house(), name="housekeeping"),
            ]
            if self._reloader is not None and self._rechecker is not None:
                chores.append(group.create_task(self._reloader.run(), name="policy"))
                chores.append(group.create_task(self._rechecker.run(), name="rechecks"))
            if self.config.moderation.learn:
                chores.append(group.create_task(self.lessons.keep(), name="lessons"))
            serving = [group.create_task(self.rest.run(), name="rest")] if self.rest else []
            await _first_of(stop, [*running, *serving])
            _log.info("Stopping: no new messages are taken.", turns=self.engine.running)
            if self.rest is not None:
                self.rest.stop()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self.engine.drain(self.config.engine.grace)
            await asyncio.gather(*serving, return_exceptions=True)
            await self.enforcer.drain(min(ACTING, self.config.engine.grace))
            for task in chores:
                task.cancel()
        _log.info("Stopped.", **self.counters.as_dict())

    async def _enter(self, stack: AsyncExitStack, name: str) -> None:
        """Open the platform's sessions, if it can be reached."""
        try:
            await stack.enter_async_context(self.adapters[name])
        except (CredentialsRejected, ConfigError) as exc:
            self._failed[name] = exc
            _log.error("A platform can't be used.", platform=name, why=str(exc))
        except PlatformError as exc:
            _log.warning("A platform can't be reached yet.", platform=name, why=str(exc))
        else:
            self._live[name] = self.adapters[name]

    async def _supervise(self, stack: AsyncExitStack, name: str) -> None:
        """Keep one platform's intake running; its end never ends another's."""
        pause = 1.0
        while name not in self._failed:
            try:
                if name in self._live:
                    await self._live[name].run(self.inbox)
            except (CredentialsRejected, ConfigError) as exc:
                self._failed[name] = exc
                _log.error("A platform can't be used any more.", platform=name, why=str(exc))
                return
            except (PlatformError, StoreError) as exc:
                _log.warning(
                    "A platform's connection failed; trying again.",
                    platform=name,
                    why=str(exc),
                    seconds=pause,
                )
            except Exception:  # noqa: BLE001  # a supervisor: the other platform must not suffer
                _log.exception("A platform's intake broke; trying again.", platform=name)
            await asyncio.sleep(pause)
            pause = min(RECONNECT, pause * 2)
            if name not in self._live:
                await self._enter(stack, name)

    async def _keep_house(self) -> None:
        while True:
            try:
                now = time.time()
                await self.store.write(forget_done_op(now - REMEMBERED))
                await self.store.write(drop_kept_op(now - DAY))
                await self.store.write(forget_leases_op(now - DAY))
                kept = self.config.rest.requests_kept * 3600.0
                await self.store.write(forget_requests_op(now - kept))
                if days := self.config.storage.retention_days:
                    await self.store.write(erase_op(now - days * DAY))
            except StoreError as exc:
                _log.warning("Old events could not be removed.", why=str(exc))
            await asyncio.sleep(HOUSEKEEPING)

    async def _keep_settings(self) -> None:
        """Learn what another process's members changed; for shared databases only."""
        while not self.store.is_exclusive:
            await asyncio.sleep(REFRESH)
            with contextlib.suppress(StoreError):
                await self.settings.refresh()

    async def _forget(self, conversation: ConversationId) -> None:
        await self.store.write(forget_op(conversation))


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[App]:
    """The app with its database open."""

    def waiting() -> None:
        _log.warning(
            "Another talkwarden uses this database; waiting for it to stop.",
            database=mask_url(config.storage.url),
        )

    async with (
        open_store(config.storage.url, waiting) as store,
        served(config.storage.url, handlers(store)),
    ):
        yield App(config, store)


async def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises StoreError if there is no database."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        app = await _unless(stop, stack.enter_async_context(opened(config)))
        if app is None:
            return 0
        loop.add_signal_handler(signal.SIGHUP, app.reload)
        _log.info(
            "talkwarden is starting.",
            platforms=sorted(app.adapters),
            model=config.model.name,
            endpoint=config.model.base_url,
        )
        return await app.run(stop)


async def _unless(stop: asyncio.Event, opening: Awaitable[App]) -> App | None:
    """The app, or None if it is to stop while it waits for its database."""
    stopping, entering = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(opening)
    try:
        await asyncio.wait({stopping, entering}, return_when=asyncio.FIRST_COMPLETED)
        return await entering if entering.done() else None
    finally:
        stopping.cancel()
        if not entering.done():
            entering.cancel()
        await asyncio.gather(stopping, entering, return_exceptions=True)


def _announce(moderation: Moderation) -> None:
    book = moderation.book
    _log.info("Moderation is ready.", rules=len(book.rules.specs), policy=book.digest)
    if not moderation.has_scorer:
        _log.info("No scorer is configured: the local rules judge alone.")


def _settle_garbage_collection() -> None:
    """Do not walk modules and classes again: they live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _first_of(stop: asyncio.Event, running: Iterable[asyncio.Task[None]]) -> None:
    """Return when asked to stop, or when no platform is left."""
    stopping = asyncio.ensure_future(stop.wait())
    everything = asyncio.ensure_future(asyncio.wait(list(running))) if running else stopping
    try:
        await asyncio.wait({stopping, everything}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        everything.cancel()
        await asyncio.gather(stopping, everything, return_exceptions=True)
