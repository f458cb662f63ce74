"""A continued answer repeats nothing and loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.completions.joining import Joiner

WORDS = st.lists(st.integers(0, 9_999).map("word{}".format), min_size=2, max_size=12, unique=True)


def join(partial: str, pieces: list[str]) -> str:
    joiner = Joiner(partial)
    more = "".join([joiner.feed(piece) for piece in pieces] + [joiner.end()])
    assert not joiner.is_other_answer
    return partial + more


@given(WORDS, st.integers(1, 200), st.integers(0, 40), st.integers(1, 5))
def test_a_repeated_end_is_dropped(words: list[str], cut: int, back: int, size: int) -> None:
    """However much of the partial text comes again, it is visible once, in any chunking."""
    whole = " ".join(words)
    cut = 1 + cut % (len(whole) - 1)
    start = whole.rfind(" ", 0, max(0, cut - back)) + 1
    again = whole[start:]
    pieces = [again[at : at + size] for at in range(0, len(again), size)]

    assert join(whole[:cut], pieces) == whole


@given(st.text(alphabet="abc ", min_size=1), st.text(alphabet="xyz,", max_size=20))
def test_what_does_not_repeat_is_appended(partial: str, more: str) -> None:
    """A continuation without overlap is kept whole."""
    assert join(partial, list(more)) == partial + more


@given(
    st.text(alphabet="ab ", max_size=30), st.text(alphabet="ab ", max_size=30), st.integers(1, 9)
)
def test_chunks_do_not_matter(partial: str, more: str, size: int) -> None:
    """The same continuation joins the same, however it is cut."""
    one, other = Joiner(partial), Joiner(partial)
    pieces = [more[at : at + size] for at in range(0, len(more), size)]

    together = one.feed(more) + one.end()
    apart = "".join(map(other.feed, pieces)) + other.end()

    assert together == apart


@pytest.mark.parametrize(
    ("partial", "more", "whole"),
    [
        ("The capi", "capital of France", "The capital of France"),
        ("The capi", "The capital of France", "The capital of France"),
        ("The quick brown", " brown fox", "The quick brown fox"),
        ("I like ban", "ananas", "I like banananas"),
        ("if x:\n    ", "    return", "if x:\n    return"),
        ("人人生而自由，在尊严", "生而自由，在尊严和权利上", "人人生而自由，在尊严和权利上"),
        ("done", "", "done"),
    ],
)
def test_words_as_models_repeat_them(partial: str, more: str, whole: str) -> None:
    """A word, a line or everything may come again; two letters are a coincidence."""
    assert join(partial, list(more)) == whole


def test_another_answer_is_told_apart() -> None:
    """A model that begins anew and then differs can't be joined."""
    joiner = Joiner("Here is the list you asked for: apples, pears")

    joiner.feed("Here is the list you asked for: plums")

    assert joiner.is_other_answer
