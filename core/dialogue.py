"""A conversation over the API: the question and its answer join the history together, or neither.

Branches begin where a caller names the message to go on from. Asks of one conversation wait for
one another, so that one which names no message follows the answer before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

import msgspec

from core.callers import Caller
from core.calls import Calls, Reply
from core.completions.tokens import TokenCounters
from core.conversations import (
    Conversation,
    Exchange,
    create_op,
    extend_op,
    find_op,
    messages_op,
    new_id,
    parent_op,
)
from core.errors import BadReply, TalkwardenError
from core.history import Entry, branch_of, fit, move_window_op, past_op, to_messages
from core.storage import Op, Store

MOST_CONTINUED: Final = 8
"""Times that an answer is taken up again which ended for its length."""
CHAT: Final = "/chat/completions"
CONTINUE: Final = "Continue exactly where you stopped. Do not repeat anything."


class Unknown(TalkwardenError):
    """The key has no such conversation, or the conversation no such message."""

    def __init__(self, what: str, param: str | None = None) -> None:
        super().__init__(f"There is no such {what}.")
        self.what = what
        self.param = param


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller says in a conversation."""

    entry: Entry
    parent: str | None = None
    """The id of the message to go on from; None: the newest."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Request parameters for this one completion; a model among them."""
    is_continued: bool = False
    """Join the pieces of an answer that stops for its length."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer as it was stored."""

    entry: Entry
    reply: Reply
    """The last completion's, its message replaced by the whole text."""
    finish_reason: str
    model: str


Also: TypeAlias = Callable[[Answered], Op[None]]
"""What is stored together with an answer, or neither of them."""


class Dialogue:
    """Asks and answers of all keys' conversations; built once."""

    def __init__(
        self,
        store: Store,
        calls: Calls,
        tokens: TokenCounters,
        budget: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._calls = calls
        self._tokens = tokens
        self._budget = budget
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, key: str, conversation: str) -> Conversation:
        """The key's conversation. Raises Unknown."""
        found = await self._store.read(find_op(key, conversation))
        if found is None:
            raise Unknown("conversation")
        return found

    async def messages(self, found: Conversation, branch: str | None = None) -> list[Entry]:
        """The branch that ends with this message, by default the newest. Raises Unknown."""
        everything = await self._store.read(messages_op(found))
        seqs = {entry.platform_id: entry.seq for entry in everything}
        if branch is not None and branch not in seqs:
            raise Unknown("message", "branch")
        return branch_of(everything, None if branch is None else seqs[branch])

    async def ask(
        self, caller: Caller, found: Conversation, ask: Ask, also: Also | None = None
    ) -> Answered:
        """Have the conversation answered. Raises Unknown, TextRefused, ModelError, StoreError."""
        async with self._in_turn(found):
            head = await self._head(found, ask.parent)
            body = await self._body(found, ask, head)
            answered = await self._answer(caller, body, ask)
            added = Exchange((ask.entry, answered.entry), head)
            more = also(answered) if also is not None else None
            if not await self._store.write(
                together_op(extend_op(found, added, self._clock()), more)
            ):
                raise Unknown("conversation")
            return answered

    async def begin(
        self, caller: Caller, found: Conversation, ask: Ask, also: Also | None = None
    ) -> Answered:
        """Have a new conversation's first message answered; then it is stored, both or neither.

        Raises TextRefused, ModelError, StoreError.
        """
        body = await self._body(found, ask, None)
        answered = await self._answer(caller, body, ask)
        more = also(answered) if also is not None else None
        await self._store.write(together_op(create_op(found, (ask.entry, answered.entry)), more))
        return answered

    @asynccontextmanager
    async def _in_turn(self, found: Conversation) -> AsyncIterator[None]:
        lock = self._locks.setdefault(found.home, asyncio.Lock())
        async with lock:
            yield

    async def _head(self, found: Conversation, parent: str | None) -> int | None:
        if parent is None:
            return None
        seq = await self._store.read(parent_op(found, parent))
        if seq is None:
            raise Unknown("message", "parent_id")
        return seq

    async def _body(self, found: Conversation, ask: Ask, head: int | None) -> dict[str, Any]:
        settings = dict(found.settings)
        system = settings.pop("system", [])
        model = str(ask.params.get("model") or found.model or self._calls.model)
        count = self._tokens.of(model).count_message
        if head is None:
            past, _ = await self._store.read(past_op(found.home, None))
            kept, start = fit([*past.branch(), ask.entry], past.start, self._budget, count)
            if start != past.start:
                await self._store.write(move_window_op(found.home, start))
        else:  # another branch may begin before the newest one's window
            branch = branch_of(await self._store.read(messages_op(found)), head)
            kept, _ = fit([*branch, ask.entry], 0, self._budget, count)
        messages = [*system, *messages_of(kept)]
        return {**settings, **ask.params, "model": model, "messages": messages}

    async def _answer(self, caller: Caller, body: Mapping[str, Any], ask: Ask) -> Answered:
        text = ""
        for _ in range(MOST_CONTINUED):
            reply = await self._calls.ask(caller, CHAT, _continued(body, text))
            piece, finish_reason = _first(reply)
            if text:  # each piece was judged alone, and a word may stand in two of them
                await self._calls.join(caller, reply.document, text + piece)
                text, finish_reason = _first(reply)
            else:
                text = piece
            if finish_reason != "length" or not ask.is_continued or not piece:
                break
        reply.document["choices"][0]["message"]["content"] = text
        entry = Entry("assistant", text, platform_id=new_id())
        model = str(reply.document.get("model") or body["model"])
        return Answered(entry, reply, finish_reason, model)


def together_op(first: Op[bool], more: Op[None] | None) -> Op[bool]:
    """Both in one transaction; only the first one if that finds nothing to do."""
    is_done = yield from first
    if is_done and more is not None:
        yield from more
    return is_done


def messages_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The messages as a request holds them."""
    window = to_messages(entries, has_names=False, has_vision=True)
    found: list[dict[str, Any]] = msgspec.to_builtins(window)
    return found


def _continued(body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    if not text:
        return body
    more = [{"role": "assistant", "content": text}, {"role": "user", "content": CONTINUE}]
    return {**body, "messages": [*body["messages"], *more]}


def _first(reply: Reply) -> tuple[str, str]:
    """The text and finish_reason of the first choice. Raises BadReply."""
    try:
        choice = reply.document["choices"][0]
        message = choice["message"]
        content = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError) as exc:
        raise BadReply("the endpoint sent a reply without a message") from exc
    if not content and (message.get("tool_calls") or message.get("function_call")):
        raise BadReply("the endpoint called a tool, and a conversation offers none")
    return (content if isinstance(content, str) else ""), str(choice.get("finish_reason") or "stop")
