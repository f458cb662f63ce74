"""`python -m bots.simulators.discord`: the simulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import msgspec

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


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="bots.simulators.discord")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--json-options", default="{}", help="a JSON object with fields of DiscordOptions"
    )
    arguments = parser.parse_args()
    given = {"port": arguments.port} | msgspec.json.decode(arguments.json_options, type=dict)
    asyncio.run(run_discord(msgspec.convert(given, DiscordOptions)))


if __name__ == "__main__":
    main()
