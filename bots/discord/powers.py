"""What the bot may do about messages and members, and how Discord is asked to do it.

https://discord.com/developers/docs/resources/guild#modify-guild-member
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from bots.discord import buttons, failures, render
from bots.discord.deletions import Deletions
from bots.discord.events import DIRECT
from bots.discord.rest import Rest
from core.adapter import Order
from core.errors import PermissionDenied, PlatformError, TargetGone

POWERS: Final = frozenset({"delete", "warn", "timeout", "kick", "ban", "alert"})

LONGEST: Final = 28 * 86_400.0 - 60.0
"""Seconds of a timeout; Discord takes 28 days."""
LOOKED_AT: Final = 100
"""Messages of a channel among which an earlier attempt's is looked for."""
MISSING: Final = frozenset({"50001", "50013", "403"})
NO_MEMBER: Final = "10007"

_MEMBER: Final = "/guilds/{guild_id}/members/{user_id}"
_CHANNEL: Final = "/channels/{channel_id}"
_MESSAGES: Final = "/channels/{channel_id}/messages"
_MESSAGE: Final = "/channels/{channel_id}/messages/{message_id}"


class _Need(NamedTuple):
    """What the bot could not do, and what it takes."""

    what: str
    permission: str


_RANK: Final = ", and a role above theirs"
NEEDS: Final = {
    "message": _Need("delete messages here", "Manage Messages"),
    "thread": _Need("rename this thread", "Manage Threads"),
    "member": _Need("change this nickname", "Manage Nicknames" + _RANK),
    "channel": _Need("rename this channel", "Manage Channels"),
    "timeout": _Need("time this member out", f"Moderate Members{_RANK}; administrators can't be"),
    "kick": _Need("kick this member", "Kick Members" + _RANK),
    "ban": _Need("ban this member", "Ban Members" + _RANK),
    "alert": _Need("post in the review channel", "View Channel and Send Messages there"),
    "warn": _Need("send this person a direct message", "that they accept them"),
}


class Powers:
    """Carries out orders as the bot `user`."""

    def __init__(self, rest: Rest, user: str) -> None:
        self._rest = rest
        self._user = user
        self._deletions = Deletions(rest)
        self._methods: dict[str, Callable[[Order], Awaitable[str | None]]] = {
            "delete": self._delete,
            "warn": self._warn,
            "timeout": self._timeout,
            "kick": self._kick,
            "ban": self._ban,
            "alert": self._alert,
        }

    async def enforce(self, order: Order) -> str | None:
        """Do it; the id of the message that it left. Raises PlatformError."""
        need = NEEDS[order.what if order.action == "delete" else order.action]
        try:
            with failures.translated():
                return await self._methods[order.action](order)
        except PermissionDenied as exc:
            if exc.code not in MISSING:
                raise
            message = f"the bot may not {need.what}; it needs {need.permission}"
            raise PermissionDenied(message, platform="discord", code=exc.code) from exc

    # messages and names

    async def _delete(self, order: Order) -> None:
        key, place = order.message_id or "", order.place
        if order.what == "message":
            if place.is_private:
                raise _impossible("delete what others write in a direct message")
            await self._deletions.delete(place.thread or place.channel, key, order.reason)
        elif order.what == "member":
            # the account's own name would show without a nickname, and may be what was judged
            await self._change_member(order, {"nick": f"Member {key[-4:]}"})
        else:
            name = "renamed" if order.what == "thread" else f"renamed-{key[-4:]}"
            more = {} if order.what == "thread" else {"topic": ""}
            await self._rest.call(
                "PATCH", _CHANNEL, json={"name": name, **more}, channel_id=key, reason=order.reason
            )

    # members

    async def _timeout(self, order: Order) -> None:
        now = time.time()
        if 0 < order.until <= now:
            return  # it is over
        end = min(order.until, now + LONGEST)
        until = datetime.fromtimestamp(end, UTC).isoformat() if order.until else None
        await self._change_member(order, {"communication_disabled_until": until})

    async def _kick(self, order: Order) -> None:
        with _done_before(order):
            await self._rest.call("DELETE", _MEMBER, **_member(order), reason=order.reason)

    async def _ban(self, order: Order) -> None:
        await self._rest.call(
            "PUT",
            "/guilds/{guild_id}/bans/{user_id}",
            json={"delete_message_seconds": 0},
            **_member(order),
            reason=order.reason,
        )

    async def _change_member(self, order: Order, body: dict[str, Any]) -> None:
        await self._rest.call("PATCH", _MEMBER, json=body, **_member(order), reason=order.reason)

    # words

    async def _warn(self, order: Order) -> str:
        if order.author is None:
            raise TargetGone("nobody is to be warned", platform="discord")
        channel = order.place.channel
        if not order.place.is_private:
            opened = await self._rest.call(
                "POST", "/users/@me/channels", json={"recipient_id": order.author.id}
            )
            channel = opened["id"]
        return await self._post(order, channel)

    async def _alert(self, order: Order) -> str:
        if order.edits:
            await self._rest.call(
                "PATCH",
                _MESSAGE,
                json=_body(order),
                channel_id=order.channel,
                message_id=order.edits,
            )
            return order.edits
        return await self._post(order, order.channel)

    async def _post(self, order: Order, channel: str) -> str:
        if order.is_repeat:
            found = await self._left_by(order, channel)
            if found is not None:
                return found
        body = _body(order) | {
            "nonce": _nonce(order),
            "enforce_nonce": True,
            "flags": render.NO_PREVIEWS,
        }
        reply = await self._rest.call("POST", _MESSAGES, json=body, channel_id=channel)
        return str(reply["id"])

    async def _left_by(self, order: Order, channel: str) -> str | None:
        """What an earlier attempt posted: the buttons of the case, or the very words."""
        page = await self._rest.call(
            "GET", _MESSAGES, params={"limit": LOOKED_AT}, channel_id=channel
        )
        wanted = _body(order)
        ids = buttons.ids(wanted["components"])
        for data in page:
            if data["author"]["id"] != self._user:
                continue
            if data.get("nonce") == _nonce(order):
                return str(data["id"])
            shown = buttons.ids(data.get("components") or ())
            if (ids and ids == shown) or (not ids and data["content"] == wanted["content"]):
                return str(data["id"])
        return None


@contextmanager
def _done_before(order: Order) -> Any:
    """An earlier attempt may have done it: then the member is gone."""
    try:
        with failures.translated():
            yield
    except PlatformError as exc:
        if not (order.is_repeat and exc.code == NO_MEMBER):
            raise


def _member(order: Order) -> dict[str, Any]:
    """Who, and where. Raises PermissionDenied in a direct message, TargetGone for nobody."""
    guild = order.place.workspace
    if guild == DIRECT:
        raise _impossible("act on a member in a direct message")
    user = order.message_id if order.what == "member" else None
    user = user or (order.author.id if order.author else "")
    if not user:
        raise TargetGone("it is not known who it was", platform="discord")
    return {"guild_id": guild, "user_id": user}


def _impossible(what: str) -> PermissionDenied:
    return PermissionDenied(f"a bot may not {what}", platform="discord", code="50003")


def _body(order: Order) -> dict[str, Any]:
    text = order.text.strip() or render.BLANK
    return {
        "content": text if len(text) <= render.LIMIT else text[: render.LIMIT - 1] + "…",
        "allowed_mentions": render.NO_PINGS,
        "components": buttons.review(order.case, order.verbs),
    }


def _nonce(order: Order) -> str:
    digest = hashlib.blake2b(order.id.encode(), digest_size=15, person=b"order").digest()
    return base64.b32encode(digest).decode().lower()
