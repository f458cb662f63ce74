"""Gateway v10: hello, heartbeats, IDENTIFY, RESUME and the publishing of events.

https://discord.com/developers/docs/events/gateway
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from bots.simulators.discord import payloads
from bots.simulators.discord.model import Channel, Json
from bots.simulators.discord.sessions import Link, Noted, Session, encode
from bots.simulators.discord.world import World

GUILDS, GUILD_MEMBERS, GUILD_MODERATION, PRESENCES = 1 << 0, 1 << 1, 1 << 2, 1 << 8
GUILD_MESSAGES, GUILD_REACTIONS, GUILD_TYPING = 1 << 9, 1 << 10, 1 << 11
DIRECT_MESSAGES, DIRECT_REACTIONS, DIRECT_TYPING = 1 << 12, 1 << 13, 1 << 14
MESSAGE_CONTENT = 1 << 15
KNOWN_INTENTS = (1 << 26) - 1
MAX_PAYLOAD = 4096
# After these the client must start a new session, or give up.
FATAL_CODES: Final = frozenset({4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014})


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Gateway:
    """All sessions and sockets; `publish` sends an event to every session that wants it."""

    def __init__(self, world: World, forms: payloads.MessageForms) -> None:
        self.world = world
        self.forms = forms
        self.sessions: dict[str, Session] = {}
        self.links: set[Link] = set()
        self.url = ""
        self.acking = True
        self.identifies = 0
        self.close_codes: list[int] = []

    # events out

    def publish(
        self,
        name: str,
        payload: Json | Callable[[bool], Json],
        channel: Channel | None = None,
        intent: int = GUILDS,
        noted: Noted | None = None,
    ) -> None:
        """Send an event; a callable payload is told whether the session has MESSAGE_CONTENT."""
        guild_id = channel.guild.id if channel is not None and channel.guild else None
        raws: dict[bool, bytes] = {}
        for session in list(self.sessions.values()):
            if not session.wants(intent, guild_id) or self._expired(session):
                continue
            content = bool(session.intents & MESSAGE_CONTENT)
            raw = raws.get(content)
            if raw is None:
                data = payload(content) if callable(payload) else payload
                raw = raws[content] = encode(data)
            session.push(name, raw, noted)

    def control(self, op: int, data: Any = None) -> None:
        """Send an operation to every connection."""
        for link in self.links:
            link.op(op, data)

    def close_all(self, code: int) -> None:
        """Close every connection; sessions survive unless the code ends them."""
        for link in list(self.links):
            if link.session is not None and code in FATAL_CODES:
                self.end(link.session)
            link.close(code)

    def end(self, session: Session) -> None:
        """Forget a session: nothing can resume it."""
        session.ended = True
        if session.link is not None:
            # Its client may identify anew on the same connection.
            session.link.session = None
        session.buffer.clear()
        self.sessions.pop(session.id, None)

    # one connection

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hold one gateway connection until either side ends it."""
        ws = web.WebSocketResponse(compress=False, timeout=2.0, max_msg_size=0)
        await ws.prepare(request)
        link = Link(ws, request)
        self.links.add(link)
        code = 1006
        try:
            if request.query.get("v") != "10" or request.query.get("encoding") != "json":
                link.close(4012)
            else:
                link.op(10, {"heartbeat_interval": self._interval_ms(), "_trace": []})
            code = await self._read(link)
        finally:
            self.links.discard(link)
            self.close_codes.append(code)
            self._detach(link, code)
            link.writer.cancel()
            await asyncio.gather(link.writer, return_exceptions=True)
            self.world.changed()
        return ws

    def _interval_ms(self) -> int:
        return int(self.world.options.heartbeat_interval * 1000)

    async def _read(self, link: Link) -> int:
        patience = self.world.options.heartbeat_interval * 2
        while True:
            try:
                async with asyncio.timeout_at(_loop_time(link.last_heartbeat + patience)):
                    message = await link.ws.receive()
            except TimeoutError:
                link.close(4009)
                await link.writer
                return 4009
            if message.type is WSMsgType.CLOSE:
                return int(message.data)
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                try:
                    self._receive(link, message.data)
                except _Refused as refused:
                    link.close(refused.code)
                    await link.writer
                    return refused.code
                continue
            if message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                if link.close_code is not None:
                    await link.writer
                return link.close_code or link.ws.close_code or 1006

    def _detach(self, link: Link, code: int) -> None:
        session = link.session
        if session is None or session.link is not link:
            return
        session.link = None
        session.dropped_at = time.monotonic()
        # Only the client's own 1000 or 1001 ends a session.
        gone = code in (1000, 1001) and link.close_code is None
        if gone or code in FATAL_CODES:
            self.end(session)

    # operations in

    def _receive(self, link: Link, data: str | bytes) -> None:
        if link.too_fast(self.world.options.gateway_sends):
            raise _Refused(4008)
        if len(data) > MAX_PAYLOAD:
            raise _Refused(4002)
        try:
            payload = msgspec.json.decode(data, type=Json)
        except msgspec.MsgspecError as exc:
            raise _Refused(4002) from exc
        handler = self._OPERATIONS.get(payload.get("op", -1))
        if handler is None:
            raise _Refused(4001)
        if link.session is None and payload["op"] not in (1, 2, 6):
            raise _Refused(4003)
        handler(self, link, payload.get("d"))

    def _heartbeat(self, link: Link, _sequence: Any) -> None:
        if self.acking:
            link.op(11)
        link.last_heartbeat = time.monotonic()

    def _identify(self, link: Link, data: Json) -> None:
        if link.session is not None:
            raise _Refused(4005)
        options = self.world.options
        if data.get("token") != options.token:
            raise _Refused(4004)
        intents = data.get("intents")
        if not isinstance(intents, int) or intents < 0 or intents & ~KNOWN_INTENTS:
            raise _Refused(4013)
        if intents & ~self._allowed_intents():
            raise _Refused(4014)
        shard = data.get("shard") or [0, 1]
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            raise _Refused(4010)
        self.identifies += 1
        session_id = secrets.token_hex(16)
        session = Session(session_id, intents, (shard[0], shard[1]), options.replay_buffer)
        session.link = link
        link.session = self.sessions[session_id] = session
        self._welcome(session)
        self.world.changed()

    def _allowed_intents(self) -> int:
        options = self.world.options
        allowed = KNOWN_INTENTS & ~(GUILD_MEMBERS | PRESENCES | MESSAGE_CONTENT)
        allowed |= GUILD_MEMBERS if options.guild_members else 0
        allowed |= PRESENCES if options.presences else 0
        return allowed | (MESSAGE_CONTENT if options.message_content else 0)

    def _welcome(self, session: Session) -> None:
        world = self.world
        mine = [guild for guild in world.guilds.values() if session.wants(0, guild.id)]
        ready = {
            "v": 10,
            "user": own_user_json(world),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in mine],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": f"{self.url}/resume",
            "shard": list(session.shard),
            "application": {"id": str(world.bot.id), "flags": application_flags(world)},
            "private_channels": [],
            "_trace": [],
        }
        session.push("READY", encode(ready))
        if session.intents & GUILDS:
            everyone = bool(session.intents & GUILD_MEMBERS)
            for guild in mine:
                data = payloads.guild_create_json(world, guild, all_members=everyone)
                session.push("GUILD_CREATE", encode(data))

    def _resume(self, link: Link, data: Json) -> None:
        if data.get("token") != self.world.options.token:
            raise _Refused(4004)
        session = self._resumable(str(data.get("session_id")))
        if session is None:
            link.op(9, False)
            return
        sequence = data.get("seq")
        if not isinstance(sequence, int) or sequence > session.sequence:
            self.end(session)
            raise _Refused(4007)
        missed = session.missed(sequence)
        if missed is None:
            self.end(session)
            link.op(9, False)
            return
        if session.link is not None:
            session.link.close(4000)
        session.link, link.session = link, session
        session.dropped_at = None
        session.resumed += 1
        for event in missed:
            link.put(event.frame())
        session.push("RESUMED", encode({"_trace": []}))
        self.world.changed()

    def _resumable(self, session_id: str) -> Session | None:
        session = self.sessions.get(session_id)
        return None if session is None or self._expired(session) else session

    def _expired(self, session: Session) -> bool:
        window = self.world.options.resume_window
        if session.dropped_at is None or time.monotonic() - session.dropped_at <= window:
            return False
        self.end(session)
        return True

    def _ignore(self, _link: Link, _data: Any) -> None:
        """Presence and voice state: accepted, without effect here."""

    def _request_members(self, link: Link, data: Json) -> None:
        guild = self.world.guilds.get(int(data.get("guild_id") or 0))
        if guild is None or link.session is None:
            return
        wanted = {str(each) for each in _listed(data.get("user_ids"))}
        query = str(data.get("query") or "").lower()
        found = [
            member
            for member in guild.members.values()
            if (str(member.user.id) in wanted if wanted else member.user.name.startswith(query))
        ]
        found = found[: data.get("limit") or len(found)]
        chunk: Json = {
            "guild_id": str(guild.id),
            "members": [payloads.member_json(member) for member in found],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
        }
        if data.get("nonce"):
            chunk["nonce"] = data["nonce"]
        link.session.push("GUILD_MEMBERS_CHUNK", encode(chunk))

    _OPERATIONS: Final[dict[int, Callable[[Gateway, Link, Any], None]]] = {
        1: _heartbeat,
        2: _identify,
        3: _ignore,
        4: _ignore,
        6: _resume,
        8: _request_members,
    }


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def own_user_json(world: World) -> Json:
    """The bot's own user as READY and /users/@me show it."""
    return world.bot.json | {
        "verified": True,
        "mfa_enabled": True,
        "email": None,
        "locale": "en-US",
        "flags": 0,
        "banner": None,
        "accent_color": None,
    }


def application_flags(world: World) -> int:
    """The flags that tell which privileged intents the portal has on (unverified app)."""
    options = world.options
    flags = 1 << 19 if options.message_content else 0
    flags |= 1 << 15 if options.guild_members else 0
    return flags | (1 << 13 if options.presences else 0)
