"""Terms through evasion: disguises are seen through, and nothing natural is taken for one."""

from __future__ import annotations

import re
from importlib import metadata
from random import Random
from string import printable

import pytest
from evasion.disguises import DISGUISES, disguise, lines, words
from evasion.insults import INSULTS, OTHERS
from hypothesis import given
from hypothesis import strategies as st

from core.moderation.fold_table import tables
from core.moderation.gate import StreamGate, Violation
from core.moderation.peeling import can_be_peeled, peeled
from core.moderation.reading import Reading
from core.moderation.rules import LocalRules, RuleSpec
from core.moderation.views import FEW, beyond_ascii, folded_by, hint_set

RULES = LocalRules.build([RuleSpec("r", terms=INSULTS + OTHERS)])


def terms_in(rules: LocalRules, text: str) -> set[str]:
    return {term for _, term in rules.terms_in(text)}


@pytest.mark.parametrize(
    ("depth", "share"), [(1, 0.99), (2, 0.98), (3, 0.96)], ids=["one", "two", "three"]
)
def test_seeded_disguises_are_seen_through(depth: int, share: float) -> None:
    """Of terms that nobody knows, under up to three disguises at once, nearly all are found."""
    caught = total = 0
    for seed in (20260901, 20260902):
        terms = words(300, seed)
        rules = LocalRules.build([RuleSpec("r", terms=tuple(terms))])
        for text, term, _ in lines(terms, depth, 1500, seed):
            caught += term in terms_in(rules, text)
            total += 1
    assert caught / total >= share


@pytest.mark.parametrize("name", sorted(DISGUISES))
def test_each_disguise_alone_is_seen_through(name: str) -> None:
    """Every kind of disguise is found by itself, for a word in which each of them shows."""
    draw = Random(7)
    texts = [f"well {disguise('bastilodug', [name], draw)} there" for _ in range(20)]
    rules = LocalRules.build([RuleSpec("r", terms=("bastilodug",))])
    assert [text for text in texts if rules.check(text).decision == "allow"] == []


def test_a_hit_names_the_place_in_the_original() -> None:
    """Whatever the disguise, the span lies on it, and holds all of the term's characters."""
    draw = Random(11)
    rules = LocalRules.build([RuleSpec("r", terms=("bastilodug",))])
    for name in sorted(DISGUISES):
        hidden = disguise("bastilodug", [name], draw)
        text = f"so {hidden} and"
        for hit in rules.check(text).hits:
            assert 3 <= hit.start < hit.end <= 3 + len(hidden)
            assert rules.check(f"so {text[hit.start : hit.end]} and").hits or hit.view in (
                "reversed", "encoded"
            )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("such a b a d w o r d", "badword"),
        ("f*ck that", "fuck"),
        ("sh!t and $h1t", "shit"),
        ("an @$$hole", "asshole"),
        ("b||a||dword", "badword"),
        ("<b>bad</b>word", "badword"),
        ("&#98;&#97;dword", "badword"),
        ("%2562adword", "badword"),
        ("\u202edrowdab", "badword"),
        ("pɹoʍpɐq", "badword"),
        ("🅱🅰🅳🆆🅾🆁🅳", "badword"),
        ("🇧 🇦 🇩 🇼 🇴 🇷 🇩", "badword"),
        ("\\/\\/hore", "whore"),
        ("kill   y0urself", "kill yourself"),
        ("k i l l y o u r s e l f", "kill yourself"),
        ("http://bad-site[.]example/x", "bad-site.example"),
        ("bad-site dot example", "bad-site.example"),
        ("c0vid19", "covid19"),
        ("１４８８", "1488"),
        ("cyкa", "сука"),
        ("с.у.к.а", "сука"),
        ("你傻 逼吗", "傻逼"),
        ("おバカさん", "バカ"),
        ("fuuuuuck", "fuck"),
        ("bbastard", "bastard"),
        ("a55", "ass"),
        ("_badword_", "badword"),
        ("\u202eаку\u0441\u202c", "сука"),
        ("&#1089;&#1091;&#1082;&#1072;", "сука"),
        ("%D1%81%D1%83%D0%BA%D0%B0", "сука"),
        ("%E5%82%BB%E9%80%BC", "傻逼"),
        ("傻\n逼", "傻逼"),
        ("bas😀ta🔥rd", "bastard"),
        ("pri🔥ck", "prick"),
        ("b🔥*st😀ard", "bastard"),
        ("k*ll yourself", "kill yourself"),
        ("kill yo*rs3lf", "kill yourself"),
        ("b*d-site.example", "bad-site.example"),
        ("ʙᴀᴅ-ꜱɪᴛ*.ᴇxᴀᴍᴘʟᴇ", "bad-site.example"),
        ("b a d < b > < / b > w o r d", "badword"),
        ("b a d | | w o r d | |", "badword"),
        ("&#98;&#97;&#1<b></b>00;word", "badword"),
        ("b_\u0301_a_\u0302_d_w_\u0303_o_r_d_", "badword"),
        ("\u202edrow<b></b>dab\u202c", "badword"),
        ("\\U00000062\\U00000061\\U00000064word", "badword"),
        ('badd"word', "badword"),
        ("ba''dword", "badword"),
        ("b•a•dw•ord", "badword"),
        ("bad&nbsp;word", "badword"),
        ("b*ssstard", "bastard"),
    ],
)
def test_what_people_write(text: str, term: str) -> None:
    """Examples of each kind, which also tell which term was meant."""
    assert term in terms_in(RULES, text)


@pytest.mark.parametrize(
    "text",
    [
        "who're you", "he'll be there", "don't i think", "it costs 455", "as sent", "Scunthorpe",
        "not bad. Word of honour", "550e8400-a55e-41d4-a716-446655440000", "a*s*s + b", "#a55",
        "hoop", "x = a+s+s", "g r a p e s", "he class passes assets", "p.ass_through(a, s, s)",
        "вот сор на полу и рот", "Η ΣΟΡ ΚΑΙ ΤΟ ΡΟΤ ΤΗΣ", "as-is",
        "aujourd'hui they're o'clock",
        "I😀 as 😀s", "• c\n• o\n• p", "line as\ns it", "%20as%20s", "n*xt ye*r", "&nbsp;as&nbsp;",
        "the analysis of cocktails", "the public interest",
        "in 2h 15m at 10:45, room 4b", "1 + 1 = 2; a / s / s", "sha256:ba55e11a55de", "**tty**: a",
    ],
)  # fmt: skip
def test_what_is_no_disguise(text: str) -> None:
    """Words that hold others, sums, codes, other languages: nothing is found."""
    assert terms_in(RULES, text) == set()


LANGUAGES = {
    "ru": ("Вчера мы долго гуляли по набережной и говорили о новой книге.",
           "Кот спит на окне, а собака ждёт, когда её поведут гулять.",
           "Он сор вынес, рот закрыл и сел писать ответ на письмо."),
    "el": ("Το πρωί ήπιαμε καφέ δίπλα στη θάλασσα και μιλήσαμε για το ταξίδι.",
           "Η μητέρα μου μαγειρεύει κάθε Κυριακή για όλη την οικογένεια.",
           "ΤΟ ΝΕΡΟ ΕΙΝΑΙ ΚΡΥΟ ΚΑΙ Ο ΚΗΠΟΣ ΟΜΟΡΦΟΣ."),
    "de": ("Die Straße führt über einen Hügel zu einem großen, alten Haus.",
           "Fünf müde Füchse schliefen gemütlich unter der schönen Brücke.",
           "Könnten Sie mir bitte sagen, wann der nächste Zug nach Köln fährt?"),
    "tr": ("Bugün hava çok güzel, akşam sahilde yürüyüş yapacağız.",
           "Kardeşim yeni işine başladı ve çok mutlu görünüyor.",
           "Şu anda evde değilim ama birazdan dönüp sana yazarım."),
    "vi": ("Hôm nay trời đẹp nên chúng tôi đi dạo quanh hồ với bạn bè.",
           "Mẹ tôi nấu một nồi canh rất ngon cho cả nhà ăn tối.",
           "Anh ấy cười tít mắt khi nghe tin vui về kỳ thi của em."),
    "hi": ("आज सुबह हमने बगीचे में फूल लगाए और फिर चाय पी।",
           "मेरी बहन कल दिल्ली से ट्रेन में घर लौट रही है।",
           "क्या आप मुझे पुस्तकालय का रास्ता बता सकते हैं?"),
    "he": ("אתמול הלכנו לים ואכלנו גלידה עם הילדים.",
           "הספר החדש שלה מספר על משפחה קטנה בכפר רחוק.",
           "אפשר לקבל כוס מים ועוד קצת לחם בבקשה?"),
    "ja": ("昨日は友達と公園で桜を見ながらお弁当を食べました。",
           "新しい本屋が駅の近くにできたので、週末に行くつもりです。",
           "すみません、この電車は東京駅に止まりますか。"),
}  # fmt: skip


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_hit_in_other_languages(language: str) -> None:
    """Sentences of eight languages, alone and as one text, hold no Latin term."""
    rules = LocalRules.build([RuleSpec("r", terms=(*INSULTS, *words(600, 5)))])
    for text in (*LANGUAGES[language], " ".join(LANGUAGES[language])):
        assert rules.check(text).hits == ()


def technical_lines(count: int) -> list[str]:
    """Lines of what the packages that are installed say about themselves, and of their licences."""
    found: dict[str, None] = {}
    for package in metadata.distributions():
        texts = [package.read_text("METADATA") or ""]
        texts += [
            (package.locate_file(path)).read_text("utf-8", errors="replace")  # type: ignore[attr-defined]
            for path in package.files or ()
            if str(path).endswith((".py", ".pyi", ".md", ".rst"))
        ][:60]
        for text in texts:
            found |= dict.fromkeys(line for line in text.splitlines() if len(line.strip()) > 15)
        if len(found) > 3 * count:
            break
    every = list(found)
    Random(3).shuffle(every)
    return every[:count]


def test_clean_technical_lines_have_few_hits_more() -> None:
    """Documentation and code give hardly more hits than a search for whole words gives."""
    clean = technical_lines(30_000)
    terms = (*INSULTS, *words(300, 21))
    rules = LocalRules.build([RuleSpec("r", terms=terms)])
    plain = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, terms))})(?!\w)", re.IGNORECASE)
    extra = []
    for line in clean:
        known = {match.span() for match in plain.finditer(line)}
        extra += [line for hit in rules.check(line).hits if (hit.start, hit.end) not in known]
    assert len(extra) <= 10 * len(clean) / 30_000, extra


def test_a_link_spares_its_text_no_look() -> None:
    """An ordinary link hints at nothing; what is disguised beside it, or as one, is found."""
    for link in ("https://example.com/a-b?c=1", "<http://www.example.com/how-to/>"):
        assert terms_in(RULES, f"see {link}") == set()
        assert "bastard" in terms_in(RULES, f"{link} b.a.s.t.a.r.d")
        assert "bastard" in terms_in(RULES, f"b a s t a r d {link} ok")
    for host in ("b-a-s-t-a-r-d.example", "bastard.example", "x.example/b/a/s/t/a/r/d",
                 "x.example/b%61stard", "x.example?q=b-a-s-t-a-r-d", "ba-st-ard.com",
                 "www.ba-st-ard.example/how-to", "shop.ba-st-ard.example"):  # fmt: skip
        assert "bastard" in terms_in(RULES, f"see https://{host} now")


def test_hosts_with_dashes_are_no_hits() -> None:
    """What names with short parts come to without their dashes is no term, whole or in part."""
    for host in ("en-gb.example.com", "to-do.example", "us-east-1.api.example.com", "my-app.io",
                 "cdn-01.example.net/a-b", "how-to-do-it.example", "bas-tion.example"):  # fmt: skip
        assert terms_in(RULES, f"see https://{host} now") == set()


def test_letters_apart_are_found_behind_any_padding() -> None:
    """What hints at disguises all the way down does not hide one at the end of a long text."""
    padding = "x-1 y.z a_b " * 2000
    assert "bastard" in terms_in(RULES, padding + "b-a-s-t-a-r-d")
    assert "bastard" in terms_in(RULES, padding + "baaaastard")


def test_an_allow_list_covers_whole_hits() -> None:
    """An allowed term takes back the hits inside of it, and no other."""
    rules = LocalRules.build([RuleSpec("r", terms=("*cunt*",), allow=("Scunthorpe", "cunt"))])
    assert [(hit.start, hit.end) for hit in rules.check("Scunthorpe, cunt, cunts").hits] == [
        (18, 22)
    ]


def test_strict_spelling_sees_no_disguise() -> None:
    """A rule may want its terms as they are spelled only."""
    rules = LocalRules.build([RuleSpec("r", terms=("badword",), strict_spelling=True)])
    assert rules.check("b4dword b a d w o r d bádword").hits == ()
    assert rules.check("BadWord").hits


def stream(rules: LocalRules, text: str, draw: Random) -> tuple[str, Violation | None, list[int]]:
    """What came out, what stopped it, and how much was held after each piece."""
    gate, out, at = StreamGate(rules), "", 0
    held: list[int] = []
    try:
        while at < len(text):
            size = draw.randint(1, 7)
            out += gate.feed(text[at : at + size])
            at += size
            held.append(gate.held)
        out += gate.finish()
    except Violation as violation:
        return out, violation, held
    return out, None, held


def test_planted_terms_leak_nothing_from_streams() -> None:
    """Through all views as well, a plain term never leaks, and less than one character is held."""
    draw = Random(20260909)
    every = words(900, 31)
    draw.shuffle(every)
    terms, clean = every[:300], every[300:]
    rules = LocalRules.build([RuleSpec("r", terms=tuple(terms))])
    kept: list[int] = []
    for number in range(10_000):
        parts = [draw.choice(clean) for _ in range(10)]
        if number % 2:
            parts.insert(draw.randrange(10), draw.choice(terms).title())
        text = " ".join(parts)
        out, violation, held = stream(rules, text, draw)
        verdict = rules.check(text)
        assert (violation is not None) == (verdict.decision == "refuse")
        assert text.startswith(out)
        assert len(out) <= min((hit.start for hit in verdict.hits), default=len(text))
        kept += held
    assert sum(kept) / len(kept) < 1


def test_a_disguise_in_a_stream_never_stays() -> None:
    """What the whole text is refused for stops its stream, at the latest at its end."""
    draw = Random(20260910)
    terms = words(200, 41)
    rules = LocalRules.build([RuleSpec("r", terms=tuple(terms))])
    late = total = 0
    for text, _, _ in lines(terms, 1, 1500, 51):
        if rules.check(text).decision != "refuse":
            continue
        _, violation, _ = stream(rules, text, draw)
        assert violation is not None
        total += 1
        late += violation.late
    assert late / total < 0.2


@given(
    st.text(
        st.one_of(
            st.sampled_from(printable + "éïñцавΩÅ’😀"), st.characters(exclude_categories=["Cs"])
        )
    )
)
def test_few_odd_characters_fold_as_many_do(written: str) -> None:
    """Whether a text is rewritten by its odd characters or one by one, all are read alike."""
    _, cased = tables()
    odd = "".join(set(beyond_ascii(written)))
    folded = folded_by(written, odd)

    assert len(odd) > FEW or folded == written.translate(cased).lower()


@given(st.text("ab .-_*|`~<>[](){}&#;%61\\u0dot:=", max_size=40))
def test_what_can_not_be_peeled_is_not(written: str) -> None:
    """The quick look never denies a layer that there is."""
    reading = Reading(written, written)
    assert can_be_peeled(reading) or not list(peeled(reading))


@given(st.text(printable, max_size=60))
def test_hints_of_ascii_are_those_of_all_scripts(written: str) -> None:
    """The small set of hints says of a text in ASCII what the large one says."""
    folded = written.lower().encode()

    assert set(hint_set(is_ascii=True)(folded)) == set(hint_set(is_ascii=False)(folded))
