"""A simulated completions endpoint: see `server` for how to run it, `options` for its switches."""

from __future__ import annotations

from bots.simulators.completions.options import Fault, Options, Recorded, Scripted, ToolCall
from bots.simulators.completions.server import CompletionsSimulator

__all__ = ["CompletionsSimulator", "Fault", "Options", "Recorded", "Scripted", "ToolCall"]
