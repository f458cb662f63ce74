"""Carries one call of the API out: what is asked, in which shape, by whom it is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

from core.completions import legacy, wire
from core.completions.checking import Problem
from core.completions.client import CompletionsClient, HttpReply
from core.completions.events import EventStream
from core.completions.legacy_stream import LegacyStream
from core.completions.replies import (
    CHAT,
    MODEL_LIST,
    ChatCompletion,
    Models,
    Reply,
    document_of,
)
from core.completions.retry import Course, carry_out
from core.completions.schema_more import doubts, problems
from core.completions.sending import CallOptions, Lacking, Sender, Spent
from core.completions.types import Endpoint, ModelInfo, Target
from core.errors import InvalidRequest, ModelRefused
from core.telemetry import logger

_T = TypeVar("_T")
_log = logger("talkwarden.completions")

_PARALLEL = 4
"""Prompts of one legacy call that are asked at the same time."""

_ROUTED = ("/chat/completions", "/completions", "/edits", "/answers")
"""Any model's target may answer these; vectors and scores of another model are something else."""

_STREAMED = ("/chat/completions", "/completions")


@dataclass(frozen=True, slots=True)
class _Content:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    endpoint: str


class Caller:
    """See `core.completions.api`, whose calls it carries out."""

    def __init__(
        self, client: CompletionsClient, decode: legacy.Decode | None, moderation: Endpoint | None
    ) -> None:
        self._client = client
        self._decode = decode
        self._moderation = moderation or client.targets[0].endpoint
        self._sender = Sender(client)

    async def call(
        self,
        path: str,
        given: Mapping[str, Any],
        options: CallOptions,
        kind: type[_T] = dict,  # type: ignore[assignment]  # whoever asks by path reads the body
    ) -> Reply[_T]:
        """Raise InvalidRequest before anything is sent, the ModelError classes after it."""
        body, warnings = self.checked(path, given)
        body.pop("stream", None)
        body.pop("stream_options", None)
        try:
            found = await self._content(path, body, options)
        except Lacking:
            return await self._legacy(path, body, options, kind, warnings)
        if path == "/chat/completions" and options.repair:
            found = await self._structured(body, options, found)
        return Reply(
            found.status, found.headers, found.body, kind,
            endpoint=found.endpoint, warnings=warnings,
        )  # fmt: skip

    def stream(self, path: str, given: Mapping[str, Any], options: CallOptions) -> EventStream:
        """The call's events, in the shape of its own path."""
        if path not in _STREAMED:
            raise InvalidRequest([Problem("stream", f"{path} does not stream")])
        body, warnings = self.checked(path, {**given, "stream": True})

        @asynccontextmanager
        async def opened(course: Course) -> AsyncIterator[tuple[HttpReply, Spent]]:
            async with self._sender.asked(course, path, body, options) as found:
                yield found

        if path == "/completions":
            return LegacyStream(
                opened, self._course_of(path, body, options),
                instead=lambda: self._chat_streams(body, options), warnings=warnings,
            )  # fmt: skip
        stream = EventStream(opened, self._course_of(path, body, options))
        stream.warnings = warnings
        return stream

    def checked(
        self, path: str, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The whole body, and doubts about it; raises InvalidRequest with all that is wrong."""
        if not isinstance(given, Mapping):
            raise InvalidRequest(problems(path, given))
        body = dict(given)
        if path in _ROUTED and body.get("model") is None:
            body["model"] = self._client.targets[0].model
        if path == "/chat/completions":
            _spread(body)
        if found := problems(path, body):
            raise InvalidRequest(found)
        warnings = doubts(path, body)
        for warning in warnings:
            _log.info(warning)
        return body, warnings

    async def listed(self, options: CallOptions) -> Reply[Models]:
        """GET /models, each entry with a name."""
        found = await self._get("/models", options)
        data = [
            {**entry, "name": entry.get("name") or entry.get("id")} if isinstance(entry, dict)
            else entry for entry in found.body["data"]
        ]  # fmt: skip
        body = {**found.body, "data": data}
        return Reply(found.status, found.headers, body, Models, endpoint=found.endpoint)

    async def one_model(self, name: str, options: CallOptions) -> Reply[ModelInfo]:
        """GET /models/{name}; from the list where the endpoint has no such call."""
        if not name:
            raise InvalidRequest([Problem("model", "must not be empty")])
        try:
            found = await self._get(f"/models/{quote(name, safe='')}", options)
        except ModelRefused as exc:
            if exc.status not in (404, 405, 501) or exc.code == "model_not_found":
                raise
            listed = await self.listed(options)
            entry = next((one for one in listed.body["data"] if one.get("id") == name), None)
            if entry is None:
                raise
            found = _Content(listed.status, listed.headers, entry, listed.endpoint)
            return Reply(
                found.status, found.headers, found.body, ModelInfo,
                endpoint=found.endpoint, served_by=MODEL_LIST,
            )  # fmt: skip
        return Reply(found.status, found.headers, found.body, ModelInfo, endpoint=found.endpoint)

    def _course_of(self, path: str, body: Mapping[str, Any], options: CallOptions) -> Any:
        means = self._client.means
        targets = self._targets(path, body)
        return lambda: Course(targets, means.policy, means.health, options.deadline)

    def _targets(self, path: str, body: Mapping[str, Any]) -> tuple[Target, ...]:
        if path in _ROUTED:
            model = str(body["model"])
            route = self._client.route(model)
            # who names a model that is none of ours wants that one, or to hear that it is not there
            is_ours = any(target.model == model for target in self._client.targets)
            return route if is_ours else route[:1]
        is_moderation = path == "/moderations"
        endpoint = self._moderation if is_moderation else self._client.targets[0].endpoint
        return (Target(endpoint, str(body.get("model") or "")),)

    async def _get(self, path: str, options: CallOptions) -> _Content:
        return await self._content(path, {}, options)

    async def _content(self, path: str, body: Mapping[str, Any], options: CallOptions) -> _Content:
        course = self._course_of(path, body, options)()

        async def once(target: Target) -> _Content:
            async with self._sender.asked(course, path, body, options) as (reply, spent):
                content = await reply.read(wire.MAX_DOCUMENT, course.remaining())
                headers = dict(reply.headers)
                found = document_of(path, content, target.endpoint)
                usage = found.get("usage")
                if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
                    spent(usage["total_tokens"])
            return _Content(reply.status, headers, found, target.endpoint.name)

        return await carry_out(course, once)

    async def _legacy(
        self,
        path: str,
        body: dict[str, Any],
        options: CallOptions,
        kind: type[_T],
        warnings: tuple[str, ...],
    ) -> Reply[_T]:
        bodies = legacy.chat_bodies(path, body, self._decode)
        plain = replace(options, repair=False)
        slots = asyncio.Semaphore(_PARALLEL)

        async def one(chat: dict[str, Any]) -> Reply[ChatCompletion]:
            async with slots:
                return await self.call("/chat/completions", chat, plain, ChatCompletion)

        tasks = [asyncio.ensure_future(one(chat)) for chat in bodies]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        texts = legacy.prompts(body, self._decode) if path == "/completions" else []
        made = legacy.reply(path, body, texts, [each.body for each in found])
        first = found[0]
        return Reply(
            first.status, first.headers, made, kind, endpoint=first.endpoint, served_by=CHAT,
            warnings=(*warnings, *legacy.left_out(path, body)),
        )  # fmt: skip

    def _chat_streams(
        self, body: Mapping[str, Any], options: CallOptions
    ) -> list[tuple[EventStream, str]]:
        """A chat stream for each prompt, with what is echoed before it."""
        bodies = legacy.chat_bodies("/completions", body, self._decode)
        texts = legacy.prompts(body, self._decode)
        echoes = texts if body.get("echo") else [""] * len(texts)
        streams = [self.stream("/chat/completions", chat, options) for chat in bodies]
        return list(zip(streams, echoes, strict=True))

    async def _structured(
        self, body: dict[str, Any], options: CallOptions, found: _Content
    ) -> _Content:
        """JSON that fits the schema that was asked for, after one repair at most."""
        wanted = body.get("response_format") or {}
        if wanted.get("type") != "json_schema":
            return found
        # a library that nobody pays for who asks for no schema
        from core.completions.structured import repaired  # noqa: PLC0415

        async def again(messages: list[dict[str, Any]]) -> dict[str, Any]:
            one = {**body, "messages": messages, "n": 1}
            return (await self._content("/chat/completions", one, options)).body

        made = await repaired(body, found.body, again, found.endpoint)
        return replace(found, body=made)


def _spread(body: dict[str, Any]) -> None:
    """A prompt becomes a user's message; a system message of its own goes first."""
    messages = body.get("messages")
    if isinstance(messages, str):
        body["messages"] = [{"role": "user", "content": messages}]
    system = body.pop("system", None)
    if system is not None and isinstance(body.get("messages"), list | tuple):
        first = {"role": "system", "content": system} if isinstance(system, str) else system
        body["messages"] = [first, *body["messages"]]
