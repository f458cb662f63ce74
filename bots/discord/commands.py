"""The application commands, and their registration when they have changed.

https://discord.com/developers/docs/interactions/application-commands
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from bots.discord import failures
from bots.discord.rest import Rest
from core.adapter import Intake
from core.errors import PlatformError, StoreError
from core.telemetry import logger

log = logger("talkwarden.discord")

HASH_KEY: Final = "discord.commands"
QUESTION_LIMIT: Final = 6000
MAX_CHOICES: Final = 25
CHOICE_LIMIT: Final = 100

_STRING, _ATTACHMENT = 3, 11
_SLASH, _MESSAGE_MENU = 1, 3


def _option(kind: int, name: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "description": description, **more}


def _slash(name: str, description: str, *options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": _SLASH,
        "name": name,
        "description": description,
        "options": list(options),
        "integration_types": [0],
        "contexts": [0, 1],
    }


COMMANDS: Final[list[dict[str, Any]]] = [
    _slash(
        "ask",
        "Ask the assistant",
        _option(
            _STRING,
            "question",
            "What you want to know",
            required=True,
            max_length=QUESTION_LIMIT,
        ),
        _option(_ATTACHMENT, "file", "An image, a text file or a PDF to look at"),
    ),
    _slash("reset", "Forget this conversation and start anew"),
    _slash(
        "model",
        "Show or choose the model of this channel",
        _option(_STRING, "name", "The model to use from now on", autocomplete=True),
    ),
    _slash(
        "persona",
        "Show or change how the assistant behaves in this channel",
        _option(_STRING, "text", "Instructions; `default` goes back", max_length=QUESTION_LIMIT),
    ),
    _slash(
        "usage",
        "Show what you have used",
        _option(
            _STRING,
            "whose",
            "Yours (if left out), the channel's or the server's",
            choices=[{"name": word, "value": word} for word in ("me", "channel", "server")],
        ),
    ),
    _slash("stop", "Stop the answer that is being written"),
    _slash("help", "Show what the assistant can do"),
    {
        "type": _MESSAGE_MENU,
        "name": "Ask about this",
        "integration_types": [0],
        "contexts": [0, 1],
    },
]


def fingerprint(application: str) -> str:
    """Changes when the commands do, or the application that they are registered for."""
    digest = hashlib.blake2b(msgspec.json.encode(COMMANDS), digest_size=16)
    digest.update(application.encode())
    return digest.hexdigest()


async def sync(rest: Rest, intake: Intake, application: str) -> None:
    """Register all commands with one call, unless these very ones are registered already."""
    wanted = fingerprint(application)
    try:
        if await intake.recall(HASH_KEY) == wanted:
            return
        with failures.translated():
            await rest.call(
                "PUT",
                "/applications/{application_id}/commands",
                json=COMMANDS,
                application_id=application,
            )
        await intake.remember(HASH_KEY, wanted)
    except (PlatformError, StoreError) as exc:
        log.warning("discord.commands", error=str(exc))  # mentions and DMs work without them
        return
    log.info("discord.commands.registered", count=len(COMMANDS))
