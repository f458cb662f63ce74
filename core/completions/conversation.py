"""A conversation that keeps its history and its settings over several turns.

    talk = Conversation.create(client, system="Be brief.", temperature=0.2)
    print((await talk.ask("Who was Ada?")).text)
    print((await talk.ask("And her father?")).text)

Only what was answered whole joins the history; what does not fit the budget any more is left out
in blocks of the oldest turns, so that endpoints can cache what stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, Unpack

import msgspec

from core.completions.client import CompletionsClient
from core.completions.params import ChatParams, merged
from core.completions.schema_more import problems
from core.completions.tokens import TokenCounter, TokenCounters
from core.completions.types import ChatDelta, ChatMessage, ChatRequest, ContentPart, Usage
from core.errors import InvalidRequest

Said: TypeAlias = str | Sequence[ContentPart]


class AnswerStream(Protocol):
    """What a plain answer and one with tool calls have in common."""

    usage: Usage | None
    finish_reason: str | None
    model: str

    @property
    def text(self) -> str:
        """The visible text so far."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[list[ChatDelta]]: ...


Ask: TypeAlias = Callable[[ChatRequest], AnswerStream]
"""Begins an answer: a client's `stream`, or a toolbox around it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn's answer, whole."""

    text: str
    finish_reason: str | None
    usage: Usage | None
    model: str


@dataclass(slots=True)
class Conversation:
    """One turn at a time: a second `ask` waits for the first."""

    ask_model: Ask
    counter: TokenCounter
    model: str = ""
    system: str = ""
    context_tokens: int = 16_000
    params: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    """Of all turns."""
    _turns: list[list[ChatMessage]] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def create(
        cls,
        client: CompletionsClient,
        *,
        model: str = "",
        ask: Ask | None = None,
        context_tokens: int = 16_000,
        **params: Unpack[ChatParams],
    ) -> Conversation:
        """A new one; raises InvalidRequest for settings that no endpoint would take."""
        body = merged(params)
        system = body.pop("system", "")
        asked = {"model": model or client.targets[0].model, **body}
        asked["messages"] = [{"role": "user", "content": "-"}]
        if found := problems("/chat/completions", asked):
            raise InvalidRequest(found)
        text = system if isinstance(system, str) else str(system.get("content") or "")
        counter = TokenCounters().of(asked["model"])
        return cls(ask or client.stream, counter, model, text, context_tokens, body)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The window as it goes to the model, in the API's own shape."""
        found: list[dict[str, Any]] = msgspec.to_builtins(self._window())
        return found

    def load(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Begin with what was said before; raises InvalidRequest where a message is none."""
        asked = {"model": "-", "messages": list(messages)}
        if found := problems("/chat/completions", asked):
            raise InvalidRequest(found)
        for message in msgspec.convert(list(messages), list[ChatMessage], strict=False):
            if message.role in ("system", "developer") and not self._turns and not self.system:
                self.system = str(message.content or "")
            elif message.role == "user" or not self._turns:
                self._turns.append([message])
            else:
                self._turns[-1].append(message)

    def reset(self) -> None:
        """Forget what was said; the settings stay."""
        self._turns.clear()

    async def ask(self, said: Said) -> Answer:
        """The model's answer; on an error the history is as it was before."""
        async with self.stream(said) as stream:
            async for _ in stream:
                pass
        return Answer(stream.text, stream.finish_reason, stream.usage, stream.model)

    @asynccontextmanager
    async def stream(self, said: Said) -> AsyncIterator[AnswerStream]:
        """The answer as it is written; it joins the history when it was read to its end."""
        content = said if isinstance(said, str) else tuple(said)
        async with self._lock:
            question = ChatMessage("user", content)
            self._trim(question)
            request = ChatRequest((*self._window(), question), self.model, self.params)
            async with self.ask_model(request) as stream:
                yield stream
            if stream.finish_reason is None:
                return
            answer = getattr(stream, "said", None) or [ChatMessage("assistant", stream.text)]
            self._turns.append([question, *answer])
            self._note(request, stream.usage)

    def _window(self) -> list[ChatMessage]:
        first = [ChatMessage("system", self.system)] if self.system else []
        return [*first, *(message for turn in self._turns for message in turn)]

    def _trim(self, question: ChatMessage) -> None:
        """When the budget is passed, keep the newest turns that fill half of it."""
        count = self.counter.count_messages
        if count([*self._window(), question]) <= self.context_tokens:
            return
        while self._turns and count([*self._window(), question]) > self.context_tokens // 2:
            del self._turns[0]

    def _note(self, request: ChatRequest, usage: Usage | None) -> None:
        if usage is None:
            return
        self.counter.observe(self.counter.count_messages(request.messages), usage.prompt_tokens)
        self.usage += usage
