"""Routes of the REST API: templates, the bucket each counts against, and their lookup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bots.simulators.discord.model import Json


@dataclass(slots=True)
class Incoming:
    """A request as handlers get it; `files` are (name, content type, bytes) by upload index."""

    params: dict[str, str]
    query: dict[str, str]
    body: Any = None
    files: dict[int, tuple[str, str, bytes]] = field(default_factory=dict)
    malformed: bool = False

    def id(self, name: str) -> int:
        """A snowflake of the path; 0, which nothing has, if it is none."""
        value = self.params[name]
        return int(value) if value.isdigit() else 0

    @property
    def json(self) -> Json:
        """The body, which must be an object."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose status is not 200 (or 204 for no body)."""

    status: int
    payload: Any = None


Handler = Callable[[Incoming], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """`major` is the parameter that splits its rate limit `bucket`; `public` needs no token."""

    method: str
    template: str
    handler: Handler
    bucket: str = "other"
    major: str = ""
    public: bool = False


class Router:
    """Looks routes up segment by segment, literals before parameters."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._root: dict[str, Any] = {}

    def add(self, route: Route) -> None:
        """Register a route; its template's {names} become the request's `params`."""
        self.names.add(f"{route.method} {route.template}")
        node = self._root
        for segment in route.template.strip("/").split("/"):
            node = node.setdefault("{}" if segment.startswith("{") else segment, {})
        names = [s[1:-1] for s in route.template.strip("/").split("/") if s.startswith("{")]
        node.setdefault("", {})[route.method] = (route, names)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | int:
        """The route and its parameters, else the status: 404, or 405 for another method."""
        node: dict[str, Any] = self._root
        values: list[str] = []
        for segment in path.strip("/").split("/"):
            inner = node.get(segment)
            if inner is None:
                inner = node.get("{}")
                if inner is None:
                    return 404
                values.append(segment)
            node = inner
        leaf = node.get("")
        if leaf is None:
            return 404
        found = leaf.get(method)
        if found is None:
            return 405
        route, names = found
        return route, dict(zip(names, values, strict=True))
