"""The section of the configuration about functions that the model may call."""

from __future__ import annotations

import msgspec

from core.ranges import Positive, Seconds


class ToolServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server: a command to start, or the URL of one that runs."""

    command: str = ""
    """The program to start; it speaks over standard input and output."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    env: dict[str, str] = {}
    """Its environment, beside PATH and HOME; no secrets here."""
    url: str = ""
    """The address of a server that runs (streamable HTTP)."""
    only: tuple[str, ...] = ()
    """The tools to offer; empty: all."""
    approve: tuple[str, ...] = ()
    """Tools that a person approves before each call; "*": all of them."""


class ToolsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the model may call, and how much of it before it has to answer."""

    functions: tuple[str, ...] = ()
    """Python functions, as package.module:name."""
    approve: tuple[str, ...] = ()
    """Functions that a person approves before each call; "*": all of them."""
    servers: dict[str, ToolServerConfig] = {}
    """MCP servers by a name of yours, which begins the names of their tools (extra `mcp`)."""
    rounds: Positive = 8
    """Replies with calls in them, for one answer."""
    calls: Positive = 32
    """Calls for one answer."""
    parallel: Positive = 4
    """Calls at once."""
    call_seconds: Seconds = 30.0
    """Seconds that one call may take."""
    total_seconds: Seconds = 120.0
    """Seconds that all calls for one answer may take, approvals included."""
    result: Positive = 32_000
    """Characters of one result; what is longer is cut."""

    @property
    def is_enabled(self) -> bool:
        """There is something to call."""
        return bool(self.functions or self.servers)
