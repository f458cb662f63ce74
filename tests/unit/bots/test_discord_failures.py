"""Every error of discord.py and aiohttp becomes one of ours, with words that help."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from discord import errors as sdk_errors
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bots.discord import failures
from core.errors import (
    ConfigError,
    CredentialsRejected,
    PermissionDenied,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    TalkwardenError,
    TargetGone,
)

EXPECTED: dict[str, type[TalkwardenError]] = {
    "ClientException": PlatformError,
    "ConnectionClosed": PlatformUnavailable,
    "DiscordException": PlatformError,
    "DiscordServerError": PlatformUnavailable,
    "FFmpegProcessError": PlatformError,
    "Forbidden": PermissionDenied,
    "GatewayNotFound": PlatformUnavailable,
    "HTTPException": PlatformError,
    "InteractionResponded": PlatformError,
    "InvalidData": PlatformError,
    "LoginFailure": CredentialsRejected,
    "MissingApplicationID": PlatformError,
    "NotFound": TargetGone,
    "PrivilegedIntentsRequired": ConfigError,
    "RateLimited": RateLimited,
}
STATUS = {"Forbidden": 403, "NotFound": 404, "DiscordServerError": 503}


def response(status: int, headers: dict[str, str] | None = None) -> Any:
    return SimpleNamespace(status=status, reason="because", headers=headers or {})


def sample(kind: type[Exception]) -> Exception:
    """An instance of one of the SDK's errors."""
    if issubclass(kind, discord.HTTPException):
        status = STATUS.get(kind.__name__, 400)
        return kind(response(status), {"code": 0, "message": "no"})  # type: ignore[call-arg]
    if kind is discord.ConnectionClosed:
        return discord.ConnectionClosed(response(0), shard_id=None, code=4000)  # type: ignore[arg-type]
    if kind is discord.RateLimited:
        return discord.RateLimited(42.0)
    if kind is discord.InteractionResponded:
        return discord.InteractionResponded(SimpleNamespace())  # type: ignore[arg-type]
    if kind is discord.PrivilegedIntentsRequired:
        return discord.PrivilegedIntentsRequired(None)
    return kind()


def sdk_classes() -> dict[str, type[Exception]]:
    return {
        name: kind
        for name, kind in vars(sdk_errors).items()
        if inspect.isclass(kind) and issubclass(kind, discord.DiscordException)
    }


def test_every_error_of_the_sdk_is_known() -> None:
    """An error that a new version of the SDK brings has to be thought about."""
    assert sorted(EXPECTED) == sorted(sdk_classes())


@pytest.mark.parametrize("name", EXPECTED)
def test_the_sdks_errors(name: str) -> None:
    """Each of the SDK's errors is translated, and names where it came from."""
    original = sample(sdk_classes()[name])
    with pytest.raises(TalkwardenError) as caught, failures.translated():
        raise original

    assert type(caught.value) is EXPECTED[name]
    assert caught.value.__cause__ is original


@pytest.mark.parametrize(
    "original",
    [
        aiohttp.ClientConnectionError("refused"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("cut"),
        aiohttp.InvalidURL("nowhere"),
        ConnectionResetError(104, "reset"),
        TimeoutError(),
        OSError("no route"),
        aiohttp.WSServerHandshakeError(
            aiohttp.RequestInfo(URL("http://x"), "GET", CIMultiDictProxy(CIMultiDict())),
            (),
            status=502,
        ),
    ],
)
def test_the_networks_errors(original: Exception) -> None:
    """A broken connection leaves the outcome open, and may be tried again."""
    error = failures.translate(original)

    assert type(error) is PlatformUnavailable
    assert error.retryable


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, 50001, PermissionDenied, "View Channel"),
        (403, 50013, PermissionDenied, "Send Messages"),
        (403, 50007, PermissionDenied, "direct messages"),
        (403, 0, PermissionDenied, "forbids"),
        (400, 160005, PermissionDenied, "Manage Threads"),
        (400, 200000, PermissionDenied, "AutoMod"),
        (404, 10003, TargetGone, "no more"),
        (404, 10008, TargetGone, "no more"),
        (404, 10062, TargetGone, "no more"),
        (404, 10015, TargetGone, "no more"),
        (401, 50027, TargetGone, "no more"),
        (401, 0, CredentialsRejected, "DISCORD_TOKEN"),
        (500, 0, PlatformUnavailable, "500"),
        (400, 50035, PlatformError, "refused"),
    ],
)
def test_the_apis_codes(status: int, code: int, kind: type[PlatformError], words: str) -> None:
    """A refusal is told by its code, in words that name what is missing."""
    original = discord.HTTPException(response(status), {"code": code, "message": "m"})
    error = failures.translate(original)

    assert type(error) is kind
    assert words in str(error)
    assert isinstance(error, PlatformError)
    assert error.code == str(code or status)


def test_a_pause_is_passed_on() -> None:
    """A 429 that the SDK does not sit out carries its pause."""
    error = failures.translate(discord.HTTPException(response(429, {"Retry-After": "7.5"}), "no"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7.5
    error = failures.translate(discord.RateLimited(31.0))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 31.0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4004, CredentialsRejected),
        (4010, ConfigError),
        (4011, ConfigError),
        (4012, ConfigError),
        (4013, ConfigError),
        (4014, ConfigError),
        (4000, PlatformUnavailable),
        (4009, PlatformUnavailable),
        (1006, PlatformUnavailable),
    ],
)
def test_close_codes(code: int, kind: type[TalkwardenError]) -> None:
    """Codes after which no reconnect can help end the run; the others do not."""
    assert type(failures.closed(code, "1")) is kind


def test_the_intents_page_is_named() -> None:
    """A missing intent is named with the page where it is turned on."""
    error = failures.closed(4014, "118")
    assert "https://discord.com/developers/applications/118/bot" in str(error)
    assert "Message Content Intent" in str(error)
