"""The simulator as tests and benchmarks hold it: one server, its addresses and its levers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self, TypeVar, Unpack

from aiohttp import web

from bots.simulators.discord import cdn, directory
from bots.simulators.discord.actions import Actions
from bots.simulators.discord.api import Api
from bots.simulators.discord.commands import Commands
from bots.simulators.discord.control import Control
from bots.simulators.discord.faults import Fault, FaultOptions
from bots.simulators.discord.gateway import Gateway
from bots.simulators.discord.guilds import GuildRoutes
from bots.simulators.discord.interaction import Interaction
from bots.simulators.discord.interactions import Interactions
from bots.simulators.discord.messages import MessageRoutes
from bots.simulators.discord.model import Call, Channel, DiscordMessage, Json, Reaction, Typing
from bots.simulators.discord.options import DiscordOptions
from bots.simulators.discord.payloads import MessageForms, channel_json
from bots.simulators.discord.people import People, Ref, SayOptions
from bots.simulators.discord.posting import Poster
from bots.simulators.discord.sessions import Session
from bots.simulators.discord.threads import Threads

T = TypeVar("T")
API_BASE = "/api/v10"


class DiscordSimulator:
    """Serves REST, gateway and CDN on one port of the loopback; an async context manager."""

    def __init__(self, options: DiscordOptions | None = None) -> None:
        self.options = options or DiscordOptions()
        self.world = directory.build(self.options)
        self.forms = MessageForms(self.world)
        self.gateway = Gateway(self.world, self.forms)
        self.api = Api(self.world)
        self.poster = Poster(self.world, self.forms, self.gateway)
        self.threads = Threads(self.poster)
        self.routes = MessageRoutes(self.poster)
        self.people = People(self.poster, self.threads, self.routes)
        self.registered = Commands(self.world)
        self.interactions = Interactions(self.poster)
        self.actions = Actions(self.poster, self.interactions, self.registered)
        self.control = Control(self)
        guilds = GuildRoutes(self.world, self.gateway)
        for part in (self.routes, self.threads, guilds, self.registered, self.interactions):
            part.register(self.api.router)
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

    # what people do

    async def say(self, channel: Ref, user: Ref, text: str, **more: Unpack[SayOptions]) -> int:
        """Post as a user; the new message's id."""
        return self.people.say(channel, user, text, **more).id

    async def edit(self, message_id: int, text: str) -> None:
        """Change the text of a person's message."""
        self.people.edit(message_id, text)

    async def delete(self, message_id: int) -> None:
        """Delete a message."""
        self.people.delete(message_id)

    async def bulk_delete(self, message_ids: Sequence[int]) -> None:
        """Delete several messages of one channel in one event."""
        self.people.bulk_delete(message_ids)

    async def react(self, message_id: int, user: Ref, emoji: str) -> None:
        """Put a person's reaction on a message."""
        self.people.react(message_id, user, emoji)

    async def unreact(self, message_id: int, user: Ref, emoji: str) -> None:
        """Take a person's reaction away again."""
        self.people.unreact(message_id, user, emoji)

    async def start_typing(self, channel: Ref, user: Ref) -> None:
        """Raise a person's typing indicator."""
        self.people.start_typing(channel, user)

    async def unfurl(self, message_id: int, url: str) -> None:
        """Let Discord add a link preview: MESSAGE_UPDATE for what nobody edited."""
        message = self.message(message_id)
        message.embeds.append({"type": "link", "url": url, "title": url})
        self.poster.updated(message)

    async def create_thread(
        self, channel: Ref, name: str, *, user: Ref = "alice", from_message: int | None = None
    ) -> int:
        """Open a thread as a user; its id."""
        return self.people.open_thread(channel, user, name, from_message).id

    async def forum_post(self, forum: Ref, user: Ref, name: str, text: str) -> int:
        """Write a forum post as a user; the id of the thread and of its first message."""
        return self.people.post_in_forum(forum, user, name, text).id

    async def archive(self, thread: Ref, *, locked: bool = False) -> None:
        """Archive (and lock) a thread."""
        self.threads.set_state(self.world.channel(thread), {"archived": True, "locked": locked})

    async def deny(self, channel: Ref, permissions: int) -> None:
        """Take permission bits from the bot in a channel; 0 gives all of the role's back."""
        found = self.world.channel(channel)
        found.denied[self.bot_user_id] = permissions
        self.gateway.publish("CHANNEL_UPDATE", channel_json(found), found)

    async def slash(
        self, channel: Ref, user: Ref, name: str, options: Json | None = None
    ) -> Interaction:
        """Run a registered slash command; "group sub" names a subcommand."""
        return self.actions.slash(channel, user, name, options or {})

    async def autocomplete(
        self, channel: Ref, user: Ref, name: str, options: Json, focused: str
    ) -> Interaction:
        """Type in the option `focused`; `options` holds what stands in each so far."""
        return self.actions.autocomplete(channel, user, name, options, focused)

    async def context_menu(self, name: str, message_id: int, user: Ref) -> Interaction:
        """Use a message command."""
        return self.actions.context_menu(name, message_id, user)

    async def user_menu(self, name: str, channel: Ref, target: Ref, user: Ref) -> Interaction:
        """Use a user command on a member."""
        return self.actions.user_menu(name, channel, target, user)

    async def click(
        self, message_id: int, custom_id: str, user: Ref, values: list[str] | None = None
    ) -> Interaction:
        """Press a button or choose in a select of a message."""
        return self.actions.click(message_id, custom_id, user, values)

    async def submit_modal(self, opener: Interaction, values: Json) -> Interaction:
        """Send the form that `opener` was answered with, by custom ids."""
        return self.actions.submit_modal(opener, values)

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

    # trouble

    def fail(self, method: str, route: str, **order: Unpack[FaultOptions]) -> Fault:
        """Order a failure for the next requests to a route; see `Fault`.

        Raises:
            LookupError: the simulator has no such route.
        """
        self.api.known(method, route)
        fault = Fault(method=method, route=route, **order)
        self.api.faults.orders.append(fault)
        return fault

    def reconnect(self) -> None:
        """Ask every client to reconnect (operation 7)."""
        self.gateway.control(7)

    def invalidate(self, *, resumable: bool = False) -> None:
        """Tell every client that its session is invalid (operation 9)."""
        if not resumable:
            for session in self.sessions:
                self.gateway.end(session)
        self.gateway.control(9, resumable)

    def close_gateway(self, code: int = 4000) -> None:
        """Close every gateway connection with a code."""
        self.gateway.close_all(code)

    def drop_gateway(self) -> None:
        """Reset the TCP connection of every gateway socket."""
        for link in list(self.gateway.links):
            link.reset()

    def stop_acking_heartbeats(self, *, stopped: bool = True) -> None:
        """Leave heartbeats without an answer, so that clients see a zombie connection."""
        self.gateway.acking = not stopped

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
