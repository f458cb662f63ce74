from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.parts import MIN_LIMIT, join, open_fence, split

LINES = st.one_of(
    st.sampled_from(
        ["", "```", "```py", "```python title=x", "````", "  ```", "``` ", "``````", "x ```y"]
    ),
    st.text(alphabet="ab `.\u0301\U0001f1e9\U0001f468\u200dé\n", max_size=60),
    st.integers(0, 700).map(lambda n: "word " * (n // 5)),
    st.integers(0, 700).map(lambda n: "x" * n),
    st.integers(0, 500).map(lambda n: "`" * n),
    st.integers(0, 500).map(lambda n: " " * n),
)
TEXTS = st.lists(LINES, max_size=25).map("\n".join)
PROSE = st.lists(
    st.one_of(
        st.integers(1, 60).map(lambda n: "Some words. " * n),
        st.integers(1, 40).map(lambda n: "```py\n" + "    call(a, b)\n" * n + "```"),
        st.integers(1, 30).map(lambda n: "```\n" + "first line\n\n" * n + "```"),
    ),
    max_size=8,
).map("\n\n".join)


def escaped_length(text: str) -> int:
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


@given(TEXTS, st.integers(MIN_LIMIT, 700))
@settings(max_examples=300, deadline=None)
def test_joined_parts_are_the_text(text: str, limit: int) -> None:
    """Whatever the text: its parts are within the limit and join to it again."""
    parts = split(text, limit)

    assert join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


@given(TEXTS, st.integers(0, 3000))
@settings(max_examples=200, deadline=None)
def test_finished_parts_never_change(text: str, end: int) -> None:
    """While a text grows, every part but the last stays as it was posted."""
    earlier = split(text[:end], MIN_LIMIT)

    assert split(text, MIN_LIMIT)[: max(len(earlier) - 1, 0)] == earlier[:-1]


@given(PROSE, st.integers(MIN_LIMIT, 900))
@settings(max_examples=150, deadline=None)
def test_every_part_has_whole_fences(text: str, limit: int) -> None:
    """No part shows half a code block: each has as many fences closed as opened."""
    for part in split(text, limit):
        assert open_fence(part) == ""
        assert len(re.findall("^```", part, re.MULTILINE)) % 2 == 0


@given(st.lists(st.sampled_from(["a&b ", "<@U1> ", "x" * 40, "\n"]), max_size=90).map("".join))
@settings(max_examples=80, deadline=None)
def test_length_decides_what_fits(text: str) -> None:
    """With a length of its own, a platform's limit holds for what the text costs there."""
    parts = split(text, MIN_LIMIT, length=escaped_length)

    assert join(parts) == text
    assert all(escaped_length(part) <= MIN_LIMIT for part in parts)


def test_nothing_gives_no_part() -> None:
    """An empty text has no part."""
    assert split("", 2000) == []
    assert join([]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 200 + "\n\n" + "b" * 90 + "\n" + "c" * 90, "a" * 200 + "\n\n"),
        ("a" * 200 + "\n" + "b " * 80, "a" * 200 + "\n"),
        ("word " * 40 + "end. " + "next " * 40, "word " * 40 + "end. "),
        ("word " * 100, "word " * 60),
        ("x" * 400, "x" * 300),
    ],
)
def test_the_best_border_in_reach_is_taken(text: str, expected: str) -> None:
    """A paragraph's border is preferred to a line's, that to a sentence's, that to a word's."""
    assert split(text, 300)[0] == expected


def test_a_fence_is_closed_and_opened_with_its_language() -> None:
    """A code block over a cut is two code blocks of one language."""
    text = "```py\n" + "line = 1\n" * 60 + "```\nend"
    first, second, *rest = split(text, 400)

    assert first.startswith("```py\nline = 1\n")
    assert first.endswith("line = 1\n```")
    assert second.startswith("```py\nline = 1\n")
    assert join([first, second, *rest]) == text


@pytest.mark.parametrize("whole", ["👨‍👩‍👧", "🇩🇪", "e\u0301", "👍🏽", "❤️"])
def test_a_character_as_seen_stays_whole(whole: str) -> None:
    """No cut falls inside an emoji sequence, a flag or an accented letter."""
    for shift in range(len(whole) + 1):
        parts = split("x" * (296 - shift) + whole * 60, 300)

        assert all(part.replace("x", "").replace(whole, "") == "" for part in parts)


def test_a_small_limit_is_refused() -> None:
    """A limit that leaves no room is a programming error."""
    with pytest.raises(ValueError, match="300"):
        split("text", 100)
