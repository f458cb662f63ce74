"""Steps 7 and 8 of a message's walk: ask the model, and let out what passed.

The turn is begun in the database while the model is already being asked; nothing becomes visible
before that is durable and the question's verdict is in. A finished text is stored before its last
part is delivered, so that no crash makes anybody pay for it twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from core import faults
from core.adapter import Activity
from core.asking import digest, facts_for, params_of
from core.completions.stream import ChatStream
from core.completions.types import ChatDelta, ChatMessage, ChatRequest, Usage
from core.delivery import Delivery
from core.errors import ContextTooLong, ModelError, ModelUnavailable, TalkwardenError
from core.gathering import GatheringGate
from core.history import append_op, fit, move_window_op, revise_seq_op, to_messages
from core.judged import Judged, judged_op, refused, scored
from core.means import Means, Turn
from core.messages import storable
from core.moderation import Verdict, Violation
from core.outbox import intend_op
from core.question import Question
from core.storage import Op
from core.telemetry import logger
from core.turns import Reply, begin_op, finish_text_op, question_op, take_rows_op

_log = logger("talkwarden.answer")

EMPTY = "The model gave an empty answer."
STOPPED = "_(stopped)_"
CUT = "_(cut off: the answer reached its length limit)_"
LEAD = 3  # rounds of the event loop in which the request leaves before the database is busy
PATIENCE = 0.8  # seconds without a visible word before "working" is shown


class QuestionRefused(TalkwardenError):
    """The remote scorer refuses the question, after the model was asked."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class Superseded(TalkwardenError):
    """The question changed before anything of its answer was visible."""


class Answer:
    """One attempt to answer one question."""

    def __init__(self, means: Means, turn: Turn, question: Question, delivery: Delivery) -> None:
        self._means = means
        self._turn = turn
        self._question = question
        self._delivery = delivery
        self._inline = means.moderation.inline()
        self._scope = means.scope(turn.place, turn.asker).hearing(self._inline)
        self._gate = GatheringGate(self._scope.gate())
        self._cleared: list[str] = []
        self._reader: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._usage: Usage | None = None
        self._model = ""
        self._finish_reason: str | None = None
        self._is_reasoning = False
        self._is_rejudged = False
        self._estimated = 0
        self._tools = means.tools.of(means, turn, self._why) if means.tools is not None else None
        self._window_start = question.past.start

    async def run(self) -> Reply | None:
        """The whole answer, delivered; None if it was parked for the next start.

        Raises Superseded, StoreError, PlatformError.
        """
        request = self._request(self._means.config.model.context_tokens)
        reader = self._reader = asyncio.ensure_future(self._read(request))
        begun = asyncio.ensure_future(self._begin())
        ready = asyncio.ensure_future(self._ready(begun))
        ready.add_done_callback(self._notice)
        if self._tools is not None:
            self._tools.ready, self._tools.on_posted = ready, self._delivery.on_posted
        working = asyncio.ensure_future(self._show_working())
        shown = asyncio.shield(ready)
        shown.add_done_callback(self._notice)  # nobody may come to wait for it
        self._delivery.follow(shown, self._clear, self._fail)
        self._delivery.intend_first()
        try:
            text, reply = await self._settle(reader, ready)
            if text is None:
                await self._delivery.abandon()
                return None
            self._delivery.has_feedback = bool(reply.text)
            attempt, seq = await begun
            reply = self._billed(reply, attempt, seq)
            await self._means.store.write(self._finish_op(text, reply))
            noted = self._tools.judged if self._tools is not None else ()
            self._means.act_on((*self._question.judged, *noted, self._judged()))
            await self._delivery.conclude(text)
            return reply
        except Superseded:
            await asyncio.shield(begun)  # what follows has to find the turn
            raise
        finally:
            await self._delivery.abandon()
            tasks = (reader, begun, ready, working)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._tools is not None:
                await self._tools.settle()

    # before anything is visible

    async def _begin(self) -> tuple[int, int]:
        for _ in range(LEAD):
            await asyncio.sleep(0)
        begun = await self._means.store.write(self._begin_op())
        self._means.act_on(self._question.judged)
        return begun

    def _begin_op(self) -> Op[tuple[int, int]]:
        """Begin the turn; (attempt, seq of the question)."""
        turn, question, now = self._turn, self._question, self._means.clock()
        conversation = turn.target.conversation
        attempt = yield from begin_op(turn.id, turn.batch.lane, turn.target, turn.batch.fence, now)
        yield from take_rows_op(turn.id, turn.batch.items)
        seq = question.seq
        if question.entries:
            seq = yield from append_op(conversation, turn.place, question.linked(), now)
        yield from question_op(turn.id, seq)
        for each in question.judged:
            yield from judged_op(each, now)
        yield from intend_op(turn.id, 0, conversation, now)
        return attempt, seq

    async def _ready(self, begun: Awaitable[object]) -> None:
        """Return when something may become visible."""
        scope, question = self._scope, self._question
        if scope.has_scorer and scope.when == "overlap" and question.judged:
            self._question = replace(question, judged=await scored(scope, question.judged))
            self._is_rejudged = True
        for item in self._turn.batch.items:
            await item.durable()
        await begun
        if self._is_rejudged and not self._question.verdict.is_allowed:
            raise QuestionRefused(self._question.verdict)

    async def _show_working(self) -> None:
        await asyncio.sleep(PATIENCE)
        adapter, target = self._turn.adapter, self._turn.target
        try:
            async with self._means.indications:
                if self._delivery.is_visible:
                    return
                await adapter.indicate(target, Activity.WORKING)
            await asyncio.Event().wait()
        finally:
            await adapter.indicate(target, Activity.IDLE)

    # while the model writes

    def _request(self, budget: int) -> ChatRequest:
        turn, config = self._turn, self._means.config.model
        resolved = turn.resolved
        count = self._means.counters.of(resolved.model).count_message
        system = ChatMessage("system", resolved.persona)
        facts = (facts_for(turn, self._means.clock()),) if config.facts else ()
        fixed = sum(count(message) for message in (system, *facts))
        if self._tools is not None:
            fixed += self._tools.cost(self._means.counters.of(resolved.model))
        path = self._question.path()
        kept, start = fit(path, self._question.past.start, budget - fixed, count)
        self._window_start = start
        window = to_messages(kept, has_names=not turn.place.is_private, has_vision=config.vision)
        messages = (system, *window, *facts)
        self._estimated = fixed + sum(count(message) for message in window)
        return ChatRequest(
            messages=messages,
            model=resolved.model,
            params=params_of(resolved, config.reply_tokens)
            | (self._inline.params if self._inline else {}),
            prompt_cache_key=digest(turn.target.conversation),
            user=digest(f"{turn.place.workspace}:{turn.asker.id}"),
        )

    async def _settle(
        self, reader: asyncio.Future[None], ready: asyncio.Future[None]
    ) -> tuple[str | None, Reply]:
        """Read the model to the end and decide what the member sees; None: nothing more now."""
        interrupt = self._turn.batch.interrupt
        try:
            try:
                await self._read_until_interrupted(reader)
                self._gate.finish()
            except ModelError as exc:
                await asyncio.shield(ready)
                found = await self._failed(exc)
            else:
                await self._clear()
                await asyncio.shield(ready)
                found = self._answered()
        except (Violation, QuestionRefused) as exc:
            found = self._withheld(exc)
        else:
            if interrupt.reason == "shutdown":
                return None, Reply()
        if interrupt.reason == "deleted":
            return "", Reply(outcome="withdrawn")
        return found

    def _answered(self) -> tuple[str, Reply]:
        text = "".join(self._cleared)
        if self._turn.batch.interrupt.reason == "stop":
            return _joined(text, STOPPED), Reply("stopped", text)
        if not text.strip():
            return EMPTY, Reply("failed")
        ending = CUT if self._finish_reason == "length" else ""
        return _joined(text, ending), Reply("answered", text)

    async def _read_until_interrupted(self, reader: asyncio.Future[None]) -> None:
        """Feed the gate from the model; return early when the turn is interrupted."""
        interrupt = self._turn.batch.interrupt
        interrupt.listen(self._interrupted)
        try:
            async with asyncio.timeout(self._means.config.engine.turn_deadline):
                await asyncio.wait([reader])
        except TimeoutError:
            raise ModelUnavailable("The turn's deadline passed.") from None
        finally:
            interrupt.listen(None)
            reader.cancel()
            await asyncio.wait([reader])
        if self._failure is not None:
            raise self._failure
        if reader.cancelled():
            if interrupt.reason == "edited":
                raise Superseded
            return
        reader.result()

    def _interrupted(self) -> None:
        if self._turn.batch.interrupt.reason == "edited" and self._delivery.is_visible:
            return  # what members have begun to read is finished
        if self._reader is not None:
            self._reader.cancel()

    def _notice(self, ready: asyncio.Future[None]) -> None:
        """A question that is refused, or was never stored, stops the model at once."""
        failure = None if ready.cancelled() else ready.exception()
        if isinstance(failure, Exception):
            self._fail(failure)

    def _why(self) -> str:
        """What ended the reading early, as an interrupt's reason; "failed" for an error."""
        return self._turn.batch.interrupt.reason or ("failed" if self._failure else "")

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, request: ChatRequest) -> None:
        try:
            await self._read_once(request)
        except ContextTooLong:
            if self._tools is not None and self._tools.has_called:
                raise
            # The count was too low for this endpoint; a shorter window is worth one more try.
            await self._read_once(self._request(self._means.config.model.context_tokens // 2))
        finally:
            if self._inline is not None:
                self._inline.close()

    def _ask(self, request: ChatRequest) -> ChatStream:
        deadline = self._means.config.engine.turn_deadline
        return self._means.client.stream(request, deadline=deadline)

    async def _read_once(self, request: ChatRequest) -> None:
        faults.reach("model.before")
        asked = self._tools.stream(self._ask, request) if self._tools else self._ask(request)
        async with asked as stream:
            async for batch in stream:
                self._model = self._model or request.model
                faults.reach("model.delta")
                if self._inline is not None:
                    self._inline.take(stream.moderation)
                text = self._shown(batch)
                if text:
                    self._gate.feed(storable(text))
                    self._delivery.grow()
        faults.reach("model.after")
        if self._inline is not None:
            self._inline.take(stream.moderation)
        self._usage, self._model = stream.usage, stream.model
        self._finish_reason = stream.finish_reason

    def _shown(self, batch: Sequence[ChatDelta]) -> str:
        """The batch's text; reasoning is a quotation before it, if it is shown at all."""
        if not self._means.config.model.show_reasoning:
            return "".join([delta.text for delta in batch])
        pieces = []
        for delta in batch:
            if delta.reasoning:
                pieces.append("" if self._is_reasoning else "> ")
                pieces.append(delta.reasoning.replace("\n", "\n> "))
                self._is_reasoning = True
            if delta.text:
                pieces.append("\n\n" if self._is_reasoning else "")
                pieces.append(delta.text)
                self._is_reasoning = False
        return "".join(pieces)

    async def _clear(self) -> str:
        """What may be seen now, as the follower asks for it."""
        piece = await self._gate.clear()
        self._cleared.append(piece)
        return piece

    # what comes of it

    def _withheld(self, exc: Violation | QuestionRefused) -> tuple[str, Reply]:
        is_answer = isinstance(exc, Violation)
        _log.info("A text was withheld.", outgoing=is_answer, decision=exc.verdict.decision)
        return self._scope.sentence(exc.verdict, outgoing=is_answer), Reply("refused")

    async def _failed(self, exc: ModelError) -> tuple[str, Reply]:
        _log.warning("The model failed.", error=str(exc), status=exc.status)
        try:
            self._gate.finish()
            await self._clear()
        except Violation as violation:
            return self._withheld(violation)
        text = "".join(self._cleared)
        return _joined(text, exc.for_user), Reply("failed", text)

    def _billed(self, reply: Reply, attempt: int, seq: int) -> Reply:
        """The reply with what it cost; the estimator learns from it."""
        counter = self._means.counters.of(self._turn.resolved.model)
        usage = self._usage
        if self._tools is not None:
            usage = self._tools.usage(counter)
            self._model = self._model or self._turn.resolved.model
        elif usage is not None and usage.prompt_tokens:
            counter.observe(self._estimated, usage.prompt_tokens)
        elif self._model:
            usage = Usage(self._estimated, counter.count("".join(self._cleared)))
        return Reply(
            outcome=reply.outcome,
            text=reply.text,
            question=seq,
            usage=usage,
            model=self._model,
            attempt=attempt,
        )

    def _finish_op(self, text: str, reply: Reply) -> Op[None]:
        turn, now = self._turn, self._means.clock()
        if self._window_start != self._question.past.start:
            yield from move_window_op(turn.target.conversation, self._window_start)
        judged = list(refused(self._question.judged)) if self._is_rejudged else []
        for each in [*judged, *(self._tools.judged if self._tools is not None else ())]:
            yield from judged_op(each, now)
        if reply.outcome == "refused" and not self._question.verdict.is_allowed:
            for seq in range(reply.question - len(self._question.entries) + 1, reply.question + 1):
                yield from revise_seq_op(turn.target.conversation, seq, "", now, is_deleted=True)
        yield from judged_op(self._judged(), now)
        yield from finish_text_op(turn.id, turn.batch.fence, text, reply, now)

    def _judged(self) -> Judged:
        """What moderation says of the answer."""
        turn, verdict = self._turn, self._gate.verdict
        carried = "withdraw" if self._delivery.is_visible else "refuse"
        return Judged(
            f"out {turn.id}",
            "out",
            turn.target.conversation,
            turn.place,
            turn.asker,
            verdict,
            ("".join(self._cleared),),
            turn=turn.id,
            carried="" if verdict.is_allowed else carried,
            terms=self._scope.terms,
        )


def _joined(text: str, ending: str) -> str:
    return f"{text.rstrip()}\n\n{ending}" if text.strip() and ending else text or ending


__all__ = ["Answer", "Means", "Superseded", "Turn"]
