"""Long texts that are written to cost time: what is read in the most ways, over and over."""

from __future__ import annotations

from random import Random

LENGTH = 40_000
UNITS = {
    "spaced": "b a d w o r d ", "alphabet": "a b c d e f ", "stars": "b*dw*rd ", "pipes": "b||a||",
    "markdown": "[bad](http://x) ", "tags": "<a ", "codes": "%61", "entities": "&#98;",
    "nested": "&amp;amp;#98;", "escapes": "\\u0062", "letters": "a", "apostrophes": "he'll ",
    "zalgo": "b\u0301\u0302\u0303", "turned": "pɹoʍpɐq ", "backwards": "\u202edrowdab\u202c ",
    "hits": "ass ", "dots": "b.a.d.", "emoji": "😀", "cyrillic": "сор орех ", "lines": "a\n",
    "drawn": "|3/-\\|) ", "unseen": "b\u200b", "underscores": "_a_", "words": "as sent ",
    "links": "https://a.b ", "named": "bad.site/", "torn": "h t t p : / / ",
    "invites": "discord.gg/abc ", "foreign": "дот.com ", "subdomains": "a.b.c.d.",
    "punycode": "xn--80ak6aa92e.com ", "defanged": "hxxp://b[.]c ", "mail": "a@b.c ",
    "slashes": "//", "encoded": "%2e%2f", "queries": "https://bad.site/x?y=z&",
    "keys": "sk-abcdefghijklmnopqrstuvwxyz0123456789", "names": "AKIAABCDEFGHIJKLMNOP ",
    "tokens": "eyJhbGciOi.", "passwords": "password=abc ",
}  # fmt: skip
"""Pieces that a text is made of, by name."""
FRAGMENTS = (
    "b", "a", "d", "||", "**", "&#98;", "%61", " ", ".", "😀", "\u202e", "<b>", "w*", "\n",
    "\u200b", "傻", "х", "https://", "bad-site.example",
)  # fmt: skip
"""Smaller ones, which mean nothing by themselves."""
SCRIPTS = ((32, 126), (0xA0, 0x24F), (0x370, 0x5FF), (0x4E00, 0x9FFF), (0x1F300, 0x1F64F))
EVERYTHING = ((32, 0xD7FF), (0xE000, 0x1FFFF))


def repeated(name: str) -> str:
    """One unit over and over."""
    unit = UNITS[name]
    return (unit * (LENGTH // len(unit) + 1))[:LENGTH]


def mixed(seed: int, size: int = LENGTH) -> str:
    """Units and fragments in any order."""
    return _drawn((*UNITS.values(), *FRAGMENTS), seed, size)


def fragments(seed: int, size: int = LENGTH) -> str:
    """Fragments in any order."""
    return _drawn(FRAGMENTS, seed, size)


def characters(ranges: tuple[tuple[int, int], ...], seed: int) -> str:
    """Single characters out of these ranges, each range as often as any other."""
    draw = Random(seed)
    return "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(LENGTH))


def every() -> dict[str, str]:
    """All kinds of sieges by name."""
    found = {name: repeated(name) for name in UNITS}
    found |= {f"mixed {seed}": mixed(seed) for seed in range(8)}
    found |= {f"fragments {seed}": fragments(seed) for seed in range(6)}
    for seed in range(3):
        found[f"ascii {seed}"] = characters(SCRIPTS[:1], seed)
        found[f"scripts {seed}"] = characters(SCRIPTS, seed)
        found[f"everything {seed}"] = characters(EVERYTHING, seed)
    return found


def _drawn(pieces: tuple[str, ...], seed: int, size: int) -> str:
    return "".join(Random(seed).choices(pieces, k=size))[:size]
