"""Credentials and how they are kept out of everything that people read."""

from __future__ import annotations

import hmac
from typing import NoReturn
from urllib.parse import urlsplit


class Secret:
    """A credential that shows itself only to a caller who asks with `reveal()`.

    Its text is masked in logs, tracebacks and f-strings; no serialiser accepts it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself: for the call that authenticates, never for a message."""
        return self._value

    def __str__(self) -> str:
        return "***" + (self._value[-4:] if len(self._value) > 12 else "")

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never serialised")


def same_origin(left: str, right: str) -> bool:
    """Both URLs have the same scheme, host and port."""
    return urlsplit(left)[:2] == urlsplit(right)[:2]


def mask_url(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()
