"""Which error an endpoint's refusal is, and how long it asks us to wait; without I/O.

Messages keep the vendor's code and a bounded, masked excerpt, since an administrator needs
them; a content refusal keeps no excerpt, because vendors quote the prompt in it.
https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from core.completions.types import Endpoint
from core.errors import (
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    TimedOut,
)

_TOO_LONG = re.compile(
    r"context_length_exceeded|context[ _](length|window|size)|too many tokens|(prompt|input) is too"
    r" long|reduce the length|string_above_max_length",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content_filter|content_policy|ResponsibleAIPolicyViolation|content management policy"
    r"|safety system|moderation_blocked|flagged",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model_not_found|invalid model|model .{0,80}does not exist", re.IGNORECASE)
_QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota", re.IGNORECASE)
_OBJECTION = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra|not permitted|not allowed",
    re.IGNORECASE,
)
_KEY = re.compile(r"\b(sk|key|Bearer)[-_ ](?=[\w.-]*[\d*_-])[\w*.-]{6,}")
_DURATION = re.compile(r"([\d.]+)(ms|[dhms]?)", re.ASCII)
_UNIT = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ESSENTIAL = {"model", "messages", "stream", "tools", "response_format", "text"}

LONGEST_WAIT = 86400.0
"""Seconds; a longer hint is a mistake or a date in another unit."""


def from_reply(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], body: bytes, now: float
) -> ModelError:
    """The error of a reply whose status is not 200; `now` is the wall clock in seconds."""
    text = body[:4000].decode("utf-8", "replace")
    code, message = _described(_error_of(body))
    wait = retry_after(headers, now)
    shown = f"{endpoint.name}: {status} {_shown(code, message, endpoint)}"
    return _kept(_classified(status, text, shown, wait), _error_of(body), endpoint)


def from_stream(endpoint: Endpoint, error: Any) -> ModelError:
    """The error of an `error` object inside a stream whose status was 200."""
    code, message = _described(error)
    status = int(code) if code.isdigit() and 400 <= int(code) <= 599 else 500
    text = msgspec.json.encode(error)[:4000].decode("utf-8", "replace")
    if code in ("rate_limit_exceeded", "insufficient_quota"):
        status = 429
    elif status == 500 and (_TOO_LONG.search(text) or _FILTERED.search(text)):
        status = 400
    shown = f"{endpoint.name}: {_shown(code, message, endpoint)}"
    return _kept(_classified(status, text, shown, None), error, endpoint)


def _kept(found: ModelError, error: Any, endpoint: Endpoint) -> ModelError:
    """The error with the fields that clients of the vendor's API look at."""
    fields = error if isinstance(error, dict) else {}
    param = fields.get("param")
    found.described(
        kind=str(fields.get("type") or ""),
        code=str(fields.get("code") or ""),
        param=param if isinstance(param, str) else None,
        # the sentence about refused content may quote the prompt
        detail="" if isinstance(found, ContentRefused) else _masked(_described(error)[1], endpoint),
    )
    return found


def _classified(status: int, text: str, shown: str, wait: float | None) -> ModelError:
    if status in (400, 403, 413, 422):
        if status != 403 and (status == 413 or _TOO_LONG.search(text)):
            return ContextTooLong(shown, status=status)
        if _FILTERED.search(text):
            return ContentRefused(f"the endpoint refused the content ({status})", status=status)
        if _NO_MODEL.search(text):
            return ModelRefused(shown, status=404)
    if status == 429 and not _QUOTA.search(text):
        return ModelRateLimited(shown, status=status, retry_after=wait)
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return ModelUnavailable(shown, status=status, retry_after=wait)
    return ModelRefused(shown, status=status)


def is_elsewhere_possible(error: ModelError) -> bool:
    """Final for this target only: key, model, quota, address, the time that it was given."""
    if isinstance(error, TimedOut):
        return True
    return isinstance(error, ModelRefused) and error.status not in (400, 422)


def objection(body: bytes, sent: Collection[str]) -> str | None:
    """The parameter (or kind of part) of ours that a 400 or 422 names as unknown to it."""
    text = body[:4000].decode("utf-8", "replace")
    if _TOO_LONG.search(text) or _FILTERED.search(text):
        return None
    if "stream_options" in sent and "stream_options" in text:
        return "stream_options"
    for role in ("developer", "system"):
        if role in sent and re.search(rf"role[^.]{{0,40}}{role}|{role}\W+is not one of", text):
            return role
    if not _OBJECTION.search(text) and "image" not in text:
        return None
    places = {name: _place(name, text) for name in set(sent) - _ESSENTIAL}
    named = [(at, name) for name, at in places.items() if at is not None]
    return min(named)[1] if named else None  # what is named later is the vendor's advice


def _place(name: str, text: str) -> int | None:
    """Where the text names the parameter; a name that is also a word must be quoted."""
    if name == "image_url":
        pattern = r"image|vision|multimodal"
    else:
        pattern = rf"(?<!\w){name}(?!\w)" if "_" in name else rf"[\"'`]{re.escape(name)}[\"'`]"
    found = re.search(pattern, text, re.IGNORECASE)
    return found.start() if found else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by the reply's headers (their names in lower case), None without a hint."""
    wait = _number(headers.get("retry-after-ms"), 0.001)
    if wait is None:
        wait = _number(headers.get("retry-after"))
    if wait is None and "retry-after" in headers:
        try:
            date = email.utils.parsedate_to_datetime(headers["retry-after"])
            wait = max(0.0, date.timestamp() - now)
        except ValueError:
            wait = None
    if wait is None:
        wait = _reset(headers)
    return wait if wait is not None and 0 <= wait <= LONGEST_WAIT else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """The wait by x-ratelimit-reset-*: of the limits that are used up, else the shortest."""
    waits: dict[str, float] = {}
    for name, value in headers.items():
        if name.startswith("x-ratelimit-reset-"):
            wait = duration(value)
            if wait is not None:
                waits[name.removeprefix("x-ratelimit-reset-")] = wait
    if not waits:
        return None
    spent = [w for kind, w in waits.items() if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    return max(spent) if spent else min(waits.values())


def duration(value: str) -> float | None:
    """Seconds of "1m30s", "20ms" or a bare number; None for anything else."""
    parts = _DURATION.findall(value)
    units = [unit for _, unit in parts]
    if "".join(map("".join, parts)) != value or ("" in units and len(units) > 1):
        return None
    try:
        seconds = sum(float(number) * _UNIT[unit] for number, unit in parts)
    except ValueError:
        return None
    return seconds if parts and math.isfinite(seconds) else None


def _number(value: str | None, unit: float = 1.0) -> float | None:
    try:
        number = float(value) * unit if value is not None else None
    except ValueError:
        return None
    return number if number is not None and number >= 0 else None


def _error_of(body: bytes) -> Any:
    """The error inside a reply's body: an object, a string, or nothing that we understand."""
    try:
        document = msgspec.json.decode(body)
    except ValueError:  # an HTML page of some proxy, say; UnicodeDecodeError is one too
        return None
    if isinstance(document, list) and document:
        document = document[0]
    if isinstance(document, dict):
        return document.get("error") or document.get("detail") or document
    return document


def _described(error: Any) -> tuple[str, str]:
    """(code, message) of whatever shape the endpoint gives its errors."""
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        return "", error if isinstance(error, str) else ""
    code = error.get("code") or error.get("type") or ""
    message = error.get("message") or error.get("msg") or error.get("detail") or ""
    if not isinstance(message, str):
        return str(code), _described(message)[1]
    # validators quote the whole input beside `loc`: name the place only
    place = error.get("loc")
    return str(code), f"{message} ({place})" if place else message


def _masked(message: str, endpoint: Endpoint) -> str:
    if endpoint.api_key:
        message = message.replace(endpoint.api_key, "***")
    return _KEY.sub("***", message)[:1000]


def _shown(code: str, message: str, endpoint: Endpoint) -> str:
    message = _masked(message, endpoint)
    return " ".join(part for part in (code, message[:200]) if part) or "no details given"
