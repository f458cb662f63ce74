"""The typed calls against the simulated endpoint: every field kept, refusals learned, limits."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bots.simulators.completions import CompletionsSimulator, Options, Scripted, ToolCall
from core.completions.api import Api
from core.completions.client import CompletionsClient
from core.completions.exchange import Overrides
from core.completions.limits import Limits, Rate
from core.completions.sending import CallOptions
from core.completions.types import Endpoint, RetryPolicy, Target
from core.errors import (
    BadReply,
    InvalidRequest,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    NotToSchema,
    StreamBroken,
    TimedOut,
)

TEXT = "One two three four five six seven eight."
SAYS = Options(mode="script", script=(Scripted(TEXT),), models=("m", "other"))
SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}


@asynccontextmanager
async def api_of(
    options: Options = SAYS, *, limits: Limits | None = None, decode: Any = None, **given: Any
) -> AsyncIterator[tuple[Api, CompletionsSimulator]]:
    """The typed client before a simulated endpoint; `given` are the endpoint's fields."""
    async with CompletionsSimulator(options) as model:
        endpoint = Endpoint("main", given.pop("base_url", model.base_url), "sk-secret", **given)
        policy = RetryPolicy(base=0.001, attempts=2)
        targets = [Target(endpoint, "m")]
        async with CompletionsClient(targets, retry=policy, limits=limits) as client:
            yield Api(client, decode=decode), model


async def test_a_chat_needs_only_one_prompt() -> None:
    """The model comes from the configuration; the reply is whole, with its typed look."""
    async with api_of() as (api, model):
        reply = await api.chat("Hello", system="Be kind", temperature=0.3)

    sent = model.requests[0].body
    assert sent == {
        "model": "m", "temperature": 0.3,
        "messages": [{"role": "system", "content": "Be kind"},
                     {"role": "user", "content": "Hello"}],
    }  # fmt: skip
    assert (reply.value.text, reply.status, reply.served_by) == (TEXT, 200, "")
    assert reply.value.system_fingerprint == reply.body["system_fingerprint"] == "fp_simulated"
    assert reply.value.usage is not None
    assert reply.value.usage.completion_tokens == 8


async def test_every_parameter_arrives() -> None:
    """Fields with a name and those that nobody has heard of, the caller's headers and query too."""
    params: dict[str, Any] = {
        "max_completion_tokens": 5, "n": 2, "top_p": 0.5, "user": "u", "seed": 1,
        "stop": ["x"], "logit_bias": {"5": -1}, "metadata": {"a": "b"},
        "reasoning_effort": "galactic",
    }  # fmt: skip
    overrides = Overrides(headers={"X-Own": "1"})
    async with api_of() as (api, model):
        reply = await api.chat(
            [{"role": "user", "content": "x", "mood": "good"}], model="other",
            options=CallOptions(overrides), extra={"invented": [1]}, **params,
        )  # fmt: skip

    sent = model.requests[0]
    assert sent.body == {
        "model": "other", "messages": [{"role": "user", "content": "x", "mood": "good"}],
        "invented": [1], **params,
    }  # fmt: skip
    assert sent.headers["x-own"] == "1"
    assert [choice.index for choice in reply.value.choices] == [0, 1]


async def test_nothing_wrong_is_sent() -> None:
    """All problems come at once and the endpoint hears nothing."""
    async with api_of() as (api, model):
        with pytest.raises(InvalidRequest) as caught:
            await api.chat([{"role": "robot"}], temperature=3.0)
        with pytest.raises(InvalidRequest):
            api.chat_stream("x", n=0)
        with pytest.raises(InvalidRequest):
            api.stream("/edits", {"instruction": "x"})
        with pytest.raises(InvalidRequest):
            await api.call("/chat/completions", "no object")  # type: ignore[arg-type]

    assert [path for path, _ in caught.value.problems] == ["messages[0].role", "temperature"]
    assert (caught.value.status, caught.value.param) == (400, "messages[0].role")
    assert list(model.requests) == []


async def test_a_doubt_is_told_and_sent() -> None:
    """json_object without a word about JSON is warned of."""
    async with api_of() as (api, model):
        reply = await api.chat("x", response_format={"type": "json_object"})
    assert "no message asks for JSON" in reply.warnings[0]
    assert len(model.requests) == 1


async def test_a_stream_keeps_everything() -> None:
    """Each event's bytes are the endpoint's own, and the stream sums up what they say."""
    async with api_of() as (api, model), api.chat_stream(
        "Hi", stream_options={"include_usage": True}
    ) as stream:  # fmt: skip
        events = [event async for batch in stream for event in batch]

    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in map(
        json.loads, [event.data for event in events]) if e["choices"]) == TEXT  # fmt: skip
    assert (stream.text, stream.finish_reasons, stream.model) == (TEXT, {0: "stop"}, "m")
    assert stream.usage is not None
    assert stream.usage.completion_tokens == 8
    assert stream.headers["content-type"] == "text/event-stream"
    assert model.requests[0].body["stream"] is True


async def read(api: Api, **more: Any) -> str:
    async with api.chat_stream("Hi", **more) as stream:
        async for _ in stream:
            pass
    return stream.text


@pytest.mark.parametrize("kind", ["500", "disconnect", "429", "malformed"])
async def test_a_stream_is_asked_for_again_before_its_first_event(kind: Any) -> None:
    """What fails at once is repeated, as the bot does it."""
    async with api_of() as (api, model):
        model.fail(kind, retry_after=0.01 if kind == "429" else None)
        assert await read(api) == TEXT
        assert len(model.requests) == 2


async def test_many_streams_are_passed_on_as_they_come() -> None:
    """With hundreds open, events that come one by one are read one by one, and none is lost."""
    text = " ".join(f"word{number}" for number in range(20))
    async with api_of(Options(tokens=20, duration=1.0)) as (api, _):

        async def batches() -> list[int]:
            async with api.chat_stream("Hi") as stream:
                sizes = [len(batch) async for batch in stream]
                assert stream.text == text
            return sizes

        found = await asyncio.gather(*(batches() for _ in range(200)))

    sizes = sorted(size for each in found for size in each)
    assert sizes[len(sizes) // 2] == 1


@pytest.mark.parametrize("kind", ["cut", "reset", "stream_error", "bad_chunk", "no_finish"])
async def test_a_stream_that_breaks_says_what_had_come(kind: Any) -> None:
    """After the first event nothing is repeated, and what came before the fault is handed on."""
    options = Options(mode="script", script=(Scripted(TEXT),), rate=100)
    async with api_of(options) as (api, model):
        model.fail(kind, after=3)
        with pytest.raises(StreamBroken) as caught:
            await read(api)
        assert len(model.requests) == 1
    assert caught.value.partial == "One two three"


@pytest.mark.parametrize("kind", ["stream_error", "bad_chunk"])
async def test_a_fault_that_nobody_saw_is_repeated(kind: Any) -> None:
    """When the first block of bytes brings the fault along, nothing was handed out yet."""
    async with api_of() as (api, model):
        model.fail(kind, after=0)
        assert await read(api) == TEXT
        assert len(model.requests) == 2


@pytest.mark.parametrize("kind", ["no_done", "nulls", "int_ids", "not_streamed"])
async def test_odd_streams_are_read(kind: Any) -> None:
    """Servers that leave out, null or type things otherwise, or don't stream at all."""
    async with api_of() as (api, model):
        model.fail(kind)
        assert await read(api) == TEXT


@pytest.mark.parametrize("kind", ["malformed", "html"])
async def test_a_reply_that_is_none(kind: Any) -> None:
    """What is not JSON of the right shape is asked for again, then an error."""
    async with api_of() as (api, model):
        model.fail(kind, times=2)
        with pytest.raises(BadReply):
            await api.chat("x")


async def test_errors_carry_what_the_endpoint_said() -> None:
    """Status, type, code, param and message are there for whoever passes them on."""
    async with api_of(Options(api_key="sk-other")) as (api, _):
        with pytest.raises(ModelRefused) as caught:
            await api.chat("x")
    assert (caught.value.status, caught.value.detail) == (401, "Incorrect API key provided.")


@pytest.mark.parametrize(
    ("refused", "given", "expected"),
    [
        (("max_tokens",), {"max_tokens": 5}, {"max_completion_tokens": 5}),
        (("max_completion_tokens",), {"max_completion_tokens": 5}, {"max_tokens": 5}),
        (("max_tokens", "max_completion_tokens"), {"max_tokens": 5}, {}),
        (("temperature", "top_p"), {"temperature": 1.0, "top_p": 1.0, "n": 1}, {"n": 1}),
        (("logit_bias",), {"logit_bias": {"1": 1}}, {}),
    ],
)
async def test_refused_parameters_are_renamed_or_dropped(
    refused: tuple[str, ...],
    given: Any,
    expected: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 400 that names a parameter is learned per model, said in the log, and not met again."""
    caplog.set_level(logging.WARNING)
    async with api_of(Options(unsupported=refused)) as (api, model):
        await api.chat("x", **given)
        count = len(model.requests)
        await api.chat("x", **given)

    assert count > 1
    assert len(model.requests) == count + 1
    sent = dict(model.requests[-1].body)
    del sent["model"], sent["messages"]
    assert sent == expected


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [(("developer",), "system"), (("system",), "developer"), (("system", "developer"), "user")],
)
async def test_roles_that_a_server_does_not_know(unknown: tuple[str, ...], expected: str) -> None:
    """Instructions take the role that the server has for them."""
    async with api_of(Options(unknown_roles=unknown)) as (api, model):
        role = unknown[0]
        await api.chat([{"role": role, "content": "Be kind"}, {"role": "user", "content": "x"}])
        await api.chat([{"role": role, "content": "Be kind"}, {"role": "user", "content": "x"}])
    assert model.requests[-1].body["messages"][0] == {"role": expected, "content": "Be kind"}
    assert len(model.requests) == len(unknown) + 2


async def test_the_older_calls_where_they_exist() -> None:
    """An endpoint that knows completions and edits is asked for them."""
    async with api_of(Options(knows_legacy=True)) as (api, model):
        one = await api.completion(["a", "b"], n=2, echo=True, max_tokens=5)
        two = await api.edit("shout", text="hello", temperature=0.0)

    assert [choice.text for choice in one.value.choices] == [
        "a and so on", "a and so on", "b and so on", "b and so on",
    ]  # fmt: skip
    assert (two.value.text, two.served_by, one.served_by) == ("HELLO", "", "")
    assert [request.route for request in model.requests] == ["completions", "edits"]


async def test_the_older_calls_over_chat(caplog: pytest.LogCaptureFixture) -> None:
    """Where they are gone, chat serves them, says so, and remembers it."""
    async with api_of() as (api, model):
        one = await api.completion(["a", "b"], n=2, echo=True, max_tokens=5)
        again = await api.completion("c", suffix="d")
        two = await api.edit("shout", text="hello")
        three = await api.answer("Who?", documents=["Ada did."], examples=[["1?", "2"]])

    assert [request.route for request in model.requests] == [
        "completions", "chat", "chat", "chat", "edits", "chat", "chat",
    ]  # fmt: skip
    assert {one.served_by, again.served_by, two.served_by, three.served_by} == {"chat.completions"}
    assert [(c.index, c.text) for c in one.value.choices] == [
        (0, "a" + TEXT), (1, "a" + TEXT), (2, "b" + TEXT), (3, "b" + TEXT),
    ]  # fmt: skip
    assert one.body["object"] == "text_completion"
    assert one.value.usage is not None
    assert one.value.usage.completion_tokens == 16
    assert model.requests[1].body["max_tokens"] == 5
    assert (two.body["object"], two.value.text) == ("edit", TEXT)
    assert (three.body["object"], three.value.answers) == ("answer", [TEXT])
    assert three.value.selected_documents == [{"document": 0, "text": "Ada did."}]
    asked = str(model.requests[-1].body["messages"])
    assert "Ada did." in asked
    assert "Who?" in asked


async def test_prompts_in_tokens_over_chat() -> None:
    """With a tokenizer they become text; without one it is said what is missing."""
    async with api_of() as (api, _):
        with pytest.raises(InvalidRequest, match=r"model\.tokenizer"):
            await api.completion([1, 2])
    async with api_of(decode=lambda tokens: f"<{len(tokens)}>") as (api, model):
        reply = await api.completion([[1, 2], [3]])
    asked = [r.body["messages"][0]["content"] for r in model.requests if r.route == "chat"]
    assert sorted(asked) == ["<1>", "<2>"]
    assert len(reply.value.choices) == 2


async def test_a_completion_streams_over_chat() -> None:
    """Each prompt's chunks come in the old shape, numbered through."""
    async with api_of() as (api, _), api.completion_stream(["a", "b"], echo=True) as stream:
        events = [json.loads(e.data) async for batch in stream for e in batch]

    assert stream.served_by == "chat.completions"
    assert {event["object"] for event in events} == {"text_completion"}
    joined = {0: "", 1: ""}
    for event in events:
        for choice in event["choices"]:
            joined[choice["index"]] += choice["text"]
    assert joined == {0: "a" + TEXT, 1: "b" + TEXT}
    assert stream.finish_reasons == {0: "stop", 1: "stop"}


async def test_a_missing_model_is_not_a_missing_call() -> None:
    """404 for a model's name is an error, not a reason to go another way."""
    async with api_of() as (api, model):
        model.fail("status", status=404, on="completions")
        reply = await api.completion("x")
        assert reply.served_by == "chat.completions"
        with pytest.raises(ModelRefused) as caught:
            await api.one_model("absent")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_a_model_that_is_not_there_is_not_replaced() -> None:
    """Who names a model gets that one, or is told; only configured models have fallbacks."""
    async with api_of(Options(knows_models=True, models=("m",))) as (api, model):
        for call in (api.chat("x", model="nope"), api.completion("x", model="nope")):
            with pytest.raises(ModelRefused) as caught:
                await call
            assert (caught.value.status, caught.value.code) == (404, "model_not_found")
        assert {request.body["model"] for request in model.requests} == {"nope"}


async def test_models_and_engines() -> None:
    """Each entry has id and name; one is found alone, by list where that is all there is."""
    async with api_of() as (api, model):
        listed = await api.models()
        engines = await api.engines()
        one = await api.one_model("other")
        model.fail("status", status=405, on="model")
        by_list = await api.one_model("m")

    assert [(each["id"], each["name"]) for each in listed.body["data"]] == [
        ("m", "m"), ("other", "other"),
    ]  # fmt: skip
    assert engines.body["data"][0]["object"] == "engine"
    assert engines.body["data"][0].keys() >= {"id", "name", "ready", "owner"}
    assert (one.value.id, by_list.value.id, by_list.served_by) == ("other", "m", "models")


async def test_moderations_and_embeddings() -> None:
    """Arrays and parts, scores by category, vectors of the size that was asked for."""
    async with api_of() as (api, model):
        many = await api.moderation(["kill", "kind"])
        parts = await api.moderation(
            [
                {"type": "text", "text": "idiot"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}},
            ],
            model="omni",
        )
        vectors = await api.embedding(["a", "b"], model="e", dimensions=3)
        tokens = await api.embedding([[1, 2]], model="e", encoding_format="float")  # fmt: skip

    assert [result.flagged for result in many.value.results] == [True, False]
    assert len(many.value.results[0].scores) == 13
    assert (len(parts.value.results), parts.value.model) == (1, "omni")
    assert [len(one.embedding) for one in vectors.value.data] == [3, 3]
    assert len(tokens.value.data[0].embedding) == 8
    assert model.requests[-1].body["encoding_format"] == "float"


async def test_json_that_fits_its_schema() -> None:
    """A right answer passes at once; refusals and tool calls are not looked into."""
    fine = Scripted('{"age": 5}')
    call = Scripted(tool_calls=(ToolCall("f"),))
    async with api_of(Options(mode="script", script=(fine, call))) as (api, model):
        assert (await api.chat("x", response_format=FORMAT)).value.text == '{"age": 5}'
        reply = await api.chat("x", response_format=FORMAT)
    assert reply.value.choices[0].finish_reason == "tool_calls"
    assert len(model.requests) == 2


async def test_one_repair() -> None:
    """A wrong answer is asked for once more, with what is wrong; both are billed."""
    script = (Scripted('{"age": "five", "x": 1}'), Scripted('{"age": 5}'))
    async with api_of(Options(mode="script", script=script)) as (api, model):
        reply = await api.chat("x", response_format=FORMAT)

    assert reply.value.text == '{"age": 5}'
    messages = model.requests[1].body["messages"]
    assert messages[1] == {"role": "assistant", "content": script[0].text}
    assert "age" in messages[2]["content"]
    assert reply.value.usage is not None
    assert reply.value.usage.completion_tokens == 6


async def test_two_wrong_answers_are_an_error() -> None:
    """Only one repair is tried; asked for without it, the answer comes as it is."""
    async with api_of(Options(mode="script", script=(Scripted("not json"),))) as (api, model):
        with pytest.raises(NotToSchema, match="not JSON"):
            await api.chat("x", response_format=FORMAT)
        assert len(model.requests) == 2
        plain = CallOptions(repair=False)
        reply = await api.chat("x", response_format=FORMAT, options=plain)
    assert reply.value.text == "not json"


async def test_azure() -> None:
    """Version in the query, key in its own header, deployment in the path."""
    given = {"azure_api_version": "2024-10-21", "deployments": {"m": "my gpt"}}
    async with CompletionsSimulator(Options(api_key="sk-secret", models=("m",))) as model:
        host = model.base_url.removesuffix("/v1")
        for base in (host, f"{host}/openai"):
            endpoint = Endpoint("azure", base, "sk-secret", **given)  # type: ignore[arg-type]
            async with CompletionsClient([Target(endpoint, "m")]) as client:
                assert (await Api(client).chat("x")).status == 200
                assert await read(Api(client))
    assert len(model.requests) == 4
    assert "authorization" not in model.requests[0].headers


async def test_limits_are_waited_for() -> None:
    """With an endpoint that enforces its limit, configured limits let every call through."""
    options = Options(mode="echo", requests_per_minute=4, rate_window=0.3)
    # of a minute its slots leave half a second for the way; of so little they leave nothing
    async with api_of(options, limits=Limits({"main": [Rate(0.4, requests=4)]})) as (api, model):
        replies = await asyncio.gather(*(api.chat(f"q{n}") for n in range(12)))
    assert [reply.value.text for reply in replies] == [f"q{n}" for n in range(12)]
    assert model.limit.refused == 0


async def test_limits_are_learned_from_headers() -> None:
    """After the first reply nothing more is refused: the headers said what is left."""
    options = Options(mode="echo", requests_per_minute=5, rate_window=0.4)
    async with api_of(options, limits=Limits()) as (api, model):
        await api.chat("first")
        for n in range(8):
            await api.chat(f"q{n}")
    assert model.limit.refused <= 2
    assert len(model.requests) <= 11


async def test_a_limit_beyond_the_deadline() -> None:
    """The answer is a 429 with the time to wait, at once."""
    limits = Limits({"main": [Rate(60, requests=1)]})
    async with api_of(limits=limits) as (api, _):
        await api.chat("x")
        with pytest.raises(ModelRateLimited) as caught:
            await api.chat("x", options=CallOptions(deadline=0.5))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 50


async def test_timeouts_in_milliseconds() -> None:
    """A typed call's read timeout is its own, and 0 is none."""
    async with api_of(Options(first_delay=0.3)) as (api, model):
        quick = CallOptions(Overrides(read_ms=50))
        with pytest.raises(ModelUnavailable, match="ReadTimeout"):
            await api.chat("x", options=quick)
        assert len(model.requests) == 1  # a second attempt would be a second wait
        with pytest.raises(TimedOut):
            await read(api, options=quick)
        assert (await api.chat("x", options=CallOptions(Overrides(read_ms=0)))).status == 200


async def test_a_timeout_leaves_time_for_another_endpoint() -> None:
    """What was not answered in time is asked of the next target, where there is one."""
    async with (
        CompletionsSimulator(Options(first_delay=5)) as slow,
        CompletionsSimulator(SAYS) as m,
    ):
        targets = [Target(Endpoint(n, s.base_url), "m") for n, s in (("slow", slow), ("m", m))]
        async with CompletionsClient(targets) as client:
            reply = await Api(client).chat("x", options=CallOptions(Overrides(read_ms=50)))
    assert (reply.endpoint, len(slow.requests)) == ("m", 1)


async def test_the_deadline_holds_for_all_attempts() -> None:
    """However often it is retried: at the deadline it is over."""
    async with api_of(Options(first_delay=5)) as (api, _):
        began = asyncio.get_running_loop().time()
        with pytest.raises(ModelError):
            await api.chat("x", options=CallOptions(deadline=0.2))
        assert asyncio.get_running_loop().time() - began < 1.0
