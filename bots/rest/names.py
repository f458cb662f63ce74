"""Operations' names in the OpenAPI document; a path that also answers without /v1 has two."""

from __future__ import annotations

from typing import Any

from litestar.types import Method, OperationIDCreator

SHORT = "Short"


def named(name: str) -> OperationIDCreator:
    """The name, told apart where the path stands without its version."""

    def create(_: Any, __: Method, path: list[Any]) -> str:
        return name if path and path[0] == "v1" else name + SHORT

    return create


def by_root(**names: str) -> OperationIDCreator:
    """For paths that share a handler: the name of the one with this word after its version."""

    def create(_: Any, __: Method, path: list[Any]) -> str:
        return names[path[1]]

    return create


def plain(given: str) -> str:
    """The name without what tells it apart."""
    return given.removesuffix(SHORT)
