"""Slack's and aiohttp's errors, translated once into the core's.

The codes are those of https://docs.slack.dev/reference/methods, the ones that calls of ours meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import (
    BotUserAccessError,
    SlackApiError,
    SlackClientError,
    SlackClientNotConnectedError,
    SlackTokenRotationError,
)

from core.errors import (
    CredentialsRejected,
    PermissionDenied,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    TargetGone,
)

PLATFORM = "slack"

_CREDENTIALS = dict.fromkeys(
    ("invalid_auth", "not_authed", "token_expired"),
    "Slack rejects the token: copy it again from OAuth & Permissions (SLACK_BOT_TOKEN).",
) | {
    "token_revoked": "The Slack token was revoked: install the app again and copy the new token.",
    "account_inactive": "The app was removed from the workspace: install it again.",
    "app_uninstalled": "The app was removed from the workspace: install it again.",
    "not_allowed_token_type": "SLACK_BOT_TOKEN must begin with xoxb-, SLACK_APP_TOKEN with xapp-.",
    "team_access_not_granted": "The token does not grant access to this workspace.",
    "org_login_required": "The workspace is being moved to an organisation: try again later.",
}
_GONE = frozenset(
    {
        "cannot_reply_to_message",
        "cant_update_message",
        "channel_not_found",
        "duplicate_channel_not_found",
        "duplicate_message_not_found",
        "edit_window_closed",
        "expired_trigger_id",
        "expired_url",
        "file_deleted",
        "file_not_found",
        "is_archived",
        "message_not_found",
        "message_not_owned_by_app",
        "thread_not_found",
        "used_url",
        "user_not_found",
    }
)
_DENIED = frozenset(
    {
        "access_denied",
        "ekm_access_denied",
        "messages_tab_disabled",
        "no_permission",
        "not_authorized",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "team_access_not_granted",
        "user_not_in_channel",
    }
)
_FAILING = frozenset(
    {
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise PlatformError, of the class that says what to do next, for all of the SDK's errors."""
    try:
        yield
    except SlackApiError as exc:
        raise from_response(exc.response) from exc
    except (BotUserAccessError, SlackTokenRotationError) as exc:
        raise CredentialsRejected(_CREDENTIALS["invalid_auth"], platform=PLATFORM) from exc
    except SlackClientNotConnectedError as exc:
        raise PlatformUnavailable(platform=PLATFORM) from exc
    except SlackClientError as exc:
        raise PlatformError(f"The call to Slack was not made: {exc}", platform=PLATFORM) from exc
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as exc:
        message = f"Slack did not answer: {type(exc).__name__}"
        raise PlatformUnavailable(message, platform=PLATFORM) from exc


def from_response(response: Any) -> PlatformError:
    """The error for an answer, which may be the SDK's, aiohttp's, or hold no JSON."""
    data = getattr(response, "data", response)
    body: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    status = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
    code = str(body.get("error") or "")
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return RateLimited(platform=PLATFORM, code="ratelimited", retry_after=_pause(response))
    if code == "missing_scope":
        return missing_scope(str(body.get("needed") or "?"))
    if not code or status >= 500:
        why = code or f"status {status}"
        return PlatformUnavailable(f"Slack failed: {why}", platform=PLATFORM, code=code)
    return from_code(code)


def from_code(code: str) -> PlatformError:
    """The error for one of Slack's error codes."""
    if code in _CREDENTIALS:
        return CredentialsRejected(_CREDENTIALS[code], platform=PLATFORM, code=code)
    if code in _GONE:
        return TargetGone(f"Slack: {code}", platform=PLATFORM, code=code)
    if code in _DENIED:
        return PermissionDenied(f"Slack denies it: {code}", platform=PLATFORM, code=code)
    if code in _FAILING:
        return PlatformUnavailable(f"Slack failed: {code}", platform=PLATFORM, code=code)
    return PlatformError(f"Slack refused the call: {code}", platform=PLATFORM, code=code)


def missing_scope(scope: str) -> PermissionDenied:
    """The error for a scope that was not granted, with what to do about it."""
    return PermissionDenied(
        f"The Slack app lacks the scope {scope}. Add it under OAuth & Permissions, "
        "then reinstall the app.",
        platform=PLATFORM,
        code="missing_scope",
    )


def _pause(response: Any) -> float:
    headers = getattr(response, "headers", None) or {}
    try:
        return float(headers.get("Retry-After") or headers.get("retry-after") or 1)
    except (TypeError, ValueError):
        return 30.0
