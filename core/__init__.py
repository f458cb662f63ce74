"""The platform-neutral core: history, moderation, completions, durability. Imports no platform SDK."""

__version__ = "0.1.0"
