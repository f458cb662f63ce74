"""Reasoning inside content never reaches the visible text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.completions.thinking import ThinkSplitter


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.end()]
    return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("plain", "plain", ""),
        ("<think>hm</think>\n\nyes", "yes", "hm"),
        ("a<think>b</think>c", "ac", "b"),
        ("<think>never closed", "", "never closed"),
        ("1 < 2 <thin ice", "1 < 2 <thin ice", ""),
        ("write `<think>` so", "write `<think>` so", ""),
        ("```\n<think>x</think>\n```", "```\n<think>x</think>\n```", ""),
        ("<think>a</think> <think>b</think> c", "c", "ab"),
        ("<think></think>", "", ""),
    ],
)
def test_tags_split_wherever_they_are_cut(content: str, text: str, reasoning: str) -> None:
    """The visible text and the reasoning come apart, whole or letter by letter."""
    assert split([content]) == (text, reasoning)
    assert split(list(content)) == (text, reasoning)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "`", "word", " ", "\n", "<thi", "nk>"])),
    st.lists(st.integers(0, 100), max_size=8),
)
def test_any_cut_splits_alike(tokens: list[str], cuts: list[int]) -> None:
    """Chunk borders change neither what is visible nor what is reasoning."""
    content = "".join(tokens)
    at = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    pieces = [content[one:two] for one, two in itertools.pairwise(at)]

    assert split(pieces) == split([content])


@given(st.text(alphabet="ab <>/\n"))
def test_text_without_tags_is_untouched(content: str) -> None:
    """What holds no tag passes through unchanged."""
    assert split(list(content)) == (content, "")
