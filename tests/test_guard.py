"""The walls around the tests themselves."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest


async def test_only_loopback_can_be_reached() -> None:
    """A connection, and a look-up, of another host fails; loopback works."""
    with pytest.raises(OSError, match="may not reach"):
        await asyncio.open_connection("192.0.2.1", 80)
    with pytest.raises(OSError, match="may not reach"):
        socket.getaddrinfo("example.com", 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, writer = await asyncio.open_connection("localhost", server.getsockname()[1])
        writer.close()
        await writer.wait_closed()


def test_the_callers_configuration_is_out_of_sight() -> None:
    """No variable that talkwarden reads is set."""
    assert not [name for name in os.environ if name.startswith(("TALKWARDEN_", "SLACK_"))]
