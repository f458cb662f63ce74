"""`python -m bots.simulators.completions --port N --json-options '{"rate": 50}'`.

Prints one line of JSON with the address when it listens, and runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import msgspec

from bots.simulators.completions import CompletionsSimulator, Options


async def serve(options: Options, port: int) -> None:
    """Listen until a signal comes."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with CompletionsSimulator(options, port=port) as model:
        control = model.base_url.removesuffix("/v1") + "/_control"
        line = msgspec.json.encode({"base_url": model.base_url, "control_url": control})
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bots.simulators.completions", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--json-options", default="{}", help="fields of Options as JSON")
    given = parser.parse_args()
    try:
        options = msgspec.json.decode(given.json_options, type=Options)
    except msgspec.DecodeError as exc:
        parser.error(f"--json-options: {exc}")
    asyncio.run(serve(options, given.port))


if __name__ == "__main__":
    main()
