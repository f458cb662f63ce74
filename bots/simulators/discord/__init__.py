"""A Discord on the loopback: REST v10, gateway v10 and CDN, driven and inspected by tests."""

from __future__ import annotations

from bots.simulators.discord.interaction import Interaction
from bots.simulators.discord.model import Call, DiscordMessage, Pings
from bots.simulators.discord.options import (
    Bucket,
    ChannelOptions,
    DiscordOptions,
    GuildOptions,
    MemberOptions,
    RoleOptions,
)
from bots.simulators.discord.simulator import DiscordSimulator

__all__ = [
    "Bucket",
    "Call",
    "ChannelOptions",
    "DiscordMessage",
    "DiscordOptions",
    "DiscordSimulator",
    "GuildOptions",
    "Interaction",
    "MemberOptions",
    "Pings",
    "RoleOptions",
]
