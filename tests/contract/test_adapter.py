"""What every adapter promises to the core; `core.adapter` names it, this file defines it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fakes.platforms import PLATFORMS, Platform, quiet, target_of

from core.actions import ORDERED
from core.adapter import Activity, Order, Part, Urgency
from core.errors import AttachmentRejected, PermissionDenied, PlatformError, TargetGone
from core.messages import Attachment, Deleted, Edited, Event, Message


@pytest.fixture(params=sorted(PLATFORMS))
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    """Each platform in turn."""
    async with PLATFORMS[request.param]() as found:
        yield found


def part(text: str, *, index: int = 0, turn: str = "turn", is_final: bool = True) -> Part:
    """A part of an answer."""
    return Part(turn, index, text, is_final=is_final)


def whole(texts: list[str]) -> str:
    """What members read, without the platform's own white space."""
    return " ".join(" ".join(texts).split())


async def test_a_message_comes_as_an_event_that_can_be_kept(platform: Platform) -> None:
    """A mention asks the assistant; its event survives JSON and says who wrote what where."""
    post = await platform.ask("hello there")
    assert (post.text.split()[-2:], post.is_addressed) == (["hello", "there"], True)
    assert post.author.id
    assert post.author.name.lower() == "alice"
    assert post.position > 0
    assert post.conversation.startswith(f"{post.place.platform}:{post.place.workspace}:")
    assert msgspec.json.decode(msgspec.json.encode(post), type=Event) == post  # type: ignore[arg-type]


async def test_positions_grow(platform: Platform) -> None:
    """Later messages of a channel have higher positions."""
    posts = [await platform.ask(f"number {number}") for number in range(3)]
    positions = [post.position for post in posts]
    assert positions == sorted(set(positions))


async def test_changes_are_about_their_message(platform: Platform) -> None:
    """An edit and a deletion carry the message's id, place and position."""
    post = await platform.ask("helo")
    change = await platform.change(post, "hello")
    assert isinstance(change, Edited)
    assert change.text.endswith("hello")
    assert change.version
    end = await platform.change(post, None)
    assert isinstance(end, Deleted)
    for event in (change, end):
        assert (event.id, event.position, event.place.channel) == (
            post.id, post.position, post.place.channel
        )  # fmt: skip


async def test_what_is_posted_is_seen(platform: Platform) -> None:
    """Each post is one message with the part's text; parts stand in order."""
    where = target_of(await platform.ask("hello"))
    for index, text in enumerate(["first part", "second part"]):
        assert await platform.adapter.post(where, part(text, index=index))
    assert whole(platform.seen()) == "first part second part"


async def test_it_does_not_hear_itself(platform: Platform) -> None:
    """What the assistant posts and edits is no event, whatever it says."""
    where = target_of(await platform.ask("hello"))
    await quiet()
    count = len([event for event in platform.events() if isinstance(event, Message)])
    message_id = await platform.adapter.post(where, part("hello myself", is_final=False))
    await platform.adapter.edit(where, message_id, part("hello myself, hello"))
    await quiet()
    assert len([event for event in platform.events() if isinstance(event, Message)]) == count


async def test_an_edit_shows_the_new_text_however_often(platform: Platform) -> None:
    """A message shows what it was edited to last; the same edit again changes nothing."""
    adapter = platform.adapter
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("one", is_final=False))
    await adapter.edit(where, message_id, part("one two", is_final=False))
    for _ in range(2):
        await adapter.edit(where, message_id, part("one two three"))
    assert whole(platform.seen()) == "one two three"


async def test_a_final_text_may_be_another_one(platform: Platform) -> None:
    """A growing text can be replaced by one that does not begin like it, as a refusal does."""
    adapter = platform.adapter
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("something bad", is_final=False))
    await adapter.edit(where, message_id, part("I can't say that."))
    assert whole(platform.seen()) == "I can't say that."


async def test_a_withdrawn_message_is_gone_for_good(platform: Platform) -> None:
    """Deleting is idempotent; an edit after it says that the target is gone, and posts nothing."""
    adapter = platform.adapter
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("one"))
    await adapter.withdraw(where, message_id)
    with suppress(TargetGone):
        await adapter.withdraw(where, message_id)
    with pytest.raises(TargetGone):
        await adapter.edit(where, message_id, part("two"))
    assert not platform.seen()


async def test_a_post_of_unknown_outcome_can_be_made_sure_of(platform: Platform) -> None:
    """Looking first, then posting if nothing was found, leads to one message with one id."""
    adapter = platform.adapter
    since = time.time()
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("one"))
    found = await adapter.find(where, part(""), since) or await adapter.post(where, part("one"))
    assert found == message_id
    assert whole(platform.seen()) == "one"


async def test_a_post_that_will_not_be_repeated_is_found_at_once(platform: Platform) -> None:
    """Whoever wants it gone can't make sure of it by posting once more."""
    adapter = platform.adapter
    since = time.time()
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("one"))
    assert await adapter.find(where, part(""), since, again=False) == message_id


async def test_what_was_never_posted_is_not_found(platform: Platform) -> None:
    """Neither another part nor another turn's is taken for the one that is looked for."""
    adapter = platform.adapter
    since = time.time()
    where = target_of(await platform.ask("hello"))
    await adapter.post(where, part("one"))
    other = target_of(await platform.ask("again"))
    assert await adapter.find(other, part("", turn="other"), since) is None
    for again in (True, False):
        assert await adapter.find(where, part("", index=1), since, again=again) is None


async def test_a_long_text_is_cut_without_loss(platform: Platform) -> None:
    """Rendered parts keep every word in order and the platform's limit; nothing gives nothing."""
    text = "\n\n".join(f"paragraph{number} " + "word " * 120 for number in range(30))
    parts = platform.adapter.render(text)
    assert list(platform.adapter.render("")) == []
    assert list(platform.adapter.render(text)) == list(parts)
    pieces = "".join(parts) if platform.adapter.capabilities.platform == "fake" else " ".join(parts)
    assert re.findall(r"\w+", pieces) == re.findall(r"\w+", text)
    where = target_of(await platform.ask("hello"))
    for index, piece in enumerate(parts[:2]):
        await platform.adapter.post(where, part(piece, index=index))


async def test_waiting_can_be_given_up(platform: Platform) -> None:
    """A draft's wait for its slot ends at once when it is cancelled, and blocks nobody else."""
    adapter = platform.adapter
    where = target_of(await platform.ask("hello"))
    message_id = await adapter.post(where, part("one", is_final=False))
    waits = [asyncio.create_task(adapter.pace(where, Urgency.EDIT, message_id)) for _ in range(30)]
    await asyncio.sleep(0.01)
    for wait in waits:
        wait.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*waits, return_exceptions=True)
        await adapter.pace(where, Urgency.FINAL, message_id)


async def test_showing_work_never_fails(platform: Platform) -> None:
    """Activity is shown where it can be, and is no reason for an error anywhere."""
    where = target_of(await platform.ask("hello"))
    for activity in (Activity.WORKING, Activity.WORKING, Activity.IDLE, Activity.IDLE):
        await platform.adapter.indicate(where, activity)


async def test_a_thread_is_read_back_oldest_first(platform: Platform) -> None:
    """What stands before a question is told in order, our own part of it as ours."""
    adapter = platform.adapter
    first = await platform.ask("the beginning")
    where = target_of(first)
    await adapter.post(where, part("our answer"))
    last = await platform.ask("the end", after=first.id)
    found = [each async for each in adapter.backfill(target_of(last), 20)]
    assert [each.id for each in found if not each.author.is_self][:1] == [first.id]
    assert last.id not in [each.id for each in found]
    assert [each.position for each in found] == sorted(each.position for each in found)
    own = [each.text for each in found if each.author.is_self]
    assert own in ([], ["our answer"])


async def test_a_file_that_is_not_there_is_an_error_of_ours(platform: Platform) -> None:
    """A download that can't be made is refused as one that the core knows."""
    file = Attachment("1", "a.txt", "text/plain", 10, "https://files.invalid/1")
    with pytest.raises((AttachmentRejected, PlatformError)):
        await platform.adapter.fetch(file, 1000)


def order(post: Message, action: str, **more: Any) -> Order:
    """An order about a member's message; an alert goes to the same channel."""
    given: dict[str, Any] = {"channel": post.place.channel, "case": "0" * 20, "text": "beware"}
    key = "abcdef0123456789abcd"
    return Order(key, action, post.place, post.author, post.id, **(given | more))


async def test_powers_are_what_the_core_can_order(platform: Platform) -> None:
    """A platform's powers are actions that are planned; all can alert and warn somebody."""
    known = platform.adapter.capabilities
    assert {"alert", "warn"} <= known.powers <= set(ORDERED)
    assert known.unverifiable <= known.powers
    assert not known.unverifiable & {"delete", "timeout", "kick", "ban"}


async def test_what_is_beyond_its_powers_is_denied(platform: Platform) -> None:
    """An order that a platform has no power for is refused in our words, not carried out."""
    post = await platform.ask("hello")
    for action in set(ORDERED) - platform.adapter.capabilities.powers:
        with pytest.raises(PermissionDenied):
            await platform.adapter.enforce(order(post, action))


async def test_an_alert_is_one_message_however_often(platform: Platform) -> None:
    """A repeat finds what the first attempt left; an edit changes it in its place."""
    adapter = platform.adapter
    post = await platform.ask("hello")
    first = order(post, "alert", verbs=("right", "wrong"))
    message_id = await adapter.enforce(first)
    assert message_id
    assert await adapter.enforce(replace(first, is_repeat=True)) == message_id
    assert [text.split()[0] for text in platform.seen()] == ["beware"]  # and its buttons
    edit = replace(first, id="1" * 20, text="decided", verbs=(), edits=message_id)
    for is_repeat in (False, True):
        await adapter.enforce(replace(edit, is_repeat=is_repeat))
    assert whole(platform.seen()) == "decided"


async def test_an_alert_that_never_came_is_posted(platform: Platform) -> None:
    """A repeat whose first attempt left nothing posts it; another order's alert is another."""
    adapter = platform.adapter
    post = await platform.ask("hello")
    await adapter.enforce(order(post, "alert", text="one"))
    other = replace(order(post, "alert", text="two", is_repeat=True), id="2" * 20)
    assert await adapter.enforce(other)
    assert whole(platform.seen()) == "one two"


async def test_deleting_again_is_no_error(platform: Platform) -> None:
    """Where others' messages can be deleted, they are gone after one order and after two."""
    adapter = platform.adapter
    if "delete" not in adapter.capabilities.powers:
        pytest.skip("not without somebody's own token")
    post = await platform.ask("hello")
    for is_repeat in (False, True):
        await adapter.enforce(order(post, "delete", is_repeat=is_repeat))


def test_every_platform_has_its_limits_as_data() -> None:
    """The fake's limit is what its parts are cut by."""
    from fakes.adapter import FakeAdapter

    adapter = FakeAdapter()
    assert {len(piece) for piece in adapter.render("x" * 1000)} == {adapter.capabilities.part_limit}
