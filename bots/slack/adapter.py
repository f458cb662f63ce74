"""Slack as the core sees it: wires Bolt, the intake and the posting together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, Self

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bots.slack import events, files, home
from bots.slack.api import Api
from bots.slack.catchup import CatchUp
from bots.slack.failures import PLATFORM, from_code
from bots.slack.history import History
from bots.slack.intake import Translator
from bots.slack.names import Names
from bots.slack.people import Json, Me
from bots.slack.places import is_dm
from bots.slack.posting import Poster
from bots.slack.powers import UNVERIFIABLE, Powers, powers
from bots.slack.render import LIMIT, render
from bots.slack.sockets import SocketMode
from bots.slack.status import Status
from bots.slack.streams import Streams
from bots.slack.web import Endpoint
from core.adapter import Activity, Capabilities, Intake, Order, Part, Target, Urgency
from core.config_schema import SlackConfig
from core.errors import (
    ConfigError,
    CredentialsRejected,
    PlatformError,
    StoreError,
)
from core.messages import Attachment, Author, Event, Message, Named, Place
from core.telemetry import logger

_log = logger("talkwarden.slack")

SCOPES: Final = (
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "mpim:history",
    "users:read",
)
AGENT_SCOPE: Final = "assistant:write"
"""Slack grants it to apps that are declared as agents, and to no others."""
_NO_AGENT: Final = frozenset({"not_agent_app", "feature_disabled", "missing_scope"})
_SIDE_TASKS: Final = 100

UsageOf = Callable[[Place, Author], Awaitable[str]]


async def _no_usage(place: Place, author: Author) -> str:
    del place, author
    return ""


class SlackAdapter:
    """Implements `core.adapter.Adapter`. `usage_of` says what a member has used, for App Home."""

    def __init__(self, config: SlackConfig, *, usage_of: UsageOf = _no_usage) -> None:
        self.capabilities = Capabilities(
            platform=PLATFORM,
            part_limit=LIMIT,
            powers=powers(has_admin=config.admin_token is not None),
            unverifiable=UNVERIFIABLE,
        )
        self.render: Callable[[str], Sequence[str]] = render
        self.usage_of = usage_of
        self._config = config
        self._intake: Intake | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._endpoint: Endpoint | None = None

    async def __aenter__(self) -> Self:
        """Ask Slack who we are. Raises CredentialsRejected, PlatformUnavailable."""
        config = self._config
        if config.bot_token is None:
            raise CredentialsRejected("SLACK_BOT_TOKEN is not set", platform=PLATFORM)
        self._api = Api(config.bot_token.reveal(), config.api_url, limits=config.limits)
        try:
            answer = await self._api.call("auth.test", {})
        except BaseException:
            await self._api.close()
            raise
        scopes = _granted(answer.headers)
        has_agent = config.agent and (not scopes or AGENT_SCOPE in scopes)
        self._me = Me(
            team=answer["team_id"],
            user=answer["user_id"],
            bot=answer.get("bot_id") or "",
            threads_in_dms=has_agent,
        )
        _warn_of_missing(scopes)
        self._names = Names(self._api)
        self._translator = Translator(self._names, lambda: self._me)
        self._history = History(self._api, self._names)
        self._catch_up = CatchUp(self._api, self.handle)
        self._status = Status(self._api, is_on=has_agent)
        self._streams = Streams(self._api, self._me.team, is_on=config.stream)
        self._poster = Poster(self._api, self._streams, self._status)
        self._powers = Powers(self._api, config.admin_token.reveal() if config.admin_token else "")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connections that calls use."""
        for task in self._side_tasks:
            task.cancel()
        await asyncio.gather(*self._side_tasks, return_exceptions=True)
        await self._names.close()
        await self._status.close()
        await self._api.close()

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of HTTP mode, while it listens."""
        return self._endpoint.address if self._endpoint else None

    async def run(self, intake: Intake) -> None:
        """Receive until cancelled. Raises CredentialsRejected, ConfigError."""
        self._intake = intake
        self._revoked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        memory = self._agent_key
        if self._me.threads_in_dms and await intake.recall(memory) == "no":
            self._me = replace(self._me, threads_in_dms=False)
        receiving = asyncio.create_task(self._receive(intake))
        catching_up = asyncio.create_task(self._catch_up.run(intake))
        try:
            await asyncio.wait({receiving, self._revoked}, return_when=asyncio.FIRST_COMPLETED)
            (receiving if receiving.done() else self._revoked).result()
        finally:
            receiving.cancel()
            catching_up.cancel()
            await asyncio.gather(receiving, catching_up, return_exceptions=True)
            self._revoked.cancel()
            self._intake = None

    async def pace(self, target: Target, urgency: Urgency, message_id: str | None) -> None:
        """Wait until the call fits Slack's limits and the answer's own rhythm."""
        await self._poster.pace(target, urgency, message_id)

    async def post(self, target: Target, part: Part) -> str:
        """Start a stream within its budget, else post a message; ephemeral if private."""
        return await self._poster.post(target, part)

    async def edit(self, target: Target, message_id: str, part: Part) -> None:
        """Append to the stream, end it, or update the message."""
        await self._poster.edit(target, message_id, part)

    async def withdraw(self, target: Target, message_id: str) -> None:
        """Delete the message."""
        await self._poster.withdraw(target, message_id)

    async def find(
        self,
        target: Target,
        part: Part,
        since: float,
        *,
        again: bool = True,  # noqa: ARG002  # Slack knows no repetitions: it is always looked for
    ) -> str | None:
        """Look for the part's metadata in the thread, or for a stream that was left open."""
        if target.is_only_for_asker and not target.place.is_private:
            return None
        ts, is_orphan = await self._history.find(target, part, since, self._me)
        if is_orphan:
            await self._poster.adopt(target, ts)
        return ts or None

    async def indicate(self, target: Target, activity: Activity) -> None:
        """Set the agent session's and the thread's status."""
        await self._status.indicate(target, activity)

    async def backfill(self, target: Target, limit: int) -> AsyncIterator[Message]:
        """Read the thread, or the DM, up to the question."""
        async for message in self._history.before(target, limit, self._me):
            yield message

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Download a file with the bot's token."""
        return await files.fetch(self._api, attachment, limit)

    async def enforce(self, order: Order) -> str | None:
        """Carry out an action of moderation. Raises PlatformError."""
        return await self._powers.enforce(order)

    # what comes in

    async def handle(self, body: Json) -> None:
        """Hand a payload to the intake; return once it may be acknowledged. Raises StoreError."""
        intake = self._intake
        if intake is None:
            raise RuntimeError("the intake is closed")
        try:
            found = await self._translate(body, intake)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
            intake.unreadable(PLATFORM, f"{type(exc).__name__}: {exc}")
            return
        for event in found:
            await self._accept(event, intake)

    async def _translate(self, body: Json, intake: Intake) -> list[Event]:
        if body.get("type") != "event_callback":
            gesture = await self._translator.gesture(body, intake)
            return [gesture] if gesture is not None else []
        event = body["event"]
        kind = event["type"]
        if kind == "app_home_opened":
            self._aside(self._home(event))
        elif kind in {"tokens_revoked", "app_uninstalled"}:
            self._end(kind, event)
        return await self._translator.event(event, intake)

    async def _accept(self, event: Event, intake: Intake) -> None:
        await intake.accept(event)
        if isinstance(event, Message):
            self._catch_up.note(event)
        if isinstance(event, Message) and intake.ways(event.place).is_judged:
            named = self._translator.name_of_author(event)
            if named is not None:  # nobody waits for it; one that is lost comes with the next post
                self._aside(self._hand_over(named, intake))

    async def _hand_over(self, named: Named, intake: Intake) -> None:
        try:
            await intake.accept(named)
        except StoreError as exc:
            _log.info("A name could not be stored.", error=str(exc))

    async def _receive(self, intake: Intake) -> None:
        config = self._config

        def unreadable(why: str) -> None:
            intake.unreadable(PLATFORM, why)

        secret = config.signing_secret.reveal() if config.signing_secret else ""
        app = _bolt(self._api, secret, _Intake(self.handle), is_signed=config.mode == "http")
        if config.mode == "http":
            self._endpoint = Endpoint(app, secret, config.path, unreadable)
            try:
                await self._endpoint.run(config.host, config.port)
            except OSError as exc:
                where = f"{config.host}:{config.port}"
                reason = f"{exc.strerror}; set slack.host or slack.port"
                message = f"Slack's HTTP mode can't listen on {where}: {reason}"
                raise ConfigError(message, key="slack.port", source=where) from exc
        elif config.app_token is None:
            raise ConfigError("SLACK_APP_TOKEN is not set", key="slack.app_token")
        else:
            token = config.app_token.reveal()
            await SocketMode(self._api, app, token, config.connections, unreadable).run()

    # beside the intake

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._side_tasks) >= _SIDE_TASKS:
            work.close()
            return
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)

    async def _home(self, event: Json) -> None:
        try:
            if event.get("tab") == "messages":
                await self._suggest(event["channel"])
            elif self._api.may("views.publish"):
                await self._publish(event)
        except PlatformError as exc:
            _log.info("The App Home could not be shown.", error=str(exc), code=exc.code)

    async def _publish(self, event: Json) -> None:
        user, channel = event["user"], event["channel"]
        if wait := self._names.learn([user]):
            await wait
        where = Place(PLATFORM, self._me.team, channel, is_private=is_dm(channel))
        author = events.member(user, None, self._me, self._names)
        view = home.view(await self.usage_of(where, author))
        await self._api.call("views.publish", {"user_id": user, "view": view})

    async def _suggest(self, channel: str) -> None:
        method = "assistant.threads.setSuggestedPrompts"
        if not self._me.threads_in_dms or not self._api.may(method):
            return
        try:
            await self._api.call(method, {"channel_id": channel, "prompts": home.PROMPTS})
        except PlatformError as exc:
            if exc.code not in _NO_AGENT:
                raise
            # a DM is one conversation from now on, also after a restart
            self._me = replace(self._me, threads_in_dms=False)
            if self._intake is not None:
                await self._intake.remember(self._agent_key, "no")

    @property
    def _agent_key(self) -> str:
        return f"{PLATFORM}:{self._me.team}:agent"

    def _end(self, kind: str, event: Json) -> None:
        is_ours = kind == "app_uninstalled" or (event.get("tokens") or {}).get("bot")
        if is_ours and not self._revoked.done():
            code = "app_uninstalled" if kind == "app_uninstalled" else "token_revoked"
            self._revoked.set_exception(from_code(code))


class _Intake(AsyncMiddleware):
    """Bolt's only middleware of ours. It is awaited before the acknowledgement; listeners aren't.

    What it raises becomes HTTP 500, or no acknowledgement on a websocket: Slack sends it again.
    """

    def __init__(self, handle: Callable[[Json], Awaitable[None]]) -> None:
        self._handle = handle

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002  # Bolt's name
    ) -> BoltResponse | None:
        """Store, then let Bolt acknowledge."""
        del resp, next
        body = req.body
        if body.get("type") == "url_verification":
            return BoltResponse(status=200, body={"challenge": body.get("challenge", "")})
        await self._handle(body)
        return BoltResponse(status=200, body="")


def _bolt(api: Api, secret: str, intake: AsyncMiddleware, *, is_signed: bool) -> AsyncApp:
    """An app whose intake stands before authorisation: it needs no token, and nothing follows."""
    quiet = logging.getLogger("slack_bolt")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it warns of a SLACK_BOT_TOKEN beside a client
    try:
        return AsyncApp(
            name="talkwarden",
            client=api.client,
            logger=quiet,
            signing_secret=secret,
            before_authorize=intake,
            request_verification_enabled=is_signed,
            ssl_check_enabled=is_signed,
            attaching_conversation_kwargs_enabled=False,
        )
    finally:
        quiet.setLevel(level or logging.WARNING)


def _granted(headers: Any) -> frozenset[str]:
    """The scopes that every answer of Slack names in a header."""
    found = {str(name).lower(): str(value) for name, value in dict(headers).items()}
    return frozenset(filter(None, map(str.strip, found.get("x-oauth-scopes", "").split(","))))


def _warn_of_missing(scopes: frozenset[str]) -> None:
    missing = [scope for scope in SCOPES if scope not in scopes] if scopes else []
    if missing:
        _log.warning(
            "The Slack app lacks scopes: add them under OAuth & Permissions, then reinstall it.",
            missing=missing,
        )
