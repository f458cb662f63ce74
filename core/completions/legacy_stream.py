"""The stream of a completion, from an endpoint that knows them or from chats in its place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from core.completions import legacy, wire
from core.completions.events import Event, EventStream, Opened
from core.completions.replies import CHAT
from core.completions.retry import Course
from core.completions.sending import Lacking
from core.completions.types import Usage


class LegacyStream(EventStream):
    """Asks the endpoint first; `instead` makes a chat stream (and an echo) for each prompt."""

    def __init__(
        self,
        opened: Opened,
        course: Callable[[], Course],
        *,
        instead: Callable[[], list[tuple[EventStream, str]]],
        warnings: tuple[str, ...],
    ) -> None:
        self._instead = instead
        super().__init__(opened, course)
        self.warnings = warnings

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        try:
            async with aclosing(super()._run()) as batches:
                async for batch in batches:
                    yield batch
            return
        except Lacking:
            self.served_by = CHAT
        offset = 0
        for stream, echo in self._instead():
            async with stream:
                async for batch in stream:
                    yield [self._rewritten(event, offset, echo) for event in batch]
            self._take(stream)
            offset += max(len(stream.finish_reasons), 1)

    def _rewritten(self, event: Event, offset: int, echo: str) -> Event:
        data = msgspec.json.encode(legacy.chunk(msgspec.json.decode(event.data), offset, echo))
        made = Event(data, wire.decode_document(data))
        self.note(made.document)
        return made

    def _take(self, stream: EventStream) -> None:
        self.model, self.endpoint, self.headers = stream.model, stream.endpoint, stream.headers
        self.usage = (self.usage or Usage()) + (stream.usage or Usage())
