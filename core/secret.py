"""Credentials, and how they are kept out of everything that people read."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn
from urllib.parse import urlsplit

_TOKENS = re.compile(
    r"""
      (?P<before>\bBearer\ +) [\w.~+/=-]{8,}
    | (?P<scheme>\b(?:Bot|Basic)\ +) [\w.~+/=-]{20,}
    | (?P<user>://[^\s/:@]*:) [^\s/@]+ (?=@)
    | (?P<query>[?&](?:access_token|api_key|key|ticket|token)=) [^\s&"']+
    | (?P<path>/(?:webhooks|interactions)/\d+/|hooks\.slack\.com/[\w-]+/) [\w/-]{16,}
    | (?P<token>
          \b xox[a-z](?:\.xox[a-z])?-[\w-]{6,}
        | \b xapp-[\w-]{6,}
        | \b (?:sk|rk|pk|gsk|csk|xai|pplx|nvapi|hf|r8|ghp)[-_][\w-]{16,}
        | \b AIza[\w-]{30,}
        | (?<![\w.-]) [A-Za-z\d_-]{23,30} \. [\w-]{6,7} \. [\w-]{27,}
        | (?<![\w.-]) eyJ[\w-]{10,} \. eyJ[\w-]{10,} \. [\w-]*
      )
    """,
    re.VERBOSE | re.ASCII,
)
"""Headers, passwords in URLs, keys in queries, webhook addresses; tokens of Slack, of model
endpoints and of Discord (https://discord.com/developers/docs/reference#authentication), JWTs."""

_HINT = re.compile(
    r"xox|xapp-|://|Bearer |Bot |Basic |key=|token=|ticket=|/webhooks/|/interactions/|hooks\.slack"
    r"|(?:sk|rk|pk|gsk|csk|xai|pplx|nvapi|hf|r8|ghp)[-_]|AIza|eyJ|\.[\w-]{6,7}\.",
    re.ASCII,
)
"""Stands in every text that `_TOKENS` finds something in, at a third of the cost."""


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
        return ellipsis_of(self._value)

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


def ellipsis_of(credential: str) -> str:
    """What may be seen of a credential: the end of a long one, to tell two apart."""
    return "***" + (credential[-4:] if len(credential) > 12 else "")


def mask(text: str) -> str:
    """The text with everything masked that has the form of a credential."""
    return _TOKENS.sub(_masked, text) if _HINT.search(text) else text


def mask_url(url: str) -> str:
    """The URL without its password."""
    start, slashes, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{start}{slashes}{name}:***@{host}" if at and colon else url


def same_origin(left: str, right: str) -> bool:
    """Both URLs have the same scheme, host and port."""
    return urlsplit(left)[:2] == urlsplit(right)[:2]


def _masked(found: re.Match[str]) -> str:
    if found["token"]:
        return ellipsis_of(found["token"])
    kept = next(filter(None, found.group("before", "scheme", "user", "query", "path")))
    return f"{kept}***"
