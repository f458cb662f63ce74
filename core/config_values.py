"""One given value to its key's type, and the sentence that says why it does not fit."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from core.config_tree import Given, KeyPath
from core.secret import mask

_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}
_TYPES = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`str`": "text",
    "`array`": "a list",
    "`object`": "a table",
}
_EXPECTED = re.compile(
    r"Expected (?P<type>`\w+`)(?: (?P<limit>(?:of length )?[<>]=? .+?))?"
    r"(?:, got (?P<got>`\w+`))?(?: - at `\$(?P<at>.+)`)?"
)


def convert(kind: Any, given: Given) -> Any:
    """The value as the key's type; raises ValueError with a sentence that says what it expects."""
    value = given.value
    if given.is_text and kind is Any:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    if given.is_text and typing.get_origin(kind) in {tuple, frozenset}:
        value = _split(value)
    if given.is_text and kind is bool:
        value = _SWITCHES.get(value.lower(), value)
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if choices and value not in choices:
        raise ValueError(not_among(value, choices))
    try:
        return msgspec.convert(value, kind, strict=not given.is_text)
    except msgspec.ValidationError as error:
        raise ValueError(_sentence(str(error), is_text=given.is_text)) from error


def shown(value: Any, path: KeyPath) -> str:
    """A value as it may be printed: masked where it is or looks like a secret, and short."""
    if path[-1].lower().endswith(("secret", "token", "key", "password")):
        return "***"
    text = mask(spelled(value))
    return text if len(text) <= 80 else text[:77] + "..."


def spelled(value: Any) -> str:
    """A value as it is written in the file, more or less."""
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except TypeError:
        return repr(value)


def _split(text: str) -> Any:
    if text.startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(f"looks like JSON, but is not: {error}") from error
    return [item for item in (part.strip() for part in text.split(",")) if item]


def unknown_key(name: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """What to say about a key that does not exist; `elsewhere` are dotted keys."""
    same_name = next((key for key in elsewhere if key.rpartition(".")[2] == name), None)
    return "there is no such key" + did_you_mean(same_name or _closest(name, known))


def did_you_mean(guess: str | None) -> str:
    """The end of a sentence that offers a guess."""
    return f"; did you mean {guess}?" if guess else ""


def not_among(value: Any, choices: Iterable[str]) -> str:
    """What to say about a value that is none of the choices."""
    names = [choice for choice in choices if choice]
    guess = _closest(str(value).lower(), names)
    return f"expected one of {', '.join(names)}{did_you_mean(guess)}"


def _closest(name: str, names: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


def _sentence(text: str, *, is_text: bool) -> str:
    """msgspec's message in the words of someone who edits a file."""
    found = _EXPECTED.fullmatch(text)
    if found is None:
        return text
    limit = f" {found['limit']}" if found["limit"] else ""
    got = f", got {_TYPES.get(found['got'], found['got'])}" if found["got"] and not is_text else ""
    at = f" (at {found['at']})" if found["at"] else ""
    return f"expected {_TYPES.get(found['type'], found['type'])}{limit}{got}{at}"
