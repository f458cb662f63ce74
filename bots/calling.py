"""What the calling commands do: read what is given, call, and print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from bots.building import build_api, build_client
from bots.printing import Printer, progress
from core.completions.api import Api
from core.completions.downloads import Download
from core.completions.events import EventStream
from core.completions.exchange import Overrides, request
from core.completions.replies import Reply
from core.completions.sending import CallOptions
from core.config import Config, credentials
from core.telemetry import configure

PARAMETERS = ("model", "max_tokens", "temperature", "top_p", "n", "stop", "user")


class Usage(Exception):
    """The command was given something of no use."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a call is made and shown."""

    as_json: bool
    full_response: bool
    connect_ms: int
    read_ms: int


class Calling:
    """One command's client; each method is a command and returns its exit code."""

    def __init__(self, config: Config, ways: Ways) -> None:
        log = config.log
        level = "warning" if log.level == "info" else log.level
        configure(msgspec.structs.replace(log, level=level), secrets=credentials(config))
        self._config = config
        self._ways = ways
        self._printer = Printer(as_json=ways.as_json, full_response=ways.full_response)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(build_client(self._config))
        self._api: Api = build_api(self._config, self._client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def options(self) -> CallOptions:
        """Of every typed call; the deadline is as long as the timeouts make it."""
        ways = self._ways
        overrides = Overrides(connect_ms=ways.connect_ms, read_ms=ways.read_ms)
        return CallOptions(overrides, deadline=86_400.0)

    async def models(self, name: str) -> int:
        """`models`."""
        if name:
            one = await self._api.one_model(name, options=self.options)
            return self._shown(one, lambda body: str(body.get("id")))
        reply = await self._api.models(options=self.options)
        return self._shown(
            reply, lambda body: "\n".join(sorted(str(each.get("id")) for each in body["data"]))
        )

    async def complete(self, given: Mapping[str, Any]) -> int:
        """`complete`."""
        body = self._body(given)
        if given["suffix"] is not None:
            body["suffix"] = given["suffix"]
        if given["prompts"]:
            body["prompt"] = _json(given["prompts"], "--prompt")
        elif text := _text(given["prompt"], given["file"], needed="prompt" not in body):
            body["prompt"] = text
        return await self._answered("/completions", body, given)

    async def chat(self, given: Mapping[str, Any]) -> int:
        """`chat`: one answer where something is asked, else a conversation."""
        body = self._body(given)
        if given["system"]:
            body["system"] = given["system"]
        if given["messages"]:
            body["messages"] = _json(given["messages"], "--messages")
        is_asked = bool(given["prompt"] or given["file"] or "messages" in body)
        if not is_asked and sys.stdin.isatty():
            from bots.talking import talk  # noqa: PLC0415

            tools = None if given["no_tools"] else self._config.tools
            return await talk(self._client, body, tools)
        text = _text(given["prompt"], given["file"], needed="messages" not in body)
        if isinstance(text, list):
            raise Usage("one question at a time: put it in quotation marks")
        if text:
            asked = body.get("messages") or []
            if not isinstance(asked, list):
                raise Usage("--messages: expected a list")
            body["messages"] = [*asked, {"role": "user", "content": text}]
        return await self._answered("/chat/completions", body, given)

    async def edit(self, given: Mapping[str, Any]) -> int:
        """`edit`."""
        body = self._body(given)
        if given["instruction"]:
            body["instruction"] = given["instruction"]
        if given["text"] is not None:
            body["input"] = given["text"]
        elif "input" not in body:
            body["input"] = _text(None, given["file"] or "-", needed=True)
        reply = await self._api.call("/edits", self._with_model(body), self.options)
        return self._shown(reply, _texts)

    async def moderate(self, given: Mapping[str, Any]) -> int:
        """`moderate`."""
        body = self._body(given)
        if given["parts"]:
            body["input"] = _json(given["parts"], "--parts")
        elif text := _text(given["text"], given["file"], needed="input" not in body):
            body["input"] = text
        reply = await self._api.call("/moderations", body, self.options)
        return self._shown(reply, _scores)

    async def request(self, method: str, given: Mapping[str, Any]) -> int:
        """`api get` and `api post`."""
        if given["file_name"] and given["download"] is None:
            raise Usage("--file-name belongs to --download")
        with progress(is_shown=given["download"] is not None) as told:
            folder = given["download"]
            download = None if folder is None else Download(folder, given["file_name"], told)
            overrides = Overrides(
                self._ways.connect_ms,
                self._ways.read_ms,
                given["follow"],
                download,
                self._ways.full_response,
                _pairs(given["header"], "--header"),
                _pairs(given["query"], "--query"),
            )
            content = given.get("body")
            body = None if not content else _json(content, "--body")
            reply = await request(
                self._client, self._api.endpoint, method, given["path"],
                body=body, overrides=overrides,
            )  # fmt: skip
        self._printer.response(reply)
        return 1 if reply.status >= 400 else 0

    def _body(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The whole request, the options laid over it."""
        body = _json(given["body"], "--body") if given["body"] else {}
        if not isinstance(body, dict):
            raise Usage("--body: expected an object")
        for name in PARAMETERS:
            if given.get(name) not in (None, "", []):
                body[name] = given[name]
        for name, value in _pairs(given.get("more"), "--set").items():
            body[name] = _json(value, f"--set {name}")
        return body

    def _with_model(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"model": self._config.model.name, **body}

    async def _answered(self, path: str, body: dict[str, Any], given: Mapping[str, Any]) -> int:
        """Streamed where somebody can watch one answer grow; else whole."""
        body = self._with_model(body)
        is_whole = self._ways.as_json or self._ways.full_response or given["no_stream"]
        is_one = body.get("n") in (None, 1) and isinstance(body.get("prompt", ""), str)
        if is_whole or not is_one or "response_format" in body or "tools" in body:
            return self._shown(await self._api.call(path, body, self.options), _texts)
        stream: EventStream = self._api.stream(path, body, self.options)
        self._printer.doubts(stream.warnings)
        try:
            async with stream:
                async for batch in stream:
                    self._printer.piece(batch)
        finally:  # what is said of a failure begins its own line
            self._printer.end(stream.text)
        return 0

    def _shown(self, reply: Reply[Any], text: Callable[[Any], str]) -> int:
        self._printer.doubts(reply.warnings)
        self._printer.reply(reply, text)
        return 0


def _texts(body: Any) -> str:
    """The choices of any kind as text."""
    found = []
    for choice in body.get("choices") or ():
        message = choice.get("message") or {}
        text = choice.get("text") or message.get("content") or message.get("refusal") or ""
        calls = message.get("tool_calls")
        found.append(str(text) or (msgspec.json.encode(calls).decode() if calls else ""))
    return "\n---\n".join(found)


def _scores(body: Any) -> str:
    lines = []
    for result in body.get("results") or ():
        scores = result.get("category_scores") or {}
        named = [name for name, hit in (result.get("categories") or {}).items() if hit]
        told = ", ".join(f"{name} {scores.get(name) or 0:.2f}" for name in sorted(named))
        lines.append(f"flagged: {told or 'no category named'}" if result.get("flagged") else "ok")
    return "\n".join(lines)


def _text(words: Sequence[str] | None, file: str, *, needed: bool) -> Any:
    """What the arguments say, else the file, else standard input where it is no terminal."""
    if words and file:
        raise Usage("give the text as an argument or with --file, not both")
    if words and list(words) != ["-"]:
        return words[0] if len(words) == 1 else list(words)
    if file or words:
        return _read(file or "-")
    if needed and not sys.stdin.isatty():
        return _read("-")
    if needed:
        raise Usage("nothing is given: add it as an argument, with --file, or on standard input")
    return ""


def _read(place: str) -> str:
    try:
        return sys.stdin.read() if place == "-" else Path(place).read_text("utf-8")
    except OSError as exc:
        raise Usage(f"{place} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise Usage(f"{place} is not UTF-8 text") from exc


def _json(given: str, name: str) -> Any:
    """JSON from the command line, from @FILE, or from standard input for -."""
    place = given[1:] if given.startswith("@") else "-" if given == "-" else ""
    text = _read(place) if place else given
    try:
        return msgspec.json.decode(text)
    except ValueError as exc:
        if name.startswith("--set "):
            return text  # a bare word stands for itself
        raise Usage(f"{name} is not JSON: {exc}") from exc


def _pairs(given: Sequence[str] | None, name: str) -> dict[str, str]:
    found = {}
    for entry in given or ():
        key, sign, value = entry.partition("=")
        if not sign or not key:
            raise Usage(f"{name}: expected NAME=VALUE, got {entry[:80]!r}")
        found[key] = value
    return found
