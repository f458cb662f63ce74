"""Sessions: a conversation that is begun with a model and messages, and goes on message by message.

`/v1/sessions` names them itself; under `/v1/chat/sessions/{id}` the caller does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath
from litestar.response import Stream

from bots.rest.answers import document
from bots.rest.bodies import checked, read, unstreamed
from bots.rest.names import by_root
from bots.rest.once import Keep, carried_out_once, kept_with
from bots.rest.problems import Problem, all_of, invalid, missing
from bots.rest.services import Asked, Services, caller_of, services_of
from core.attachments import ImageContent
from core.callers import Caller
from core.completions.checking import Check, array, either, shape, text
from core.completions.checking import Problem as Wrong
from core.completions.schema_chat import message as message_check
from core.conversations import MAX_ID, Conversation, create_op, delete_op, new_id, title_of
from core.dialogue import Answered, Ask, messages_of, together_op
from core.history import Entry
from core.messages import Author
from core.texts import images_of

CHAT = "/chat/completions"
_ID = re.compile(rf"[\w.:@-]{{1,{MAX_ID}}}", re.ASCII)
_KEPT_ROLES = ("user", "assistant")
_FIRST = ("system", "developer")
_LOST = ("tool_calls", "function_call", "refusal", "audio")
"""Of an assistant's message: what a history has no place for."""
_UNKEPT = "a session keeps words and images only; /v1/chat/completions passes this on"


@post(
    ["/sessions", "/chat/sessions"],
    status_code=200,
    operation_id=by_root(sessions="createSession", chat="createChatSession"),
)
async def create(request: Asked) -> Response[bytes] | Stream:
    """Begin a session under an id of the service's; nothing is answered yet."""
    caller = await caller_of(request)
    body = await read(request)

    async def work(keep: Keep | None) -> Response[bytes]:
        return await _created(services_of(request), caller, new_id(), body, keep)

    return await carried_out_once(request, caller, body, work)


@post(
    ["/sessions/{session_id:str}/messages", "/chat/sessions/{session_id:str}/messages"],
    status_code=200,
    operation_id=by_root(sessions="addMessage", chat="addChatMessage"),
)
async def say(request: Asked, session_id: FromPath[str]) -> Response[bytes] | Stream:
    """Say something in a session: the model's message."""
    caller = await caller_of(request)
    services = services_of(request)
    found = await _found(services, caller, session_id)
    body = unstreamed(await read(request))
    entry, params = _said(body)
    caller = caller.in_conversation(session_id)

    def shown(answered: Answered) -> Response[bytes]:
        answer = {**answered.reply.document, "session_id": session_id}
        body = {**answer, "message": _message(answered.entry)}
        return document(body, headers=answered.reply.headers)

    async def work(keep: Keep | None) -> Response[bytes]:
        ask = Ask(entry, params=params)
        return shown(await services.dialogue.ask(caller, found, ask, kept_with(keep, shown)))

    return await carried_out_once(request, caller, body, work)


@get(
    ["/sessions/{session_id:str}", "/chat/sessions/{session_id:str}"],
    operation_id=by_root(sessions="retrieveSession", chat="retrieveChatSession"),
)
async def look(request: Asked, session_id: FromPath[str]) -> Response[bytes]:
    """All messages of a session."""
    caller = await caller_of(request, "read")
    services = services_of(request)
    found = await _found(services, caller, session_id)
    return document(_session(found, await services.dialogue.messages(found)))


@delete(
    ["/sessions/{session_id:str}", "/chat/sessions/{session_id:str}"],
    status_code=200,
    operation_id=by_root(sessions="deleteSession", chat="deleteChatSession"),
)
async def forget(request: Asked, session_id: FromPath[str]) -> Response[bytes]:
    """Delete a session with everything that was said in it."""
    caller = await caller_of(request)
    if not await services_of(request).store.write(delete_op(caller.key.id, session_id)):
        raise missing("session")
    return document({"id": session_id, "object": "session.deleted", "deleted": True})


@post("/chat/sessions/{session_id:str}", status_code=200, operation_id="putChatSession")
async def create_named(request: Asked, session_id: FromPath[str]) -> Response[bytes] | Stream:
    """Begin a session under this id; 409 if it exists."""
    caller = await caller_of(request)
    if not _ID.fullmatch(session_id):
        raise invalid(f"A session's id has 1 to {MAX_ID} letters, digits and . : @ _ -", "id")
    body = await read(request, is_required=False)

    async def work(keep: Keep | None) -> Response[bytes]:
        return await _created(services_of(request), caller, session_id, body, keep)

    return await carried_out_once(request, caller, body, work)


def router(path: str = "/v1") -> Router:
    """All of them below this path."""
    return Router(path, route_handlers=[create, create_named, say, look, forget], tags=["Sessions"])


async def _found(services: Services, caller: Caller, session: str) -> Conversation:
    return await services.dialogue.find(caller.key.id, session)


async def _created(
    services: Services, caller: Caller, session: str, body: Mapping[str, Any], keep: Keep | None
) -> Response[bytes]:
    problems: list[Wrong] = []
    _NEW(body, "", problems)
    if problems:
        raise all_of(problems)
    given = [*_system(body), *(body.get("messages") or [])]
    completion = {**(body.get("completion") or {})}
    model = body.get("model") or completion.pop("model", None) or ""
    for name in ("messages", "system"):
        completion.pop(name, None)
    probe = [*given, {"role": "user", "content": "."}]
    checked(CHAT, {**completion, "model": model or "m", "messages": probe})
    unstreamed(completion)
    system = [dict(each) for each in given if each["role"] in _FIRST]
    if system:
        completion["system"] = system
    entries = [_entry(each) for each in given if each["role"] not in _FIRST]
    title = title_of(entries[0].content) if entries else ""
    now = services.clock()
    found = Conversation(caller.key.id, session, title, model, completion, now, now)
    services.calls.check(caller.in_conversation(session), CHAT, {"messages": given})
    response = document(_session(found, ()))
    more = keep(response) if keep is not None else None
    if not await services.store.write(together_op(create_op(found, entries), more)):
        raise Problem(409, "A session with this id exists.", param="id", code="conflict")
    return response


def _system(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The system message of the completion, given as a text or whole."""
    system = (body.get("completion") or {}).get("system")
    if system is None:
        return []
    return [{"role": "system", "content": system} if isinstance(system, str) else system]


def _said(body: Mapping[str, Any]) -> tuple[Entry, dict[str, Any]]:
    """The message that is said, and parameters for its completion."""
    problems: list[Wrong] = []
    _SAY(body, "", problems)
    if problems:
        raise all_of(problems)
    given = body["message"]
    said = {"role": "user", "content": given} if isinstance(given, str) else dict(given)
    params = {name: value for name, value in body.items() if name not in ("message", "stream")}
    return _entry(said), params


def _entry(said: Mapping[str, Any]) -> Entry:
    content = said.get("content") or ""
    images: Sequence[ImageContent] = ()
    if not isinstance(content, str):
        images = images_of({"messages": [said]})
        content = "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    author = Author("", str(said.get("name") or ""))
    return Entry(said["role"], content, author=author, platform_id=new_id(), images=tuple(images))


def _session(found: Conversation, entries: Sequence[Entry]) -> dict[str, Any]:
    settings = dict(found.settings)
    system = settings.pop("system", [])
    return {
        "id": found.id,
        "session_id": found.id,
        "object": "session",
        "created": int(found.created_at),
        "model": found.model or None,
        "completion": settings,
        "messages": [*system, *(_message(entry) for entry in entries)],
    }


def _message(entry: Entry) -> dict[str, Any]:
    (shown,) = messages_of([entry])
    return {"id": entry.platform_id, **shown}


def _keepable(value: Any, path: str, found: list[Wrong]) -> None:
    """A message that a history can hold: words, and pictures that came with it."""
    before = len(found)
    message_check(value, path, found)
    if len(found) > before:
        return
    if value["role"] not in (*_KEPT_ROLES, *_FIRST):
        message = "a session holds system, user and assistant messages, and no results of tools"
        found.append(Wrong(f"{path}.role", message))
    found.extend(Wrong(f"{path}.{name}", _UNKEPT) for name in _LOST if value.get(name))
    content = value.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        is_text = part.get("type") == "text"
        is_image = part.get("type") == "image_url"
        if not is_text and not (is_image and images_of({"messages": [{"content": [part]}]})):
            at = f"{path}.content[{index}]"
            found.append(Wrong(at, "a session keeps text and images in data: URLs"))


def _refused(value: Any, path: str, found: list[Wrong]) -> None:
    if value:
        found.append(Wrong(path, _UNKEPT))


def _asked(value: Any, path: str, found: list[Wrong]) -> None:
    _keepable(value, path, found)
    if isinstance(value, Mapping) and value.get("role") in ("assistant", *_FIRST):
        found.append(Wrong(f"{path}.role", "expected user"))


_SYSTEM = either("text or a message", text=text(), object=_keepable)
_PARAMS: dict[str, Check] = dict.fromkeys(("tools", "functions", "audio"), _refused)
_COMPLETION = shape({"model": text(), "system": _SYSTEM, **_PARAMS})
_MESSAGES = array(_keepable, 0, 1000)
_NEW = shape({"model": text(), "messages": _MESSAGES, "completion": _COMPLETION, **_PARAMS})
_SAY = shape(
    {"message": either("text or a message", text=text(filled=True), object=_asked), **_PARAMS},
    required=("message",),
)
