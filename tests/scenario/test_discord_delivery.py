"""How an answer appears on Discord: paced, whole, once, whatever REST does meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

from scenario.harness import Options, World, buttons, together, world
from scenario.side_by_side import slow

from bots.simulators.completions.options import Scripted
from bots.simulators.discord import Bucket, DiscordOptions

CREATE = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
ORIGINAL = "PATCH /webhooks/{application_id}/{interaction_token}/messages/@original"


def words(count: int) -> str:
    """What the simulated model says."""
    return " ".join(f"word{number}" for number in range(count))


def whole(w: World, channel: int | str = "general") -> str:
    """All that the bot has in a channel, parts joined as they are read."""
    return "".join(each.content for each in w.replies(channel))


@slow
async def test_an_answer_grows_by_paced_edits() -> None:
    """A slow answer is one message with a Stop button that grows at most every 1.2 seconds."""
    async with world(model=Options(tokens=90, duration=2.6)) as w:
        question = await w.say("a long one")
        draft = await w.draft(question)
        assert buttons(draft, "tw:stop:")
        answer = await w.answer(question)
        assert answer is draft
        assert answer.content == words(90)
        assert w.discord.count(CREATE) == 1
        assert 2 <= w.discord.count(EDIT) <= 4
        texts = [version.text for version in answer.history]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
        drafts = [version.at for version in answer.history[:-1]]
        assert all(later - earlier > 1.1 for earlier, later in itertools.pairwise(drafts))
        assert len(buttons(answer)) == 3


@slow
async def test_a_quick_answer_is_one_call() -> None:
    """An answer that is complete at once is posted once and edited never."""
    async with world() as w:
        await w.ask("hello")
        await w.idle()
        assert w.discord.count(CREATE) == 1
        assert w.discord.count(EDIT) == 0


@slow
async def test_no_429_is_provoked_or_ignored() -> None:
    """Six answers stream in one channel under Discord's limits: all whole, no 429 ignored."""
    window = Bucket(5, 2.0)
    options = DiscordOptions(rate_limits=True, buckets={"create": window, "edit": window})
    async with world(model=Options(tokens=60, duration=1.0), discord=options) as w:
        questions = [await w.say(f"number {each}") for each in range(6)]
        answers = await together(*(w.answer(each, within=30) for each in questions))
        assert [each.content for each in answers] == [words(60)] * 6
        assert w.discord.ignored_rate_limits == 0
        assert w.discord.api.limiter.refused <= 2


@slow
async def test_a_429_is_obeyed() -> None:
    """When Discord asks for a pause, nothing goes to that route before it is over."""
    async with world() as w:
        w.discord.fail(*CREATE.split(" "), status=429, retry_after=0.7)
        question = await w.say("hello")
        answer = await w.answer(question)
        creates = [call.at for call in w.discord.calls if f"{call.method} {call.route}" == CREATE]
        assert len(creates) == 2
        assert creates[1] - creates[0] >= 0.7
        assert w.replies() == [answer]


@slow
async def test_typing_shows_that_it_works() -> None:
    """While nothing is visible the bot types, and no more once the answer is there."""
    async with world(model=Options(first_delay=1.2)) as w:
        await w.ask("think")
        assert w.discord.typing
        count = len(w.discord.typing)
        await w.idle(quiet=0.3)
        assert len(w.discord.typing) == count


@slow
async def test_a_post_that_timed_out_after_it_succeeded_is_not_repeated() -> None:
    """A connection that breaks after Discord has stored the message leaves one message."""

    async def broken(fault: dict[str, Any], **options: Any) -> None:
        async with world(model=Options(tokens=60, **options)) as w:
            w.discord.fail(*CREATE.split(" "), **fault)
            answer = await w.ask("hello", within=20)
            await w.idle()
            assert answer.content == words(60)
            assert len(w.replies()) == 1, fault

    await together(
        broken({"drop_after": True}),
        broken({"drop_after": True, "times": 2}),
        broken({"drop_before": True}),
        broken({"status": 502}),
        broken({"status": 500, "times": 2}),
        broken({"drop_after": True}, duration=1.0),
    )


@slow
async def test_edits_that_fail_are_made_up_for() -> None:
    """A final edit that is refused, dropped or limited is repeated until the text is whole."""

    async def broken(**fault: Any) -> None:
        async with world(model=Options(tokens=60, duration=0.8)) as w:
            w.discord.fail(*EDIT.split(" "), **fault)
            question = await w.say("hello")
            answer = await w.answer(question, within=20)
            assert answer.content == words(60), fault

    await together(
        broken(drop_after=True),
        broken(drop_before=True),
        broken(status=500),
        broken(status=429, retry_after=0.3),
    )


@slow
async def test_an_answer_to_a_command_survives_a_broken_rest() -> None:
    """The deferred answer of /ask is filled in although the first attempts fail."""

    async def broken(**fault: Any) -> None:
        async with world(model=Options(tokens=30)) as w:
            await w.until(lambda: w.discord.commands)
            w.discord.fail(*ORIGINAL.split(" "), **fault)
            used = await w.discord.slash("general", "bob", "ask", {"question": "hello"})
            await w.until(lambda: used.content == words(30), within=20)
            await w.idle()
            assert len(w.replies()) == 1

    await together(broken(drop_after=True), broken(drop_before=True), broken(status=503))


@slow
async def test_a_long_answer_comes_whole_in_parts() -> None:
    """Every part is within Discord's limit, they join to the answer, the last one has buttons."""
    async with world(model=Options(tokens=1500)) as w:
        question = await w.say("a very long one")
        first = await w.draft(question)
        await w.until(lambda: buttons(w.parts(first)[-1], "tw:again:"))
        await w.idle()
        parts = w.parts(first)
        assert len(parts) > 5
        assert all(len(part.content) <= 2000 for part in parts)
        assert " ".join(" ".join(part.content for part in parts).split()) == words(1500)
        assert not [part for part in parts[:-1] if buttons(part)]


@slow
async def test_fences_close_and_reopen_between_parts() -> None:
    """A code block over several parts is a whole block in each, in its language."""
    code = "".join(f"print({number})\n" for number in range(400))
    text = f"Look:\n\n```python\n{code}```\nThat is all."
    async with world(model=Options(mode="script", script=(Scripted(text),), chunk_size=40)) as w:
        first = await w.draft(await w.say("code"))
        await w.until(lambda: buttons(w.parts(first)[-1], "tw:again:"))
        parts = [part.content for part in w.parts(first)]
        assert all(part.count("```") == 2 for part in parts)
        assert all("```python\n" in part for part in parts)
        lines = [line for part in parts for line in part.splitlines() if line.startswith("print")]
        assert lines == code.splitlines()


@slow
async def test_a_growing_answer_gets_further_parts_as_it_needs_them() -> None:
    """A streamed answer that outgrows one message goes on in the next, nothing lost or doubled."""
    async with world(model=Options(tokens=800, duration=1.5)) as w:
        first = await w.draft(await w.say("a long one"))
        await w.until(lambda: buttons(w.parts(first)[-1], "tw:again:"), within=20)
        joined = " ".join(" ".join(part.content for part in w.parts(first)).split())
        assert joined == words(800)


@slow
async def test_an_answer_that_was_deleted_is_not_posted_again() -> None:
    """A moderator who deletes a growing answer has the last word."""
    async with world(model=Options(tokens=60, duration=1.5)) as w:
        draft = await w.draft(await w.say("hello"))
        await w.discord.delete(draft.id)
        await w.idle(quiet=0.5)
        assert not w.replies()


@slow
async def test_a_channel_that_may_not_be_written_to_stops_nothing_else() -> None:
    """Without the permission to write the turn ends, and other channels are answered."""
    async with world() as w:
        await w.discord.deny("general", 1 << 11)
        await w.say("hello?")
        await w.idle()
        assert not w.replies()
        assert w.rows("SELECT state, attempt FROM turns") == [("done", 1)]
        await w.answer(await w.discord.say(w.discord.dm("bob"), "bob", "hello"))
        await w.discord.deny("general", 0)
        await w.ask("and now?")
