"""A credential is seen by whoever asks for it, and by nobody else."""

from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from core.secret import Secret, mask_url, same_origin

BOT = "xoxb-1111-bot-token-aaaa"
APP = "xapp-1-app-token-bbbb"


def test_a_secret_shows_itself_to_reveal_only() -> None:
    """Neither text, repr, format, JSON nor pickle gives a credential away."""
    secret = Secret(BOT)
    assert secret.reveal() == BOT
    assert [str(secret), f"{secret}", repr(secret)] == ["***aaaa", "***aaaa", "Secret('***aaaa')"]
    assert str(Secret("short")) == "***"
    for serialise in (pickle.dumps, json.dumps, msgspec.json.encode, copy.deepcopy):
        with pytest.raises(TypeError):
            serialise(secret)
    assert secret == Secret(BOT)
    assert secret != BOT
    assert len({secret, Secret(BOT), Secret(APP)}) == 2


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://me:hunter22@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql://me:a@b@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("sqlite:///talkwarden.db", "sqlite:///talkwarden.db"),
        ("http://[::1", "http://[::1"),
        ("", ""),
    ],
)
def test_a_url_loses_its_password_only(url: str, masked: str) -> None:
    """Whatever else is in a URL stays, and one that makes no sense is no error."""
    assert mask_url(url) == masked


def test_an_origin_is_scheme_host_and_port() -> None:
    """A key may go to another path of its host, not to another port or without encryption."""
    url = "https://models.test/v1"
    assert same_origin(url, "https://models.test/v2/x")
    for other in ("http://models.test/v1", "https://models.test:8443/v1", "https://test/v1"):
        assert not same_origin(url, other)
