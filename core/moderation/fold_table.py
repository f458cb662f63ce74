"""Which characters stand for which letters: the data behind the folding of look-alikes.

What Unicode itself relates (compatibility forms, letters with marks, names such as NEGATIVE
SQUARED LATIN CAPITAL LETTER A) is derived from the interpreter's own tables; listed here is what
only the eye relates: the confusables of Unicode Technical Standard 39
(https://www.unicode.org/reports/tr39/) that look like one Latin letter or digit, and the letters
that people borrow for decoration.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from string import ascii_letters
from typing import TypeAlias

Table: TypeAlias = dict[int, str]
"""For `str.translate`: a code point and what it is read as."""

GONE = "\0"
"""Takes the place of a character that is not seen, so that all others keep their places."""

LOOKALIKES = {
    "2": "ƧƻϨᒿꙄꛯꝚ",
    "3": "ƷȜЗҘӠⳌꝪꞫ𑣊𖼻𝈆",
    "4": "ЧчᏎ𑢯",
    "5": "Ƽ𑢻",
    "6": "бᏮⳒ𑣕",
    "7": "𐓒𑣆𝈒",
    "8": "Ȣȣଃ𐌚\U0001e8cb",
    "9": "ⳊꝮ𑢬𑣌𑣖",
    "a": "ᗩɒɚꭤªÅǟɑΆΑΔΛάαλАДадคლᎪᗅᴀẚ₳∀∆⍶⍺▲△Ɑ卂ꓮﾑ𐊠𖽀𝚨𝛂𝛢𝛼𝜜𝜶𝝖𝝰𝞐𝞪🅰",
    "ae": "Ææ",
    "b": "ьꞵƀƂƃƄɓΒβБВЪЬвъѢѣҌҍ฿๒ცᏏᏴᑲᑳᖯᗷᗽ₿乃ꓐꞴ𐊂𐊡𐌁𝚩𝛣𝜝𝝗𝞑🅱",
    "bi": "Ыы",
    "c": "ᑕ¢©ȼςϲϹСсҪҫሪᏟᴄ₡ↄⲤⲥ匚꒝ꓚꮯ𐊢𐌂𐐕𐐽𐔜𑣲🅮🝌",
    "d": "ÐðĐđƉƌɖɗԁ๔ᎠᏧᑯᗞᗪᴅ₫∂ꓒꓓ",
    "e": "ǝɆɇɘəɛΕΞΣεξЄЕЭезэєҽҿᎬ€℮ℯ∃∈∑⋿ⴹ乇ꓰꬲ𐊆𑢦𑢮𝚬𝛦𝜠𝝚𝞔",
    "f": "ғ£ſƑƒʄϜҒքᖴᵮẝ₣千ꓝꞘꞙꬵ𐊇𐊥𐔥𑢢𑣂𝈓𝟊",
    "g": "ƍǤǥɠɡɢʛԌցᏀᏳᶃᶢ₲勹ꓖ\ufeee",
    "h": "իĦħɦΗЂЋНнђћҢҺһӇӉհᎻᏂᏲᕼᵸℏⱧⲎ卄ꓧꚕ𐋏𝚮𝛨𝜢𝝜𝞖",
    "i": "ꓲΙІ¡ıɨɩɪ˛ͺιіӏเᎥᵻᵼι⍳⍸丨工ꙇꭵ𑣃𝚤𝛊𝜄𝜾𝝸𝞲",
    "io": "Юю",
    "j": "ɈɉʝͿϳЈјյᎫᒍꓙꞲﾌ\u05e0",
    "k": "κĸƙΚКкҚқҜҞӄᏦᛕ₭ⱩⲔケꓗꝀ𐔘𝚱𝛫𝜥𝝟𝞙",
    "l": (
        "լŁłƖƗƚǀɫɭʟӀᏞᒪᛁ₤ℓ∣⏽ⲒⳐⵏㄥㄴꓡ￨𐊊𐌉𐌠𐐛𐔦𑢣𑢲𖼖𖼨𝈪\u05c0\u05d5\u05df"
        "\u0627\u07ca\ufd3c\ufd3d\ufe8d\ufe8e\U0001e8c7\U0001ee00\U0001ee80"
    ),
    "m": "ʍΜϺМмӍ๓Ꮇᗰᛖ₥Ⲙ爪ꓟ𐊰𐌑𝚳𝛭𝜧𝝡𝞛",
    "n": "ᑎñƝƞɳΝηИЙПийпոռภᵰ₦∩Ⲛ几ꓠ𐆎𐔓𝚴𝛈𝛮𝜂𝜨𝜼𝝢𝝶𝞜𝞰",
    "o": (
        "ʘɷ¤°ØöøƟǾɵΘΟΩθοσϑϴОоѲѳӨөՕօଠంಂംഠං๏ဝჿዐᎾᏫᴏᴑ⁰⊖⊙⊝⍬○◎●◯☉⭕ⲞⲟⴱⵁⵔㄖꓳꝊꝋꬽꬾꭴꮎꮻ𐊒𐊫𐐄𐐬𐓂𐓪𐔖𑢵𑣈𑣗𝈚𝚯𝚶𝚹𝛉"
        "𝛐𝛔𝛝𝛩𝛰𝛳𝜃𝜊𝜎𝜗𝜣𝜪𝜭𝜽𝝄𝝈𝝑𝝝𝝤𝝧𝝷𝝾𝞂𝞋𝞗𝞞𝞡𝞱𝞸𝞼𝟅🅾🜔\u05e1\u0647\u06be\u06c1\u06d5\u06ff\ufba6"
        "\ufba7\ufba8\ufba9\ufbaa\ufbab\ufbac\ufbad\ufee9\ufeea\ufeeb\ufeec\U0001ee24"
        "\U0001ee64\U0001ee84"
    ),
    "oe": "Œœ",
    "p": "ÞþƥΡρϱРрթᏢᑭᵽ₱⍴Ⲣⲣ卩ꓑ𐊕𝚸𝛒𝛠𝛲𝜌𝜚𝜬𝝆𝝔𝝦𝞀𝞎𝞠𝞺𝟈🅿\u05e7",
    "q": "ᑫʠԛգզợⵕ",
    "r": "®ƦɍɼɽʀΓЯгяᎡᏒᖇᴦᵲⲅ尺ꓣꭇꭈꮁ𐒴𖼵𝈖",
    "s": "տ§ƽʂЅѕՏֆรᏕᏚᔕᵴ₴丂ꓢꜱꮪ𐊖𐐠𐑈𑣁𖼺",
    "ss": "ẞ",
    "t": "ŦŧƭƮȶȾΤτТтҬՇեᎢᵵ†‡₮⊤⍡✝⟙Ⲧㄒ七ꓔ𐊗𐊱𐌕𑢼𖼊𝚻𝛵𝜯𝝩𝞣🝨",
    "u": "ʉµɄʊʋμυЦцՍսยሀᏌᑌᴜᵾ∪⋃ㄩꓴꞟꭎꭒꮜ𐓎𐓶𑢸𑣘𖽂𝛖𝜐𝝊𝞄𝞾",
    "v": "νѴѵᏙᐯᴠ√∨⋁▼▽ⴸꓦꛟꮩ𐆗𐔝𑜆𑢠𑣀𖼈𝈍𝛎𝜈𝝂𝝼𝞶🜈\u05d8",
    "w": "ᗯɯωώШЩшщѡѽԜԝաพฬᎳᏔᴡ₩山ꓪꝡꮃ𑓅𑜊𑜎𑜏𑣯\u05e9",
    "x": "×ΧχЖХжхҲӼӿᕁᕽ᙭᙮ᚷ╳✕✖✗✘❌⤫⤬⨯⨰Ⲭⵝ乂ꓫꞳ𐆖𐊐𐊴𐌗𐌢𐔧𑣬𝚾𝛸𝜲𝝬𝞦",
    "y": "¥ƴɎɏɣʏΥγϒЎУуўҮүҰұყᎩᎽᶌỿℽⲨㄚꓬꭚ𐊲𑢤𑣜𖽃𝚼𝛄𝛶𝛾𝜰𝜸𝝪𝝲𝞤𝞬\u05e5",
    "z": "ᘔʒƵƶȤȥɀʐΖչᏃᴢᵶ乙ꓜꮓ𐋵𑢩𑣄𝚭𝛧𝜡𝝛𝞕",
}

_TURNED = (
    "aɐ∀ᗄⱯ bq𐐒 cɔƆ dpᗡ eǝƎ fɟℲ gƃ⅁ᵷ hɥ iᴉıᵎ jɾſ kʞ⋊ lןʃ˥⅂ꞁ mɯW nuᴎ oo pdԀ qb rɹᴚ ss tʇ┴⊥ unՈ∩ vʌΛ "
    "wʍM xx yʎ⅄ zz 0O 1Ɩ⇂ 2ᄅ 3Ɛ 4ㄣᔭ 5ϛ 69 7ㄥ 96 !¡ .˙ '‚"
)
"""Each letter, then what it looks like when its line is turned on its head."""

UPSIDE_DOWN = {ord(turned): each[0] for each in _TURNED.split() for turned in each[1:]}
TURNED_HINT = frozenset("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ⅄ᴚ⅂Ⅎ⅁")
"""Characters that hardly anybody writes for another reason."""

_MARKS = ((0x300, 0x36F), (0x483, 0x489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF),
          (0xFE20, 0xFE2F))  # fmt: skip
_UNSEEN = ((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
           (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
           (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
           (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
           (0x1F3FB, 0x1F3FF), (0xE0000, 0xE01EF))  # fmt: skip
_DERIVED = ((0x80, 0x2B0), (0x2B0, 0x300), (0x370, 0x530), (0x1D00, 0x1DC0), (0x1E00, 0x2C00),
            (0x2C60, 0x2C80), (0x2F00, 0x2FE0), (0x3200, 0x3400), (0xA720, 0xA800),
            (0xAB30, 0xAB70), (0xF900, 0xFB07), (0xFB13, 0xFE00), (0xFE30, 0xFFF0),
            (0x1D400, 0x1D800), (0x1DF00, 0x1DF30), (0x1F100, 0x1F200))  # fmt: skip
_NAMED = re.compile(
    r"(?:LATIN|SQUARED|NEGATIVE|CROSSED|CIRCLED|PARENTHESIZED|REGIONAL INDICATOR|SCRIPT)"
    r"(?: [A-Z]+)*? ([A-Z])(?: WITH [A-Z -]+)?"
)


def strip_marks(text: str) -> str:
    """Decomposed, without the marks that go on letters of alphabets."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", text)
        if not any(low <= ord(character) <= high for low, high in _MARKS)
    )


@cache
def tables() -> tuple[Table, Table]:
    """How a text is read by its looks, and how when letter case does not matter.

    They differ for capitals that look like another letter than their small form does (Greek H).
    """
    looks = _related() | _digits()
    for letter, characters in LOOKALIKES.items():
        looks.update(dict.fromkeys(map(ord, characters), letter))
    looks = {code: _followed(read, looks) for code, read in looks.items()}
    for low, high in _MARKS + _UNSEEN:
        looks.update(dict.fromkeys(range(low, high + 1), GONE))
    looks[0] = GONE
    looks |= {ord(letter): letter.lower() for letter in ascii_letters}
    for code in (*range(0x2000, 0x2C00), *range(0x1F000, 0x1FB00), *range(0x370, 0x530)):
        looks.setdefault(code, chr(code))  # a miss costs more than an entry
    cased = dict(looks)
    for code in looks:
        small = chr(code).casefold()
        if len(small) == 1 and small != chr(code):
            cased[code] = looks.get(ord(small), small)
    _add_capitals(looks, cased)
    return looks, cased


def _related() -> Table:
    """What the interpreter's tables relate."""
    codes = (code for low, high in _DERIVED for code in range(low, high))
    pairs = ((code, _derived(chr(code))) for code in codes)
    return {code: read for code, read in pairs if read is not None}


def _followed(read: str, looks: Table) -> str:
    """What the reading is read as itself, and so on."""
    while len(read) == 1 and looks.get(ord(read), read) != read:
        read = looks[ord(read)]
    return read


def _add_capitals(looks: Table, cased: Table) -> None:
    """Capitals whose small form alone is known, in the scripts that have case."""
    for code in (*range(0x370, 0x590), *range(0x10A0, 0x1100), *range(0x13A0, 0x13F6)):
        small = chr(code).casefold()
        if len(small) == 1 and small != chr(code):
            read = cased.get(ord(small), small)
            cased[code] = read
            looks.setdefault(code, read)


def _digits() -> Table:
    """Every script's digits."""
    found: Table = {}
    for code in range(0x660, 0x1FC00):
        if 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xD800:
            continue
        value = unicodedata.decimal(chr(code), None)
        if value is not None:
            found[code] = str(value)
    return found


def _derived(character: str) -> str | None:
    """What Unicode itself says that it is a form of; None if of nothing else."""
    read = strip_marks(character).casefold()
    if len(read) > 1:
        # "(a)" is a letter in parentheses; anything else that is no word stays as it is
        inner = read.strip("().,")
        read = inner if inner.isalnum() and len(inner) <= 3 else character
    is_one = read.isalnum() or character >= "\ufe30" or len(read) == 1
    is_plain = read.isascii() or unicodedata.category(read[:1] or " ")[0] in "LN"
    if read and read != character and is_one and is_plain:
        return read
    named = _NAMED.fullmatch(unicodedata.name(character, ""))
    if named is not None:
        return named[1].lower()
    return None


class _Runs(dict[str, str]):
    """What runs of characters come to by a table, each looked up once."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, run: str) -> str:
        found = self[run] = run.translate(self._table)
        return found


FOREIGN = re.compile(r"[^\x00-\x7f]{1,200}+")
"""Runs of what is not ASCII."""
_LONE = "surrogatepass"


def translated(text: str, table: Table) -> str:
    """`text.translate(table)`, which looks each character up unless all of them are ASCII.

    ASCII is what the tables leave alone, or take in small letters and no other way.
    """
    is_folding = ord("A") in table
    if text.isascii():
        return text.lower() if is_folding else text
    data = text.encode(errors=_LONE)
    if len(data) - len(text) > len(text) // 3:  # little of it is ASCII
        return text.translate(table)
    if is_folding:
        text = data.lower().decode(errors=_LONE)
    runs = _Runs(table)
    return FOREIGN.sub(lambda match: runs[match[0]], text)


def any_of(codes: Iterable[int]) -> str:
    """A class of a regular expression for these code points, by ranges, which are fast."""
    parts: list[str] = []
    first = last = -2
    for code in (*sorted(set(codes)), -2):
        if code == last + 1:
            last = code
            continue
        if last >= 0:
            parts.append(f"{re.escape(chr(first))}-{re.escape(chr(last))}")
        first = last = code
    return f"[{''.join(parts)}]"
