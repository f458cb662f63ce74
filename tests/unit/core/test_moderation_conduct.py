"""Conduct: what only several messages show, found in time, forgotten in time, inside bounds."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from core.messages import Attachment, Author, ConversationId, Edited, Joined, Message, Place
from core.moderation.conduct import MAX_PEOPLE, Conduct, ConductHit
from core.moderation.conduct_settings import (
    ConductSettings,
    Duplicate,
    FirstLink,
    Flood,
    Honeypot,
    Joins,
    Mentions,
    Raid,
    Spread,
    faults,
)
from core.moderation.raids import Likenesses, is_alike, skeleton

ALL = ConductSettings(
    flood=Flood(),
    duplicate=Duplicate(),
    spread=Spread(),
    mentions=Mentions(),
    raid=Raid(),
    joins=Joins(),
    first_link=FirstLink(),
    honeypot=Honeypot(channels=frozenset({"trap"})),
)
CONVERSATION = ConversationId("c")
BASES = (
    "free nitro for everyone who joins our server today claim your gift before midnight here",
    "hello friends we are giving away one thousand dollars please send me a private message now",
    "your account will be suspended tomorrow unless you verify the password behind this address",
    "earn money from home without experience our trading team teaches beginners every morning",
    "leaked photographs of famous streamers are available behind the link in our description",
)


class Room:
    """A workspace under watch, with a clock."""

    def __init__(self, settings: ConductSettings = ALL) -> None:
        self.conduct = Conduct(settings)
        self.now = 1000.0
        self._count = 0

    def say(
        self,
        text: str,
        author: str = "ann",
        *,
        channel: str = "c1",
        after: float = 1.0,
        **more: object,
    ) -> list[ConductHit]:
        self.now += after
        self._count += 1
        place = Place("discord", "1", channel, is_private=bool(more.pop("is_private", False)))
        name = str(more.pop("id", f"m{self._count}"))
        message = Message(
            CONVERSATION,
            place,
            name,
            self._count,
            Author(author),
            text,
            **more,  # type: ignore[arg-type]
        )
        return self.conduct.observe(message, text, self.now)

    def join(self, author: str, *, after: float = 1.0) -> list[ConductHit]:
        self.now += after
        place = Place("discord", "1", "")
        return self.conduct.observe_join(
            Joined(CONVERSATION, place, Author(author), self.now), self.now
        )


def rules(hits: list[ConductHit]) -> list[str]:
    return [hit.rule for hit in hits]


def test_the_message_that_makes_a_flood_is_a_hit() -> None:
    """Eight within eight seconds are, seven are not, and eight in a minute are not."""
    room = Room()
    found = [rules(room.say(f"word{chr(97 + n)} x", after=1.0)) for n in range(8)]

    assert found[:7] == [[]] * 7
    assert found[7] == ["conduct.flood"]
    assert all(not room.say(f"calm{chr(97 + n)}", "bob", after=8.0) for n in range(12))


@pytest.mark.parametrize("settings", [ALL, ConductSettings(flood=Flood())])
def test_all_of_a_flood_is_to_be_cleaned_up(settings: ConductSettings) -> None:
    """The hit names every earlier message of it, whatever else is looked for."""
    room = Room(settings)
    found = [room.say(f"word{chr(97 + n)} x", after=0.5) for n in range(9)]

    assert [[where[1] for where in hit.touched] for hit in found[7]] == [
        [f"m{n}" for n in range(1, 8)]
    ]
    assert [hit.rule for hit in found[8]] == ["conduct.flood"]
    assert room.say("word", id="m9", after=0.1) == []


def test_of_too_many_people_the_quiet_ones_are_forgotten() -> None:
    """Whoever wrote lately still counts, and whoever did not begins anew."""
    room = Room(ConductSettings(flood=Flood(seconds=3600)))
    for _ in range(7):
        room.say("quiet", "quiet", after=0.001)
    for person in range(MAX_PEOPLE - 1):
        room.say("once", f"p{person}", after=0.001)
    for _ in range(6):
        room.say("busy", "p9000", after=0.001)
    room.say("one more", "new", after=0.001)

    assert rules(room.say("busy", "p9000", after=0.001)) == ["conduct.flood"]
    assert rules(room.say("quiet", "quiet", after=0.001)) == []


def test_a_message_that_comes_twice_counts_once() -> None:
    """A redelivery and an edit are the same message."""
    room = Room()
    for _ in range(20):
        assert room.say("the same one", id="m1", after=0.1) == []


def test_the_same_text_again_is_a_repetition_whatever_decorates_it() -> None:
    """Case, digits and punctuation do not make it another one; the others are to be cleaned up."""
    room = Room()
    for text in ("Buy this now", "buy THIS now!!", "buy this now 123"):
        assert room.say(text) == []
    hits = room.say("BUY this, now")

    assert rules(hits) == ["conduct.duplicate"]
    assert hits[0].touched == (("c1", "m1"), ("c1", "m2"), ("c1", "m3"))


def test_the_same_text_in_three_channels_is_spread() -> None:
    """And every channel that was touched is named."""
    room = Room()
    room.say("look at my new shop", channel="c1")
    room.say("look at my new shop", channel="c2")
    hits = room.say("look at my new shop", channel="c3")

    assert rules(hits) == ["conduct.spread"]
    assert hits[0].touched == (("c1", "m1"), ("c2", "m2"))
    assert not [room.say("hi", "bob", channel=f"d{n}") for n in range(5) if n > 5]
    assert all(not room.say("hi", "bob", channel=f"d{n}") for n in range(5))


def test_the_same_files_in_three_channels_are_spread_without_a_word() -> None:
    """A hijacked account posts its images everywhere."""
    room = Room()
    files = (Attachment("f", "a.png", "image/png", 1234), Attachment("g", "b.png", "image/png", 99))
    found = [rules(room.say("", channel=f"c{n}", attachments=files)) for n in range(3)]

    assert found == [[], [], ["conduct.spread"]]


@pytest.mark.parametrize(
    ("text", "is_hit"),
    [
        (" ".join(f"@name{n}" for n in range(8)), True),
        (" ".join(f"@name{n}" for n in range(7)), False),
        ("@name " * 20, False),
        ("look, @everyone", True),
        ("write to me@example.com", False),
    ],
)
def test_calling_many_people_is_a_hit(text: str, is_hit: bool) -> None:
    """Different people count, `@everyone` counts as many, a mail address is nobody."""
    assert rules(Room().say(text)) == (["conduct.mentions"] if is_hit else [])


def test_mentions_add_up_for_a_while() -> None:
    """Three messages with three people each are too many, an hour apart they are not."""
    room = Room()
    found = [rules(room.say(f"@a{n} @b{n} @c{n}")) for n in range(3)]

    assert found == [[], [], ["conduct.mentions"]]
    assert all(not room.say(f"@a{n} @b{n} @c{n}", after=3600) for n in range(3))


def mutations() -> dict[str, Callable[[str, random.Random], str]]:
    """What spammers change from copy to copy."""

    def at(text: str, source: random.Random, piece: str) -> str:
        words = text.split()
        words.insert(source.randrange(len(words) + 1), piece)
        return " ".join(words)

    return {
        "digits": lambda text, source: f"{text} {source.randrange(10**6)}",
        "mention": lambda text, source: f"@user{source.randrange(10**6)} {text}",
        "emoji": lambda text, source: at(text, source, source.choice("🔥🎁💰🚀✅")),
        "case": lambda text, source: "".join(
            each.upper() if source.random() < 0.2 else each for each in text
        ),
        "punctuation": lambda text, source: at(text, source, source.choice("!-.*~")),
        "query": lambda text, source: f"{text} https://x.example/?id={source.randrange(10**9)}",
        "word": lambda text, source: at(text, source, source.choice(["pls", "guys", "ok", "yes"])),
        "unseen": lambda text, source: text.replace("e", "e\u200b", source.randrange(1, 4)),
        "homoglyph": lambda text, source: text.replace("a", "а", source.randrange(1, 3)),
        "less": lambda text, source: " ".join(
            word for word in text.split() if word != source.choice(text.split())
        ),
    }


@pytest.mark.parametrize("count", [1, 2, 4])
def test_near_duplicates_are_recognised(count: int) -> None:
    """With up to four changes at least 98 of 100 copies are put to the others."""
    source = random.Random(count)
    ways = list(mutations().values())
    missed = 0
    for base in BASES:
        recent = Likenesses(0.6, 1e9)
        for copy in range(200):
            text = base
            for way in source.sample(ways, count):
                text = way(text, source)
            written = skeleton(text)
            group = recent.add(
                f"a{copy}", ("c", str(copy)), copy, written, frozenset(written.split())
            )
            missed += copy > 0 and group is None

    assert missed <= 0.02 * 5 * 200


def test_different_messages_are_not_taken_for_copies() -> None:
    """At most 20 of 200,000 pairs of unrelated messages."""
    source = random.Random(5)
    common = [*("the", "to", "you", "and", "it", "is", "that", "of", "in", "what", "for", "on")]
    common += ["are", "not", "have", "with", "this", "but", "do", "was"]
    rare = [
        "".join(source.choices("etaoinshrdlucmfwypvbgk", k=source.randint(4, 9)))
        for _ in range(900)
    ]
    texts = [
        " ".join(
            source.choice(common if source.random() < 0.5 else rare)
            for _ in range(source.randint(4, 14))
        )
        for _ in range(640)
    ]
    written = [frozenset(skeleton(text).split()) for text in texts]
    merged = sum(
        is_alike(one, other, 0.6) for at, one in enumerate(written) for other in written[:at]
    )

    assert merged <= 20


def test_a_raid_is_seen_at_its_fourth_account_and_known_from_then_on() -> None:
    """All its messages are named once; later ones are hits at once, until the alarm ends."""
    room = Room()
    source = random.Random(1)
    ways = mutations()
    found = [
        room.say(
            ways["digits"](ways["emoji"](BASES[0], source), source), f"spam{n}", channel=f"c{n}"
        )
        for n in range(50)
    ]

    assert [rules(hits) for hits in found[:3]] == [[], [], []]
    assert [rules(hits) for hits in found[3:]] == [["conduct.raid"]] * 47
    assert found[3][0].touched == (("c0", "m1"), ("c1", "m2"), ("c2", "m3"))
    assert all(hits[0].touched == () for hits in found[4:])
    place = Place("discord", "1", "c1")
    assert room.conduct.is_alarmed(place, room.now)
    assert rules(room.say(BASES[0], "late", after=500)) == ["conduct.raid"]
    assert not room.conduct.is_alarmed(place, room.now + 601)
    assert room.say(BASES[0], "later", after=601) == []


def test_people_who_agree_are_no_raid() -> None:
    """Short messages, one person who repeats, and direct messages never make one."""
    room = Room()
    assert all(not room.say("good morning all", f"p{n}") for n in range(30))
    assert all("conduct.raid" not in rules(room.say(BASES[1], "ann", after=70)) for _ in range(10))
    assert all(not room.say(BASES[2], f"q{n}", is_private=True) for n in range(10))


def test_a_wave_of_joins_alarms_the_workspace() -> None:
    """The tenth within a minute does; ten within an hour do not."""
    room = Room()
    assert all(not room.join(f"slow{n}", after=400) for n in range(12))
    room = Room()
    assert all(not room.join("again") for _ in range(20))
    room = Room()
    found = [room.join(f"new{n}") for n in range(10)]

    assert [rules(hits) for hits in found] == [[]] * 9 + [["conduct.joins"]]
    assert found[9][0].accounts == tuple(f"new{n}" for n in range(10))
    assert room.conduct.is_alarmed(Place("discord", "1", "c1"), room.now)


def test_while_alarmed_new_people_post_no_links() -> None:
    """Those who were there before still may."""
    room = Room()
    room.conduct.remember(Place("discord", "1", ""), ["old"])
    for n in range(10):
        room.join(f"new{n}")

    assert rules(room.say("see https://x.example/a", "new1"))[:1] == ["conduct.raid"]
    assert room.say("see https://x.example/a", "old") == []


def test_a_first_message_with_a_link_is_a_hit_once_the_past_is_known() -> None:
    """Until it was told who has written before, nobody is new."""
    room = Room()
    assert room.say("see bad.example.com/x", "ann") == []
    room.conduct.remember(Place("discord", "1", ""), ["ann"])

    assert room.say("see bad.example.com/x", "ann") == []
    assert rules(room.say("see bad.example.com/x", "bob")) == ["conduct.first_link"]
    assert room.say("see other.example.com/x", "bob") == []
    assert room.say("no link at all. really", "cid") == []


def test_a_message_in_a_trap_is_a_hit() -> None:
    """Whoever writes there."""
    hits = Room().say("hello", channel="trap")

    assert rules(hits) == ["conduct.honeypot"]
    assert hits[0].do == ("delete", "timeout", "alert")
    assert hits[0].timeout == 86_400


def test_an_edit_into_spam_counts() -> None:
    """What an edit says takes the place of what was said before."""
    room = Room()
    for n in range(3):
        room.say(BASES[0], f"p{n}")
    place = Place("discord", "1", "c9")
    room.say("hello there", "late", channel="c9", id="e1")
    edited = Edited(CONVERSATION, place, "e1", "2", Author("late"), BASES[0])

    assert rules(room.conduct.observe(edited, edited.text, room.now)) == ["conduct.raid"]


def test_what_is_off_is_never_a_hit() -> None:
    """Without its table nothing is looked for."""
    room = Room(ConductSettings())
    assert not ConductSettings().is_on
    assert all(not room.say(BASES[0] + " @everyone", f"p{n % 3}", after=0.1) for n in range(50))
    assert all(not room.join(f"n{n}") for n in range(50))


def test_a_honeypot_needs_its_channels() -> None:
    """The fault names the key."""
    settings = ConductSettings(honeypot=Honeypot())

    assert list(faults(settings)) == [(("conduct", "honeypot"), "name the channels in `channels`")]
    assert list(faults(ALL)) == []


def test_a_hit_survives_json() -> None:
    """It may be stored."""
    hit = Room().say("hello", channel="trap")[0]

    assert msgspec.json.decode(msgspec.json.encode(hit), type=ConductHit) == hit


def test_an_active_person_costs_little_more_than_two_kibibytes() -> None:
    """With eight recent messages each, everything counted."""
    source = random.Random(2)
    words = ["".join(source.choices("etaoinshrdlucm", k=6)) for _ in range(500)]
    room = Room()
    gc.collect()
    tracemalloc.start()
    for _ in range(8):
        for person in range(1000):
            room.say(" ".join(source.choices(words, k=8)), str(10**17 + person), after=0.001)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held / 1000 <= 2250


def test_a_very_long_text_costs_little() -> None:
    """Only its beginning is compared."""
    room = Room()
    room.say("word " * 8000)
    assert len(skeleton("a b " * 10_000)) <= 2_000
