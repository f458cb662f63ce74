"""The simulated endpoint behaves as its switches say, in this process and in one of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bots.simulators.completions import CompletionsSimulator, Options, Scripted, ToolCall
from bots.simulators.completions.options import FaultKind

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello there"}]}


@asynccontextmanager
async def running(
    options: Options | None = None, **given: Any
) -> AsyncIterator[tuple[CompletionsSimulator, aiohttp.ClientSession]]:
    async with CompletionsSimulator(options, **given) as model, aiohttp.ClientSession() as session:
        yield model, session


async def post(
    model: CompletionsSimulator, session: aiohttp.ClientSession, **body: Any
) -> tuple[int, bytes]:
    url = model.base_url + "/chat/completions"
    async with session.post(url, json={**ASK, **body}) as reply:
        return reply.status, await reply.read()


def chunks_of(raw: bytes) -> list[dict[str, Any]]:
    events = raw.decode().split("\n\n")
    return [json.loads(event[6:]) for event in events if event and event != "data: [DONE]"]


def text_of(raw: bytes) -> str:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(raw) if chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_the_offline_model_says_what_it_is_and_saw() -> None:
    """It claims no understanding, counts the window and quotes the last message."""
    async with running() as (model, session):
        _, raw = await post(model, session)

    text = json.loads(raw)["choices"][0]["message"]["content"]
    assert "offline model" in text
    assert "window: 1" in text
    assert text.endswith("> hello there")


async def test_streamed_and_whole_answers_agree() -> None:
    """The stream's chunks join to the document's text, with usage where it was asked for."""
    async with running(Options(tokens=20)) as (model, session):
        _, whole = await post(model, session)
        _, raw = await post(model, session, stream=True, stream_options={"include_usage": True})
        _, bare = await post(model, session, stream=True)

    document = json.loads(whole)
    assert text_of(raw) == document["choices"][0]["message"]["content"]
    assert chunks_of(raw)[-1]["usage"] == document["usage"]
    assert document["usage"]["completion_tokens"] == 20
    assert raw.endswith(b"data: [DONE]\n\n")
    assert all("usage" not in chunk for chunk in chunks_of(bare))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(mode="echo"), ["hello there", "hello there"]),
        (Options(mode="script", script=(Scripted("a"), Scripted("b"))), ["a", "b", "b"]),
        (Options(tokens=2), ["word0 word1"]),
    ],
)
async def test_modes(options: Options, expected: list[str]) -> None:
    """Echo, a script in turn, and so many words."""
    async with running(options) as (model, session):
        found = [text_of((await post(model, session, stream=True))[1]) for _ in expected]

    assert found == expected


async def test_code_may_answer() -> None:
    """A callable gets the request's body and gives text or a scripted answer."""
    scripted = Scripted("t", "r", (ToolCall("f", '{"a": 1}'),))
    async with running(answer=lambda body: scripted) as (model, session):
        _, whole = await post(model, session)
        _, raw = await post(model, session, stream=True)

    message = json.loads(whole)["choices"][0]["message"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(raw)]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert message["reasoning_content"] == "r"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a": 1}'
    assert chunks_of(raw)[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_pace() -> None:
    """The first token comes after its delay, the last after the duration, evenly between."""
    options = Options(tokens=20, first_delay=0.1, duration=0.4)
    async with running(options) as (model, session):
        began = time.monotonic()
        url = model.base_url + "/chat/completions"
        async with session.post(url, json={**ASK, "stream": True}) as reply:
            arrivals = [time.monotonic() - began async for _ in reply.content.iter_any()]

    assert arrivals[0] == pytest.approx(0.1, abs=0.08)
    assert arrivals[-1] == pytest.approx(0.5, abs=0.15)
    assert len(arrivals) >= 10


async def test_a_continued_answer_continues() -> None:
    """Asked to go on after a partial answer, the deterministic modes give the rest."""
    partial = {"role": "assistant", "content": "word0 word1"}
    messages = [*ASK["messages"], partial, {"role": "user", "content": "continue"}]
    async with running(Options(tokens=4)) as (model, session):
        _, raw = await post(model, session, stream=True, messages=messages)

    assert text_of(raw) == " word2 word3"


async def test_cached_tokens_are_really_compared() -> None:
    """Only the common beginning with the last request of the same key counts as cached."""
    history = [{"role": "user", "content": "x" * 400}]

    async def cached(key: str, messages: list[dict[str, str]]) -> int:
        _, raw = await post(model, session, messages=messages, prompt_cache_key=key)
        return int(json.loads(raw)["usage"]["prompt_tokens_details"]["cached_tokens"])

    async with running(Options(tokens=1)) as (model, session):
        assert await cached("a", history) == 0
        grown = [*history, {"role": "assistant", "content": "y"}]
        assert await cached("a", grown) > 100
        assert await cached("b", grown) == 0
        assert await cached("a", [{"role": "system", "content": "now"}, *grown]) < 10
        model.options = Options(tokens=1, cache_minimum=1024, cache_block=128)
        assert await cached("a", grown) == 0
    assert [request.cached_tokens > 100 for request in model.requests][:3] == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("429", 429), ("quota", 429), ("500", 500), ("503", 503), ("status", 418), ("context", 400)],
)
async def test_refusals(kind: FaultKind, status: int) -> None:
    """So many times the status with the vendor's error object, then answers again."""
    async with running() as (model, session):
        model.fail(kind, times=2, status=418, retry_after=1.5)
        found = [await post(model, session) for _ in range(3)]

    assert [code for code, _ in found] == [status, status, 200]
    assert json.loads(found[0][1])["error"]["message"]


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_cuts(kind: FaultKind) -> None:
    """The stream ends in the middle, after as many chunks as were ordered."""
    received: list[bytes] = []

    async def read(reply: aiohttp.ClientResponse) -> None:
        async for block in reply.content.iter_any():
            received.append(block)  # noqa: PERF401 - kept when the read fails

    async with running(Options(tokens=9)) as (model, session):
        model.fail(kind, after=2)
        url = model.base_url + "/chat/completions"
        async with session.post(url, json={**ASK, "stream": True}) as reply:
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
                await read(reply)

    assert kind == "reset" or text_of(b"".join(received)) == "word0 word1"


async def test_wrong_key_and_wrong_body() -> None:
    """401 without the key that was set, 400 without messages."""
    async with running(Options(api_key="k")) as (model, session):
        refused, _ = await post(model, session)
        url = model.base_url + "/chat/completions"
        async with session.post(url, data=b"{", headers={"authorization": "Bearer k"}) as reply:
            assert (refused, reply.status) == (401, 400)
    assert not model.requests[0].has_key
    assert "authorization" not in model.requests[0].headers


async def test_directives_only_where_they_are_on() -> None:
    """A message may order options and a fault, if the simulator was told to listen."""
    content = 'x @sim{"tokens": 2, "fault": {"kind": "no_done"}}'
    messages = [{"role": "user", "content": content}]
    async with running(Options(mode="echo")) as (model, session):
        _, deaf = await post(model, session, stream=True, messages=messages)
        model.options = Options(mode="echo", has_directives=True)
        _, heard = await post(model, session, stream=True, messages=messages)

    assert text_of(deaf) == content
    assert text_of(heard) == "word0 word1"
    assert b"[DONE]" not in heard


async def test_a_process_of_its_own_is_driven_by_its_control_api() -> None:
    """One line tells the address; options, faults, requests and reset go over HTTP."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bots.simulators.completions"),
        *("--json-options", '{"tokens": 2}'),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        control, url = told["control_url"], told["base_url"] + "/chat/completions"
        async with aiohttp.ClientSession() as session:

            async def ask() -> int:
                async with session.post(url, json=ASK) as reply:
                    return reply.status

            async def order(what: str, **body: Any) -> int:
                async with session.post(f"{control}/{what}", json=body) as reply:
                    return reply.status

            assert await ask() == 200
            assert await order("fail", kind="503") == 200
            assert [await ask(), await ask()] == [503, 200]
            assert await order("options", tokens=3) == 200
            assert await order("options", no_such_option=3) == 400
            assert await order("nonsense") == 404
            async with session.get(f"{control}/requests") as reply:
                seen = await reply.json()
            assert [entry["body"]["model"] for entry in seen] == ["m"] * 3
            assert seen[0]["at"] <= seen[1]["at"]
            await order("reset")
            async with session.get(f"{control}/requests") as reply:
                assert await reply.json() == []
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_many_paced_streams_keep_their_pace() -> None:
    """A hundred streams of a hundred chunks end on time, each whole."""
    async with running(Options(tokens=100, duration=0.5)) as (model, session):
        began = time.monotonic()
        found = await asyncio.gather(*(post(model, session, stream=True) for _ in range(100)))
        took = time.monotonic() - began

    assert {len(text_of(raw).split()) for _, raw in found} == {100}
    assert took < 2.0
