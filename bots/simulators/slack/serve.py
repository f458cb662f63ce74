"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import msgspec

from bots.simulators.slack.options import SlackOptions
from bots.simulators.slack.simulator import SlackSimulator


async def run_slack(options: SlackOptions) -> None:
    """Serve until SIGINT or SIGTERM; the first line on standard output is JSON with the URLs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signum, stop.set)
    async with SlackSimulator(options) as slack:
        ready = {
            "api_url": slack.api_url,
            "control_url": f"{slack.url}/_control/",
            "bot_token": slack.bot_token,
            "app_token": slack.app_token,
            "signing_secret": slack.signing_secret,
            "team_id": slack.team_id,
            "bot_user_id": slack.bot_user_id,
            "bot_id": slack.bot_id,
            "app_id": slack.app_id,
        }
        sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()
