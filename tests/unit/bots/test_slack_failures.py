from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import slack_sdk.errors
from slack_rig import part, rig

from bots.slack.failures import from_response, translated
from core.errors import (
    CredentialsRejected,
    PermissionDenied,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    TargetGone,
)

SDK_ERRORS = [
    error
    for _, error in inspect.getmembers(slack_sdk.errors, inspect.isclass)
    if issubclass(error, Exception)
]


def answer(status: int = 200, body: Any = None, **headers: str) -> Any:
    return SimpleNamespace(status_code=status, data=body, headers=headers)


@pytest.mark.parametrize("error", SDK_ERRORS, ids=lambda error: error.__name__)
def test_every_error_of_the_sdk_is_translated(error: type[Exception]) -> None:
    """Whatever slack_sdk raises leaves as a PlatformError that names its cause."""
    arguments: dict[str, tuple[Any, ...]] = {
        "SlackApiError": ("failed", answer(body={"error": "fatal_error"})),
        "SlackTokenRotationError": (
            slack_sdk.errors.SlackApiError("failed", answer(body={"error": "invalid_auth"})),
        ),
    }
    raised = error(*arguments.get(error.__name__, ("failed",)))
    with pytest.raises(PlatformError) as caught, translated():
        raise raised

    assert caught.value.__cause__ is raised
    assert caught.value.platform == "slack"


@pytest.mark.parametrize(
    "error", [aiohttp.ServerDisconnectedError(), TimeoutError(), ConnectionResetError()]
)
def test_a_broken_connection_may_be_tried_again(error: Exception) -> None:
    """When Slack does not answer, the call may be repeated after a look."""
    with pytest.raises(PlatformUnavailable), translated():
        raise error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_auth", CredentialsRejected),
        ("token_revoked", CredentialsRejected),
        ("not_in_channel", PermissionDenied),
        ("message_not_found", TargetGone),
        ("is_archived", TargetGone),
        ("internal_error", PlatformUnavailable),
        ("block_mismatch", PlatformError),
    ],
)
def test_codes_decide(code: str, kind: type[PlatformError]) -> None:
    """Slack's code decides what happens next, and is kept."""
    error = from_response(answer(body={"ok": False, "error": code}))

    assert type(error) is kind
    assert error.code == code


def test_a_missing_scope_says_what_to_do() -> None:
    """The scope is named, and where to add it."""
    error = from_response(answer(body={"error": "missing_scope", "needed": "files:read"}))

    assert isinstance(error, PermissionDenied)
    assert "files:read" in str(error)
    assert "OAuth & Permissions, then reinstall" in str(error)


def test_a_pause_is_read_from_the_header() -> None:
    """A 429 carries its time; an unreadable one is taken for long."""
    error = from_response(answer(429, {}, **{"Retry-After": "7"}))

    assert isinstance(error, RateLimited)
    assert error.retry_after == 7
    assert from_response(answer(429, "x", **{"Retry-After": "?"})).retry_after == 30


@pytest.mark.parametrize("status", [500, 503, 404])
async def test_answers_that_are_not_json(status: int) -> None:
    """A gateway's error page is a failure of Slack's, not of ours."""
    async with rig(is_running=False) as slack:
        slack.sim.fail("chat.postMessage", status=status, body="<html>oops</html>")
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.post(slack.target(), part("x", final=True))
