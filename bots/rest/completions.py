"""OpenAI's calls: chat completions, completions, edits, answers, moderations, embeddings, models.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Stream

from bots.rest.answers import document, served_by, streamed
from bots.rest.bodies import checked, read
from bots.rest.names import named
from bots.rest.once import Once, once_of, while_waited_for
from bots.rest.services import LONGEST_USER, Asked, Services, caller_of, services_of
from core.callers import Caller
from core.calls import Told
from core.completions.legacy import engines
from core.completions.replies import MODEL_LIST

CHAT = "/chat/completions"


@post(["/chat/completions"], status_code=200, operation_id=named("createChatCompletion"))
async def chat(request: Asked) -> Response[bytes] | Stream:
    """Answer a conversation that the caller holds."""
    return await _called(request, CHAT)


@post("/completions", status_code=200, operation_id=named("createCompletion"))
async def complete(request: Asked) -> Response[bytes] | Stream:
    """Go on from a prompt."""
    return await _called(request, "/completions")


@post("/edits", status_code=200, operation_id=named("createEdit"))
async def edit(request: Asked) -> Response[bytes] | Stream:
    """Change a text as an instruction says."""
    return await _called(request, "/edits")


@post("/answers", status_code=200, operation_id=named("createAnswer"))
async def answer(request: Asked) -> Response[bytes] | Stream:
    """Answer a question from documents."""
    return await _called(request, "/answers")


@post("/embeddings", status_code=200, operation_id=named("createEmbedding"))
async def embed(request: Asked) -> Response[bytes] | Stream:
    """Turn texts into vectors."""
    return await _called(request, "/embeddings")


@post("/moderations", status_code=200, operation_id=named("createModeration"))
async def moderate(request: Asked) -> Response[bytes] | Stream:
    """Score texts and images."""
    return await _called(request, "/moderations")


@get("/models", operation_id=named("listModels"))
async def models(request: Asked) -> Response[bytes]:
    """The models that can be asked for."""
    await caller_of(request, "read")
    return document(_named(await services_of(request).catalog.models()))


@get("/models/{name:path}", operation_id=named("retrieveModel"))
async def model(request: Asked, name: FromPath[str]) -> Response[bytes]:
    """One model."""
    await caller_of(request, "read")
    found = await services_of(request).catalog.model(name.lstrip("/"))
    return document({"name": found.get("id"), **found})


@get("/engines", operation_id=named("listEngines"))
async def list_engines(request: Asked) -> Response[bytes]:
    """The same models in the shape that lists had before there were models."""
    await caller_of(request, "read")
    listed = engines(await services_of(request).catalog.models())
    return document(listed, headers=served_by(MODEL_LIST))


def router(path: str = "/v1") -> Router:
    """All of them below this path."""
    handlers = [chat, complete, edit, answer, embed, moderate, models, model, list_engines]
    return Router(path, route_handlers=handlers, tags=["OpenAI"])


async def _called(request: Asked, path: str) -> Response[bytes] | Stream:
    services = services_of(request)
    caller = await caller_of(request)
    body = checked(path, _whole(path, await read(request), services))
    caller = replace(caller, user=_user(body))
    once = await once_of(request, caller, body)
    if once is not None and (earlier := await once.earlier()) is not None:
        return earlier
    if body.get("stream"):
        return await _streamed(request, caller, path, body, once)

    async def work() -> Response[bytes]:
        reply = await services.calls.ask(caller, path, body)
        headers = {**reply.headers, **served_by(reply.served_by)}
        return document(reply.document, headers=headers)

    return await (
        once.carried_out(lambda _: work()) if once is not None else while_waited_for(request, work)
    )


async def _streamed(
    request: Asked, caller: Caller, path: str, body: dict[str, Any], once: Once | None
) -> Stream:
    services, told = services_of(request), Told()
    batches = services.calls.stream(caller, path, body, told)
    if once is not None:
        batches = once.kept(batches)

    async def beginning() -> list[bytes]:
        return await anext(batches, [])

    # what is refused before anything was said has to be an error of its own
    try:
        first = await (beginning() if once is not None else while_waited_for(request, beginning))
    except BaseException:
        await batches.aclose()
        raise
    return streamed(first, batches, served_by(told.served_by))


def _whole(path: str, body: dict[str, Any], services: Services) -> dict[str, Any]:
    """The request in the endpoint's own form: the older guides' short forms spelled out."""
    body = dict(body)
    if path not in ("/moderations", "/embeddings"):
        body["model"] = services.calls.model if body.get("model") is None else body["model"]
    if path != CHAT:
        return body
    if isinstance(body.get("messages"), str) and body["messages"]:
        body["messages"] = [{"role": "user", "content": body["messages"]}]
    if "system" in body and isinstance(body.get("messages"), list):
        system = body.pop("system")
        if isinstance(system, str):
            system = {"role": "system", "content": system}
        body["messages"] = [*([] if system is None else [system]), *body["messages"]]
    return body


def _user(body: Mapping[str, Any]) -> str:
    user = body.get("user") or body.get("safety_identifier")
    return user[:LONGEST_USER] if isinstance(user, str) else ""


def _named(listed: Mapping[str, Any]) -> dict[str, Any]:
    data = [{"name": entry.get("id"), **entry} for entry in listed.get("data") or ()]
    return {**listed, "object": "list", "data": data}
