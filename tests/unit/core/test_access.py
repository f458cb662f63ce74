"""Who may ask, and who may configure."""

from __future__ import annotations

from typing import Any

import pytest

from core.access import may_ask, may_configure
from core.config import AccessConfig
from core.messages import Author, Place
from core.settings import Resolved

ROOM = Place("slack", "T1", "C1")
DIRECT = Place("slack", "T1", "D1", is_private=True)
ANN = Author("U1", "Ann", roles=("R1",))
GUEST = Author("U2", "Guest", is_external=True, may_configure=True)
BOT = Author("B1", "Bot", is_bot=True)
OWN = Author("B0", "talkwarden", is_bot=True, is_self=True)


def resolved(*, is_enabled: bool = True) -> Resolved:
    """The settings of a channel."""
    return Resolved(is_enabled, "mention", False, False, "", "m", None, {})


def access(**lists: Any) -> AccessConfig:
    """Access rules with these keys set."""
    return AccessConfig(
        **{key: frozenset(ids) if isinstance(ids, set) else ids for key, ids in lists.items()}
    )


@pytest.mark.parametrize(
    ("rules", "place", "author"),
    [
        ({}, ROOM, ANN),
        ({}, DIRECT, ANN),
        ({"allow_users": {"U1"}}, ROOM, ANN),
        ({"allow_roles": {"R1"}}, ROOM, ANN),
        ({"allow_users": {"U9"}, "allow_roles": {"R1"}}, ROOM, ANN),
        ({"allow_channels": {"C1"}}, ROOM, ANN),
        ({"allow_channels": {"slack:T1:C1"}}, ROOM, ANN),
        ({"allow_channels": {"C1"}}, DIRECT, ANN),
        ({"allow_workspaces": {"slack:T1"}}, ROOM, ANN),
        ({"deny_users": {"U2"}, "deny_roles": {"R2"}, "deny_channels": {"C2"}}, ROOM, ANN),
        ({"external_users": True}, ROOM, GUEST),
        ({"bots": {"B1"}}, ROOM, BOT),
        ({"bots": {"B1"}, "allow_users": {"U1"}}, ROOM, BOT),
    ],
)
def test_allowed(rules: dict[str, Any], place: Place, author: Author) -> None:
    """Whoever no list speaks against may ask."""
    assert may_ask(access(**rules), resolved(), place, author) is None


@pytest.mark.parametrize(
    ("rules", "place", "author"),
    [
        ({"allow_users": {"U2"}}, ROOM, ANN),
        ({"allow_roles": {"R2"}}, ROOM, ANN),
        ({"allow_users": {"U1"}, "deny_users": {"U1"}}, ROOM, ANN),
        ({"allow_users": {"U1"}, "deny_roles": {"R1"}}, ROOM, ANN),
        ({"allow_channels": {"C2"}}, ROOM, ANN),
        ({"allow_channels": {"C1"}, "deny_channels": {"C1"}}, ROOM, ANN),
        ({"deny_channels": {"D1"}}, DIRECT, ANN),
        ({"allow_workspaces": {"T2"}}, ROOM, ANN),
        ({"allow_workspaces": {"T2"}}, DIRECT, ANN),
        ({"allow_workspaces": {"T1"}, "deny_workspaces": {"T1"}}, ROOM, ANN),
        ({"direct_messages": False}, DIRECT, ANN),
        ({}, ROOM, GUEST),
        ({"bots": {"B1"}, "deny_users": {"B1"}}, ROOM, BOT),
    ],
)
def test_refused_with_a_sentence(rules: dict[str, Any], place: Place, author: Author) -> None:
    """A deny wins over an allow, and a member is told why there is no answer."""
    refusal = may_ask(access(**rules), resolved(), place, author)

    assert refusal is not None
    assert not refusal.is_silent
    assert refusal.sentence.endswith(".")


@pytest.mark.parametrize("author", [BOT, OWN, Author("U1", is_self=True)])
def test_bots_get_no_word(author: Author) -> None:
    """Bots that are not listed, and the assistant itself even if listed, are met with silence."""
    rules = access(bots={"B0", "U1"}, deny_users={"B1"}, direct_messages=False)
    refusal = may_ask(rules, resolved(), ROOM, author)

    assert refusal is not None
    assert refusal.is_silent


def test_a_disabled_channel_is_silent() -> None:
    """Where the assistant is switched off it says nothing, whatever else would be refused."""
    refusal = may_ask(access(deny_users={"U1"}), resolved(is_enabled=False), ROOM, ANN)

    assert refusal is not None
    assert refusal.is_silent


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        (ANN, False),
        (Author("U1", may_configure=True), True),
        (GUEST, False),
        (Author("U9", is_external=True), True),
        (Author("U9", is_bot=True, may_configure=True), False),
    ],
)
def test_who_configures(author: Author, expected: bool) -> None:
    """The platform's managers from inside and listed admins may configure, bots never."""
    assert may_configure(access(admins={"U9"}), author) is expected
