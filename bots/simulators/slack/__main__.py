"""Run the simulator by hand: `python -m bots.simulators.slack --port 8910`."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from bots.simulators.slack.options import SlackOptions
from bots.simulators.slack.serve import run_slack


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bots.simulators.slack")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--json-options", default="{}", help="SlackOptions as a JSON object")
    parsed = parser.parse_args(arguments)
    options = msgspec.convert(
        {**msgspec.json.decode(parsed.json_options), "port": parsed.port}, SlackOptions
    )
    asyncio.run(run_slack(options))


if __name__ == "__main__":
    main()
