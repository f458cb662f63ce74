"""Discord as the core sees it: wires the SDK, the intake and the posting together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Self

from bots.discord import commands, events, failures, interactions, naming
from bots.discord.acknowledge import Acknowledger, Choices
from bots.discord.attachments import Downloads
from bots.discord.directory import Directory
from bots.discord.events import Me
from bots.discord.gateway import Gateway
from bots.discord.history import History
from bots.discord.indicator import Indicator
from bots.discord.limits import Limits
from bots.discord.lookup import Lookup
from bots.discord.pipeline import READY, Pipeline
from bots.discord.posting import Poster, channel_of
from bots.discord.powers import POWERS, Powers
from bots.discord.render import LIMIT, render
from bots.discord.session import Journal, Mark
from core.adapter import Activity, Capabilities, Intake, Order, Part, Target, Urgency
from core.config_schema import DiscordConfig
from core.errors import CredentialsRejected
from core.messages import Attachment, Message, Place
from core.telemetry import logger

log = logger("talkwarden.discord")
Json = Mapping[str, Any]

_STORED: Final = (
    *events.MESSAGES, events.BULK, interactions.KIND, READY, "RESUMED", *naming.MEMBERS
)  # fmt: skip


def _no_choices(kind: str, typed: str, place: Place) -> Sequence[str]:
    del kind, typed, place
    return ()


class DiscordAdapter:
    """Implements `core.adapter.Adapter`.

    `choices` completes the options of commands; it may be set until the adapter is entered.
    """

    capabilities: Capabilities = Capabilities(
        platform=events.PLATFORM,
        can_repeat_private=True,
        part_limit=LIMIT,
        powers=POWERS,
    )

    def __init__(self, config: DiscordConfig, *, choices: Choices = _no_choices) -> None:
        self.render: Callable[[str], Sequence[str]] = render
        self._config = config
        self.choices = choices
        self._directory = Directory()

    async def __aenter__(self) -> Self:
        """Log in. Raises CredentialsRejected, PlatformUnavailable."""
        config = self._config
        if config.token is None:
            raise CredentialsRejected("DISCORD_TOKEN is not set", platform=events.PLATFORM)
        self._gateway = Gateway(
            config.profile,
            api_url=config.api_url,
            gateway_url=config.gateway_url,
            members=config.members,
        )
        rest = self._gateway.http
        try:
            with failures.translated():
                await self._gateway.login(config.token.reveal())
        except BaseException:
            await self._gateway.close()
            raise
        user, application = self._gateway.user, self._gateway.application_id
        assert user is not None
        self._me = Me(str(user.id), str(application))
        self._limits = Limits(rest, is_on=config.limits)
        self._history = History(rest, self._directory, self._me)
        self._acknowledger = Acknowledger(rest, self.choices)
        self._poster = Poster(rest, self._limits, settled=self._acknowledger.settled)
        self._powers = Powers(rest, self._me.user)
        self._indicator = Indicator(rest)
        self._downloads = Downloads(rest, config.api_url)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the session that calls use."""
        await self._indicator.close()
        await self._gateway.close()

    async def run(self, intake: Intake) -> None:
        """Listen until cancelled. Raises ConfigError, CredentialsRejected."""
        me, gateway = self._me, self._gateway
        journal = Journal(intake, bot=me.user, intents=gateway.intents.value)
        lookup = Lookup(gateway.http, self._directory)
        pipeline = Pipeline(intake, journal, self._directory, lookup, me)
        pipeline.acknowledge = self._acknowledger.stored
        pipeline.catch_up = lambda: self._history.catch_up(journal.tails, pipeline.store)
        self._pipeline = pipeline
        gateway.receive((*_STORED, *self._directory.events), self._receive)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pipeline.run())
                group.create_task(journal.keep())
                group.create_task(gateway.listen(await journal.load(), pipeline.room))
                if self._config.sync_commands:
                    group.create_task(commands.sync(gateway.http, intake, me.application))
        except BaseExceptionGroup as exc:
            error = exc.exceptions[0]  # the others only followed it
            raise error from error.__cause__
        finally:
            await pipeline.drain()
            await journal.save()

    async def pace(self, target: Target, urgency: Urgency, message_id: str | None) -> None:
        """Wait for a slot of the channel's rate limits."""
        await self._limits.wait(
            target,
            channel_of(target),
            self._poster.hook_of(target),
            urgency,
            is_edit=message_id is not None,
        )

    async def post(self, target: Target, part: Part) -> str:
        """Create the part's message."""
        return await self._poster.post(target, part)

    async def edit(self, target: Target, message_id: str, part: Part) -> None:
        """Make the message show the part."""
        await self._poster.edit(target, message_id, part)

    async def withdraw(self, target: Target, message_id: str) -> None:
        """Delete one of the bot's messages."""
        await self._poster.withdraw(target, message_id)

    async def find(
        self, target: Target, part: Part, since: float, *, again: bool = True
    ) -> str | None:
        """The message of a part whose post has an unknown outcome.

        None while Discord still enforces the part's nonce: it may simply be posted `again`.
        """
        return await self._history.find(target, part, since, again=again)

    async def indicate(self, target: Target, activity: Activity) -> None:
        """Show that the bot is typing; a deferred interaction shows it by itself."""
        if activity is Activity.IDLE:
            self._indicator.stop(channel_of(target), target.conversation)
        elif target.handle is None and not target.is_new_thread:
            self._indicator.start(channel_of(target), target.conversation)

    def backfill(self, target: Target, limit: int) -> AsyncIterator[Message]:
        """What stands before the question, oldest first. Raises PlatformError."""
        return self._history.before(target, limit)

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Download a file. Raises AttachmentRejected, PlatformError."""
        return await self._downloads.fetch(attachment, limit)

    async def enforce(self, order: Order) -> str | None:
        """Carry out an action of moderation. Raises PlatformError."""
        return await self._powers.enforce(order)

    def _receive(self, kind: str, data: Json, mark: Mark) -> None:
        """Take a payload in the order of the gateway; must not block."""
        is_name = False
        try:
            if kind == interactions.KIND:
                self._expect(data)
            elif kind in naming.KINDS:
                is_name = self._pipeline.naming.is_new(kind, data)
            if kind in self._directory.events:
                self._directory.apply(kind, data)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            self._pipeline.unreadable(kind, exc)
        if kind in (READY, "RESUMED"):
            log.info("discord.connected", session=kind.lower(), bot=self._me.user)
        self._pipeline.offer(kind, data, mark, is_name=is_name)

    def _expect(self, data: Json) -> None:
        if data["type"] == interactions.AUTOCOMPLETE:
            self._pipeline.start(self._acknowledger.complete(data))
        else:
            self._acknowledger.expect(data["id"])
