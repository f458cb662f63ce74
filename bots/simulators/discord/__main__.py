"""`python -m bots.simulators.discord`: the simulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from bots.simulators.discord.options import DiscordOptions
from bots.simulators.discord.standalone import run_discord


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
