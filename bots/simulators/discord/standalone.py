"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys

from bots.simulators.discord.options import DiscordOptions
from bots.simulators.discord.sessions import encode
from bots.simulators.discord.simulator import DiscordSimulator


async def run_discord(options: DiscordOptions) -> None:
    """Serve until SIGINT or SIGTERM; one line of JSON on standard output tells the addresses."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with DiscordSimulator(options) as sim:
        sys.stdout.write(encode(sim.addresses()).decode() + "\n")
        sys.stdout.flush()
        await stopped.wait()
