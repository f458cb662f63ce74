"""The calling commands as a user runs them: a real process against the simulated endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes.web import web_server

from bots.simulators.completions import CompletionsSimulator, Options, Scripted, ToolCall

ROOT = Path(__file__).parents[3]
TEXT = "One two three four five six seven eight."
SAYS = Options(mode="script", script=(Scripted(TEXT),), models=("m", "other"))


@dataclass
class Done:
    """What a process printed and how it ended."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run(folder: Path, url: str, *words: str, stdin: str | None = None, **env: str) -> Done:
    """`talkwarden WORDS` with the endpoint at `url`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bots.cli", *words,
        cwd=folder, env=environ(url, **env),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    given = None if stdin is None else stdin.encode()
    out, err = await asyncio.wait_for(process.communicate(given), 60)
    assert b"Traceback" not in err, err.decode()
    return Done(process.returncode, out.decode(), err.decode())


def environ(url: str, **more: str) -> dict[str, str]:
    own = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-secret", "TALKWARDEN_MODEL__NAME": "m"}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **own, **more}


@pytest.fixture
async def model() -> AsyncIterator[CompletionsSimulator]:
    """An endpoint that says always the same."""
    async with CompletionsSimulator(SAYS) as found:
        yield found


async def test_models(tmp_path: Path, model: CompletionsSimulator) -> None:
    """Names for people, the document for programs, one model by its name."""
    plain, listed, one, absent = await asyncio.gather(
        run(tmp_path, model.base_url, "models"),
        run(tmp_path, model.base_url, "models", "--json"),
        run(tmp_path, model.base_url, "models", "m", "--full-response"),
        run(tmp_path, model.base_url, "models", "absent"),
    )
    assert plain.out == "m\nother\n"
    assert [each["name"] for each in listed.json["data"]] == ["m", "other"]
    assert (one.json["status"], one.json["body"]["id"]) == (200, "m")
    assert (absent.code, "does not exist" in absent.err) == (1, True)


async def test_complete_with_every_option(tmp_path: Path, model: CompletionsSimulator) -> None:
    """Each input of the flow step is an option; other parameters go through --set."""
    model.options = Options(knows_legacy=True)
    done = await run(
        tmp_path, model.base_url, "complete", "a", "b", "--model", "x", "--suffix", "s",
        "--max-tokens", "5", "--temperature", "0.5", "--top-p", "0.9", "--n", "2", "--stop", "q",
        "--user", "u", "--set", "seed=7", "--set", "new=word", "--json",
        "--connect-timeout", "0", "--read-timeout", "0",
    )  # fmt: skip
    assert (done.code, len(done.json["choices"])) == (0, 4)
    assert model.requests[0].body == {
        "model": "x", "prompt": ["a", "b"], "suffix": "s", "max_tokens": 5, "temperature": 0.5,
        "top_p": 0.9, "n": 2, "stop": ["q"], "user": "u", "seed": 7, "new": "word",
    }  # fmt: skip


async def test_complete_reads_and_streams(tmp_path: Path, model: CompletionsSimulator) -> None:
    """From a file, from standard input, as JSON; served over chat where completions are gone."""
    (tmp_path / "prompt.txt").write_text("from a file")
    for words, stdin in (
        (("--file", "prompt.txt"), None), (("-",), "piped"), ((), "piped"),
        (("--prompt", '["x"]'), None), (("--body", '{"prompt": "x"}'), None),
    ):  # fmt: skip
        done = await run(tmp_path, model.base_url, "complete", *words, stdin=stdin)
        assert (done.code, done.out) == (0, TEXT + "\n"), done.err
    asked = [r.body["messages"][0]["content"] for r in model.requests if r.route == "chat"]
    assert asked == ["from a file", "piped", "piped", "x", "x"]
    whole = await run(tmp_path, model.base_url, "complete", "x", "--full-response")
    assert whole.json["headers"]["x-talkwarden-served-by"] == "chat.completions"


async def test_a_question(tmp_path: Path, model: CompletionsSimulator) -> None:
    """`chat` with a question or messages answers and exits."""
    done = await run(tmp_path, model.base_url, "chat", "Hello", "--system", "Be kind", "--n", "1")
    assert (done.code, done.out) == (0, TEXT + "\n")
    (tmp_path / "messages.json").write_text('[{"role": "user", "content": "a"}]')
    again = await run(
        tmp_path, model.base_url, "chat", "b", "--messages", "@messages.json", "--max-tokens", "9",
        "--temperature", "0", "--top-p", "1", "--user", "u", "--json",
    )  # fmt: skip
    assert again.json["choices"][0]["message"]["content"] == TEXT
    assert again.json["system_fingerprint"] == "fp_simulated"
    first, second = (request.body for request in model.requests)
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert [message["content"] for message in second["messages"]] == ["a", "b"]
    assert (second["max_tokens"], second["temperature"], second["user"]) == (9, 0.0, "u")
    piped = await run(tmp_path, model.base_url, "chat", "--no-stream", stdin="piped question")
    assert piped.out == TEXT + "\n"


async def test_edit_and_moderate(tmp_path: Path, model: CompletionsSimulator) -> None:
    """Instruction and input; texts, and parts of one input."""
    model.options = Options(knows_legacy=True)
    one = await run(tmp_path, model.base_url, "edit", "shout", "--input", "hello", "--n", "2")
    assert (one.code, one.out) == (0, "HELLO\n---\nHELLO\n")
    two = await run(tmp_path, model.base_url, "edit", "shout", "--model", "x", stdin="piped")
    assert two.out == "PIPED\n"
    assert model.requests[-1].body == {"model": "x", "instruction": "shout", "input": "piped"}
    scored = await run(tmp_path, model.base_url, "moderate", "kill", "kind")
    assert scored.out == "flagged: harassment/threatening 0.61, violence 0.93\nok\n"
    parts = '[{"type": "text", "text": "idiot"}]'
    shown = await run(tmp_path, model.base_url, "moderate", "--parts", parts, "--json")
    assert shown.json["results"][0]["categories"]["harassment"] is True


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("chat", "x", "--temperature", "9"), "temperature: expected a number from 0 to 2, got 9"),
    (("chat", "--messages", '[{"role": "robot"}]'), "messages[0].role"),
    (("chat", "--messages", "{"), "--messages is not JSON"),
    (("complete", "--file", "absent.txt"), "absent.txt can't be read"),
    (("complete", "hi", "--file", "prompt.txt"), "as an argument or with --file, not both"),
    (("complete", "x", "--set", "novalue"), "--set: expected NAME=VALUE"),
    (("complete", "x", "--body", "[]"), "--body: expected an object"),
    (("api", "get", "models"), "a path begins with one /"),
    (("api", "get", "/x", "--header", "a"), "--header: expected NAME=VALUE"),
    (("api", "get", "/x", "--file-name", "a"), "--file-name belongs to --download"),
    (("moderate", "--parts", '[{"type": "text"}]'), "input[0].text: is required"),
    (("models", "--read-timeout", "-1"), "--read-timeout"),
]


async def test_wrong_usage(tmp_path: Path, model: CompletionsSimulator) -> None:
    """It is said plainly, with exit 2, and nothing is sent."""
    runs = (run(tmp_path, model.base_url, *words) for words, _ in WRONG)
    for done, (words, said) in zip(await asyncio.gather(*runs), WRONG, strict=True):
        assert (done.code, done.out) == (2, ""), words
        assert said in done.err
    assert list(model.requests) == []


async def test_failures(tmp_path: Path, model: CompletionsSimulator) -> None:
    """What the endpoint refuses, or that there is none, is one sentence and exit 1."""
    model.options = Options(api_key="sk-other")
    refused = await run(tmp_path, model.base_url, "chat", "x")
    assert (refused.code, refused.out) == (1, "")
    assert "401 invalid_request_error Incorrect API key provided." in refused.err
    none = await run(tmp_path, "http://127.0.0.1:1/v1", "models", TALKWARDEN_MODEL__RETRIES="0")
    assert (none.code, "ConnectError" in none.err) == (1, True)
    slow = Options(first_delay=5)
    model.options = slow
    late = await run(
        tmp_path, model.base_url, "chat", "x", "--read-timeout", "50", TALKWARDEN_MODEL__RETRIES="0"
    )
    assert (late.code, "ReadTimeout" in late.err) == (1, True)


async def test_an_answer_that_breaks_off(tmp_path: Path, model: CompletionsSimulator) -> None:
    """What had come is printed, then the failure on a line of its own."""
    model.options = Options(mode="script", script=(Scripted(TEXT),), rate=100)
    model.fail("cut", after=2)
    done = await run(tmp_path, model.base_url, "chat", "x")
    assert (done.code, done.out) == (1, "One two\n")
    assert done.err.startswith("talkwarden: main: ")


async def test_a_doubt_is_said(tmp_path: Path, model: CompletionsSimulator) -> None:
    """json_object without a word about JSON is warned of on standard error."""
    more = ("--set", 'response_format={"type": "json_object"}')
    done = await run(tmp_path, model.base_url, "chat", "x", *more)
    assert (done.code, done.out) == (0, TEXT + "\n")
    assert "no message asks for JSON" in done.err


async def test_api_get_and_post(tmp_path: Path) -> None:
    """Headers, query, body, redirects, full response, for any path."""
    async with web_server() as web:
        got, posted, empty, text, moved, followed, refused, whole = await asyncio.gather(
            *(
                run(tmp_path, web.base_url, "api", *words.split(" "))
                for words in (
                    "get /v1/echo -H X-A=1 -q b=2 --json",
                    'post /echo -d {"a":1}',
                    "post /echo --full-response",
                    "get /text",
                    "get /redirect/302",
                    "get /redirect/302 -L",
                    "get /status/404",
                    "get /status/404 --full-response",
                )
            )
        )

    assert (got.json["headers"]["x-a"], got.json["query"]) == ("1", {"b": "2"})
    assert posted.json["body"] == '{"a":1}'
    assert (empty.json["status"], empty.json["body"]["body"]) == (200, "")
    assert text.out == "plain words"
    assert (moved.code, "redirects to /v1/echo" in moved.err) == (1, True)
    assert followed.json["query"] == {"moved": "1"}
    assert (refused.code, "404 c no" in refused.err) == (1, True)
    assert (whole.code, whole.json["status"], whole.json["body"]["error"]["code"]) == (1, 404, "c")


async def test_downloads(tmp_path: Path) -> None:
    """The file is complete when the command returns, and it says where it is."""
    async with web_server() as web:
        one = await run(tmp_path, web.base_url, "api", "get", "/files/a.csv", "--download", ".")
        two = await run(
            tmp_path, web.base_url, "api", "post", "/files/a.csv", "--download", ".",
            "--file-name", "own.csv", "--json",
        )  # fmt: skip

    assert one.out == "a.csv (10000 bytes, text/csv)\n"
    assert two.json == {
        "path": "own.csv", "name": "own.csv", "size": 10000, "content_type": "text/csv",
    }  # fmt: skip
    assert (tmp_path / "own.csv").stat().st_size == 10000


@asynccontextmanager
async def terminal(folder: Path, url: str, *words: str, **env: str) -> AsyncIterator[Terminal]:
    """A pseudo terminal with the command in it."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bots.cli", *words,
        cwd=folder, env=environ(url, TERM="xterm", **env),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        yield Terminal(ours, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)


class Terminal:
    """Types, and waits for what appears."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self.process = process
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    async def until(self, text: str, *, times: int = 1, after: str = "") -> str:
        """Read until `text` has appeared so often, or after the last `after`."""
        async with asyncio.timeout(20):
            while self._rest(after).count(text) < times:
                await asyncio.sleep(0.01)
                try:
                    self.seen += os.read(self._descriptor, 4096).decode("utf-8", "replace")
                except (BlockingIOError, OSError):
                    continue
        return self.seen

    def _rest(self, after: str) -> str:
        if not after:
            return self.seen
        return self.seen.rpartition(after)[2] if after in self.seen else ""


async def test_a_conversation(tmp_path: Path, model: CompletionsSimulator) -> None:
    """Turns keep their history; commands change the settings; Ctrl-D ends it."""
    async with terminal(tmp_path, model.base_url, "chat", "--system", "Be kind") as tty:
        await tty.until("> ")
        for number, line in enumerate(("hello", "again"), 1):
            tty.type(f"{line}\n")
            await tty.until(TEXT, times=number)
        tty.type("/model other\n/usage\n")
        await tty.until("tokens read")
        tty.type("/reset\n")
        await tty.until("(forgotten)")
        tty.type("\x04")
        assert await asyncio.wait_for(tty.process.wait(), 20) == 0

    contents = [message["content"] for message in model.requests[1].body["messages"]]
    assert contents == ["Be kind", "hello", TEXT, "again"]


async def test_ctrl_c_stops_an_answer(tmp_path: Path, model: CompletionsSimulator) -> None:
    """The conversation goes on; at the prompt it ends."""
    model.options = Options(tokens=2000, rate=100)
    async with terminal(tmp_path, model.base_url, "chat") as tty:
        await tty.until("> ")
        tty.type("talk\n")
        await tty.until("word3")
        tty.process.send_signal(2)
        await tty.until("> ", after="(stopped)")
        tty.process.send_signal(2)
        assert await asyncio.wait_for(tty.process.wait(), 20) == 0


async def test_a_long_line(tmp_path: Path, model: CompletionsSimulator) -> None:
    """More than a terminal's own line buffer holds is asked whole."""
    async with terminal(tmp_path, model.base_url, "chat") as tty:
        await tty.until("> ")
        for _ in range(6):
            tty.type("word " * 200)
            await asyncio.sleep(0.05)
        tty.type("the end\n")
        await tty.until(TEXT)

    assert model.requests[0].body["messages"][-1]["content"] == "word " * 1200 + "the end"


async def test_a_model_that_fails_in_a_conversation(
    tmp_path: Path, model: CompletionsSimulator
) -> None:
    """The error is said, and the next question is answered."""
    model.fail("status", status=400)
    async with terminal(tmp_path, model.base_url, "chat") as tty:
        await tty.until("> ")
        tty.type("one\n")
        await tty.until("Refused by the simulator.")
        tty.type("two\n")
        await tty.until(TEXT)


TOOLS = """
[tools]
functions = ["shop:delete"]
approve = ["delete"]
"""
SHOP = """
def delete(name: str) -> str:
    open("deleted", "a").write(name)
    return "gone"
"""


async def test_a_person_approves_in_the_terminal(tmp_path: Path) -> None:
    """The call is shown with its arguments; only a yes runs it."""
    (tmp_path / "talkwarden.toml").write_text(TOOLS)
    (tmp_path / "shop.py").write_text(SHOP)
    call = Scripted("", "", (ToolCall("delete", '{"name": "x\\u001b[2J"}'),))
    script = (call, Scripted("First done."), call, Scripted("Second done."))
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    async with (
        CompletionsSimulator(Options(mode="script", script=script)) as model,
        terminal(tmp_path, model.base_url, "chat", PYTHONPATH=path) as tty,
    ):
        await tty.until("> ")
        tty.type("delete it\n")
        seen = await tty.until("Allow it? [y/N]")
        assert '"name": "x' in seen
        assert "\x1b[2J" not in seen
        tty.type("n\n")
        await tty.until("First done.")
        assert not (tmp_path / "deleted").exists()
        tty.type("do it\n")
        await tty.until("Allow it? [y/N]", after="First done.")
        tty.type("y\n")
        await tty.until("Second done.")
        assert (tmp_path / "deleted").exists()


async def test_a_download_shows_its_progress(tmp_path: Path) -> None:
    """On a terminal there is a bar, and the escape sequences of a reply do nothing."""
    async with (
        web_server() as web,
        terminal(tmp_path, web.base_url, "api", "get", "/files/a.csv", "--download", ".") as tty,
    ):
        seen = await tty.until("a.csv (10000 bytes, text/csv)")
    assert "100%" in seen
