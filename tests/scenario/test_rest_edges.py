"""Edges of the HTTP API that once led to a wrong answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes.waiting import until
from scenario.rest_side import ApiUnderTest, api_under_test

from bots.simulators.completions import Options
from bots.simulators.completions.options import Scripted, ToolCall
from core.errors import ConfigError
from core.keys import parse_expiry

CHAT = "/v1/chat/completions"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with api_under_test(tmp_path / "api.db") as found:
        yield found


async def test_a_branch_older_than_the_window(tmp_path: Path) -> None:
    """Who goes on from an old message is understood as far as the model can read."""
    async with api_under_test(tmp_path / "a.db", model_config={"context_tokens": 256}) as api:
        first = (await api.post("/conversations/new", {"prompt": "my name is Ann"})).body
        found = first["response"]
        talk = f"/conversations/{found['conversation_id']}/ask"
        for number in range(12):
            await api.post(talk, {"prompt": f"{number} " + "word " * 60})
        await api.post(talk, {"prompt": "who am I?", "parent_id": found["id"]})
        seen = [each["content"] for each in api.asked()[-1]["messages"]]

    assert seen == ["my name is Ann", "my name is Ann", "who am I?"]


async def test_moderations_go_without_the_chat_models_name(api: ApiUnderTest) -> None:
    """The endpoint's own default scores, unless the caller names a model."""
    await api.post("/v1/moderations", {"input": "idiot"})
    await api.post("/v1/moderations", {"input": "idiot", "model": "omni-moderation-latest"})

    assert "model" not in api.asked("moderations")[0]
    assert api.asked("moderations")[1]["model"] == "omni-moderation-latest"


@pytest.mark.parametrize(
    ("completion", "path"),
    [
        ({"system": 7}, "system"),
        ({"model": 5}, "model"),
        ({"model": {"a": 1}}, "model"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
async def test_a_sessions_completion_is_held_against_the_schema(
    api: ApiUnderTest, completion: Any, path: str
) -> None:
    """400 that names the field; nothing is stored."""
    answer = await api.post("/v1/sessions", {"completion": completion})

    assert answer.status == 400
    assert path in answer.error["message"]
    assert (await api.get("/conversations")).body == []


async def test_a_sessions_system_text(api: ApiUnderTest) -> None:
    """A text stands for a system message."""
    made = await api.post("/v1/sessions", {"completion": {"system": "Be brief."}})
    await api.post(f"/v1/sessions/{made.body['id']}/messages", {"message": "hi"})

    assert made.body["messages"] == [{"role": "system", "content": "Be brief."}]
    assert api.asked()[0]["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/conversations/new", {"prompt": "a\0b"}, 400),
        ("POST", "/conversations/new", {"prompt": "a", "title": "a\0b"}, 400),
        ("POST", "/v1/sessions", {"messages": [{"role": "user", "content": "a\0b"}]}, 400),
        ("POST", CHAT, {"messages": "x", "user": "a\0b"}, 400),
        ("GET", "/conversations/%00/messages", None, 404),
        ("GET", "/v1/usage?user=%00", None, 400),
    ],
)
async def test_characters_that_no_database_keeps(
    api: ApiUnderTest, method: str, path: str, body: Any, status: int
) -> None:
    """A NUL is refused where it would be stored, on every database alike."""
    answer = await api.call(method, path, body)

    assert answer.status == status, answer.body


async def test_json_that_is_too_deep(api: ApiUnderTest) -> None:
    """400, not a broken server."""
    deep = b'{"messages":"x","foo":' + b"[" * 600 + b"]" * 600 + b"}"

    answer = await api.post(CHAT, deep)

    assert answer.status == 400
    assert "deep" in answer.error["message"]


async def test_a_caller_that_leaves_before_the_first_event(tmp_path: Path) -> None:
    """The model is stopped although nothing of the stream was sent yet."""
    async with api_under_test(tmp_path / "a.db", options=Options("echo", first_delay=5.0)) as api:
        with pytest.raises(TimeoutError):
            async with api.session.post(
                api.address + CHAT,
                json={"messages": "hello", "stream": True},
                headers={"authorization": f"Bearer {api.key}"},
                timeout=aiohttp.ClientTimeout(total=0.3),
            ) as response:
                await response.read()
        await until(lambda: api.model.given_up, 3.0)


async def test_the_key_comes_before_the_body(api: ApiUnderTest) -> None:
    """Without a key nothing is read of a body, however wrong it is."""
    assert (await api.post(CHAT, b"{", key="")).status == 401
    assert (await api.post(CHAT, b"<a/>", key="", content_type="text/xml")).status == 401


@pytest.mark.parametrize("path", ["/conversations/new", "/v1/chat/sessions/s/messages"])
async def test_streams_are_refused_where_there_are_none(api: ApiUnderTest, path: str) -> None:
    """A wish that can't be met is an error, not another answer."""
    await api.post("/v1/chat/sessions/s", {})
    answer = await api.post(path, {"prompt": "x", "message": "x", "stream": True})

    assert (answer.status, answer.error["param"]) == (400, "stream")


TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
RESULT = {"role": "tool", "content": "x", "tool_call_id": "1"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"completion": {"tools": TOOLS}}, "completion.tools"),
        ("", {"tools": TOOLS}, "tools"),
        ("", {"completion": {"functions": [{"name": "f"}]}}, "completion.functions"),
        ("", {"messages": [{"role": "assistant", "content": "x", "tool_calls": CALLS}]},
         "messages[0].tool_calls"),
        ("", {"messages": [{"role": "assistant", "tool_calls": CALLS}]}, "messages[0].tool_calls"),
        ("", {"messages": [{"role": "assistant", "refusal": "No."}]}, "messages[0].refusal"),
        ("", {"messages": [RESULT]}, "messages[0].role"),
        ("/s/messages", {"message": "x", "tools": TOOLS}, "tools"),
        ("/s/messages", {"message": "x", "audio": {"voice": "a", "format": "wav"}}, "audio"),
        ("/s/messages", {"message": RESULT}, "message.role"),
    ],
)  # fmt: skip
async def test_what_a_session_can_not_keep(
    api: ApiUnderTest, path: str, body: Any, param: str
) -> None:
    """400 that names the field, before the model is asked: nothing gets lost in silence."""
    await api.post("/v1/chat/sessions/s", {})
    answer = await api.post(f"/v1/chat/sessions{path}", body)

    assert (answer.status, answer.error["param"]) == (400, param), answer.body
    assert len((await api.get("/conversations")).body) == 1
    assert api.asked() == []


async def test_a_call_of_a_tool_that_nobody_offered(tmp_path: Path) -> None:
    """502, and no empty answer in the session; beside a text the text is the answer."""
    script = (
        Scripted(tool_calls=(ToolCall("f"),)),
        Scripted("Done.", tool_calls=(ToolCall("f"),)),
    )
    async with api_under_test(tmp_path / "a.db", options=Options("script", script)) as api:
        await api.post("/v1/chat/sessions/s", {})
        first = await api.post("/v1/chat/sessions/s/messages", {"message": "x"})
        second = await api.post("/v1/chat/sessions/s/messages", {"message": "y"})
        kept = (await api.get("/v1/chat/sessions/s")).body["messages"]

    assert (first.status, first.error["code"]) == (502, "bad_upstream")
    assert second.body["message"]["content"] == "Done."
    assert [each["content"] for each in kept] == ["y", "Done."]


async def test_engines_say_by_what_they_are_served(api: ApiUnderTest) -> None:
    """The older list is made of the models."""
    assert (await api.get("/v1/engines")).headers["x-talkwarden-served-by"] == "models"


async def test_usage_of_one_or_the_other(api: ApiUnderTest) -> None:
    """A user and a conversation at once can't be told."""
    answer = await api.get("/v1/usage?user=a&conversation_id=b")

    assert (answer.status, answer.error["param"]) == (400, "conversation_id")


async def test_the_place_of_plain_calls_is_no_session(api: ApiUnderTest) -> None:
    """A session's id can't be the name that calls outside of conversations have."""
    await api.post(CHAT, {"messages": "x"})
    await api.post("/v1/chat/sessions/calls", {})

    assert (await api.get("/v1/usage?conversation_id=calls")).body["requests"] == 0


async def test_the_operators_reply_limit(tmp_path: Path) -> None:
    """It holds where the caller sets none."""
    async with api_under_test(tmp_path / "a.db", model_config={"reply_tokens": 50}) as api:
        await api.post(CHAT, {"messages": "x"})
        await api.post(CHAT, {"messages": "x", "max_tokens": 7})

        assert [body["max_tokens"] for body in api.asked()] == [50, 7]


@pytest.mark.parametrize("written", ["999999y", "9999-12-31T23:59:59+00:00x"])
def test_an_end_that_no_calendar_has(written: str) -> None:
    """A key's end has to be a time that can be shown."""
    with pytest.raises(ConfigError):
        parse_expiry(written, 0.0)


async def test_several_at_once(api: ApiUnderTest) -> None:
    """Many callers, each with an answer of its own."""
    answers = await asyncio.gather(*(api.post(CHAT, {"messages": f"n{n}"}) for n in range(30)))

    said = [answer.body["choices"][0]["message"]["content"] for answer in answers]
    assert said == [f"n{n}" for n in range(30)]
