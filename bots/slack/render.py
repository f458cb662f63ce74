"""An answer's text as Slack's parts. Pure: escapes, cuts, and says what a stream may show.

Parts are `markdown` blocks, whose dialect is the one that models write. They stay within 4,000
characters, since chat.update refuses a longer fallback text (msg_too_long), and each part may
have to be updated. https://docs.slack.dev/reference/block-kit/blocks/markdown-block
"""

from __future__ import annotations

import re
from typing import Final

from core.parts import split

LIMIT: Final = 4000
_OPENING: Final = re.compile(r"(^[ >]*)|>", re.MULTILINE)
_BORDER: Final = re.compile(r"\s+(?=\S)")


def render(text: str) -> list[str]:
    """Cut and escape: the parts, unescaped and joined, are the text."""
    return [escape(part) for part in split(text, LIMIT, length=escaped_length)]


def escape(text: str) -> str:
    """Make sure that nothing pings (`<!here>`, `<@U1>`); a quote's mark at a line's start stays."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = _OPENING.sub(lambda found: "&gt;" if found[1] is None else found[1], text)
    return text


def escaped_length(text: str) -> int:
    """What a text costs at most."""
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def showable(text: str, shown: int) -> str:
    """What of `text` to append to a stream that shows its first `shown` characters.

    Slack may drop white space at the start of a chunk, so each ends where a word begins.
    """
    end = shown
    for border in _BORDER.finditer(text, shown):
        end = border.end()
    return text[shown:end]
