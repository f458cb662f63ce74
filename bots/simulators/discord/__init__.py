"""A Discord on the loopback: REST v10, gateway v10 and CDN, driven and inspected by tests.

    async with DiscordSimulator() as sim:
        discord.http.Route.BASE = sim.api_url
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(sim.gateway_url)
        ...  # start a client with sim.token
        asked = await sim.say("general", "alice", f"<@{sim.bot_user_id}> hello")
        await sim.wait_for(lambda: sim.bot_messages("general"))

Routes are named as in `MessageRoutes.register` and its siblings, for `count` and `fail`. Limits
that Discord does not document (buckets, the nonce window, the resume window) are options.
"""

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
from bots.simulators.discord.standalone import run_discord

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
    "run_discord",
]
