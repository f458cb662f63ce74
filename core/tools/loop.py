"""The loop of call, result and answer, as one stream that looks like a plain answer's.

    async with ToolStream(client.stream, request, calls, bounds) as stream:
        async for batch in stream: ...

What the model says before it calls a tool is handed on like the rest; calls are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeAlias

from core.completions.stream import ChatStream
from core.completions.types import ChatDelta, ChatMessage, ChatRequest, ToolCallFragment, Usage
from core.telemetry import logger
from core.tools.calls import Approver, Bounds, Calls, Done, Screen, ToolCall
from core.tools.registry import Registry

_log = logger("talkwarden.tools")

UNTOLD = {"type": "error", "code": "none came with the first reply"}

Ask: TypeAlias = Callable[[ChatRequest], ChatStream]
"""Begins one reply of the model."""


class ToolStream:
    """One answer, with as many rounds of calls before it as the bounds allow.

    Leave the block at any time: the model is stopped and calls that run are cancelled. At a bound
    the model is told to answer with what it has. Raises what `ask` raises.
    """

    def __init__(
        self, ask: Ask, request: ChatRequest, registry: Registry, calls: Calls, bounds: Bounds
    ) -> None:
        self.usage: Usage | None = None
        """Of all rounds together."""
        self.finish_reason: str | None = None
        self.model = ""
        self.endpoint = ""
        self.request_id = ""
        self.done: list[Done] = []
        """Every call and what came of it, in order."""
        self.untold: list[tuple[ChatRequest, str]] = []
        """Requests whose usage nobody told, and the text that came of them."""
        self.moderation: dict[str, Any] = {}
        """Inline moderation, as a plain stream has it: of the output once that is whole."""
        self.said: list[ChatMessage] = []
        """What the rounds added to the conversation: calls, results, and the answer."""
        self._ask = ask
        self._request = request
        self._registry = registry
        self._calls = calls
        self._bounds = bounds
        self._parts: list[str] = []
        self._ends_at = 0.0
        self._outputs: list[Any] = []
        self._batches = self._run()

    async def __aenter__(self) -> ToolStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._batches.aclose()

    def __aiter__(self) -> AsyncIterator[list[ChatDelta]]:
        return self._batches

    @property
    def text(self) -> str:
        """The visible text so far."""
        return "".join(self._parts)

    async def _run(self) -> AsyncGenerator[list[ChatDelta], None]:
        rounds = 0
        while True:
            is_last = rounds >= self._bounds.rounds or self._is_spent()
            found: dict[int, ToolCallFragment] = {}
            texts: list[str] = []
            request = self._asked(is_last=is_last)
            async with aclosing(self._round(request, found, texts)) as batches:
                async for batch in batches:
                    yield batch
            wanted = [] if is_last else _whole(found)
            self.said.append(_spoken("".join(texts), wanted))
            if not wanted:
                self._hear_outputs()
                return
            if "moderation" in request.params and not self.moderation:
                self.moderation = {"input": UNTOLD}  # the calls wait for it, and none will come
                yield []
            rounds += 1
            await self._carry_out(wanted)
            if texts and texts[-1][-1:].strip():  # the next round's words begin a new paragraph
                self._parts.append("\n\n")
                yield [ChatDelta("\n\n")]

    async def _round(
        self,
        request: ChatRequest,
        found: dict[int, ToolCallFragment],
        texts: list[str],
    ) -> AsyncGenerator[list[ChatDelta], None]:
        is_begun = False
        async with self._ask(request) as stream:
            try:
                async for batch in stream:
                    is_begun = True
                    for delta in batch:
                        _join(found, delta.tool_calls)
                        if delta.text:
                            texts.append(delta.text)
                            self._parts.append(delta.text)
                    shown = [d for d in batch if d.text or d.reasoning]
                    if self._hear(stream) or shown:
                        yield shown
            finally:
                if is_begun and stream.usage is None:
                    self.untold.append((request, "".join(texts)))
        self._outputs.append(stream.moderation.get("output"))
        self._note(stream)

    def _asked(self, *, is_last: bool) -> ChatRequest:
        """The conversation so far; at a bound no more calls are allowed."""
        params: dict[str, Any] = {**self._request.params, "tools": self._registry.wire}
        if is_last:
            params["tool_choice"] = "none"
        elif self.done:
            params.pop("tool_choice", None)  # "required" is meant for the first reply
        messages = (*self._request.messages, *self.said)
        return replace(self._request, messages=messages, params=params)

    async def _carry_out(self, wanted: Sequence[ToolCall]) -> None:
        loop = asyncio.get_running_loop()
        self._ends_at = self._ends_at or loop.time() + self._bounds.total_seconds
        room = max(0, self._bounds.calls - len(self.done))
        remaining = self._ends_at - loop.time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._calls.run(c, remaining)) for c in wanted[:room]]
        results = [task.result() for task in tasks]
        # each call needs its result, or endpoints refuse the conversation
        results += [Done(c, '{"error": "too many calls"}', "late") for c in wanted[room:]]
        self.done += results
        self.said += [ChatMessage("tool", done.text, tool_call_id=done.call.id) for done in results]

    def _is_spent(self) -> bool:
        is_late = bool(self._ends_at) and asyncio.get_running_loop().time() >= self._ends_at
        if is_late or len(self.done) >= self._bounds.calls:
            _log.warning("The model used up its tool calls.", calls=len(self.done), late=is_late)
            return True
        return False

    def _hear(self, stream: ChatStream) -> bool:
        """Whether the first reply said what the endpoint's moderation thinks of the question."""
        if "input" in self.moderation or "input" not in stream.moderation:
            return False
        self.moderation = {"input": stream.moderation["input"]}
        return True

    def _hear_outputs(self) -> None:
        """What was said in all rounds is one answer: it has the scores of all of them."""
        told = [each for each in self._outputs if isinstance(each, Mapping)]
        if not told:
            return
        failed = [each for each in told if not isinstance(each.get("results"), list)]
        if len(told) < len(self._outputs) or failed:
            self.moderation["output"] = failed[0] if failed else {}
            return
        results = [result for each in told for result in each["results"]]
        self.moderation["output"] = {**told[-1], "results": results}

    def _note(self, stream: ChatStream) -> None:
        self.finish_reason, self.model = stream.finish_reason, stream.model
        self.endpoint, self.request_id = stream.endpoint, stream.request_id
        if stream.usage is not None:
            self.usage = (self.usage or Usage()) + stream.usage


class Toolbox:
    """Tools with their bounds and those who are asked, for as many answers as come."""

    def __init__(
        self,
        registry: Registry,
        bounds: Bounds | None = None,
        *,
        approver: Approver | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.registry = registry
        self._bounds = bounds or Bounds()
        self._approver = approver
        self._screen = screen

    def asking(
        self,
        ask: Ask,
        *,
        approver: Approver | None = None,
        screen: Screen | None = None,
        key: str = "",
    ) -> Callable[[ChatRequest], ToolStream]:
        """`ask`, with these tools offered to the model and carried out.

        One answer may have an approver and a screen of its own, and a `key` (see `call_key`).
        """

        def begin(request: ChatRequest) -> ToolStream:
            calls = Calls(
                self.registry,
                self._bounds,
                approver=approver or self._approver,
                screen=screen or self._screen,
                key=key,
            )
            return ToolStream(ask, request, self.registry, calls, self._bounds)

        return begin


def _join(found: dict[int, ToolCallFragment], pieces: Sequence[ToolCallFragment]) -> None:
    for piece in pieces:
        call = found.get(piece.index, ToolCallFragment(piece.index))
        found[piece.index] = ToolCallFragment(
            piece.index,
            call.id or piece.id,
            call.name or piece.name,
            call.arguments + piece.arguments,
        )


def _whole(found: Mapping[int, ToolCallFragment]) -> list[ToolCall]:
    """The calls in order; a server that gives them no id gets ids that are told apart."""
    calls = []
    for index in sorted(found):
        piece = found[index]
        if piece.name:
            calls.append(ToolCall(piece.id or f"call_{index}", piece.name, piece.arguments))
    return calls


def _spoken(text: str, calls: Sequence[ToolCall]) -> ChatMessage:
    made = tuple(
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in calls
    )
    return ChatMessage("assistant", text or None, tool_calls=made)
