"""The client against the simulated endpoint, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fakes.asking import ASK, SAYS, TEXT, client_of, target, text_of

from bots.simulators.completions import CompletionsSimulator, Options, Scripted, ToolCall
from bots.simulators.completions.options import FaultKind
from core.completions.client import CompletionsClient
from core.completions.types import (
    ChatMessage,
    ChatReply,
    ChatRequest,
    Endpoint,
    ImagePart,
    ImageUrl,
    Target,
    ToolCallFragment,
)
from core.errors import (
    ModelError,
    ModelRefused,
)


async def test_a_stream_tells_everything_about_itself() -> None:
    """Text comes in batches; usage, finish, model, endpoint and id are there at the end."""
    async with (
        CompletionsSimulator(SAYS) as model,
        client_of(model) as client,
        client.stream(ASK) as stream,
    ):
        batches = [batch async for batch in stream]

    assert "".join(delta.text for batch in batches for delta in batch) == TEXT
    assert stream.text == TEXT
    assert stream.usage is not None
    assert stream.usage.completion_tokens == 8
    assert (stream.finish_reason, stream.model, stream.endpoint) == ("stop", "model-one", "one")
    assert stream.request_id.startswith("chatcmpl-")
    assert model.requests[0].body["stream_options"] == {"include_usage": True}
    assert model.requests[0].has_key


async def test_a_whole_answer_at_once() -> None:
    """`complete` asks without a stream and gives the same, tool calls joined."""
    call = ToolCall("look_up", '{"city": "Ghent"}')
    says = Options(mode="script", script=(Scripted(TEXT, "thought", (call,)),))
    async with CompletionsSimulator(says) as model, client_of(model) as client:
        reply = await client.complete(ASK)
        async with client.stream(ASK) as stream:
            pieces = [p for batch in stream_batches(await drained(stream)) for p in batch]

    fragment = ToolCallFragment(0, "call_0", "look_up", '{"city": "Ghent"}')
    assert (reply.text, reply.reasoning, reply.tool_calls) == (TEXT, "thought", (fragment,))
    assert reply.finish_reason == "tool_calls"
    assert b"Ghent" in reply.raw
    assert model.requests[0].body["stream"] is False
    assert "".join(piece.arguments for piece in pieces) == call.arguments


async def drained(stream: Any) -> list[Any]:
    return [delta async for batch in stream for delta in batch]


def stream_batches(deltas: list[Any]) -> list[tuple[ToolCallFragment, ...]]:
    return [delta.tool_calls for delta in deltas]


@pytest.mark.parametrize("kind", ["no_done", "nulls", "int_ids", "not_streamed"])
async def test_odd_endpoints_are_understood(kind: FaultKind) -> None:
    """What many servers get wrong costs no retry."""
    async with CompletionsSimulator(SAYS) as model, client_of(model) as client:
        model.fail(kind)

        assert await text_of(client) == TEXT
        assert len(model.requests) == 1


async def test_stream_options_are_dropped_where_they_are_unknown() -> None:
    """A 400 that names them is answered without them, and remembered for the endpoint."""
    says = Options(tokens=3, knows_stream_options=False)
    async with CompletionsSimulator(says) as model, client_of(model) as client:
        for _ in range(2):
            assert await text_of(client) == "word0 word1 word2"

    asked = ["stream_options" in request.body for request in model.requests]
    assert asked == [True, False, False]


async def test_leaving_a_stream_closes_its_connection() -> None:
    """Giving an answer up frees the endpoint and leaves the client usable."""
    async with (
        CompletionsSimulator(Options(tokens=500, duration=30)) as model,
        client_of(model) as client,
    ):
        for _ in range(3):
            async with client.stream(ASK) as stream:
                async for _batch in stream:
                    break
        task = asyncio.ensure_future(text_of(client, deadline=30))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model.options = SAYS
        assert await text_of(client) == TEXT


async def test_another_transport_does_the_same() -> None:
    """httpx's own transport, for proxies and unusual TLS, fits in the same place."""
    async with CompletionsSimulator(SAYS) as model:
        http = httpx.AsyncHTTPTransport()
        async with CompletionsClient([target(model)], http=http) as client:
            assert await text_of(client) == TEXT


@pytest.mark.parametrize("url", ["ftp://h/v1", "http://", "h/v1", "http://[x/v1"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A wrong base_url is final and no raw error of a library."""
    async with CompletionsClient([Target(Endpoint("one", url), "m")]) as client:
        with pytest.raises(ModelError):
            await client.complete(ASK, deadline=0.2)


async def test_a_key_that_cannot_be_sent_is_refused() -> None:
    """Letters that no header may hold are told without the key."""
    async with CompletionsSimulator(SAYS) as model:
        endpoint = Endpoint("one", model.base_url, "sk-schlüssel")
        async with CompletionsClient([Target(endpoint, "m")]) as client:
            with pytest.raises(ModelRefused) as caught:
                await client.complete(ASK)

    assert "schl" not in str(caught.value)


async def test_images_become_notes_for_a_blind_model() -> None:
    """A target without vision gets a note, and answers."""
    seen: list[Mapping[str, Any]] = []

    def answer(body: Mapping[str, Any]) -> str:
        seen.append(body)
        return "ok"

    ask = ChatRequest((ChatMessage("user", (ImagePart(ImageUrl("data:image/png;base64,AA")),)),))
    async with (
        CompletionsSimulator(answer=answer) as model,
        CompletionsClient([target(model, has_vision=False)]) as client,
    ):
        assert await text_of(client, ask=ask) == "ok"

    assert "image" in seen[0]["messages"][0]["content"]


async def test_moderation_scores_in_order() -> None:
    """Thirteen categories with their slashes, one result per input."""
    async with CompletionsSimulator() as model, client_of(model) as client:
        model.fail("503", on="moderations")
        reply = await client.moderate(
            client.targets[0].endpoint, "omni", ["fine", "I will kill you"]
        )

    calm, angry = reply.results
    assert len(calm.scores) == 13
    assert not calm.flagged
    assert angry.flagged
    assert angry.categories["harassment/threatening"] is True
    assert angry.scores["violence"] == 0.93


@pytest.mark.parametrize("kind", ["malformed", "html", "500"])
async def test_moderation_that_fails_says_so(kind: FaultKind) -> None:
    """No result is ever invented."""
    async with CompletionsSimulator() as model, client_of(model) as client:
        model.fail(kind, on="moderations", times=9)

        with pytest.raises(ModelError):
            await client.moderate(client.targets[0].endpoint, "omni", ["x"])


async def test_the_list_of_models() -> None:
    """Ids and owners, in the endpoint's order."""
    async with (
        CompletionsSimulator(Options(models=("b", "a"))) as model,
        client_of(model) as client,
    ):
        found = await client.models(client.targets[0].endpoint)

    assert [entry.id for entry in found] == ["b", "a"]


async def test_logs_hold_neither_text_nor_keys(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retries and fallbacks are logged without what was said."""
    async with (
        CompletionsSimulator(SAYS) as one,
        CompletionsSimulator(SAYS) as two,
        client_of(one, two) as client,
    ):
        with caplog.at_level(logging.DEBUG):
            one.fail("500")
            one.fail("cut")
            assert await text_of(client) == TEXT

    printed = caplog.text + "".join(capsys.readouterr())
    assert not any(word in printed for word in ("three", "hello there", "sk-secret"))


async def test_many_streams_at_once() -> None:
    """Hundreds of streams share one client, and each gets its own text whole."""
    async with (
        CompletionsSimulator(Options(tokens=50, duration=0.5)) as model,
        client_of(model) as client,
    ):
        found = await asyncio.gather(*(text_of(client, 20.0) for _ in range(200)))

    assert set(found) == {" ".join(f"word{number}" for number in range(50))}


async def test_many_streams_can_be_left_at_once() -> None:
    """Streams that are given up while they are gathered leave nothing behind."""
    async with (
        CompletionsSimulator(Options(tokens=100, duration=5)) as model,
        client_of(model) as client,
    ):
        tasks = [asyncio.ensure_future(text_of(client, 20.0)) for _ in range(100)]
        await asyncio.sleep(0.6)
        for task in tasks:
            task.cancel()
        left = await asyncio.gather(*tasks, return_exceptions=True)
        model.options = SAYS

        assert {type(result) for result in left} == {asyncio.CancelledError}
        assert await text_of(client) == TEXT


async def test_the_command_line_of_httpx_stays_out() -> None:
    """Importing the client does not import httpx's own command line and its libraries."""
    code = "import sys, core.completions.client; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    loaded = set(output.decode().split())
    assert "httpx" in loaded
    assert not loaded & {"rich", "click", "pygments", "openai"}


def test_a_reply_hides_its_body() -> None:
    """The repr of a reply is fit for a log line of moderate length."""
    reply = ChatReply("t", "", (), "stop", None, "m", "e", "r", raw=b"x" * 1000)

    assert "xxx" not in repr(reply)
