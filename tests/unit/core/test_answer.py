"""What keeps an answer from its asker: rules, limits, and all that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
from fakes.core import CoreUnderTest
from fakes.events import command, edited
from fakes.waiting import until

from bots.simulators.completions import Options
from bots.simulators.completions.options import Scripted
from core import chat as chats
from core.adapter import Activity, Target
from core.chat import BUSY
from core.errors import PermissionDenied, PlatformUnavailable
from core.giving_up import GAVE_UP
from core.inbox import turn_id
from core.means import INDICATIONS
from core.messages import Author
from core.moderation import Verdict

Make = Callable[..., AbstractAsyncContextManager[CoreUnderTest]]

pytestmark = pytest.mark.usefixtures("quick_core")


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

    async def test_the_scorer_is_recorded_whatever_it_says(self, make: Make) -> None:
        """Each score of a question is kept, and so is why there is none."""
        async with make(moderation={"remote": "openai"}) as core:
            first = await core.say("a harmless question", key="1")
            await core.settled()
            core.model.fail("500", times=9, on="moderations")
            second = await core.say("another one", key="2")
            await core.settled()
            found = []
            for post in (first, second):
                rows = await core.rows("verdicts.of", subject=f"in {post.conversation} {post.id}")
                found.append([msgspec.json.decode(row["verdict"], type=Verdict) for row in rows])

        scored, unscored = found
        assert scored[-1].source != "local"
        assert scored[-1].categories
        assert unscored[-1].unchecked

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


async def test_few_answers_show_at_once_that_they_are_under_way(make: Make) -> None:
    """Of many that begin together only some call; who has words to show needs no sign any more."""
    async with make(options=Options("echo", first_delay=1.1)) as core:
        indicate, calls, most = core.adapter.indicate, 0, 0

        async def slowly(target: Target, activity: Activity) -> None:
            nonlocal calls, most
            if activity is Activity.WORKING:
                calls += 1
                most = max(most, calls)
                try:
                    await asyncio.sleep(0.5)
                finally:
                    calls -= 1
            await indicate(target, activity)

        core.adapter.indicate = slowly
        for number in range(40):
            await core.say(f"question {number}", channel=f"C{number}")
        await core.settled()

    assert most == INDICATIONS
    assert core.adapter.activities.count(Activity.WORKING) < 40
    assert len(core.adapter.shown) == 40
    assert core.adapter.working == {}
