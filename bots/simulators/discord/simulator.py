"""The simulator as tests and benchmarks hold it: one server, its addresses and its levers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeVar

from aiohttp import web

from bots.simulators.discord import cdn
from bots.simulators.discord.control import Control
from bots.simulators.discord.driving import Driving
from bots.simulators.discord.model import Call, Channel, DiscordMessage, Json, Reaction, Typing
from bots.simulators.discord.options import DiscordOptions
from bots.simulators.discord.people import Ref
from bots.simulators.discord.sessions import Session

T = TypeVar("T")
API_BASE = "/api/v10"


class DiscordSimulator(Driving):
    """Serves REST, gateway and CDN on one port of the loopback; an async context manager."""

    def __init__(self, options: DiscordOptions | None = None) -> None:
        super().__init__(options or DiscordOptions())
        self.control = Control(self)
        self.base_url = ""
        self._runner: web.ServerRunner | None = None

    # addresses and the directory

    @property
    def api_url(self) -> str:
        """What `discord.http.Route.BASE` is set to."""
        return f"{self.base_url}{API_BASE}"

    @property
    def gateway_url(self) -> str:
        """What `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY` is set to."""
        return self.gateway.url

    @property
    def cdn_url(self) -> str:
        """The base of attachment addresses."""
        return self.forms.cdn

    @property
    def token(self) -> str:
        """The bot token that is accepted."""
        return self.options.token

    @property
    def bot_user_id(self) -> int:
        """The bot's user id, which is its application id too."""
        return self.world.bot.id

    @property
    def application_id(self) -> int:
        """The application's id."""
        return self.world.bot.id

    @property
    def guild_id(self) -> int:
        """The id of the first guild."""
        return next(iter(self.world.guilds))

    def channel_id(self, name: str) -> int:
        """The id of a channel or thread of that name."""
        return self.world.channel(name).id

    def user_id(self, name: str) -> int:
        """The id of a user of that name."""
        return self.world.user(name).id

    def dm(self, user: Ref) -> int:
        """The id of the bot's direct conversation with a user."""
        return self.world.dm(self.world.user(user)).id

    # what happened

    @property
    def commands(self) -> list[Json]:
        """The registered commands of all scopes."""
        return self.registered.all()

    @property
    def command_syncs(self) -> int:
        """How often commands were overwritten in bulk."""
        return self.registered.syncs

    def messages(self, channel: Ref) -> list[DiscordMessage]:
        """All messages of a channel in order, deleted ones included, ephemeral ones not."""
        return list(self.world.channel(channel).messages.values())

    def message(self, message_id: int) -> DiscordMessage:
        """One message, deleted and ephemeral ones included."""
        return self.world.messages[message_id]

    def bot_messages(self, channel: Ref) -> list[DiscordMessage]:
        """The bot's messages in a channel that still stand."""
        bot = self.world.bot
        return [each for each in self.messages(channel) if each.author is bot and not each.deleted]

    def channel(self, ref: Ref) -> Channel:
        """A channel with its thread state."""
        return self.world.channel(ref)

    @property
    def calls(self) -> list[Call]:
        """Every REST request so far."""
        return self.api.calls

    @property
    def typing(self) -> list[Typing]:
        """Every typing indicator the bot raised."""
        return self.world.typing

    @property
    def reactions(self) -> list[Reaction]:
        """The bot's reactions that stand."""
        return self.world.reactions

    @property
    def sessions(self) -> list[Session]:
        """The gateway sessions that live, connected or resumable."""
        return list(self.gateway.sessions.values())

    @property
    def ignored_rate_limits(self) -> int:
        """Requests sent to a route while the 429 it had answered still held."""
        return self.api.limiter.ignored

    def count(self, call: str) -> int:
        """How often "METHOD /route/{template}" was requested; LookupError for an unknown one."""
        return self.api.counts[self.api.known(*call.split(" ", 1))]

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 5.0) -> T:  # noqa: ASYNC109
        """The predicate's first true value; TimeoutError after `timeout` seconds."""
        return await self.world.wait_for(predicate, timeout)

    def reset(self) -> None:
        """Forget messages, calls and interactions; the directory and the sessions stay."""
        for channel in self.world.channels.values():
            channel.messages.clear()
        self.world.messages.clear()
        self.world.files.clear()
        self.world.typing.clear()
        self.world.reactions.clear()
        self.api.calls.clear()
        self.api.counts.clear()
        self.api.faults.orders.clear()
        self.api.limiter.ignored = self.api.limiter.refused = 0
        self.api.invalid_requests = 0
        self.interactions.by_id.clear()
        self.interactions.by_token.clear()
        self.routes.forget()

    # serving

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen; afterwards the addresses are known."""
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None), shutdown_timeout=0.5
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self.options.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        self.gateway.url = f"ws://{host}:{port}/gateway"
        self.forms.cdn = f"{self.base_url}/cdn"

    def addresses(self) -> Json:
        """Everything another process needs to connect and to drive."""
        return {
            "api_url": self.api_url,
            "gateway_url": self.gateway_url,
            "cdn_url": self.cdn_url,
            "control_url": f"{self.base_url}/_control",
            "token": self.token,
            "application_id": self.application_id,
            "bot_user_id": self.bot_user_id,
            "guild_id": self.guild_id,
        }

    async def close(self) -> None:
        """Drop every connection and stop listening."""
        for link in list(self.gateway.links):
            link.reset()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(API_BASE):
            return await self.api.serve(request, path[len(API_BASE) :])
        if path.startswith("/gateway"):
            return await self.gateway.serve(request)
        if path.startswith("/cdn/"):
            return cdn.serve(self.world, request)
        if path.startswith("/_control/"):
            return await self.control.serve(request)
        return web.Response(status=404)
