"""From a member's words to the assistant's, in one process and on a platform in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from fakes.adapter import FakeAdapter
from fakes.core import CoreUnderTest, core_under_test
from fakes.events import ALICE, BOB, command, deleted, edited, message, place
from fakes.waiting import until

from bots.simulators.completions import Options
from bots.simulators.completions.options import Scripted
from core import chat as chats
from core import delivery as deliveries
from core import engine as engines
from core.chat import BUSY, GAVE_UP, NOT_MINE
from core.errors import PermissionDenied, PlatformUnavailable
from core.inbox import turn_id
from core.messages import Attachment, Author

Make = Callable[..., AbstractAsyncContextManager[CoreUnderTest]]
SLOW = Options(mode="echo", first_delay=5.0)
THREAD = place(thread="T1")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A core on this test's own database."""

    def made(**more: Any) -> AbstractAsyncContextManager[CoreUnderTest]:
        return core_under_test(tmp_path / "t.db", **more)

    return made


@pytest.fixture
async def core(make: Make) -> AsyncIterator[CoreUnderTest]:
    """The default core with a model that repeats the question."""
    async with make() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without their pauses."""
    monkeypatch.setattr(engines, "BACKOFF", 0.01)
    monkeypatch.setattr(deliveries, "MAX_PAUSE", 0.001)


class TestAnswering:
    """The way that most messages take."""

    async def test_a_question_is_answered_and_kept(self, core: CoreUnderTest) -> None:
        """The answer is shown once, final, with buttons; both stand in the history."""
        await core.say("what is up?")
        await core.settled()
        assert core.adapter.texts() == ["Alice: what is up?"]
        (posted,) = core.adapter.shown.values()
        assert posted.part.is_final
        assert posted.part.has_feedback
        assert posted.target.reply_to
        assert [(entry.role, entry.content) for entry in await core.history()] == [
            ("user", "what is up?"), ("assistant", "Alice: what is up?")
        ]  # fmt: skip

    async def test_a_follow_up_sees_what_was_said(self, core: CoreUnderTest) -> None:
        """In a thread where the assistant has answered, a reply to nobody else is for it."""
        await core.say("one", place=THREAD)
        await core.settled()
        await core.say("two", place=THREAD, is_addressed=False, is_follow_up=True, author=BOB)
        await core.settled()
        assert core.windows()[1] == ["Alice: one", "Alice: one", "Bob: two"]
        assert len(core.adapter.shown) == 2

    async def test_what_is_not_for_it_is_context(self, core: CoreUnderTest) -> None:
        """Talk among members is not answered, and known when somebody asks."""
        await core.say("I like tea", is_addressed=False, author=BOB)
        await core.say("me too", is_addressed=False, is_follow_up=True)
        await core.settled()
        assert not core.adapter.calls
        await core.say("what does Bob like?")
        await core.settled()
        assert core.windows() == [
            ["Bob: I like tea", "Alice: me too", "Alice: what does Bob like?"]
        ]

    async def test_conversations_do_not_mix(self, core: CoreUnderTest) -> None:
        """What was said in one conversation is never sent with another."""
        await core.say("secret", channel="C1")
        await core.settled()
        await core.say("hello", channel="C2")
        await core.settled()
        assert core.windows()[1] == ["Alice: hello"]

    async def test_names_are_left_out_in_private(self, core: CoreUnderTest) -> None:
        """In a direct message there is one speaker, so the model is not told a name."""
        await core.say("hello", place=place("D1", is_private=True))
        await core.settled()
        assert core.windows() == [["hello"]]

    async def test_questions_are_answered_in_order(self, core: CoreUnderTest) -> None:
        """Of several questions each is answered with all before it in sight."""
        for number in range(4):
            await core.say(f"q{number}", key=str(100 + number))
        await core.settled()
        assert core.adapter.texts() == [f"Alice: q{number}" for number in range(4)]
        assert [len(window) for window in core.windows()] == [1, 3, 5, 7]

    async def test_every_message_can_be_answered(self, make: Make) -> None:
        """In mode `every` members need not mention the assistant; bots are not answered."""
        async with make(answers={"mode": "every"}) as core:
            await core.say("hi", is_addressed=False)
            await core.say("beep", is_addressed=False, author=Author("B", "Bot", is_bot=True))
            await core.settled()
            assert core.adapter.texts() == ["Alice: hi"]

    async def test_waiting_messages_are_merged_where_wanted(self, make: Make) -> None:
        """What one author adds while an answer is written gets one answer."""
        async with make(answers={"merge": True}, options=Options("echo", first_delay=0.1)) as core:
            await core.say("first")
            await until(core.asked)
            for text in ("second", "third"):
                await core.say(text)
            await core.say("thinking aloud", is_addressed=False)
            await core.settled()
            assert len(core.adapter.shown) == 2
            assert core.windows()[1] == [
                "Alice: first", "Alice: first", "Alice: second", "Alice: third",
                "Alice: thinking aloud",
            ]  # fmt: skip

    async def test_a_reply_to_an_earlier_message_branches(self, core: CoreUnderTest) -> None:
        """A reply to an earlier answer continues from there."""
        await core.say("one")
        await core.settled()
        first = next(iter(core.adapter.shown))
        await core.say("two")
        await core.settled()
        await core.say("three", parent=first)
        await core.settled()
        assert core.windows()[2] == ["Alice: one", "Alice: one", "Alice: three"]

    async def test_a_long_answer_comes_in_parts(self, make: Make) -> None:
        """An answer longer than a message is delivered whole, and each part is known."""
        text = " ".join(f"word{number}" for number in range(80))
        async with make(options=Options("script", (Scripted(text),))) as core:
            post = await core.say()
            await core.settled()
            assert core.adapter.whole == text
            for part in core.adapter.shown:
                assert await core.inbox.conversation_of(post.place, part) == post.conversation

    async def test_reasoning_is_hidden_unless_asked_for(self, make: Make, tmp_path: Path) -> None:
        """What a model thinks is not shown; with the option it is a quotation."""
        script = (Scripted("yes", reasoning="let me think"),)
        async with make(options=Options("script", script)) as core:
            await core.say()
            await core.settled()
            assert core.adapter.texts() == ["yes"]
        async with core_under_test(
            tmp_path / "u.db", options=Options("script", script),
            model_config={"show_reasoning": True},
        ) as core:  # fmt: skip
            await core.say()
            await core.settled()
            assert core.adapter.texts() == ["> let me think\n\nyes"]

    async def test_the_date_comes_last(self, make: Make) -> None:
        """Volatile facts follow the window, so that they do not change its prefix."""
        async with make(model_config={"facts": True}) as core:
            await core.say()
            await core.settled()
            (body,) = core.asked()
            roles = [each["role"] for each in body["messages"]]
            assert roles == ["system", "user", "system"]
            assert "UTC" in body["messages"][-1]["content"]
            assert body["prompt_cache_key"]

    async def test_an_image_reaches_the_model(self, core: CoreUnderTest) -> None:
        """A picture is sent with its message, and again with later turns."""
        core.adapter.files["u"] = b"\x89PNG\r\n\x1a\n" + b"0" * 20
        image = Attachment("F", "cat.png", "image/png", 28, "u")
        await core.say("what is this?", attachments=(image,))
        await core.settled()
        await core.say("really?")
        await core.settled()
        for body in core.asked():
            first = next(each for each in body["messages"] if each["role"] == "user")
            kinds = [part["type"] for part in first["content"]]
            assert kinds == ["text", "image_url"]

    async def test_a_text_file_reaches_the_model(self, core: CoreUnderTest) -> None:
        """A file's text stands in the message; an edit of the words keeps it."""
        core.adapter.files["u"] = b"line of the file"
        file = Attachment("F", "notes.txt", "text/plain", 16, "u")
        post = await core.say("summarise", attachments=(file,))
        await core.settled()
        assert "line of the file" in core.windows()[0][0]
        await core.give(edited(post, "please summarise"))
        await core.settled()
        entry = (await core.history())[0]
        assert entry.content.startswith("please summarise")
        assert "line of the file" in entry.content


class TestRefusing:
    """What moderation, access and limits keep back."""

    async def test_a_local_rule_refuses_before_the_model(self, make: Make) -> None:
        """The model never sees a refused question; the member is told, the verdict is kept."""
        async with make(moderation={"remote": "off", "words": ["forbidden"]}) as core:
            post = await core.say("something forbidden")
            await core.settled()
            assert not core.asked()
            assert len(core.adapter.shown) == 1
            assert not next(iter(core.adapter.shown.values())).part.has_feedback
            assert await core.history() == []
            subject = f"in {post.conversation} {post.id}"
            (row,) = await core.rows("verdicts.of", subject=subject)
            assert (row["direction"], row["decision"]) == ("in", "refuse")

    async def test_refused_talk_is_no_context(self, make: Make) -> None:
        """What breaks a rule does not reach the model as context either."""
        async with make(moderation={"remote": "off", "words": ["forbidden"]}) as core:
            await core.say("forbidden", is_addressed=False)
            await core.say("hello")
            await core.settled()
            assert core.windows() == [["Alice: hello"]]

    async def test_a_redacted_word_is_masked_for_everybody(self, make: Make) -> None:
        """A rule that redacts lets the message through without the word."""
        rules = [{"id": "r", "term": "hunter2", "action": "redact"}]
        async with make(moderation={"remote": "off", "rules": rules}) as core:
            await core.say("my password is hunter2 ok")
            await core.settled()
            assert "hunter2" not in str(core.asked())
            assert "ok" in core.adapter.whole

    async def test_a_scorer_refuses_while_the_model_writes(self, make: Make) -> None:
        """Nothing of an answer is visible when the question's score comes in as a refusal."""
        options = Options("echo", rate=200, moderation_delay=0.1)
        async with make(moderation={"remote": "openai"}, options=options) as core:
            await core.say("which suicide squad is the best of all the many squads?")
            await core.settled()
            assert core.asked()
            assert core.asked("moderations")
            versions = [posted.versions for posted in core.adapter.shown.values()]
            assert len(versions) == 1
            assert not [text for text in versions[0] if "squads" in text]
            assert await core.history() == []

    async def test_a_scorer_may_come_before_the_model(self, make: Make) -> None:
        """With `when = before` a refused question never reaches the model."""
        moderation = {"remote": "openai", "when": "before"}
        async with make(moderation=moderation) as core:
            await core.say("suicide")
            await core.settled()
            assert not core.asked()
            assert len(core.adapter.shown) == 1

    async def test_a_refused_question_with_a_failing_model(self, make: Make) -> None:
        """When the model fails as well, the refusal is what the member reads, at once."""
        options = Options("echo", moderation_delay=0.1)
        async with make(moderation={"remote": "openai"}, options=options) as core:
            core.model.fail("500", times=9)
            await core.say("suicide")
            await core.settled()
            assert len(core.adapter.shown) == 1
            assert core.adapter.texts() != [GAVE_UP]
            assert len(core.asked()) == 1

    async def test_a_violation_in_the_answer_withdraws_it(self, make: Make) -> None:
        """An answer that breaks a rule is replaced by a sentence, and is no history."""
        words = "all is well " * 30 + "forbidden"
        options = Options("script", (Scripted(words),), rate=300)
        async with make(
            moderation={"remote": "off", "words": ["forbidden"]}, options=options
        ) as core:
            post = await core.say()
            await core.settled()
            assert len(core.adapter.shown) == 1
            assert "well" not in core.adapter.whole
            assert [entry.role for entry in await core.history()] == ["user"]
            (row,) = await core.rows("verdicts.of", subject=f"out {turn_id(post)}")
            assert row["decision"] == "refuse"

    async def test_other_bots_are_not_answered(self, core: CoreUnderTest) -> None:
        """A bot that mentions the assistant gets no answer; what it says is context."""
        await core.say("hello", author=Author("B", "Bot", is_bot=True))
        await core.settled()
        assert not core.adapter.calls
        assert len(await core.history()) == 1

    async def test_who_may_not_ask_is_told(self, make: Make) -> None:
        """A person who is not allowed gets a sentence, and costs nothing."""
        async with make(access={"deny_users": ["U1"]}) as core:
            await core.say()
            await core.settled()
            assert len(core.adapter.shown) == 1
            assert not core.asked()

    async def test_a_full_queue_is_told(self, make: Make) -> None:
        """Beyond the bound a question gets a sentence at once, and the others their answers."""
        options = Options("echo", first_delay=0.15)
        async with make(engine={"queue": 2}, options=options) as core:
            for number in range(4):
                await core.say(f"q{number}")
            await until(lambda: BUSY in core.adapter.texts())
            await core.settled()
            texts = core.adapter.texts()
            assert texts.count(BUSY) in {1, 2}
            assert len(texts) == 4

    async def test_a_daily_limit_is_told(self, make: Make) -> None:
        """Who has used up the day's tokens is told so; regenerating is asking too."""
        async with make(usage={"daily_tokens_per_user": 5}) as core:
            post = await core.say("one two three four five six seven")
            await core.settled()
            await core.say("more")
            await core.settled()
            await core.give(command("regenerate", turn_id(post), of=post))
            await core.settled()
            assert len(core.asked()) == 1
            assert len(core.adapter.shown) == 3


class TestFailing:
    """When the model or the platform does not do its part."""

    async def test_a_failing_model_is_one_honest_sentence(self, core: CoreUnderTest) -> None:
        """The member reads what happened; nothing stays stuck and the next question works."""
        core.model.fail("500", times=1)
        await core.say()
        await core.settled()
        assert core.adapter.texts() == [
            "The model did not answer in time. Please ask again in a moment."
        ]
        await core.say("again")
        await core.settled()
        assert core.windows()[-1] == ["Alice: hello", "Alice: again"]

    async def test_a_broken_answer_keeps_what_arrived(self, make: Make) -> None:
        """The text that arrived stays, with a sentence on what happened."""
        script = (Scripted("one two three four five six"),)
        async with make(options=Options("script", script, rate=100)) as core:
            core.model.fail("cut", times=9, after=3)
            await core.say()
            await core.settled()
            (text,) = core.adapter.texts()
            assert text.startswith("one two three")
            assert "\n\nThe model's answer broke off." in text

    async def test_an_empty_answer_is_said(self, make: Make) -> None:
        """A model that says nothing is not shown as silence."""
        async with make(options=Options("script", (Scripted(""),))) as core:
            await core.say()
            await core.settled()
            assert core.adapter.texts() == ["The model gave an empty answer."]
            assert [entry.role for entry in await core.history()] == ["user"]

    async def test_a_model_without_end_is_cut_off(self, make: Make) -> None:
        """A turn has a deadline; what was written until then stays."""
        options = Options("script", (Scripted("word " * 500),), rate=50)
        async with make(options=options, engine={"turn_deadline": 0.3}) as core:
            await core.say()
            await core.settled()
            assert core.adapter.whole.startswith("word word")
            assert "Please ask again" in core.adapter.whole

    async def test_a_length_limit_is_told(self, make: Make) -> None:
        """An answer that the endpoint cut says so, and its words are history."""
        script = (Scripted("half a", finish_reason="length"),)
        async with make(options=Options("script", script)) as core:
            await core.say()
            await core.settled()
            assert core.adapter.texts()[0].startswith("half a\n\n_(cut off")
            assert (await core.history())[-1].content == "half a"

    async def test_a_window_that_is_too_long_is_shortened_once(self, core: CoreUnderTest) -> None:
        """When the endpoint counts more tokens than we do, a shorter window is tried."""
        core.model.fail("context", times=1)
        await core.say("hello")
        await core.settled()
        assert core.adapter.texts() == ["Alice: hello"]

    async def test_an_answer_that_may_not_be_posted_ends_the_turn(
        self, core: CoreUnderTest
    ) -> None:
        """A missing right is logged; the conversation goes on."""
        core.adapter.fail("post", *[PermissionDenied("no")] * 3)
        await core.say()
        await core.settled()
        core.adapter._failures.clear()
        await core.say("again")
        await core.settled()
        assert core.adapter.texts() == ["Alice: again"]

    async def test_a_platform_that_is_down_gets_its_answer_later(self, core: CoreUnderTest) -> None:
        """An outage at the very end delays the answer, which is not paid for again."""
        core.adapter.fail("post", *[PlatformUnavailable()] * 12)
        await core.say()
        await core.settled()
        assert core.adapter.texts() == ["Alice: hello"]
        assert len(core.asked()) == 1

    async def test_a_bug_ends_in_a_sentence(
        self, core: CoreUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A turn that fails again and again for no known reason says so and gives way."""

        async def broken(*args: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(chats.Chat, "_ask", broken)
        await core.say()
        await core.settled()
        assert core.adapter.texts() == [GAVE_UP]

    async def test_an_edit_that_can_not_be_kept_blocks_nothing(
        self, core: CoreUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A change whose handling is broken is given up in time; questions go on."""

        async def broken(*args: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(chats, "change", broken)
        post = await core.say("one")
        await core.settled()
        await core.give(edited(post, "two"))
        await core.say("three")
        await core.settled()
        assert core.adapter.texts()[-1] == "Alice: three"

    async def test_the_deepest_bug_gives_way_too(self, core: CoreUnderTest) -> None:
        """Even when not a sentence can be posted, the conversation is not stuck for ever."""
        core.adapter.fail("post", *[RuntimeError("a bug")] * 60)
        await core.say("one")
        await until(lambda: len(core.adapter.calls) > 3)
        await core.settled()
        core.adapter._failures.clear()
        await core.say("two")
        await core.settled()
        assert "Alice: two" in core.adapter.texts()


class TestChanging:
    """Stops, edits and deletes, before and after something is visible."""

    async def test_a_stop_keeps_what_was_written(self, make: Make) -> None:
        """A stopped answer keeps its text, says so, is history, and is billed."""
        options = Options("script", (Scripted("word " * 200),), rate=100)
        async with make(options=options) as core:
            post = await core.say()
            await until(lambda: core.adapter.shown)
            await core.give(command("stop", of=post))
            await core.settled()
            answer = core.adapter.texts()[0]
            assert answer.startswith("word")
            assert answer.endswith("_(stopped)_")
            kept = (await core.history())[-1]
            assert kept.role == "assistant"
            assert "stopped" not in kept.content
            totals = await core.ledger.spent(post.place, ALICE, core.ledger.today())
            assert totals.calls == 1
            assert totals.completion_tokens > 0

    async def test_a_stop_with_nothing_to_stop(self, core: CoreUnderTest) -> None:
        """A stop in silence says that nothing is being written."""
        await core.give(command("stop"))
        await core.settled()
        assert len(core.adapter.shown) == 1

    async def test_an_edit_before_anything_is_visible_asks_anew(self, make: Make) -> None:
        """The answer is to the words as they were edited; there is one of them."""
        async with make(options=Options("echo", first_delay=0.2)) as core:
            post = await core.say("helo")
            await until(core.asked)
            await core.give(edited(post, "hello", version="1"))
            await until(lambda: len(core.asked()) == 2)
            await core.give(edited(post, "hello!", version="2"))
            await core.settled()
            assert core.adapter.texts() == ["Alice: hello!"]
            assert [posted.versions[0] for posted in core.adapter.shown.values()] == [
                "Alice: hello!"
            ]
            assert [entry.content for entry in await core.history()] == ["hello!", "Alice: hello!"]

    async def test_an_edit_of_a_waiting_question_counts(self, make: Make) -> None:
        """A question that waits is asked as it was edited; a deleted one not at all."""
        async with make(options=Options("echo", first_delay=0.1)) as core:
            await core.say("first")
            second, third = await core.say("secnd"), await core.say("third")
            await core.give(edited(second, "second"), deleted(third))
            await core.settled()
            assert core.adapter.texts() == ["Alice: first", "Alice: second"]
            assert len(core.asked()) == 2

    async def test_an_edit_after_something_is_visible_changes_the_history(self, make: Make) -> None:
        """What members have begun to read is finished; the next turn sees the new words."""
        options = Options("script", (Scripted("word " * 30),), rate=100)
        async with make(options=options) as core:
            post = await core.say("helo")
            await until(lambda: core.adapter.shown)
            await core.give(edited(post, "hello"))
            await core.settled()
            assert len(core.asked()) == 1
            assert core.adapter.whole.count("word") == 30
            assert (await core.history())[0].content == "hello"

    async def test_an_edit_into_something_forbidden_is_refused(self, make: Make) -> None:
        """An edit that breaks a rule takes the message out of the history."""
        async with make(moderation={"remote": "off", "words": ["forbidden"]}) as core:
            post = await core.say("fine")
            await core.settled()
            await core.give(edited(post, "forbidden"))
            await core.settled()
            assert [entry.role for entry in await core.history()] == ["assistant"]

    async def test_a_delete_before_anything_is_visible_cancels(self, make: Make) -> None:
        """A question that is taken back is not answered, and leaves nothing."""
        async with make(options=Options("echo", first_delay=0.2)) as core:
            post = await core.say()
            await until(core.asked)
            await core.give(deleted(post))
            await core.settled()
            assert not core.adapter.names()
            assert await core.history() == []

    async def test_a_delete_right_after_an_edit_cancels(self, make: Make) -> None:
        """Whatever the moments, an edited and then deleted question leaves nothing open."""
        for ticks in (0, 1, 5, 20):
            async with make(options=Options("echo", first_delay=0.05)) as core:
                post = await core.say(channel=f"C{ticks}")
                await until(lambda core=core: core.asked())
                await core.give(edited(post, "other"))
                for _ in range(ticks):
                    await asyncio.sleep(0)
                await core.give(deleted(post))
                await core.settled()
                assert not core.adapter.shown
                assert await core.history(post.conversation) == []

    async def test_a_delete_afterwards_withdraws_the_answer(self, core: CoreUnderTest) -> None:
        """The answer to a deleted question goes with it, even through an outage."""
        post = await core.say()
        await core.settled()
        core.adapter.fail("withdraw", *[PlatformUnavailable()] * 7)
        await core.give(deleted(post))
        await core.settled()
        assert not core.adapter.shown
        assert await core.history() == []

    async def test_a_deleted_answer_is_forgotten(self, core: CoreUnderTest) -> None:
        """When somebody deletes the assistant's message, the model does not see it again."""
        post = await core.say("one")
        await core.settled()
        part = next(iter(core.adapter.shown))
        await core.give(deleted(message(key=part, place=post.place)))
        await core.settled()
        assert [entry.role for entry in await core.history()] == ["user"]


class TestRegenerating:
    """An answer written anew."""

    async def test_it_stands_where_the_first_one_stood(self, make: Make) -> None:
        """The same message shows the new answer; the history has it instead of the old one."""
        script = (Scripted("first " * 40), Scripted("second"))
        async with make(options=Options("script", script)) as core:
            post = await core.say()
            await core.settled()
            assert len(core.adapter.shown) > 1
            await core.give(command("regenerate", turn_id(post), of=post))
            await core.settled()
            assert core.adapter.texts() == ["second"]
            assert core.adapter.names().count("post") == 2
            assert [entry.content for entry in await core.history()] == ["hello", "second"]
            assert len(core.windows()[1]) == 1

    async def test_deleting_the_question_takes_the_new_answer_too(self, make: Make) -> None:
        """After a regeneration the question's deletion withdraws all that is shown."""
        script = (Scripted("first"), Scripted("second " * 40))
        async with make(options=Options("script", script)) as core:
            post = await core.say()
            await core.settled()
            await core.give(command("regenerate", turn_id(post), of=post))
            await core.settled()
            await core.give(deleted(post))
            await core.settled()
            assert not core.adapter.shown
            assert await core.history() == []

    async def test_an_unknown_answer_can_not_be_written_anew(self, core: CoreUnderTest) -> None:
        """A button whose turn is not known, or of another conversation, gets a sentence."""
        post = await core.say(channel="C2")
        await core.settled()
        await core.give(command("regenerate", "unknown"), command("regenerate", turn_id(post)))
        await core.settled()
        assert core.adapter.texts()[1:] == [NOT_MINE, NOT_MINE]
        assert len(core.asked()) == 1


class TestRestarting:
    """What a process that ends anywhere leaves to the next one."""

    async def test_a_finished_turn_is_not_paid_for_again(self, make: Make) -> None:
        """A text that was complete before the crash is delivered, once, without the model."""
        adapter = FakeAdapter(gate=asyncio.Event())
        async with make(adapter=adapter) as core:
            await core.say()
            await until(lambda: core.adapter.calls)
            await asyncio.sleep(0.05)
            post = await core.say("and this", channel="C2")
            await asyncio.sleep(0.05)
            await core.kill()
        adapter.gate = None
        async with make(adapter=adapter) as later:
            await later.settled()
            assert sorted(adapter.texts()) == ["Alice: and this", "Alice: hello"]
            assert not later.asked()
            assert [entry.role for entry in await later.history()] == ["user", "assistant"]
            assert len(await later.history(post.conversation)) == 2
            totals = await later.ledger.spent(post.place, ALICE, later.ledger.today())
            assert totals.calls == 2
            seen = adapter.names()
        async with make(adapter=adapter) as last:
            await last.settled()
            assert adapter.names() == seen

    async def test_a_running_turn_edits_the_same_message(self, make: Make) -> None:
        """A crash in the middle of an answer leads to one message with the whole answer."""
        script = (Scripted("word " * 15),)
        adapter = FakeAdapter()
        async with make(adapter=adapter, options=Options("script", script, rate=50)) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.kill()
        assert len(adapter.shown) == 1
        async with make(adapter=adapter, options=Options("script", script)) as later:
            await later.settled()
            assert adapter.whole.count("word") == 15
            assert adapter.names().count("post") == 1
            assert len(await later.history()) == 2

    async def test_a_stop_of_the_process_parks_the_turn(self, make: Make) -> None:
        """A drain leaves an unfinished answer to the next start, under the same message."""
        script = (Scripted("word " * 15),)
        adapter = FakeAdapter()
        async with make(adapter=adapter, options=Options("script", script, rate=50)) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.engine.drain(0.01)
            assert "stopped" not in adapter.whole
        async with make(adapter=adapter, options=Options("script", script)) as later:
            await later.settled()
            assert adapter.whole.count("word") == 15
            assert adapter.names().count("post") == 1

    async def test_a_question_deleted_while_nobody_ran(self, make: Make) -> None:
        """A begun answer whose question was deleted during the downtime is withdrawn."""
        adapter = FakeAdapter()
        options = Options("script", (Scripted("word " * 200),), rate=50)
        async with make(adapter=adapter, options=options) as core:
            post = await core.say()
            await until(lambda: adapter.shown)
            core.engine._is_stopping = True
            await core.kill()
            await core.give(deleted(post))
        async with make(adapter=adapter) as later:
            await later.settled()
            assert not adapter.shown
            assert await later.history() == []
        async with make(adapter=adapter) as last:
            await last.settled()

    async def test_a_channel_switched_off_while_nobody_ran(self, make: Make) -> None:
        """A begun answer in a channel that is switched off now leaves nothing open."""
        adapter = FakeAdapter()
        options = Options("script", (Scripted("word " * 200),), rate=50)
        async with make(adapter=adapter, options=options) as core:
            await core.say()
            await until(lambda: adapter.shown)
            await core.kill()
        async with make(adapter=adapter, channels={"C1": {"enabled": False}}) as later:
            await later.settled()
            assert not adapter.shown

    async def test_a_redelivery_after_the_answer_is_nothing(self, make: Make) -> None:
        """What was answered before a restart is not answered after it."""
        adapter = FakeAdapter()
        async with make(adapter=adapter) as core:
            post = await core.say()
            await core.settled()
        async with make(adapter=adapter) as later:
            await later.give(post)
            await later.settled()
            assert len(adapter.names()) <= 2
            assert not later.asked()


class TestReadingBack:
    """A thread that the assistant is called into the middle of."""

    async def test_a_thread_is_read_once(self, core: CoreUnderTest) -> None:
        """What stands before the question is known to the model; it is asked for only once."""
        core.adapter.thread = [
            message("the problem is X", key="10", place=THREAD, author=BOB),
            message("I see", key="11", place=THREAD, author=Author("ME", is_self=True)),
        ]
        for text in ("summarise this", "and again"):
            await core.say(text, place=THREAD)
            await core.settled()
        assert core.adapter.backfills == 1
        assert core.windows()[0] == ["Bob: the problem is X", "I see", "Alice: summarise this"]
        roles = [each["role"] for each in core.asked()[0]["messages"]]
        assert roles == ["system", "user", "assistant", "user"]

    async def test_a_thread_that_can_not_be_read_is_asked_for_again(
        self, core: CoreUnderTest
    ) -> None:
        """When reading back fails the question is answered without, and the next one tries."""
        core.adapter.fail("backfill", PlatformUnavailable())
        for text in ("one", "two"):
            await core.say(text, place=THREAD)
            await core.settled()
        assert core.adapter.backfills == 2
        assert len(core.adapter.shown) == 2

    async def test_a_thread_it_knows_is_not_read(self, core: CoreUnderTest) -> None:
        """Where the thread's first message is in the history nothing is asked for."""
        await core.say("root", key="77", place=place(thread="77"), is_addressed=False)
        await core.say("question", place=place(thread="77"))
        await core.settled()
        assert core.adapter.backfills == 0
        assert core.windows() == [["Alice: root", "Alice: question"]]


class TestCommands:
    """Orders to the assistant itself."""

    async def test_a_command_is_answered_beside_a_running_answer(self, make: Make) -> None:
        """A command does not wait behind a slow model, and is for the asker alone."""
        async with make(options=SLOW) as core:
            post = await core.say()
            await until(core.asked)
            await core.give(command("help", of=post))
            await until(lambda: core.adapter.shown)
            await until(lambda: "`reset`" in core.adapter.whole)
            assert all(each.target.is_only_for_asker for each in core.adapter.shown.values())

    async def test_a_reset_begins_anew(self, core: CoreUnderTest) -> None:
        """After a reset the model sees nothing of what was said before."""
        post = await core.say("one")
        await core.settled()
        await core.give(command("reset", of=post))
        await core.settled()
        await core.say("two")
        await core.settled()
        assert core.windows()[1] == ["Alice: two"]

    async def test_a_reset_while_it_answers_leaves_no_answer_behind(self, make: Make) -> None:
        """An answer that a reset interrupts does not begin the new conversation."""
        options = Options("script", (Scripted("word " * 100), Scripted("new")), rate=50)
        async with make(options=options) as core:
            post = await core.say("one")
            await until(lambda: core.adapter.shown)
            await core.give(command("reset", of=post))
            await core.settled()
            await core.say("two")
            await core.settled()
            assert core.windows()[1] == ["Alice: two"]

    async def test_a_changed_persona_is_used(self, core: CoreUnderTest) -> None:
        """What somebody with permission sets in chat holds for the next question."""
        chief = Author("U9", "Chief", may_configure=True)
        await core.give(command("persona", "You are a pirate.", author=chief))
        await core.settled()
        await core.say()
        await core.settled()
        assert core.asked()[0]["messages"][0]["content"] == "You are a pirate."


class TestAccounting:
    """What answers cost, and what is kept for the next turn."""

    async def test_each_model_call_is_billed_once(self, core: CoreUnderTest) -> None:
        """The ledger has the endpoint's own numbers for each answered turn."""
        post = await core.say()
        await core.settled()
        totals = await core.ledger.spent(post.place, ALICE, core.ledger.today())
        assert totals.calls == 1
        assert totals.prompt_tokens > 0
        assert totals.completion_tokens == 2

    async def test_where_the_window_begins_is_kept(self, make: Make) -> None:
        """When a block is dropped the next process drops nothing else before it has to."""
        adapter = FakeAdapter()
        settings = {"context_tokens": 256, "persona": "."}
        seen: list[list[str]] = []
        for number in range(8):
            async with make(adapter=adapter, model_config=settings) as core:
                await core.say(f"question {number} " + "words " * 15)
                await core.settled()
                seen.append(core.windows()[0])
                adapter.shown.clear()
        kept = [len(window) for window in seen]
        assert max(kept) > 3
        for before, after in itertools.pairwise(seen):
            assert after[: len(before)] == before or len(after) < len(before)
        assert sum(len(b) <= len(a) for a, b in itertools.pairwise(seen)) <= 4
