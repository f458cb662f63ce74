"""`talkwarden chat` without a question: a conversation in the terminal.

Ctrl-C stops an answer, Ctrl-D ends the conversation.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import typer

from bots.lines import Lines
from bots.printing import plain
from core.completions.client import CompletionsClient
from core.completions.conversation import Conversation
from core.config_tools import ToolsConfig
from core.errors import ModelError
from core.tools.calls import PendingCall

HELP = """\
/reset forgets what was said, /model NAME changes the model, /system TEXT the system message,
/usage shows the tokens so far, /quit or Ctrl-D ends; Ctrl-C stops an answer."""

PROMPT = "> "


class TerminalApprover:
    """Asks whoever sits before the terminal."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def approve(self, call: PendingCall) -> bool:
        """Only a plain yes is one."""
        typer.echo(f"\nThe model wants to call {call.tool}:\n{plain(call.shown)}")
        answer = await self._lines.next("Allow it? [y/N] ")
        return (answer or "").strip().lower() in ("y", "yes")


async def talk(client: CompletionsClient, body: dict[str, Any], tools: ToolsConfig | None) -> int:
    """Until the end of the input; `body` are the settings of the conversation."""
    model = str(body.pop("model", ""))
    body.pop("n", None)
    async with AsyncExitStack() as stack:
        ask = None
        lines = stack.enter_context(Lines())
        if tools is not None and tools.is_enabled:
            from bots.toolbox import toolbox  # noqa: PLC0415  # with all that tools need

            box = await stack.enter_async_context(toolbox(tools, approver=TerminalApprover(lines)))
            ask = box.asking(client.stream)
        found = Conversation.create(client, model=model, ask=ask, extra=body)
        named = found.model or client.targets[0].model
        typer.echo(f"You are talking with {named}; /help says more.")
        await _turns(found, lines)
    return 0


async def _turns(talk: Conversation, lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    answer: asyncio.Task[None] | None = None

    def interrupted() -> None:
        if answer is not None and not answer.done():
            answer.cancel()
        elif main is not None:
            main.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        while (line := await lines.next(PROMPT)) is not None:
            if line.startswith("/"):
                if _obeyed(talk, line):
                    return
            elif line.strip():
                answer = asyncio.create_task(_answered(talk, line))
                await asyncio.wait([answer])
                _concluded(answer)
        typer.echo()
    except asyncio.CancelledError:
        typer.echo()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _answered(talk: Conversation, line: str) -> None:
    async with talk.stream(line) as stream:
        async for batch in stream:
            typer.echo(plain("".join(delta.text for delta in batch)), nl=False)
            sys.stdout.flush()
    typer.echo()


def _concluded(answer: asyncio.Task[None]) -> None:
    if answer.cancelled():
        typer.echo("\n(stopped)")
        return
    error = answer.exception()
    if isinstance(error, ModelError):
        typer.echo(f"\ntalkwarden: {error}", err=True)
    elif error is not None:
        raise error


def _obeyed(talk: Conversation, line: str) -> bool:
    """Carry a command out; True ends the conversation."""
    command, _, rest = line[1:].strip().partition(" ")
    rest = rest.strip()
    if command in ("quit", "exit"):
        return True
    if command == "reset":
        talk.reset()
        typer.echo("(forgotten)")
    elif command == "model" and rest:
        talk.model = rest
        typer.echo(f"(the model is {rest} now)")
    elif command == "system":
        talk.system = rest
        typer.echo("(noted)")
    elif command == "usage":
        used = talk.usage
        typer.echo(f"({used.prompt_tokens} tokens read, {used.completion_tokens} written)")
    else:
        typer.echo(HELP)
    return False
