"""The application: every route, and what its errors look like."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.routes import HTTPRoute
from litestar.types import ExceptionHandlersMap, Scope

from bots.rest import completions, conversations, keys, sessions
from bots.rest.answers import error
from bots.rest.once import Runs
from bots.rest.openapi import documents
from bots.rest.operations import health, metrics, ready
from bots.rest.problems import (
    INVALID,
    SERVER,
    Problem,
    missing,
    refused,
    too_many,
    translated,
)
from bots.rest.services import Services, limits_left
from bots.rest.usage import usage
from core import __version__
from core.callers import LimitPassed, TextRefused
from core.dialogue import Unknown
from core.errors import TalkwardenError
from core.telemetry import logger

_log = logger("talkwarden.rest")

Handler: TypeAlias = Callable[[Request[Any, Any, Any], Any], Response[bytes]]


def build(services: Services) -> Litestar:
    """The application over these services."""
    described = OpenAPIConfig(
        title="talkwarden",
        version=__version__,
        path="/_openapi",
        render_plugins=[],
        use_handler_docstrings=True,
    )
    routes: list[Any] = [
        completions.router("/v1"),
        completions.router("/"),
        sessions.router("/v1"),
        conversations.router("/v1"),
        conversations.router("/"),
        keys.router("/v1"),
        health,
        ready,
        metrics,
        usage,
    ]
    if services.config.docs:
        routes += documents()
    app = Litestar(
        routes,
        openapi_config=described,
        exception_handlers=_HANDLERS,
        request_max_body_size=services.config.max_body,
        logging_config=None,
        on_app_init=[_without_debug],
    )
    app.state.services = services
    app.state.runs = Runs()
    return app


def _without_debug(config: AppConfig) -> AppConfig:
    config.debug = False
    return config


def headed(message: Any, scope: Scope) -> None:
    """Complete and count a reply; done once for each, where Litestar's hook costs each event."""
    _count(message, scope)
    _allow(message, scope)
    _tell_limits(message, scope)


def _count(message: Any, scope: Scope) -> None:
    services: Services = scope["litestar_app"].state.services
    services.counters.count(
        "rest.requests",
        method=str(scope.get("method", "")),
        path=scope.get("path_template") or "unknown",
        status=str(message["status"]),
    )


def _allow(message: Any, scope: Scope) -> None:
    """Name all methods of a path: Litestar's own answer to OPTIONS knows the first one's only."""
    if scope.get("method") == "OPTIONS" and (
        methods := _methods(scope["litestar_app"]).get(scope["path_template"])
    ):
        headers = [pair for pair in message["headers"] if pair[0].lower() != b"allow"]
        message["headers"] = [*headers, (b"allow", methods.encode())]


def _tell_limits(message: Any, scope: Scope) -> None:
    """Say what is left of the caller's limits, in refusals and in replayed answers too."""
    left = {name.encode(): value.encode() for name, value in limits_left(scope).items()}
    others = [pair for pair in message["headers"] if pair[0].lower() not in left]
    message["headers"] = [*others, *left.items()]


@cache
def _methods(app: Litestar) -> dict[str, str]:
    return {
        route.path_format: ", ".join(sorted(route.methods))
        for route in app.routes
        if isinstance(route, HTTPRoute)
    }


def _of_problem(_: Request[Any, Any, Any], exc: Problem) -> Response[bytes]:
    return error(exc)


def _of_core(_: Request[Any, Any, Any], exc: TalkwardenError) -> Response[bytes]:
    if isinstance(exc, LimitPassed):
        return error(too_many(exc.passed))
    if isinstance(exc, TextRefused):
        return error(refused(str(exc), exc.param or None))
    if isinstance(exc, Unknown):
        return error(missing(exc.what, exc.param))
    problem = translated(exc)
    if problem.status >= 500:
        _log.warning("A request failed.", why=str(exc), kind=type(exc).__name__)
    return error(problem)


def _of_http(_: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    """Litestar's own: no such path or method, too large a body, parameters of a wrong type."""
    status = exc.status_code
    known = {
        404: ("There is no such path.", "not_found"),
        405: ("This path does not know the method.", "method_not_allowed"),
        413: ("The body is too large.", "body_too_large"),
    }
    message, code = known.get(status, (exc.detail, None))
    if status == 400 and isinstance(exc.extra, list):
        message = "; ".join(_parameter(each) for each in exc.extra) or message
    kind = INVALID if status < 500 else SERVER
    return error(Problem(status, message, kind, code=code, headers=dict(exc.headers or {})))


def _parameter(extra: Any) -> str:
    if not isinstance(extra, dict):
        return str(extra)
    return f"{extra.get('key', '')}: {extra.get('message', '')}".removeprefix(": ")


def _of_anything(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    _log.error("A request broke.", path=request.url.path, exc_info=exc)
    return error(Problem(500, "Something went wrong inside talkwarden.", SERVER))


_HANDLERS: ExceptionHandlersMap = {
    Problem: _of_problem,
    TalkwardenError: _of_core,
    HTTPException: _of_http,
    Exception: _of_anything,
}
