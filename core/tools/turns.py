"""The model's tools in a conversation: one turn's calls, who allows them, and who looks at them.

A call may change the world, so none is made before the question is stored and has passed
moderation. Its arguments are judged as what the assistant says, its result as what it is told.
Whoever asked, or an administrator, is asked by a message of the turn's own; it shows in the end
what was decided. A turn that is resumed asks again, in the same message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from core.completions.types import ChatRequest, Usage
from core.delivery import Delivery
from core.errors import TalkwardenError
from core.judged import Judged
from core.messages import storable
from core.moderation.gate import Violation
from core.moderation.verdicts import Verdict, redact
from core.outbox import parts_op
from core.telemetry import logger
from core.tools.approvals import Approvals, Decided, Question
from core.tools.calls import PendingCall
from core.tools.loop import Ask, Toolbox, ToolStream

if TYPE_CHECKING:
    from core.completions.tokens import TokenCounter
    from core.means import Means, Turn

_log = logger("talkwarden.tools")

MOST_SHOWN = 6000
"""Characters of arguments that somebody can be asked about: nobody allows what they can't see."""
CLOSING = 3.0
"""Seconds that a turn waits at its end for its questions to show what came of them."""

LATE = "Nobody answered in time, so it was not called."
STOPPED = "The answer was stopped, so it was not called."
UNNEEDED = "The question is not open any more."


@dataclass(frozen=True, slots=True)
class Tools:
    """What the model may call in conversations, and the open questions about it."""

    toolbox: Toolbox
    approvals: Approvals

    def of(self, means: Means, turn: Turn, why: Callable[[], str]) -> TurnTools:
        """For one attempt at one turn; `why` tells what ended it, as `Interrupt.reason` does."""
        return TurnTools(self, means, turn, why)


class TurnTools:
    """One turn's tools: its stream, its approver, its screen."""

    ready: Awaitable[object]
    """Done once the turn is durable and its question has passed."""
    on_posted: Callable[[str], None]
    """Told the id of each message that asks."""

    def __init__(self, tools: Tools, means: Means, turn: Turn, why: Callable[[], str]) -> None:
        self.judged: list[Judged] = []
        """What moderation said of arguments and results, where it was not simply yes."""
        self._tools = tools
        self._means = means
        self._turn = turn
        self._why = why
        self._stream: ToolStream | None = None
        self._asked = 0
        self._closing: set[asyncio.Task[None]] = set()

    # for the answer

    def stream(self, ask: Ask, request: ChatRequest) -> ToolStream:
        """The answer to the request, with as many calls before it as it takes."""
        begin = self._tools.toolbox.asking(ask, approver=self, screen=self, key=self._turn.id)
        self._stream = begin(request)
        return self._stream

    @property
    def has_called(self) -> bool:
        """Something was called: asking anew would call it again."""
        return self._stream is not None and bool(self._stream.done)

    def cost(self, counter: TokenCounter) -> int:
        """Tokens of a request that describe the tools."""
        return counter.count(msgspec.json.encode(self._tools.toolbox.registry.wire).decode())

    def usage(self, counter: TokenCounter) -> Usage | None:
        """Of all replies; what the endpoint did not tell is estimated. None: there was none."""
        stream = self._stream
        if stream is None or not (stream.usage or stream.untold):
            return None
        usage = stream.usage or Usage()
        for request, text in stream.untold:
            read = sum(counter.count_message(message) for message in request.messages)
            usage += Usage(read + self.cost(counter), counter.count(text))
        return usage

    async def settle(self) -> None:
        """Wait, for a while, until the questions show what came of them."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSING)

    # Screen

    async def screen(
        self, text: str, *, tool: str, kind: Literal["arguments", "result"]
    ) -> str | None:
        """The text, masked where a rule says so; None when it must not go on."""
        text = storable(text)
        if kind == "arguments":
            await asyncio.shield(asyncio.ensure_future(self.ready))
            found, seen = await self._judge_arguments(_unescaped(text))
        else:
            found, seen = await self._judge_result(text)
        if found.decision != "allow" or found.unchecked:
            self._note(found, tool, seen or "")
        return seen if found.is_allowed else None

    async def _judge_arguments(self, text: str) -> tuple[Verdict, str | None]:
        gate = self._means.scope(self._turn.place, self._turn.asker).gate()
        try:
            gate.feed(text)
            gate.finish()
            seen = await gate.clear()
        except Violation as exc:
            return exc.verdict, None
        return gate.verdict, seen

    async def _judge_result(self, text: str) -> tuple[Verdict, str | None]:
        scope = self._means.scope(self._turn.place)  # nobody's own words, so nobody is exempt
        verdict = await scope.score((text,), scope.check((text,)))
        return verdict, redact(text, verdict)

    def _note(self, verdict: Verdict, tool: str, text: str) -> None:
        turn = self._turn
        number = len(self.judged) + 1
        _log.info("A tool's text was judged.", tool=tool, decision=verdict.decision)
        self.judged.append(
            Judged(
                f"tool {turn.id} {number}",
                "out",
                turn.target.conversation,
                turn.place,
                turn.asker,
                verdict,
                (text,),
                turn=turn.id,
                carried="" if verdict.is_allowed else "refuse",
                terms=self._means.scope(turn.place, turn.asker).terms,
            )
        )

    # Approver

    async def approve(self, call: PendingCall) -> bool:
        """Ask in the conversation; what can't be shown is not allowed."""
        text = _question(call, self._turn.asker.name)
        self._asked += 1
        delivery = await self._message(f"{self._turn.id}?{self._asked}")
        decided: Decided | None = None

        async def post(question: Question) -> None:
            delivery.question = question.id
            await delivery.finish(text)

        question = self._tools.approvals.question(
            self._turn.target.conversation, self._turn.asker, call
        )
        try:
            decided = await self._tools.approvals.ask(question, post)
            return decided.is_allowed
        finally:
            closing = asyncio.create_task(self._close(delivery, text, decided))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _message(self, key: str) -> Delivery:
        """The message that asks: like an answer's, so that a crash leaves no second one."""
        turn, store = self._turn, self._means.store
        is_reply = turn.target.is_new_thread  # the thread hangs on the question
        target = replace(
            turn.target,
            handle=None,
            reply_to=turn.target.reply_to if is_reply else None,
            is_only_for_asker=False,
        )
        known = await store.read(parts_op(key))
        delivery = Delivery(turn.adapter, target, key, store, known=known)
        delivery.is_held = turn.batch.is_held
        delivery.on_posted = self.on_posted
        return delivery

    async def _close(self, delivery: Delivery, text: str, decided: Decided | None) -> None:
        """Take the buttons away and say what was decided."""
        why = self._why()
        delivery.question = ""
        try:
            if not delivery.is_visible or (decided is None and why == "deleted"):
                await delivery.withdraw()
            else:
                await delivery.conclude(f"{text}\n\n{_outcome(decided, why)}")
        except TalkwardenError as exc:  # its buttons say that it is not open any more
            _log.info("A question still shows its buttons.", error=str(exc))


def _question(call: PendingCall, name: str) -> str:
    """What is asked; raises TalkwardenError when the arguments are too long to be shown."""
    shown = "".join(_visible(each) for each in call.shown)
    if len(shown) > MOST_SHOWN:
        raise TalkwardenError("The arguments are too long to be shown to anybody.")
    who = f"{_plain(name)}, or an administrator," if _plain(name) else "Who asked"
    return f"May I call `{call.tool}`? {who} can allow it.\n```json\n{shown}\n```"


def _outcome(decided: Decided | None, why: str) -> str:
    if decided is not None:
        by = f" by {_plain(decided.by)}" if _plain(decided.by) else ""
        return f"**{'Allowed' if decided.is_allowed else 'Declined'}**{by}."
    return {"": LATE, "stop": STOPPED}.get(why, UNNEEDED)


def _visible(character: str) -> str:
    """JSON's way to write what can't be seen, or would end the block of code."""
    if character == "\n" or (character.isprintable() and character != "`"):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs)


def _plain(name: str) -> str:
    """A name without what would be Markdown, or a mention."""
    return "".join(each for each in name if each.isalnum() or each in " -.'")[:80].strip()


def _unescaped(arguments: str) -> str:
    """The same JSON with its characters as they are: an escape hides no word from a rule."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments)).decode()
    except ValueError:
        return arguments  # refused as no JSON, after this
