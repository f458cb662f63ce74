"""Who is who in a workspace, as far as the adapter has been told. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

PLATFORM = "slack"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Me:
    """The app itself in its workspace. `threads_in_dms`: each question of a DM has a thread."""

    team: str
    user: str
    bot: str
    threads_in_dms: bool = False

    def wrote(self, message: Json) -> bool:
        """Whether a message is the app's own."""
        return message.get("user") == self.user or (
            bool(self.bot) and message.get("bot_id") == self.bot
        )


@dataclass(frozen=True, slots=True)
class Person:
    """What users.info says that matters here."""

    name: str
    is_admin: bool = False
    is_bot: bool = False
    team: str = ""

    @classmethod
    def read(cls, user: Json) -> Self:
        """Read a user object (https://docs.slack.dev/reference/objects/user-object)."""
        profile = user.get("profile") or {}
        name = (
            profile.get("display_name")
            or profile.get("real_name")
            or user.get("real_name")
            or user.get("name")
            or user["id"]
        )
        return cls(
            name=str(name),
            is_admin=bool(user.get("is_admin") or user.get("is_owner")),
            is_bot=bool(user.get("is_bot")),
            team=str(user.get("team_id") or ""),
        )


class Directory(Protocol):
    """Names that are known already."""

    def user(self, user_id: str) -> Person | None:
        """A member, or None."""

    def channel_name(self, channel_id: str) -> str | None:
        """A channel's name, or None."""
