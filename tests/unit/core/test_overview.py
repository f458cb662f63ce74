"""What waits for moderators, what was done, and what their decisions speak for."""

from __future__ import annotations

from typing import Any

from fakes.adapter import FakeAdapter
from fakes.events import message
from fakes.judgements import judgement, running, settled, store_verdict

from core.cases import case_id, get_op
from core.errors import PermissionDenied
from core.messages import Author
from core.overview import overview_op
from core.reviewing import Verb, appeal_op, decide_op
from core.storage import Store

NOW = 1_900_000_000.0
MODERATOR = Author("U7", "Mo")


async def test_an_empty_database_has_nothing_to_tell(store: Store) -> None:
    """Nothing waits, nothing was done, nothing is proposed."""
    found = await store.read(overview_op(0.0))
    assert (found.waiting, found.oldest, found.actions) == (0, (), {})
    assert (found.rechecks, found.open_actions, found.verdicts, found.decisions) == (0, 0, 0, ())


async def test_what_waits_and_what_was_done(store: Store) -> None:
    """Open cases are listed oldest first, without a word of the message; actions are counted."""
    adapter = FakeAdapter()
    adapter.fail("enforce", PermissionDenied("no right"))
    first, second = judgement("delete"), judgement(decision="hold")
    await store_verdict(store, first, second)
    async with running(store, adapter) as process:
        await settled(store, process)
    found = await store.read(overview_op(0.0))
    assert found.waiting == 2
    assert [each.id for each in found.oldest] == [
        case_id(first.subject), case_id(second.subject),
    ]  # fmt: skip
    assert "bad" not in repr(found)
    assert found.actions == {"delete": {"impossible": 1}, "alert": {"done": 2}}
    assert (await store.read(overview_op(1e12))).actions == {}


async def decide(store: Store, number: int, verb: Verb, **more: Any) -> str:
    """Store a verdict about a new text, and what a moderator says of it; the case."""
    post = message(f"text number {number}", author=Author(f"U{number}"))
    found = judgement("alert", post=post, **more)
    await store_verdict(store, found, now=NOW)
    await store.write(decide_op(case_id(found.subject), verb, MODERATOR, NOW))
    return case_id(found.subject)


async def test_decisions_are_counted_and_speak_for_thresholds(store: Store) -> None:
    """What was decided waits no more; with enough decisions a threshold is proposed."""
    for number in range(60):
        is_bad = number % 2 == 0
        scores = {"hate": 0.9 if is_bad else 0.3}
        await decide(store, number, "right" if is_bad else "wrong", categories=scores, hits=())
    found = await store.read(overview_op(0.0))
    assert found.waiting == 0
    (hate,) = found.decisions
    assert (hate.category, hate.right, hate.wrong) == ("hate", 30, 30)
    assert (hate.reaching(0.0), hate.reaching(0.5)) == ((30, 30), (30, 0))
    assert hate.proposal is not None
    assert hate.proposal.block is not None
    assert 0.3 < hate.proposal.block <= 0.9


async def test_what_a_rule_found_speaks_for_no_threshold(store: Store) -> None:
    """A hit counts as 1, which no scorer said; it is counted, and the scorer's word as well."""
    for number in range(50):
        await decide(store, number, "delete" if number % 2 else "wrong")
    await decide(store, 50, "right", categories={"custom": 0.7}, hits=())
    (custom,) = (await store.read(overview_op(0.0))).decisions
    assert (custom.right, custom.wrong, custom.reaching(0.0)) == (26, 25, (1, 0))
    assert custom.proposal is None


async def test_the_last_decision_about_a_text_counts(store: Store) -> None:
    """After an appeal the decision before it is forgotten."""
    case = await decide(store, 1, "right", categories={"hate": 0.7}, hits=())
    found = await store.read(get_op(case))
    assert found is not None
    await store.write(appeal_op(found, NOW + 1))
    assert await store.write(decide_op(case, "wrong", MODERATOR, NOW + 2)) is not None
    (hate,) = (await store.read(overview_op(0.0))).decisions
    assert (hate.right, hate.wrong, hate.reaching(0.0)) == (0, 1, (0, 1))


async def test_a_decision_about_no_category_is_left_out(store: Store) -> None:
    """A text that was held since no scorer answered says nothing about a threshold."""
    await decide(store, 1, "right", categories={}, hits=(), decision="hold")
    assert (await store.read(overview_op(0.0))).decisions == ()
