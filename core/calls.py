"""A model call on behalf of an API key: limited, judged both ways, accounted.

The same rules, scorers, policy, prices and ledger as for members of a channel; what differs is
that the caller chooses the request, and reads the reply as a program does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from core.callers import Caller, LimitPassed, TextRefused
from core.completions.tokens import TokenCounters
from core.completions.types import Usage
from core.errors import NotToSchema
from core.judged import Judged, judged_op
from core.moderation import Moderation, Scope, Verdict, merge
from core.moderation.inline import InlineVerdicts
from core.moderation.scorer import OUTPUT
from core.moderation.verdicts import redact
from core.outlet import Outlet
from core.passing import given_up, passed
from core.rates import Limits, Passed, Rates
from core.reply_texts import mask_reply, texts_of_reply, withhold
from core.reply_usage import usage_document, usage_in
from core.storage import Op, Store, Write
from core.texts import Decode, checked, images_of
from core.usage import Bill, Ledger

UNNAMED = ("/moderations", "/embeddings")
"""Calls that a chat model's name has no place in."""
LIMITED = ("/chat/completions", "/completions", "/edits", "/answers")
LENGTHS = frozenset({"max_tokens", "max_completion_tokens"})

_NONE = Limits()


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; `served_by` names the endpoint that stood in for a missing one."""

    document: dict[str, Any]
    served_by: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """For the caller: what the call cost."""


class Relayed(Protocol):
    """A streamed reply: the data of its events, in batches as they were read."""

    @property
    def served_by(self) -> str:
        """By what the call is served in place of a missing one; known from the first batch on."""
        ...

    def __aiter__(self) -> AsyncIterator[list[bytes]]: ...


@dataclass(slots=True)
class Told:
    """What is known of a streamed reply once it has begun."""

    served_by: str = ""


class Upstream(Protocol):
    """What is needed of the completions client. Raises ModelError."""

    async def ask(
        self, path: str, body: Mapping[str, Any], *, deadline: float, conversation: str
    ) -> Reply:
        """One request, by its path below /v1, and its whole reply.

        Rate limits are shared out evenly among what `conversation` names.
        """
        ...

    def relay(
        self, path: str, body: Mapping[str, Any], *, deadline: float, conversation: str
    ) -> AbstractAsyncContextManager[Relayed]:
        """A streamed reply."""
        ...


@dataclass(slots=True)
class _Call:
    """One call under way."""

    id: str
    caller: Caller
    scope: Scope
    body: dict[str, Any]
    texts: tuple[str, ...]
    count: int
    """Of the texts, those that do not repeat others."""
    verdict: Verdict
    inline: InlineVerdicts | None = None
    recorded: Write[None] | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Makes the calls; built once."""

    store: Store
    upstream: Upstream
    moderation: Moderation
    ledger: Ledger
    rates: Rates
    tokens: TokenCounters
    limits: Limits
    model: str
    """For a request that names none."""
    reply_tokens: int = 0
    """Most tokens of an answer whose caller sets no limit; 0: the endpoint's default."""
    deadline: float = 300.0
    patience: float = 2.0
    """Seconds that a limit may be waited for."""
    clock: Callable[[], float] = time.time
    decode: Decode | None = None
    """Without it, prompts in tokens are refused where anything judges."""

    async def admit(self, caller: Caller) -> None:
        """Count the request, once its key's limits have room. Raises LimitPassed, StoreError."""
        passed = await self.passed(caller)
        if passed is not None and passed.seconds <= self.patience:
            await asyncio.sleep(passed.seconds)
            passed = await self.passed(caller)
        if passed is not None:
            raise LimitPassed(passed)
        self.rates.count(caller.key.id, self.clock(), requests=1)

    async def passed(self, caller: Caller) -> Passed | None:
        """The limit that has no room, all processes' calls counted. Raises StoreError."""
        key, limits = caller.key.id, caller.key.limits.over(self.limits)
        if limits != _NONE and not self.store.is_exclusive:
            await self.rates.refresh(self.store, key, self.clock())
        return self.rates.passed(key, limits, self.clock())

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of the key's limits."""
        limits = caller.key.limits.over(self.limits)
        return self.rates.headers(caller.key.id, limits, self.clock())

    def left(self, caller: Caller) -> list[dict[str, Any]]:
        """Each of the key's limits, and what is left of it."""
        limits = caller.key.limits.over(self.limits)
        return self.rates.left(caller.key.id, limits, self.clock())

    def check(self, caller: Caller, path: str, body: Mapping[str, Any]) -> None:
        """Judge what is to be kept, though no model reads it yet. Raises TextRefused."""
        self._begin(caller, path, body)

    async def ask(self, caller: Caller, path: str, body: Mapping[str, Any]) -> Reply:
        """A whole reply, judged. Raises TextRefused, ModelError, StoreError."""
        call = self._begin(caller, path, body)
        scoring = self._scoring(call)
        try:
            if scoring is not None and call.scope.when == "before":
                self._let_in(call, await scoring)
            reply = await self._replied(call, path)
            model, usage = self._used(call, reply.document)
            try:
                if scoring is not None:
                    self._let_in(call, await scoring)
                await self._recorded(call)
                verdict = await self._let_out(call, reply.document)
            except BaseException:  # the model has worked, whoever gets to read it
                await asyncio.shield(self._close(call, model, usage, None))
                raise
        finally:
            if scoring is not None:
                await given_up(scoring)
            await self._recorded(call)
        bill = await self._close(call, model, usage, verdict)
        headers = {"x-talkwarden-cost": f"{self.ledger.cost(bill):.6f}"} if bill else {}
        return Reply(reply.document, reply.served_by, headers)

    async def _replied(self, call: _Call, path: str) -> Reply:
        try:
            reply = await self.upstream.ask(
                path, call.body, deadline=self.deadline, conversation=call.caller.home
            )
        except NotToSchema as exc:
            await asyncio.shield(self._close(call, *self._used(call, exc.reply or {}), None))
            raise
        if call.inline is not None:
            call.inline.take(reply.document.get("moderation"))
            call.inline.close()
        return reply

    async def join(self, caller: Caller, document: dict[str, Any], text: str) -> None:
        """Put a text of several replies in the last one's document, judged as a whole.

        A word may stand in two of them. What is refused is withheld, as of any reply.
        """
        document["choices"][0]["message"]["content"] = text
        document["choices"][0].pop("logprobs", None)
        scope = self.moderation.at(caller.place, caller.author, now=self.clock())
        call = _Call(str(uuid4()), caller, scope, {}, (), 0, Verdict())
        await self._close(call, "", None, await self._let_out(call, document))

    async def stream(
        self, caller: Caller, path: str, body: Mapping[str, Any], told: Told
    ) -> AsyncGenerator[list[bytes], None]:
        """The data of the reply's events as they may be read; close it to stop the model.

        What is known of the reply from its first event on is `told`.

        Raises as `ask` does; what moderation stops ends with the finish_reason content_filter.
        """
        options = body.get("stream_options") or {}
        shows_usage = bool(options.get("include_usage"))
        body = {**body, "stream": True, "stream_options": {**options, "include_usage": True}}
        call = self._begin(caller, path, body)
        scoring = self._scoring(call)
        outlet = Outlet(call.scope.gate, is_scored=call.scope.has_scorer, shows_usage=shows_usage)
        try:
            if scoring is not None and call.scope.when == "before":
                self._let_in(call, await scoring)
            async with self.upstream.relay(
                path, call.body, deadline=self.deadline, conversation=caller.home
            ) as reply:
                async with aclosing(self._judged_batches(call, reply, outlet)) as batches:
                    async for batch in batches:
                        told.served_by = reply.served_by
                        await self._settled(call, scoring)
                        yield batch
                await self._settled(call, scoring)
        finally:
            if scoring is not None:
                await given_up(scoring)
            await asyncio.shield(self._close_stream(call, outlet))

    def _judged_batches(
        self, call: _Call, reply: Relayed, outlet: Outlet
    ) -> AsyncGenerator[list[bytes], None]:
        chunks = call.inline.heard(aiter(reply)) if call.inline else aiter(reply)

        def usage() -> Mapping[str, Any] | None:
            return outlet.usage or usage_document(self._streamed(call, outlet))

        return passed(chunks, outlet, usage, is_scored=call.scope.has_scorer)

    async def _settled(self, call: _Call, scoring: asyncio.Future[Verdict] | None) -> None:
        """Return once the question may be answered, and what is said of it is durable."""
        if call.recorded is not None:
            if scoring is not None:
                self._let_in(call, await scoring)
            await self._recorded(call)

    # before the model

    def _begin(self, caller: Caller, path: str, body: Mapping[str, Any]) -> _Call:
        """Judge the request by the local rules, and begin to store what they say."""
        inline = self.moderation.inline() if path == "/chat/completions" else None
        scope = self.moderation.at(caller.place, caller.author, now=self.clock()).hearing(inline)
        found = checked(scope, path, body, self.decode)
        given = found.body
        if path not in UNNAMED:
            given["model"] = given.get("model") or self.model
        if self.reply_tokens and path in LIMITED and not given.keys() & LENGTHS:
            given["max_tokens"] = self.reply_tokens
        given |= inline.params if inline else {}
        call = _Call(
            str(uuid4()), caller, scope, given, found.texts, found.count, found.verdict, inline
        )
        call.recorded = self.store.submit(self._record_op(call, found.verdict))
        if not found.verdict.is_allowed:
            raise TextRefused(scope.sentence(found.verdict), found.refused)
        return call

    def _scoring(self, call: _Call) -> asyncio.Future[Verdict] | None:
        if not call.scope.has_scorer:
            return None
        images = images_of(call.body)
        return asyncio.ensure_future(call.scope.score(call.texts, call.verdict, images))

    def _let_in(self, call: _Call, verdict: Verdict) -> None:
        """Go on only with a question that the scorer allows."""
        if verdict is call.verdict:
            return
        call.verdict = verdict
        call.recorded = self.store.submit(self._record_op(call, verdict))
        if not verdict.is_allowed:
            raise TextRefused(call.scope.sentence(verdict), "")

    async def _recorded(self, call: _Call) -> None:
        if call.recorded is not None:
            written, call.recorded = call.recorded, None
            await written.durable

    def _record_op(self, call: _Call, verdict: Verdict) -> Op[None]:
        subject = f"in {call.caller.home} {call.id}"
        yield from judged_op(self._judged(call, subject, verdict, call.texts), self.clock())

    def _judged(
        self, call: _Call, subject: str, verdict: Verdict, texts: tuple[str, ...]
    ) -> Judged:
        caller = call.caller
        is_in = subject.startswith("in ")
        return Judged(
            subject, "in" if is_in else "out", caller.home, caller.place, caller.author,
            verdict, texts, turn="" if is_in else call.id,
        )  # fmt: skip

    # after the model

    async def _let_out(self, call: _Call, document: dict[str, Any]) -> Verdict | None:
        """Judge a whole reply and mask, or take away, what must not be read."""
        found = list(texts_of_reply(document))
        if not found:
            return None
        texts = [text for _, text in found]
        verdict = call.scope.check(texts)
        verdict = await call.scope.score(texts, verdict, rank=OUTPUT)
        if not verdict.is_allowed:
            withhold(document, call.scope.sentence(verdict, outgoing=True))
            return verdict
        changed = [
            (path, masked)
            for part, (path, text) in enumerate(found)
            if (masked := redact(text, verdict, part)) != text
        ]
        mask_reply(document, changed)
        return verdict

    async def _close_stream(self, call: _Call, outlet: Outlet) -> None:
        await self._recorded(call)
        verdicts = [gate.verdict for gate in outlet.gates]
        verdict = verdicts[0] if verdicts else None
        for each in verdicts[1:]:
            verdict = merge(verdict, each) if verdict is not None else each
        await self._close(call, outlet.model, self._streamed(call, outlet), verdict)

    def _streamed(self, call: _Call, outlet: Outlet) -> Usage | None:
        """What a stream has cost so far; estimated, until the endpoint says it."""
        usage = usage_in(outlet.usage)
        if usage is None and outlet.length:
            usage = Usage(self._prompt_tokens(call), max(1, outlet.length // 4))
        return usage

    async def _close(
        self, call: _Call, model: str, usage: Usage | None, verdict: Verdict | None
    ) -> Bill | None:
        """Store what the call cost and what was judged of its reply."""
        caller, now = call.caller, self.clock()
        bill = None
        if usage is not None:
            model = model or str(call.body.get("model") or self.model)
            bill = Bill(call.id, 1, caller.place, caller.author, model, usage, now)
            tokens = usage.prompt_tokens + usage.completion_tokens
            self.rates.count(caller.key.id, now, tokens=tokens)

        def op() -> Op[None]:
            if verdict is not None:
                yield from judged_op(self._judged(call, f"out {call.id}", verdict, ()), now)
            if bill is not None:
                yield from self.ledger.record_op(bill)

        await self.store.write(op())
        if bill is not None:
            self.ledger.count(bill)
        return bill

    def _used(self, call: _Call, document: Mapping[str, Any]) -> tuple[str, Usage | None]:
        """The model that wrote a reply, and its tokens."""
        usage = usage_in(document.get("usage")) or self._estimated(call, document)
        return str(document.get("model") or ""), usage

    def _estimated(self, call: _Call, document: Mapping[str, Any]) -> Usage | None:
        """For an endpoint that does not count."""
        texts = [text for _, text in texts_of_reply(document)]
        if not texts:
            return None
        counter = self.tokens.of(str(call.body.get("model") or self.model))
        return Usage(self._prompt_tokens(call), sum(counter.count(text) for text in texts))

    def _prompt_tokens(self, call: _Call) -> int:
        counter = self.tokens.of(str(call.body.get("model") or self.model))
        return sum(counter.count(text) for text in call.texts[: call.count])
