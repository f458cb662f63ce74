"""The local scorer: it learns what moderators decide, the same each time, and keeps it."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from fakes.waiting import until
from hypothesis import given, settings
from hypothesis import strategies as st

from core.lessons import Lessons
from core.messages import Place
from core.moderation import Moderation
from core.moderation.book import Book
from core.moderation.learner import BUCKETS, ENOUGH, MOST_CATEGORIES, Learner, Model, features
from core.moderation.rules import LocalRules
from core.moderation.scorer import Item, Scored, Scores
from core.moderation.verdicts import Verdict
from core.storage import Op, Store, query


def vocabulary(size: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(draw.choices(letters, k=draw.randint(3, 8))) for _ in range(size)]


class Chat:
    """Texts of two kinds whose vocabularies overlap: a word in four belongs to one kind."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._common = vocabulary(400, 1)
        self._own = {True: vocabulary(60, 2), False: vocabulary(60, 3)}

    def text(self, is_violation: bool) -> str:
        draw = self._draw
        words = []
        for _ in range(draw.randint(6, 14)):
            chance = draw.random()
            own = self._own[is_violation if chance < 0.25 else not is_violation]
            words.append(draw.choice(own if chance < 0.31 else self._common))
        return " ".join(words)

    def labels(self, count: int, share: float = 0.3) -> Iterator[tuple[str, bool]]:
        for _ in range(count):
            is_violation = self._draw.random() < share
            yield self.text(is_violation), is_violation


def average_precision(scored: list[tuple[float, bool]]) -> float:
    hits = total = 0.0
    for rank, (_, is_violation) in enumerate(sorted(scored, key=lambda pair: -pair[0]), 1):
        if is_violation:
            hits += 1
            total += hits / rank
    return total / hits


def taught(count: int, seed: int = 7) -> Learner:
    learner = Learner()
    for text, is_violation in Chat(seed).labels(count):
        learner.learn(text, "spam", is_violation)
    return learner


def test_it_learns_to_tell_two_kinds_apart() -> None:
    """With 1,000 labels of texts that overlap it ranks far better than chance (0.3)."""
    learner, chance = taught(1000), 0.3
    tests = list(Chat(99).labels(800))
    found = average_precision([(learner.scores(text)["spam"], kind) for text, kind in tests])
    assert found > 0.65 > 2 * chance
    few = taught(100)
    assert average_precision([(few.scores(t)["spam"], kind) for t, kind in tests]) > 0.4


def test_probabilities_mean_what_they_say() -> None:
    """Of the texts that get about p, about p are violations."""
    learner = taught(2000)
    buckets: dict[int, list[bool]] = {}
    said: dict[int, list[float]] = {}
    for text, is_violation in Chat(5).labels(3000):
        score = learner.scores(text)["spam"]
        buckets.setdefault(int(score * 5), []).append(is_violation)
        said.setdefault(int(score * 5), []).append(score)
    for place, kinds in buckets.items():
        if len(kinds) >= 150:
            mean = sum(said[place]) / len(said[place])
            assert abs(sum(kinds) / len(kinds) - mean) < 0.15


def test_it_says_nothing_before_it_knows_enough() -> None:
    """A category needs so many labels of each kind; one kind alone teaches nothing to say."""
    learner = Learner()
    for number in range(ENOUGH + 30):
        learner.learn(f"buy pills now {number}", "spam", True)
    assert learner.scores("buy pills now") == {}
    assert not learner.is_ready
    for number in range(ENOUGH):
        assert learner.scores("buy pills now") == {}
        learner.learn(f"see you at lunch {number}", "spam", False)
    scores = learner.scores("buy pills now")
    assert scores["spam"] > 0.5 > learner.scores("see you at lunch")["spam"]


async def test_each_category_for_itself() -> None:
    """A decision about one category says nothing of another; as a scorer it gives all at once."""
    learner = Learner()
    for number in range(30):
        learner.learn(f"pills {number}", "spam", True)
        learner.learn(f"lunch {number}", "spam", False)
        learner.learn(f"lunch {number}", "food", True)
        learner.learn(f"pills {number}", "food", False)
        learner.learn(f"pills {number}", "half", True)
    (pills, lunch) = await learner.score(["pills", Item("lunch", ("data:x",))])
    assert isinstance(pills, dict)
    assert isinstance(lunch, dict)
    assert set(pills) == set(lunch) == {"spam", "food"}
    assert pills["spam"] > lunch["spam"]
    assert pills["food"] < lunch["food"]


def test_the_same_labels_make_the_same_model() -> None:
    """Nothing depends on the process: no chance, no salted hashes, no clock."""
    assert taught(120).models["spam"].dump() == taught(120).models["spam"].dump()
    assert features("Hello, wörld! \U0001f600")[:6] == [
        49550,
        103704,
        112618,
        49550,
        103704,
        112618,
    ]


def test_a_stored_model_goes_on_as_if_nothing_had_been() -> None:
    """Learning after a trip through text gives, bit by bit, what learning without it gives."""
    straight, broken = taught(150), taught(150)
    broken.models = {"spam": Model.load(broken.models["spam"].dump())}
    for text, is_violation in Chat(8).labels(60):
        straight.learn(text, "spam", is_violation)
        broken.learn(text, "spam", is_violation)
    assert straight.models["spam"].dump() == broken.models["spam"].dump()


@pytest.mark.parametrize("text", ["", "nonsense", "c$}P3"])
def test_what_is_no_model_is_refused(text: str) -> None:
    """Damaged text is a ValueError, whatever broke in it."""
    with pytest.raises(ValueError, match="model"):
        Model.load(text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_any_text_has_features(text: str) -> None:
    """Every text can be learned and scored, lone surrogates and control characters too."""
    found = features(text)
    assert all(0 <= place < BUCKETS for place in found)
    assert found == features(text)


def test_case_and_punctuation_make_no_difference() -> None:
    """Letter case and signs are not part of a word."""
    assert features("BUY, pills... now!") == features("buy pills now")


def test_an_update_is_cheap_and_memory_bounded() -> None:
    """A label costs half a millisecond; all categories together stay within 20 MiB."""
    learner = taught(200)
    text = "hello there i think the build is broken again, who did this?"
    took = []
    for number in range(200):
        began = time.perf_counter()
        learner.learn(text, "spam", bool(number % 2))
        took.append(time.perf_counter() - began)
    assert sorted(took)[100] < 0.0015  # three times the aim: the machine is shared
    tracemalloc.start()
    full = Learner()
    for number in range(MOST_CATEGORIES + 3):
        for _ in range(3):
            full.learn(f"{text} {number}", f"category {number}", True)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(full.models) == MOST_CATEGORIES
    assert size < 17 << 20


def label_op(text: str, category: str, is_violation: bool) -> Op[None]:
    yield query(
        "cases.label", case_id="c1", platform="slack", workspace="T1", text=text,
        category=category, scores=f'{{"{category}": {0.9 if is_violation else 0.2}}}',
        is_violation=int(is_violation), now=0.0,
    )  # fmt: skip


async def test_what_was_learned_survives_a_restart(store: Store) -> None:
    """A new process takes up the stored model, and learns the labels that came after it."""
    first = Lessons(store)
    await first.load()
    labels = list(Chat(7).labels(90))
    for number, (text, is_violation) in enumerate(labels):
        await store.write(label_op(text, "spam", is_violation))
        if number in (70, 75):
            await first.catch_up()
    second = Lessons(store)
    await second.load()
    assert sum(second.learner.models["spam"].seen) == 71
    assert await second.catch_up() == 19
    assert second.learner.models["spam"].dump() == taught(90).models["spam"].dump()


async def test_a_damaged_model_is_learned_anew(store: Store) -> None:
    """The labels are the truth: without a readable model they are all learned again."""

    def damage_op() -> Op[None]:
        yield query("memory.put", key="moderation.learner", value='{"after":30,"categories":["a"]}')

    for text, is_violation in Chat(7).labels(30):
        await store.write(label_op(text, "spam", is_violation))
    await store.write(damage_op())
    lessons = Lessons(store)
    await lessons.load()
    assert await lessons.catch_up() == 30


def heard(learner: Learner) -> int:
    return sum(sum(model.seen) for model in learner.models.values())


async def test_labels_are_learned_as_they_come(sqlite_store: Store) -> None:
    """A running bot learns a label when it is told of it."""
    lessons = Lessons(sqlite_store)
    keeping = asyncio.create_task(lessons.keep())
    for number in range(3):
        await sqlite_store.write(label_op(f"buy pills {number}", "spam", True))
        lessons.notice()
        await until(lambda seen=number: heard(lessons.learner) > seen, 5)
    keeping.cancel()


async def test_what_was_learned_joins_the_other_scorers() -> None:
    """The local scorer is asked from its first opinion on, alone or beside another."""

    class Remote:
        async def score(
            self, items: Sequence[Item | str], *, deadline: float | None = None
        ) -> list[Scored]:
            return [Scores({"hate": 0.1}) for _ in items]

        async def aclose(self) -> None:
            pass

    learner = Learner()
    alone = Moderation(Book(LocalRules.build([])), learner=learner)
    beside = Moderation(Book(LocalRules.build([])), Remote(), learner=learner)
    place = Place("slack", "T1", "C1")
    assert not alone.at(place, now=0).has_scorer
    for number in range(ENOUGH):
        learner.learn(f"buy pills {number}", "spam", True)
        learner.learn(f"see you at lunch {number}", "spam", False)
    for moderation in (alone, beside):
        scope = moderation.at(place, now=0)
        assert scope.has_scorer
        verdict = await scope.score(["buy pills"], Verdict())
        assert verdict.categories["spam"] > 0.5
        assert ("hate" in verdict.categories) == (moderation is beside)
        await moderation.aclose()
