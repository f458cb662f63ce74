"""What reaches the log, from here and from libraries, and what never may."""

from __future__ import annotations

import io
import json
import logging
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from core import secret, telemetry
from core.config import LogConfig, Secret
from core.messages import Author, ConversationId, Message, Place
from core.telemetry import Counters, Scrubber, about, configure, logger

Level = Literal["debug", "info", "warning", "error"]

TOKENS = [
    "xoxb-123456789012-abcdefghijkl",
    "xoxp-1-2-3-abcdef",
    "xoxe.xoxp-1-abcdefgh",
    "xapp-1-A0123-456-abcdef0123",
    "sk-proj-abcdefghijklmnop_qrstuv",
    "gsk_abcdefghijklmnopqrst",
    "MTEyMjMzNDQ1NTY2Nzc4ODk5.GaBcDe.abcdefghijklmnopqrstuvwxyz0123456789ab",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is a setting of the process: give it back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def started(level: Level = "info", *secrets: str, console: bool = False) -> io.StringIO:
    """Configure logging into a buffer."""
    stream = io.StringIO()
    config = LogConfig(level=level, format="console" if console else "")
    configure(config, secrets=map(Secret, secrets), stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The JSON lines that were written."""
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def a_message(text: str) -> Message:
    """A message of which only the text matters."""
    return Message(
        conversation=ConversationId("slack:T1:C1"),
        place=Place("slack", "T1", "C1"),
        id="1",
        position=1,
        author=Author("U1"),
        text=text,
    )


def test_a_line_is_one_json_object_that_names_its_module_and_context() -> None:
    """Off a terminal each event is one object: time, level, event, then what is known."""
    stream = started()
    log = logger("core.chat")
    with about(conversation="slack:T1:C1", turn="t1"):
        log.info("turn.done", parts=2, note="two\nlines")
    log.info("turn.gone")
    first, second = lines(stream)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "level": "info",
        "event": "turn.done",
        "module": "core.chat",
        "conversation": "slack:T1:C1",
        "turn": "t1",
        "parts": 2,
        "note": "two\nlines",
    }
    assert "turn" not in second


def test_the_level_decides_what_is_written() -> None:
    """Events below the level are dropped, those at it are kept."""
    stream = started("warning")
    log = logger("core.chat")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [line["event"] for line in lines(stream)] == ["c", "d"]


def test_a_terminal_gets_lines_for_people() -> None:
    """The console format is readable text, without a terminal's control characters."""
    stream = started(console=True)
    logger("core.chat").info("turn.done", channel="\x1b[2Jgeneral", parts=2)
    text = stream.getvalue()
    assert "turn.done" in text
    assert "parts=2" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("console", [False, True])
def test_libraries_speak_through_the_same_chain(
    console: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their warnings and tracebacks are rendered and masked like ours; their chatter is not."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = started(console=console)
    library = logging.getLogger("slack_bolt.AsyncApp")
    library.info("chatter")
    library.warning("token %s", TOKENS[0])
    library.error("lost", exc_info=ConnectionError(f"refused {TOKENS[1]}"))
    library.warning("%d arguments", "no")
    text = stream.getvalue()
    assert "chatter" not in text
    assert "token ***ijkl" in text
    assert "ConnectionError: refused ***cdef" in text
    assert "%d arguments" in text
    assert "slack_bolt.AsyncApp" in text


def test_libraries_are_heard_in_full_at_debug_only() -> None:
    """debug opens the libraries too, save those that log each statement."""
    stream = started("debug")
    logging.getLogger("discord.gateway").debug("heard")
    logging.getLogger("aiosqlite").debug("not heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_configuring_again_replaces_the_stream() -> None:
    """A second call leaves no line twice and none in the old stream."""
    old, new = started(), started()
    logger("core.chat").info("ours")
    logging.getLogger("discord").warning("theirs")
    assert old.getvalue() == ""
    assert [line["event"] for line in lines(new)] == ["ours", "theirs"]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "got {!r}, why?", "https://h/x?token={}&a=1"])
def test_what_looks_like_a_token_is_masked_anywhere(token: str, form: str) -> None:
    """In the event, in a value, deep in a structure, in an exception, as a key."""
    stream = started("debug")
    text = form.format(token)
    log = logger("core.chat")
    log.debug(text, text=text, deep={"a": [(text,)], text: 1}, error=ValueError(text))
    assert token not in stream.getvalue()
    assert token[:-4] not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:pass@db/x", "postgresql://me:***@db/x"),
        ("wss://h/link?ticket=abc&app=1", "wss://h/link?ticket=***&app=1"),
        ("POST /webhooks/123/aW50ZXJhY3Rpb246MTIz", "POST /webhooks/123/***"),
        ("Authorization: Bot abcdefghijklmnopqrstuvw", "Authorization: Bot ***"),
        ("Bot answered everything", "Bot answered everything"),
        ("task-force-of-many-long-words", "task-force-of-many-long-words"),
        ("core.completions.transport.connection_pool_is_full", None),
        ("see https://slack.com/api/chat.postMessage", None),
    ],
)
def test_addresses_lose_their_credentials_and_words_stay(text: str, masked: str | None) -> None:
    """Passwords, tickets and webhook tokens go; names that only resemble them stay."""
    assert Scrubber()(None, "info", {"event": text})["event"] == (masked or text)


@given(st.from_regex(secret._TOKENS, fullmatch=True))
def test_the_quick_look_overlooks_nothing(token: str) -> None:
    """The cheap test before the search never spares a text in which the search finds something."""
    assert secret.mask(token) == secret._TOKENS.sub(secret._masked, token) != token


def test_known_secrets_are_masked_whatever_they_look_like() -> None:
    """A signing secret has no form of its own, so it is masked by value."""
    key = "8f742231b10e8888abcd99yyyzzz85a5"
    stream = started("info", key)
    logger("core.chat").info("bad signature", signature=f"v0:{key}", key=Secret(key))
    assert key not in stream.getvalue()
    assert "v0:***" in stream.getvalue()


@pytest.mark.parametrize("key", sorted(telemetry.TEXT_KEYS))
def test_what_people_wrote_is_in_debug_lines_only(key: str) -> None:
    """Above debug level the keys that hold text are left out, at every depth."""
    stream = started("debug")
    log = logger("core.chat")
    event = {key: "MINE", "payload": {"blocks": [{key: "MINE"}]}}
    log.info("seen", **event)
    log.error("seen", **event)
    assert "MINE" not in stream.getvalue()
    log.debug("seen", **event)
    assert stream.getvalue().count("MINE") == 2


@dataclass(frozen=True)
class Thing:
    """Something that holds text."""

    text: str
    size: int = 3


def test_objects_are_logged_by_their_fields_without_text() -> None:
    """A message or a dataclass that is logged whole does not take its text along."""
    stream = started()
    logger("core.chat").info("seen", message=a_message("MINE"), thing=Thing("MINE"), raw=b"MINE")
    (line,) = lines(stream)
    assert "MINE" not in stream.getvalue()
    assert line["message"]["place"]["channel"] == "C1"
    assert line["thing"] == {"size": 3}
    assert line["raw"] == "4 bytes"


any_text = st.text(st.characters())
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(any_text | st.integers(), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1), json_like))
def test_any_event_can_be_written(event: dict[str, Any]) -> None:
    """No value makes logging raise, and each event is exactly one line."""
    stream = started("debug")
    event = {key: event[key] for key in event.keys() - {"event", "exc_info", "stack_info"}}
    logger("core.chat").bind(**event).debug("seen")
    assert stream.getvalue().count("\n") == 1
    assert lines(stream)[0]["event"] == "seen"


def test_a_value_that_contains_itself_is_cut_off() -> None:
    """Depth is bounded, so that a cycle ends."""
    loop: list[Any] = []
    loop.append(loop)
    assert Scrubber()(None, "info", {"a": loop})["a"] == [[[[[["..."]]]]]]


def test_a_log_that_can_not_be_written_stops_nothing() -> None:
    """A closed pipe or a full disk under standard error is no reason to fail a turn."""
    stream = started()
    stream.close()
    logger("core.chat").info("lost")
    logging.getLogger("discord").warning("lost")


def test_before_it_is_configured_warnings_go_to_standard_error() -> None:
    """A command that configures nothing keeps its output clean."""
    script = (
        "from core.telemetry import logger; log = logger('x');"
        "log.info('no'); log.warning('yes', text='private')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert json.loads(done.stderr)["event"] == "yes"
    assert "private" not in done.stderr


def test_importing_brings_no_rich_along() -> None:
    """The import stays cheap, and rich can still be imported afterwards."""
    script = (
        "import sys, core.telemetry; assert 'rich' not in sys.modules;"
        "assert 'attr' not in sys.modules; import rich.console"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_counters_add_up_by_name_and_labels() -> None:
    """Label order does not matter; amounts add up; the reading is a plain dict."""
    counters = Counters()
    counters.count("events.unreadable", platform="slack", kind="x")
    counters.count("events.unreadable", kind="x", platform="slack")
    counters.count("tokens", 40)
    assert counters.as_dict() == {"events.unreadable{kind=x,platform=slack}": 2, "tokens": 40}


def test_counters_are_bounded() -> None:
    """Beyond a thousand series new labels are dropped, and nothing goes uncounted."""
    counters = Counters()
    for number in range(1500):
        counters.count("calls", route=str(number))
    counts = counters.as_dict()
    assert sum(counts.values()) == 1500
    assert counts["calls"] == 500
    assert len(counts) == 1001
