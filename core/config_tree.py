"""Given values in a tree of sections, from any source, and what is wrong with them."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from core.config_schema import Config
from core.errors import ConfigError

KeyPath: TypeAlias = tuple[str, ...]

OUTPUTS = {"sources", "warnings"}
"""Fields of Config that tell about loading; nobody can set them."""

_BARE = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was found."""

    value: Any
    source: str
    """A variable's name, or the file's."""
    is_text: bool = False
    """A variable's text, still to be read as the key's type."""
    folder: Path | None = None
    """The configuration file's folder, if it came from there."""


Node: TypeAlias = "Given | dict[str, Node]"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `value` is fit to be shown."""

    key: str
    value: str
    source: str
    message: str

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        return f"{self.key}{value} ({self.source}): {self.message}"


class ConfigErrors(ConfigError):
    """The configuration is wrong; `problems` holds all that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        lines = [f"  - {problem}" for problem in problems]
        super().__init__(
            "\n".join(["The configuration is wrong:", *lines]),
            key=problems[0].key,
            source=problems[0].source,
        )
        self.problems = problems


def nest(value: Any, source: str, folder: Path | None = None) -> Node:
    """Turn parsed TOML or JSON into a tree; tables become dicts, all else stays one value."""
    if isinstance(value, dict):
        return {str(key): nest(item, source, folder) for key, item in value.items()}
    return Given(value, source, folder=folder)


def expand(node: Node | None) -> dict[str, Node] | None:
    """A table, or a list of tables by index, that this node holds or spells in JSON."""
    if node is None or isinstance(node, dict):
        return node
    value = node.value
    if node.is_text:
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return None
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    nested = nest(value, node.source, node.folder)
    return nested if isinstance(nested, dict) else None


def place(tree: dict[str, Node], path: KeyPath, given: Given) -> None:
    """Put a value into the tree, over what is there."""
    for part in path[:-1]:
        child = expand(tree.get(part)) or {}
        tree[part] = child
        tree = child
    tree[path[-1]] = given


@cache
def inputs(struct: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The fields that can be set, with their types; `X | None` counts as X."""
    outputs = OUTPUTS if struct is Config else ()
    fields = msgspec.structs.fields(struct)
    return {field.name: _required(field.type) for field in fields if field.name not in outputs}


def inner(kind: Any) -> Any:
    """The type of a table's values or of a list's tables; None: the type is a leaf."""
    if typing.get_origin(kind) is dict:
        return typing.get_args(kind)[1]
    if typing.get_origin(kind) is tuple and is_struct(typing.get_args(kind)[0]):
        return typing.get_args(kind)[0]
    return None


def is_struct(kind: Any) -> bool:
    """The type is a section."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def dotted(path: KeyPath) -> str:
    """The key as it is written in TOML."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in path)


def source_of(node: Node) -> str:
    """Where a value, or the first one of a table, came from."""
    while isinstance(node, dict):
        if not node:
            return "an empty table"
        node = next(iter(node.values()))
    return node.source


def _required(kind: Any) -> Any:
    if typing.get_origin(kind) not in {types.UnionType, typing.Union}:
        return kind
    return next(item for item in typing.get_args(kind) if item is not types.NoneType)
