from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.slack import blocks
from bots.slack.render import LIMIT, escape, escaped_length, render, showable
from bots.slack.text import mentioned, readable, without_mention
from core.adapter import Part
from core.parts import join

TEXTS = st.lists(
    st.one_of(
        st.sampled_from(["<!here>", "&amp;", "> quote\n", "a > b", "\n", "```py\n", "```\n", "  "]),
        st.integers(1, 400).map(lambda n: "word & more " * n),
        st.text(max_size=40),
    ),
    max_size=12,
).map("".join)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_parts_are_the_text_and_ping_nobody(text: str) -> None:
    """Within the limit, without any of Slack's tags, and the text when put together again."""
    parts = render(text)

    assert join([html.unescape(part) for part in parts]) == text
    assert "<" not in "".join(parts)
    assert all(len(part) <= LIMIT for part in parts)


@given(TEXTS)
def test_escaping_is_undone_by_reading(text: str) -> None:
    """What is escaped is shown as it was written, and costs what was reckoned at most."""
    shown = escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    assert shown == text
    assert len(escape(text)) <= escaped_length(text)


@given(TEXTS, st.integers(0, 500))
def test_escaping_grows_with_the_text(text: str, end: int) -> None:
    """What was shown of a growing text stays the start of what is shown later."""
    assert escape(text).startswith(escape(text[:end]))


@given(TEXTS, st.lists(st.integers(1, 300), max_size=6))
def test_a_stream_shows_the_text_in_order(text: str, steps: list[int]) -> None:
    """Chunks put together are a prefix of the text, whatever the rhythm."""
    shown, end = "", 0
    for step in steps:
        end += step
        shown += showable(text[:end], len(shown))

    assert text.startswith(shown)


def test_quotes_stay_quotes() -> None:
    """The mark of a quote at a line's start is kept, a mark elsewhere is escaped."""
    assert escape("> said\n>> again\na > b") == "> said\n>> again\na &gt; b"


def test_nothing_but_space_is_shown_as_something() -> None:
    """Slack refuses an empty text; a blank part shows an invisible character."""
    assert blocks.content(Part("t", 0, "  \n"))["text"] == blocks.BLANK


def names(user: str) -> str | None:
    return {"U1": "Ann"}.get(user)


@pytest.mark.parametrize(
    ("slack", "people"),
    [
        ("<@U1> and <@U2>", "@Ann and @U2"),
        ("<@U2|bob>", "@bob"),
        ("<#C1|general> <#C2>", "#general #C2"),
        (
            "<!here> <!channel|@channel> <!subteam^S1|@team> <!subteam^S2>",
            "@here @channel @team @S2",
        ),
        ("<!date^1^{date}|yesterday>", "yesterday"),
        ("<https://a.b/c>", "https://a.b/c"),
        ("<https://a.b/c|a.b/c>", "https://a.b/c"),
        ("<https://a.b/c|this page>", "this page (https://a.b/c)"),
        ("<mailto:a@b.c|a@b.c>", "a@b.c"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2 &amp;lt;", "1 < 2 && 3 > 2 &lt;"),
        (":+1::skin-tone-3: :wave:", ":+1: :wave:"),
        ("plain", "plain"),
    ],
)
def test_texts_become_readable(slack: str, people: str) -> None:
    """What people see is what the model reads."""
    assert readable(slack, names, lambda channel: None) == people


def test_the_call_at_the_start_is_not_part_of_the_question() -> None:
    """The assistant's own mention goes from the start, and stays elsewhere."""
    assert without_mention("<@U9> <@U9|bot>: hi <@U9>", "U9") == "hi <@U9>"
    assert without_mention("<@U8> hi", "U9") == "<@U8> hi"
    assert list(mentioned("<@U1> <@W2|x> <#C1>")) == ["U1", "W2"]


def test_an_open_question_has_two_buttons() -> None:
    """Allow and decline carry the question's id; other buttons say nothing about one."""
    (row,) = blocks.buttons(Part("t1?1", 0, "May I?", is_final=True, question="q1"))
    found = [(each["action_id"], each["value"]) for each in row["elements"]]
    assert [(blocks.meaning(kind), value) for kind, value in found] == [
        (("approve", "allow"), "q1"), (("approve", "decline"), "q1")
    ]  # fmt: skip
    assert blocks.content(Part("t1?1", 0, "May I?", question="q1"))["blocks"][1] == row
    for kind in (blocks.STOP, blocks.APPROVE, "allow", "right", blocks.REVIEW + "allow"):
        assert blocks.meaning(kind) is None
    assert blocks.meaning(blocks.REVIEW + "right") == ("review", "right")
