"""Order, edits and deletions, and what happens when people write faster than a model."""

from __future__ import annotations

import itertools
import time

from scenario.harness import Options, text_of, together, world

ECHO = Options(mode="echo")
SLOW = Options(mode="echo", first_delay=0.25)


async def test_messages_that_wait_are_answered_one_by_one_in_order() -> None:
    """Ten messages sent while one is answered get ten answers, in the order of the messages."""
    async with world(model=Options(mode="echo", first_delay=0.03)) as w:
        dm = w.discord.dm("bob")
        asked = [await w.discord.say(dm, "bob", f"number {each}") for each in range(11)]
        await w.until(lambda: len(w.replies(dm)) == len(asked))
        await w.idle()
        assert [each.reference for each in w.replies(dm)] == asked
        assert [each.content for each in w.replies(dm)] == [f"number {each}" for each in range(11)]
        spans = [(each.monotonic) for each in w.model.requests]
        answered = [each.first_text or 0.0 for each in w.replies(dm)]
        assert all(done < start for done, start in zip(answered, spans[1:], strict=False))


async def test_waiting_messages_of_one_author_can_be_merged() -> None:
    """With answers.merge, what an author adds while an answer is written is one question."""
    async with world(model=SLOW, settings={"answers.merge": True}) as w:
        dm = w.discord.dm("bob")
        await w.discord.say(dm, "bob", "first")
        await w.until(w.requests)
        for text in ("second", "third", "fourth"):
            await w.discord.say(dm, "bob", text)
        await w.until(lambda: len(w.replies(dm)) == 2)
        await w.idle()
        assert len(w.replies(dm)) == 2
        assert [text_of(each) for each in w.prompt[-4:-1]] == ["second", "third", "fourth"]


async def test_the_queue_is_bounded_and_says_so() -> None:
    """Beyond the limit of waiting messages each further one is told so, and none is dropped."""
    async with world(model=SLOW, settings={"engine.queue": 2}) as w:
        dm = w.discord.dm("bob")
        asked = [await w.discord.say(dm, "bob", f"number {each}") for each in range(6)]
        await w.until(lambda: len(w.replies(dm)) == len(asked))
        await w.idle()
        texts = {each.reference: each.content for each in w.replies(dm)}
        assert set(texts) == set(asked)
        refused = [each for each in texts.values() if "too many questions waiting" in each]
        assert 3 <= len(refused) <= 4
        assert texts[asked[0]] == "number 0"


async def test_conversations_run_side_by_side() -> None:
    """Twelve conversations take as long as one, also within one channel."""
    async with world(model=SLOW, settings={"discord.limits": False}) as w:
        started = time.monotonic()
        await together(*(w.ask(f"question {each}") for each in range(12)))
        assert time.monotonic() - started < 4 * 0.25


async def test_an_edit_changes_the_history() -> None:
    """After an edit the model reads the new text, and the old one nowhere."""
    async with world(model=ECHO, settings={"discord.profile": "moderator"}) as w:
        question = await w.say("the password is tuna")
        first = await w.answer(question)
        await w.discord.edit(question, w.mention("the password is secret"))
        await w.idle()
        second = await w.discord.say("general", "alice", "go on", reply_to=first.id)
        await w.answer(second)
        users = [text_of(each) for each in w.prompt if each["role"] == "user"]
        assert users[0] == "Alice: the password is secret"
        assert len(w.replies()) == 2


async def test_an_edit_before_anything_is_visible_is_what_gets_answered() -> None:
    """A question that is edited while the model still thinks is answered as edited, once."""
    async with world(model=SLOW) as w:
        question = await w.say("hwo are you")
        await w.until(w.requests)
        await w.discord.edit(question, w.mention("how are you"))
        answer = await w.answer(question)
        await w.idle()
        assert answer.content == "Alice: how are you"
        assert w.replies() == [answer]


async def test_an_edit_of_a_waiting_message_is_what_gets_answered() -> None:
    """A message that waits in the queue is answered as it stands when its turn comes."""
    async with world(model=SLOW) as w:
        dm = w.discord.dm("bob")
        await w.discord.say(dm, "bob", "first")
        second = await w.discord.say(dm, "bob", "secnod")
        await w.until(w.requests)
        await w.discord.edit(second, "second")
        assert (await w.answer(second)).content == "second"


async def test_a_deleted_question_gets_no_answer() -> None:
    """Deleting a question before its answer is visible cancels the answer for good."""
    async with world(model=SLOW) as w:
        question = await w.say("forget it")
        await w.until(w.requests)
        await w.discord.delete(question)
        await w.idle(quiet=0.5)
        assert not w.replies()


async def test_deleting_an_answered_question_withdraws_the_answer() -> None:
    """The answer goes with its question, and neither is in the history any more."""
    async with world(model=ECHO) as w:
        dm = w.discord.dm("bob")
        question = await w.discord.say(dm, "bob", "my secret")
        await w.answer(question)
        await w.idle()
        await w.discord.delete(question)
        await w.until(lambda: not w.replies(dm))
        await w.idle()
        await w.answer(await w.discord.say(dm, "bob", "what did I say?"))
        assert "secret" not in str(w.prompt[1:])


async def test_a_question_deleted_while_its_answer_grows_takes_it_along() -> None:
    """A visible, unfinished answer is withdrawn when its question is deleted."""
    async with world(model=Options(tokens=60, duration=1.5)) as w:
        question = await w.say("a long one")
        await w.draft(question)
        await w.discord.delete(question)
        await w.until(lambda: not w.replies())
        await w.idle(quiet=0.4)
        assert not w.replies()


async def test_deletions_in_bulk_count_one_by_one() -> None:
    """A bulk deletion removes each of its messages from the history."""
    async with world(model=ECHO, settings={"discord.profile": "moderator"}) as w:
        thread = await w.discord.create_thread("general", "cleanup")
        await w.ask("start", channel=thread)
        said = [await w.discord.say(thread, "bob", f"<@{w.discord.user_id('alice')}> spam {n}")
                for n in range(3)]  # fmt: skip
        await w.idle()
        await w.discord.bulk_delete(said)
        await w.idle()
        await w.ask("what was said?", channel=thread)
        assert "spam" not in str(w.prompt)


async def test_a_link_preview_is_no_edit() -> None:
    """Discord's own update of a message starts nothing anew."""
    async with world(model=SLOW) as w:
        question = await w.say("see https://example.com")
        await w.until(w.requests)
        await w.discord.unfurl(question, "https://example.com")
        await w.answer(question)
        await w.idle()
        assert len(w.requests()) == 1


async def test_the_window_keeps_a_stable_prefix() -> None:
    """From turn to turn the prompt grows at its end only, so that a provider's cache hits."""
    async with world(model=ECHO) as w:
        dm = w.discord.dm("bob")
        for text in ("one", "two", "three"):
            await w.answer(await w.discord.say(dm, "bob", text))
        prompts = [body["messages"][:-1] for body in w.requests()]
        for earlier, later in itertools.pairwise(prompts):
            assert later[: len(earlier)] == earlier
        keys = {body.get("prompt_cache_key") for body in w.requests()}
        assert len(keys) == 1
        assert None not in keys
