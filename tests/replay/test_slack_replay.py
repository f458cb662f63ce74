"""Payloads of the Events API, one file for each shape that needed thought."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bots.slack import events
from bots.slack.people import Me, Person
from core.messages import Event

FILES = sorted((Path(__file__).parent / "slack").glob("*.json"))
ME = Me(team="T0012345", user="U0BOT", bot="B0BOT", threads_in_dms=True)
PEOPLE = {"U0ANN": Person("Ann", is_admin=True, team="T0012345"), "U0BOB": Person("Bob")}


class Known:
    """Implements bots.slack.people.Directory."""

    def user(self, user_id: str) -> Person | None:
        return PEOPLE.get(user_id)

    def channel_name(self, channel_id: str) -> str | None:
        return {"C0GEN": "general"}.get(channel_id)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_payload_becomes_its_event(file: Path) -> None:
    """Each payload gives the event written beside it, the same after storing and reading."""
    case: dict[str, Any] = json.loads(file.read_text())
    event = events.parse(case["payload"]["event"], ME, Known())
    expected = case["expected"] and msgspec.convert(case["expected"], Event)

    assert event == expected
    assert event is None or msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_both_events_of_a_mention_are_one() -> None:
    """app_mention and message give the same event, so storing one makes the other known."""
    mention, message = (
        events.parse(json.loads(file.read_text())["payload"]["event"], ME, Known())
        for file in FILES
        if file.stem.startswith("mention_as")
    )

    assert mention == message


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_names_it_needs_are_known_beforehand(file: Path) -> None:
    """Whose name a payload needs can be told without parsing it."""
    event = json.loads(file.read_text())["payload"]["event"]

    assert all(user.startswith(("U", "W")) for user in events.people_in(event))
