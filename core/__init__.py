"""The platform-neutral core: durability, history, moderation, completions."""

__version__ = "0.1.0"
