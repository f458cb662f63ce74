"""A client whose retries take no time, and what the tests of the client ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bots.simulators.completions import CompletionsSimulator, Options, Scripted
from core.completions.client import CompletionsClient
from core.completions.types import (
    ChatMessage,
    ChatRequest,
    Endpoint,
    RetryPolicy,
    Target,
    Timeouts,
)

ASK = ChatRequest((ChatMessage("system", "be kind"), ChatMessage("user", "hello there")))
TEXT = "One two three four five six seven eight."
SAYS = Options(mode="script", script=(Scripted(TEXT),))


class Pauses:
    """A retry policy's clock: notes the pauses instead of taking them."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)

    def policy(self, **given: Any) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, random=lambda: 1.0, **given)


def target(model: CompletionsSimulator, name: str = "one", **given: Any) -> Target:
    return Target(Endpoint(name, model.base_url, "sk-secret"), f"model-{name}", **given)


@asynccontextmanager
async def client_of(
    *models: CompletionsSimulator, timeouts: Timeouts | None = None, **policy: Any
) -> AsyncIterator[CompletionsClient]:
    targets = [target(model, name) for model, name in zip(models, ("one", "two"), strict=False)]
    retry = Pauses().policy(**policy)
    async with CompletionsClient(targets, timeouts=timeouts, retry=retry) as client:
        yield client


async def text_of(client: CompletionsClient, deadline: float = 5.0, ask: ChatRequest = ASK) -> str:
    parts = []
    async with client.stream(ask, deadline=deadline) as stream:
        async for batch in stream:
            parts += [delta.text for delta in batch]
    assert stream.text == "".join(parts)
    return stream.text
