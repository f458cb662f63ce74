"""`talkwarden models|complete|chat|edit|moderate|api`: calls to the model's endpoint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bots import cli_options as o
from bots.terminal import ConfigFile, execute, fail, load

if TYPE_CHECKING:
    from bots.calling import Calling

WRONG_USAGE = 2

app = typer.Typer()
raw = typer.Typer(help="Any call to the model's endpoint, as it is.", no_args_is_help=True)
app.add_typer(raw, name="api")


@app.command()
def models(
    name: Annotated[str, typer.Argument(help="Only this one.")] = "",
    config: ConfigFile = None,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """List the models that the endpoint offers."""
    _run(config, lambda calling: calling.models(name), locals())


@app.command()
def complete(
    prompt: Annotated[
        list[str] | None, typer.Argument(help="What to continue; - reads it.")
    ] = None,
    prompts: Annotated[
        str, typer.Option("--prompt", help="As JSON: text, texts, tokens, or token lists.")
    ] = "",
    suffix: Annotated[str | None, typer.Option(help="What comes after the completion.")] = None,
    model: o.Model = "",
    max_tokens: o.MaxTokens = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    n: o.Count = None,
    stop: o.Stop = None,
    user: o.User = None,
    more: o.Set = None,
    body: o.Body = "",
    file: o.File = "",
    config: ConfigFile = None,
    no_stream: o.NoStream = False,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """Complete a prompt, or several."""
    given = locals()
    _run(config, lambda calling: calling.complete(given), given)


@app.command(short_help="Talk with the model, or ask it one question.")
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="One question; none: talk.")] = None,
    messages: Annotated[str, typer.Option(help="The messages as a JSON list, @FILE or -.")] = "",
    system: Annotated[str, typer.Option(help="The system message.")] = "",
    model: o.Model = "",
    max_tokens: o.MaxTokens = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    n: o.Count = None,
    stop: o.Stop = None,
    user: o.User = None,
    more: o.Set = None,
    body: o.Body = "",
    file: o.File = "",
    config: ConfigFile = None,
    no_stream: o.NoStream = False,
    no_tools: Annotated[
        bool, typer.Option("--no-tools", help="Without the configured tools.")
    ] = False,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """Talk with the model in the terminal; with a question or messages, answer and exit."""
    given = locals()
    _run(config, lambda calling: calling.chat(given), given)


@app.command()
def edit(
    instruction: Annotated[str, typer.Argument(help="What to do with the text.")] = "",
    text: Annotated[
        str | None, typer.Option("--input", "-i", help="The text; else a file or standard input.")
    ] = None,
    model: o.Model = "",
    max_tokens: o.MaxTokens = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    n: o.Count = None,
    user: o.User = None,
    more: o.Set = None,
    body: o.Body = "",
    file: o.File = "",
    config: ConfigFile = None,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """Change a text as an instruction says."""
    given = locals()
    _run(config, lambda calling: calling.edit(given), given)


@app.command()
def moderate(
    text: Annotated[list[str] | None, typer.Argument(help="Texts; - reads one.")] = None,
    parts: Annotated[
        str, typer.Option(help="One input of several parts as a JSON list, @FILE or -.")
    ] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="The moderation model.")] = "",
    body: o.Body = "",
    file: o.File = "",
    config: ConfigFile = None,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """Ask the moderation endpoint about texts."""
    given = locals()
    _run(config, lambda calling: calling.moderate(given), given)


@raw.command()
def get(
    path: Annotated[str, typer.Argument(help="As /v1/models.")],
    header: o.Header = None,
    query: o.Query = None,
    follow: o.Follow = False,
    download: o.DownloadTo = None,
    file_name: o.FileName = "",
    config: ConfigFile = None,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """GET any path; the body is printed, or written into a file."""
    given = locals()
    _run(config, lambda calling: calling.request("GET", given), given)


@raw.command()
def post(
    path: Annotated[str, typer.Argument(help="As /v1/embeddings.")],
    body: Annotated[str, typer.Option("--body", "-d", help="JSON, @FILE or -; none: empty.")] = "",
    header: o.Header = None,
    query: o.Query = None,
    follow: o.Follow = False,
    download: o.DownloadTo = None,
    file_name: o.FileName = "",
    config: ConfigFile = None,
    as_json: o.Json = False,
    full_response: o.FullResponse = False,
    connect_timeout: o.ConnectTimeout = 5000,
    read_timeout: o.ReadTimeout = 60_000,
) -> None:
    """POST to any path, with a JSON body or none."""
    given = locals()
    _run(config, lambda calling: calling.request("POST", given), given)


def _run(
    config: Any, call: Callable[[Calling], Coroutine[Any, Any, int]], given: dict[str, Any]
) -> None:
    from bots.calling import Calling, Usage, Ways  # noqa: PLC0415
    from core.errors import InvalidRequest  # noqa: PLC0415

    settings = load(config, warn=False)
    ways = Ways(
        as_json=given["as_json"],
        full_response=given["full_response"],
        connect_ms=given["connect_timeout"],
        read_ms=given["read_timeout"],
    )

    async def main() -> int:
        try:
            async with Calling(settings, ways) as calling:
                return await call(calling)
        except (Usage, InvalidRequest) as exc:
            fail(str(exc), WRONG_USAGE)

    execute(main())
