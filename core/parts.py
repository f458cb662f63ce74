"""Cuts a text into parts that each fit a platform's limit, without losing a character.

`join(split(text, limit)) == text`. The only additions are code fences: a fence that a cut would
leave open is closed at the end of the part and opened again, with its language, at the start of
the next one. A closing fence that follows a cut inside a line ends in a space, one at a line's
end does not: that is how `join` knows whether the line break before it belongs to the text.

While a text grows, every part but the last stays what it was: a cut is decided by the characters
up to the limit and the one behind it. Knows no platform: what a character costs is `length`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

MIN_LIMIT = 300
"""Below this, fences and the search for a good border would not leave room for text."""

_FENCE_LINE = 100
"""A longer line is never a fence. A cut inside a line happens only in longer ones."""
_FENCE = re.compile(r"[ \t]{0,12}(`{3,20})(?!`)([^`]*)")
_LANGUAGE = re.compile(r"[\w+#.\-]{1,20}")
_CLOSE_MAX = 22
_CLOSED = re.compile(r"\n(`{3,20})( ?)\Z")
_SENTENCE = re.compile(r"(?:[.!?…][\"'”’)\]]*\s+|[。！？])")
_WORD = re.compile(r"\s+")


def split(text: str, limit: int, *, length: Callable[[str], int] = len) -> list[str]:
    """Cut `text` into parts of at most `limit` by `length`; no text gives no part.

    `length` must be additive and at least the number of characters. Prefers the border of a
    paragraph, a line, a sentence or a word, in this order, in the second half of a part.
    """
    if limit < MIN_LIMIT:
        raise ValueError(f"a limit below {MIN_LIMIT} leaves no room for fences")
    parts: list[str] = []
    opener, start = "", 0
    while start < len(text):
        prefix = f"{opener}\n" if opener else ""
        room = limit - length(prefix)
        rest = text[start : start + room + 1]
        if len(rest) <= room and length(rest) <= room:
            parts.append(prefix + rest)
            break
        size = _fitting(rest, room, length)
        if opener or "```" in rest:
            size = _fitting(rest, room - _CLOSE_MAX, length)
        cut = _best_cut(text, start, start + size, opener)
        opener = _open_fence(text, start, cut, opener)
        body, start = text[start:cut], cut
        parts.append(prefix + body + (_closing(body, opener) if opener else ""))
    return parts


def join(parts: Sequence[str]) -> str:
    """Give back the text that `split` cut into these parts."""
    text = ""
    for part in parts:
        closed = _CLOSED.search(text)
        if closed:
            # inside a line both line break and closing are ours, else the fence's ticks only
            body = text[: closed.start() if closed[2] else closed.start() + 1]
            opener = _open_fence(body, 0, len(body), "")
            if opener and _ticks(opener) == closed[1] and part.startswith(f"{opener}\n"):
                text = body + part[len(opener) + 1 :]
                continue
        text += part
    return text


def open_fence(text: str) -> str:
    """The fence that is open at the text's end, as it would be opened again; "" for none."""
    text = text if text.endswith("\n") else f"{text}\n"
    return _open_fence(text, 0, len(text), "")


def _closing(body: str, opener: str) -> str:
    return _ticks(opener) if body.endswith("\n") else f"\n{_ticks(opener)} "


def _ticks(opener: str) -> str:
    return opener[: len(opener) - len(opener.lstrip("`"))]


def _open_fence(text: str, start: int, end: int, opener: str) -> str:
    """The fence open after the lines completed in `text[start:end]`, `opener` being open before."""
    if text.find("```", max(start - _FENCE_LINE, 0), end) < 0:
        return opener
    for begin, stop in _lines(text, start, end):
        if text[stop - 1] == "\n":
            opener = _after_line(text[begin:stop], opener)
    return opener


def _after_line(line: str, opener: str) -> str:
    if "```" not in line or len(line) > _FENCE_LINE:
        return opener
    fence = _FENCE.fullmatch(line.rstrip("\r\n"))
    if not fence:
        return opener
    ticks, info = fence[1], fence[2].strip()
    if not opener:
        language = _LANGUAGE.match(info)
        return ticks + (language[0] if language else "")
    return "" if len(ticks) >= len(_ticks(opener)) and not info else opener


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Begin and stop (behind its line break) of each line that has characters in the range.

    The first one begins before `start` if that is inside a line; the last one stops at `end`.
    """
    begin = text.rfind("\n", 0, start) + 1
    while begin < end:
        stop = text.find("\n", max(begin, start), end) + 1 or end
        yield begin, stop
        begin = stop


def _fitting(text: str, room: int, length: Callable[[str], int]) -> int:
    """How many characters fit into `room`."""
    high = min(len(text), room)
    if length is len or length(text[:high]) <= room:
        return high
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if length(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return max(low, 1)


def _best_cut(text: str, start: int, end: int, opener: str) -> int:
    """Where to cut, at most at `end`, reading nothing behind `text[end]`."""
    half = start + (end - start) // 2
    cut = _line_cut(text, start, end, opener)
    if cut >= half:
        return cut
    return (
        _border(_SENTENCE, text, half, end)
        or _border(_WORD, text, half, end)
        or (cut if cut >= start + (end - start) // 8 else 0)
        or _hard_cut(text, start, end)
    )


def _line_cut(text: str, start: int, end: int, opener: str) -> int:
    """The best line border: outside code before inside, behind a blank line before others."""
    best: dict[tuple[bool, bool], int] = {}
    for begin, stop in _lines(text, start, end):
        if text[stop - 1] != "\n":
            break
        before, opener = opener, _after_line(text[begin:stop], opener)
        is_first = opener != before and bool(opener)
        is_blank = text.find("\n", begin, stop) == begin
        # an empty code block would be left behind, or in front of, a cut beside its fence
        if not (opener and (is_first or _may_close(text, stop, end))):
            best[bool(opener), not is_blank] = stop
    half = start + (end - start) // 2
    in_reach = [rank for rank in sorted(best) if best[rank] >= half]
    return best[in_reach[0]] if in_reach else max(best.values(), default=0)


def _may_close(text: str, start: int, end: int) -> bool:
    """Whether the line from here may be a closing fence, as far as may be read."""
    return text[start : end + 1].lstrip(" \t")[:1] in ("", "`")


def _border(pattern: re.Pattern[str], text: str, least: int, end: int) -> int:
    """The last end of a match that leaves neither a space nor a fence at the next start."""
    cut = 0
    for match in pattern.finditer(text, least, end):
        if text[match.end()] not in "` \t\r\n":
            cut = match.end()
    return cut


def _hard_cut(text: str, start: int, end: int) -> int:
    """As late as possible, but not inside a character as people see it, nor at a fence."""
    for cut in range(end, max(end - 64, start), -1):
        if text[cut] not in "` \t" and text[cut - 1] != "`" and not _is_one_character(text, cut):
            return cut
    return end


def _is_one_character(text: str, cut: int) -> bool:
    """Whether a cut here would tear a grapheme: accents, emoji sequences, flags, line ends."""
    before, after = text[cut - 1], text[cut]
    if before < "\u0300" and after < "\u0300":
        return before == "\r" and after == "\n"
    if after in "\u200d\ufe0f" or before == "\u200d" or unicodedata.category(after)[0] == "M":
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    if "\udc00" <= after <= "\udfff" or "\u1160" <= after <= "\u11ff":
        return True
    flags = 0
    while flags < min(cut, 64) and "\U0001f1e6" <= text[cut - 1 - flags] <= "\U0001f1ff":
        flags += 1
    return flags % 2 == 1 and "\U0001f1e6" <= after <= "\U0001f1ff"
