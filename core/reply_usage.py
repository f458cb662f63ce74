"""What a reply says of its tokens, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.completions import wire
from core.completions.types import Usage


def usage_in(given: Any) -> Usage | None:
    """The counts of a reply's `usage`; None where it says nothing."""
    if not isinstance(given, Mapping):
        return None
    counts = wire.decode_document(wire.encode({"usage": given})).usage
    return None if counts is None else wire.usage_of(counts)


def usage_document(usage: Usage | None) -> dict[str, Any] | None:
    """The same for a caller, in OpenAI's shape."""
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
