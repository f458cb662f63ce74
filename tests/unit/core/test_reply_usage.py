"""A reply's counts are read the same way wherever they stand."""

from __future__ import annotations

from typing import Any

import pytest

from core.completions.types import Usage
from core.reply_usage import usage_in


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3}, Usage(5, 3)),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(5, cached_tokens=4)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(5, 0, 4)),
        ({"completion_tokens_details": {"reasoning_tokens": 2}}, Usage(reasoning_tokens=2)),
        ({"prompt_tokens": "5", "completion_tokens": True, "more": [1]}, Usage(5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": ["odd"]}, Usage(5)),
        ({}, Usage()),
        ([], None),
        ([{"prompt_tokens": 5}], None),
        ("5", None),
        (None, None),
    ],
)
def test_counts_are_read_leniently(given: Any, expected: Usage | None) -> None:
    """Vendors' names for cached tokens count, numbers in quotes too; what is odd counts nothing."""
    assert usage_in(given) == expected
