"""The replies with which an endpoint refuses, as vendors word them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from bots.simulators.completions.options import Fault

_ERRORS: dict[str, tuple[int, str, str]] = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "500": (500, "server_error", "The server had an error."),
    "503": (503, "overloaded", "The engine is currently overloaded."),
    "context": (400, "context_length_exceeded", "This model's maximum context length is 8192."),
    "filter": (400, "content_filter", "The response was filtered by the content policy."),
}


def refusal(fault: Fault, message: str = "Refused by the simulator.") -> web.Response:
    """The reply of a fault that concerns the whole request."""
    if fault.kind == "malformed":
        return web.Response(
            text='{"id": "chatcmpl-1", "choices": [', content_type="application/json"
        )
    if fault.kind == "html":
        return web.Response(text="<!doctype html><p>Just a moment...", content_type="text/html")
    status, code, text = _ERRORS.get(fault.kind, (fault.status, "invalid_request_error", message))
    headers = {}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    error = {"error": {"message": text, "type": code, "param": None, "code": code}}
    return web.Response(
        status=status,
        body=msgspec.json.encode(error),
        content_type="application/json",
        headers=headers,
    )
