"""Asks Discord for servers and channels that no gateway event has described.

A session that another process began sends no GUILD_CREATE, and archived threads are in none.
"""

from __future__ import annotations

from typing import Final

from bots.discord import failures
from bots.discord.directory import Channel, Directory, Guild
from bots.discord.rest import Rest
from core.errors import PermissionDenied, PlatformError, TargetGone
from core.telemetry import logger

log = logger("talkwarden.discord")

_FINAL: Final = (TargetGone, PermissionDenied)


class Lookup:
    """Fills the directory's gaps; what Discord does not tell is not asked twice."""

    def __init__(self, rest: Rest, directory: Directory) -> None:
        self._rest = rest
        self._directory = directory

    def lacks(self, guild: str | None, channel: str) -> bool:
        """Something about this channel is unknown."""
        if guild is None:
            return False
        known = self._directory.channels.get(channel)
        if known is None or guild not in self._directory.guilds:
            return True
        return bool(known.parent) and known.parent not in self._directory.channels

    async def learn(self, guild: str | None, channel: str) -> None:
        """Make the server, the channel and, for a thread, its parent known."""
        if guild is None:
            return
        if guild not in self._directory.guilds:
            await self._learn_guild(guild)
        key: str | None = channel
        while key:  # a thread's channel has no parent of this kind: two rounds at most
            if key not in self._directory.channels:
                await self._learn_channel(guild, key)
            key = self._directory.channels[key].parent

    async def _learn_guild(self, guild: str) -> None:
        try:
            with failures.translated():
                self._directory.update_guild(
                    await self._rest.call("GET", "/guilds/{guild_id}", guild_id=guild)
                )
        except PlatformError as exc:
            log.info("discord.lookup.guild", guild=guild, error=str(exc))
            if isinstance(exc, _FINAL):
                self._directory.guilds.setdefault(guild, Guild("", ""))

    async def _learn_channel(self, guild: str, channel: str) -> None:
        try:
            with failures.translated():
                found = await self._rest.call("GET", "/channels/{channel_id}", channel_id=channel)
            self._directory.add_channel(found, guild)
        except PlatformError as exc:
            log.info("discord.lookup.channel", channel=channel, error=str(exc))
        self._directory.channels.setdefault(channel, Channel("", guild))
