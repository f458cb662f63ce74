"""The replies with which an endpoint refuses, as vendors word them."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

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

BREAKING: dict[str, list[bytes]] = {
    "cut": [],
    "reset": [],
    "hang": [],
    "no_finish": [],
    "bad_chunk": [b'data: {"id": "chatcmpl-1", "choices": [{"del\n\n'],
    "stream_error": [
        b'data: {"error": {"message": "The server had an error.", "type": "server_error"}}\n\n'
    ],
}
"""The kinds that end a stream early, and what they send instead of its end."""

BENDING = ("no_done", "nulls", "int_ids", "not_streamed")
"""The kinds that only make a stream odd."""


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
    return _error(status, text, code, code, headers=headers)


def unsupported(param: str, value: str = "") -> web.Response:
    """A parameter, or a value of one, that the model does not take."""
    if value:
        text = f"Unsupported value: '{param}' does not support '{value}' with this model."
        return _error(400, text, "invalid_request_error", "unsupported_value", param)
    text = f"Unsupported parameter: '{param}' is not supported with this model."
    return _error(400, text, "invalid_request_error", "unsupported_parameter", param)


def unknown_url(request: web.Request) -> web.Response:
    """A path that the server does not have."""
    text = f"Unknown request URL: {request.method} {request.path}."
    return _error(404, text, "invalid_request_error", "unknown_url")


def no_model(name: str) -> web.Response:
    """A model that the server does not have."""
    text = f"The model '{name}' does not exist or you do not have access to it."
    return _error(404, text, "invalid_request_error", "model_not_found", "model")


def _error(
    status: int,
    message: str,
    kind: str,
    code: str,
    param: str | None = None,
    *,
    headers: dict[str, str] | None = None,
) -> web.Response:
    error = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return web.Response(
        status=status,
        body=msgspec.json.encode(error),
        content_type="application/json",
        headers=headers,
    )


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close with a TCP reset."""
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cast("asyncio.Transport", transport).abort()  # uvloop's are not derived from it
