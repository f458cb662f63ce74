"""An OpenAI-compatible endpoint on 127.0.0.1, for the demo, the tests and the benchmarks.

In-process: `async with CompletionsSimulator(options) as model`, then `model.base_url`,
`model.requests`, `model.fail(...)`. As a process of its own: see `__main__`; the same is then
done through `/_control/...`.
https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from bots.simulators.completions import older, replies
from bots.simulators.completions.failing import (
    BENDING,
    BREAKING,
    no_model,
    refusal,
    reset,
    unknown_url,
    unsupported,
)
from bots.simulators.completions.limiting import RateLimit
from bots.simulators.completions.options import (
    Answer,
    Fault,
    FaultKind,
    Options,
    Recorded,
    Route,
    Scripted,
)
from bots.simulators.completions.pacing import Pacer, framed

_KEPT_REQUESTS = 20_000
_HEADERS = web.RequestKey("headers", dict[str, str])

Build: TypeAlias = Callable[[Options, dict[str, Any], str], bytes]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A chat request and what will be answered."""

    request: web.Request
    body: dict[str, Any]
    options: Options
    fault: Fault | None
    scripted: Scripted
    usage: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.body.get("model") or self.options.models[0])

    @property
    def interval(self) -> float:
        """Seconds between two chunks."""
        if self.options.duration:
            count = len(replies.pieces(self.scripted.text, self.options.chunk_size))
            return self.options.duration / max(1, count)
        return 1 / self.options.rate if self.options.rate else 0.0

    def events(self, reply_id: str) -> tuple[bytes, list[bytes], list[bytes]]:
        """(opening, paced chunks, end) of the stream, as the fault has them."""
        kind = self.fault.kind if self.fault else ""
        chunks = replies.Chunks(reply_id, self.model, int(time.time()), kind=kind)
        content = chunks.content(self.scripted, self.options.chunk_size)
        if self.fault is not None and kind in BREAKING:
            return chunks.role(), content[: self.fault.after], BREAKING[kind]
        tail = [chunks.finish(replies.finish_reason(self.scripted))]
        if told := replies.inline_moderation(self.options, self.body, self.scripted):
            tail.append(chunks.moderation(told))
        if (self.body.get("stream_options") or {}).get("include_usage"):
            tail.append(chunks.usage(self.usage))
        if kind != "no_done":
            tail.append(b"data: [DONE]\n\n")
        return chunks.role(), content, tail


class CompletionsSimulator:
    """See the module; `options` may be replaced at any time."""

    def __init__(
        self, options: Options | None = None, *, answer: Answer | None = None, port: int = 0
    ) -> None:
        self.options = options or Options()
        self.requests: deque[Recorded] = deque(maxlen=_KEPT_REQUESTS)
        self.answer = answer
        self.base_url = ""
        self._port = port
        self._faults: list[Fault] = []
        self.moderation_limit = RateLimit()
        self.limit = RateLimit()
        self.given_up = 0  # answers that nobody waited for to their end
        self._cache = replies.PromptCache()
        self._ids = replies.ids("chatcmpl")
        self._turn = 0

    async def __aenter__(self) -> CompletionsSimulator:
        self._pacer = Pacer()
        self._is_closing = asyncio.Event()
        app = web.Application(client_max_size=64 << 20)
        app.on_response_prepare.append(_with_headers)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/moderations", self._moderations)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        app.router.add_post("/v1/completions", self._of("completions", older.completion))
        app.router.add_post("/v1/edits", self._of("edits", older.edit))
        app.router.add_post("/v1/embeddings", self._of("embeddings", older.embeddings))
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._azure)
        app.router.add_get("/_control/requests", self._control_requests)
        app.router.add_post("/_control/{what}", self._control)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048).start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing.set()
        self._pacer.close()
        await self._runner.cleanup()

    def fail(
        self,
        kind: FaultKind,
        *,
        times: int = 1,
        on: Route = "chat",
        after: int = 3,
        retry_after: float | None = None,
        status: int = 500,
    ) -> None:
        """Let the next `times` requests to `on` fail; faults queue up in the order given."""
        self._faults.append(Fault(kind, times, on, status, retry_after, after))

    def reset(self) -> None:
        """Forget requests, faults, cached prompts and the place in the script."""
        self.requests.clear()
        self._faults.clear()
        self._cache = replies.PromptCache()
        self._turn = 0

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            prompt = replies.encode(body["messages"])[:-1]
            options, fault = self._orders(body)
        except (ValueError, KeyError) as exc:
            return refusal(Fault("status", status=400), f"The body can't be used: {exc}")
        cached = 0
        if key := body.get("prompt_cache_key"):
            cached = self._cache.cached_tokens(str(key), prompt, options)
        self._record("chat", request, body, cached)
        refused = await self._refused(request, fault) or self._objected(request, body, len(prompt))
        if refused is not None:
            return refused
        if "stream_options" in body and not options.knows_stream_options:
            return refusal(Fault("status", status=400), "Unknown parameter: 'stream_options'.")
        scripted = self._scripted(options, body)
        usage = replies.usage_of(prompt, cached, scripted)
        turn = _Turn(request, body, options, fault, scripted, usage)
        with self._noticing():
            if body.get("stream") and not (fault and fault.kind == "not_streamed"):
                return await self._streamed(turn)
            await asyncio.sleep(options.first_delay + options.duration)
        document = replies.completion(
            scripted, next(self._ids), turn.model, int(time.time()), usage, body.get("n") or 1
        )
        if told := replies.inline_moderation(options, body, scripted):
            document = document[:-1] + b',"moderation":' + replies.encode(told) + b"}"
        return web.Response(body=document, content_type="application/json")

    def _objected(
        self, request: web.Request, body: dict[str, Any], size: int
    ) -> web.Response | None:
        """What this server does not know, and what is over its rate limit."""
        tokens = size // 4 + (body.get("max_completion_tokens") or body.get("max_tokens") or 0)
        is_let_in, request[_HEADERS] = self.limit.enter(self.options, tokens)
        if not is_let_in:
            return refusal(Fault("429"))
        model = str(body.get("model"))
        if self.options.knows_models and model not in self.options.models:
            return no_model(model)
        for name in self.options.unsupported:
            if body.get(name) is not None:
                return unsupported(name)
        for index, message in enumerate(body.get("messages") or ()):
            if message.get("role") in self.options.unknown_roles:
                return unsupported(f"messages[{index}].role", message["role"])
        return None

    def _of(self, route: Route, build: Build) -> Handler:
        """A call that is answered with one document."""

        async def handle(request: web.Request) -> web.StreamResponse:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            self._record(route, request, body)
            refused = await self._refused(request, self._due(route))
            refused = refused or self._objected(request, body, 0)
            if refused is not None:
                return refused
            if route != "embeddings" and not self.options.knows_legacy:
                return unknown_url(request)
            document = build(self.options, body, next(self._ids))
            return web.Response(body=document, content_type="application/json")

        return handle

    async def _azure(self, request: web.Request) -> web.StreamResponse:
        """Azure's way to the same: key and version elsewhere, the deployment in the path."""
        if not request.query.get("api-version"):
            return refusal(Fault("status", status=404), "Resource not found")
        if self.options.api_key not in (None, request.headers.get("api-key")):
            return refusal(Fault("status", status=401), "Access denied: wrong api-key.")
        return await self._chat(request)

    async def _model(self, request: web.Request) -> web.StreamResponse:
        self._record("model", request, {})
        refused = await self._refused(request, self._due("model"))
        if refused is not None:
            return refused
        name = request.match_info["model"]
        document = older.one_model(self.options, name)
        if document is None:
            return no_model(name)
        return web.Response(body=document, content_type="application/json")

    def _orders(self, body: dict[str, Any]) -> tuple[Options, Fault | None]:
        """How to answer this request: directives win. Raise ValueError for wrong ones."""
        orders = replies.directive(body) if self.options.has_directives else {}
        given = orders.pop("fault", None)
        fault = self._due("chat") if given is None else msgspec.convert(given, Fault)
        if not orders:
            return self.options, fault
        return msgspec.convert({**msgspec.to_builtins(self.options), **orders}, Options), fault

    def _scripted(self, options: Options, body: dict[str, Any]) -> Scripted:
        turn, self._turn = self._turn, self._turn + 1
        if self.answer is None:
            return replies.answer_of(options, body, turn)
        answer = self.answer(body)
        return Scripted(answer) if isinstance(answer, str) else answer

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self.given_up += 1
            raise

    async def _streamed(self, turn: _Turn) -> web.StreamResponse:
        head, content, tail = turn.events(next(self._ids))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        response.enable_chunked_encoding()
        await asyncio.sleep(turn.options.first_delay)
        await response.prepare(turn.request)
        await response.write(head)
        transport = turn.request.transport
        if transport is None:
            return response
        await self._pacer.write(transport, [framed(event) for event in content], turn.interval)
        if not transport.is_closing():
            transport.write(b"".join(framed(event) for event in tail))
            await self._break(turn.fault, transport)
        if not transport.is_closing():
            await response.write_eof()
        return response

    async def _break(self, fault: Fault | None, transport: asyncio.Transport) -> None:
        if fault is None:
            return
        if fault.kind == "cut":
            transport.close()
        elif fault.kind == "reset":
            reset(transport)
        elif fault.kind == "hang":
            await self._is_closing.wait()

    async def _moderations(self, request: web.Request) -> web.StreamResponse:
        given = await request.read()
        body = msgspec.json.decode(given, type=dict[str, Any])
        self._record("moderations", request, body)
        refused = await self._refused(request, self._due("moderations"))
        if refused is not None:
            return refused
        # a limit is a model's own
        is_let_in, request[_HEADERS] = self.moderation_limit.enter(self.options, len(given) // 4)
        if not is_let_in:
            return refusal(Fault("429"))
        await asyncio.sleep(self.options.moderation_delay)
        try:
            document = replies.moderation(self.options, body, next(self._ids))
        except ValueError as exc:
            return refusal(Fault("status", status=400), str(exc))
        return web.Response(body=document, content_type="application/json")

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._record("models", request, {})
        refused = await self._refused(request, self._due("models"))
        if refused is not None:
            return refused
        return web.Response(body=replies.model_list(self.options), content_type="application/json")

    async def _refused(self, request: web.Request, fault: Fault | None) -> web.Response | None:
        key = self.options.api_key
        given = request.headers.get("authorization", "")
        is_azure = request.path.startswith("/openai/")
        if key is not None and not is_azure and not hmac.compare_digest(given, f"Bearer {key}"):
            return refusal(Fault("status", status=401), "Incorrect API key provided.")
        if fault is None:
            return None
        if fault.kind == "disconnect" and request.transport is not None:
            request.transport.close()
        elif fault.kind == "reset" and fault.after == 0:
            reset(request.transport)
        elif fault.kind == "hang" and fault.after == 0:
            await self._is_closing.wait()
        elif fault.kind in BREAKING or fault.kind in BENDING:
            return None
        return refusal(fault)

    def _due(self, on: Route) -> Fault | None:
        """Take the next fault of this route."""
        for at, fault in enumerate(self._faults):
            if fault.on == on:
                left = fault.times - 1
                self._faults[at : at + 1] = (
                    [msgspec.structs.replace(fault, times=left)] if left > 0 else []
                )
                return fault
        return None

    def _record(
        self, route: Route, request: web.Request, body: dict[str, Any], cached: int = 0
    ) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        has_key = bool({headers.pop(name, None) for name in ("authorization", "api-key")} - {None})
        self.requests.append(
            Recorded(route, body, headers, time.time(), time.monotonic(), has_key, cached)
        )

    async def _control_requests(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", 0))
        found = list(self.requests)[since:]
        return web.Response(body=replies.encode(found), content_type="application/json")

    async def _control(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        given = await request.read() or b"{}"
        try:
            if what == "options":
                changed = msgspec.json.decode(given, type=dict[str, Any])
                before = msgspec.to_builtins(self.options)
                self.options = msgspec.convert({**before, **changed}, Options)
            elif what == "fail":
                self._faults.append(msgspec.json.decode(given, type=Fault))
            elif what == "reset":
                self.reset()
            else:
                raise web.HTTPNotFound
        except ValueError as exc:
            return web.Response(status=400, text=str(exc))
        return web.Response(body=replies.encode(self.options), content_type="application/json")


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(request.get(_HEADERS, {}))
