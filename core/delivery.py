"""Step 9 of a message's walk: makes one turn's text visible, and keeps it up to date.

While the answer grows, a follower brings the platform's messages up to date as fast as the
platform's limits allow; each time it shows the newest text, so edits never queue up. `finish`
overtakes it and sees to it that exactly the whole text stands there.

Nothing is posted before `ready`: what the turn is about is durable then, the intent included.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from core import faults, outbox
from core.adapter import Adapter, Part, Target, Urgency
from core.errors import LeaseLost, PlatformError, PlatformUnavailable, RateLimited, TargetGone
from core.storage import Row, Store, Write
from core.telemetry import logger

_log = logger("talkwarden.delivery")

ATTEMPTS = 5  # of one call; beyond that the turn is tried again as a whole
CALL_TIMEOUT = 30.0  # seconds for one call of an adapter
MAX_PAUSE = 60.0  # seconds
STALE = 0.05  # seconds of waiting after which a draft takes up what was written meanwhile
GATHER = 0.03  # seconds: an answer that is complete by then appears in one call
CROWD = 100  # turns under way that double it: asking the model comes before showing drafts

T = TypeVar("T")
Clear = Callable[[], Awaitable[str]]


class Delivery:
    """One turn's messages on its platform."""

    def __init__(
        self,
        adapter: Adapter,
        target: Target,
        turn: str,
        store: Store,
        *,
        has_feedback: bool = False,
        known: Mapping[int, Row] | None = None,
    ) -> None:
        self._adapter = adapter
        self._target = target
        self._turn = turn
        self._store = store
        self.has_feedback = has_feedback
        self.question = ""
        """What the buttons of the last part decide, as in `Part`."""
        self._ids: dict[int, str] = {}
        self._doubtful: dict[int, float] = {}
        self._intended: set[int] = set()
        self._take_over(known or {})
        self._shown: dict[int, Part] = {}
        self._text = ""
        self._rendered: tuple[tuple[str, bool, bool, str] | None, list[Part]] = (None, [])
        self._writes: list[Write[Any]] = []
        self._grown = asyncio.Event()
        self._is_final = False
        self._is_waiting = False
        self._clear: Clear | None = None
        self.is_held: Callable[[], bool] = lambda: True
        self.crowd = 0
        """Turns under way beside this one."""
        self._follower: asyncio.Task[None] | None = None
        self.on_posted: Callable[[str], None] = lambda message_id: None  # noqa: ARG005

    def _take_over(self, known: Mapping[int, Row]) -> None:
        """Go on where an earlier attempt has ended."""
        for index, row in known.items():
            if row["state"] == "withdrawn":
                continue
            self._intended.add(index)
            if row["message"] is not None:
                self._ids[index] = row["message"]
            else:
                self._doubtful[index] = row["attempted_at"]

    @property
    def is_visible(self) -> bool:
        """Members can see something of this turn."""
        return bool(self._ids)

    @property
    def text(self) -> str:
        """What was cleared for showing so far."""
        return self._text

    @property
    def _is_once(self) -> bool:
        """Posting can't be verified, so it is tried at most once."""
        capabilities = self._adapter.capabilities
        return self._target.is_only_for_asker and not capabilities.can_repeat_private

    def intend_first(self) -> None:
        """The caller has stored the intent of part 0 with the turn itself."""
        self._intended.add(0)

    def follow(
        self, ready: Awaitable[object], clear: Clear, on_failure: Callable[[Exception], None]
    ) -> None:
        """Begin to show what `clear` gives whenever `grow` was called."""
        self._follower = asyncio.get_running_loop().create_task(
            self._follow(ready, clear, on_failure), name=f"follow {self._turn}"
        )

    def grow(self) -> None:
        """There is more to show."""
        self._grown.set()

    async def finish(self, text: str) -> None:
        """Make the messages show exactly this text. Raises PlatformError when that fails."""
        self._is_final = True
        await self._stop_following()
        self._text = text
        await self._bring_up()
        await self._drop_surplus()
        await self._settle_writes()

    async def conclude(self, text: str) -> None:
        """As `finish`, but what the platform will never take is logged and done with."""
        try:
            await self.finish(text)
        except PlatformError as exc:
            if exc.retryable:
                raise
            _log.error("An answer can't be delivered.", error=str(exc), code=exc.code)
            await self._settle_writes()

    async def abandon(self) -> None:
        """Stop showing more; what is visible stays."""
        self._is_final = True
        await self._stop_following()
        await self._settle_writes()

    async def withdraw(self) -> None:
        """Delete every message of the turn."""
        await self._stop_following()
        self._text = ""
        await self._drop_surplus()
        await self._settle_writes()

    async def _follow(
        self, ready: Awaitable[object], clear: Clear, on_failure: Callable[[Exception], None]
    ) -> None:
        self._clear = clear
        try:
            await self._grown.wait()
            await self._overtakable(lambda: asyncio.sleep(GATHER * (1 + self.crowd / CROWD)))
            while not self._is_final:
                self._grown.clear()
                self._text += await clear()  # before `ready`: both may take a round trip
                await self._overtakable(lambda: ready)
                if self._text.strip() and not self._is_final:
                    await self._show_draft()
                await self._grown.wait()
        except Exception as exc:  # noqa: BLE001  # a supervisor: the turn's owner decides
            on_failure(exc)

    async def _overtakable(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something that `finish` and `abandon` need not wait for."""
        if self._is_final:
            return
        self._is_waiting = True
        try:
            await wait()
        finally:
            self._is_waiting = False

    async def _show_draft(self) -> None:
        try:
            await self._bring_up(is_draft=True)
        except PlatformError as exc:
            # The final text is tried again whatever happened to a draft.
            _log.info("A draft could not be shown.", error=str(exc), code=exc.code)

    async def _stop_following(self) -> None:
        task, self._follower = self._follower, None
        if task is None:
            return
        self._is_final = True
        self._grown.set()
        if self._is_waiting:
            task.cancel()
        await asyncio.wait([task])

    async def _bring_up(self, *, is_draft: bool = False) -> None:
        """Post or edit one part after the other until all show the text.

        A draft ends early as soon as the final text is there: `finish` goes on with that.
        """
        while (index := self._next_difference()) is not None:
            if self._is_once and (index in self._doubtful or index in self._ids):
                _log.info("A private answer is not repeated.", turn=self._turn, part=index)
                self._shown[index] = self._parts()[index]
                continue
            message_id = self._ids.get(index) or await self._look_for(index)
            if message_id is None:
                await self._intend(index)
            if is_draft and not await self._may_draft(message_id):
                return
            if not is_draft:
                await self._adapter.pace(self._target, Urgency.FINAL, message_id)
            part = self._parts()[index]
            if message_id is None:
                await self._post(part)
            else:
                await self._edit(message_id, part)
            if is_draft and self._is_final:
                return

    async def _may_draft(self, message_id: str | None) -> bool:
        """Wait for a slot; False if the draft was overtaken meanwhile."""
        urgency = Urgency.POST if message_id is None else Urgency.EDIT
        asked_at = time.monotonic()
        await self._overtakable(lambda: self._adapter.pace(self._target, urgency, message_id))
        if self._clear is not None and time.monotonic() - asked_at > STALE and not self._is_final:
            self._grown.clear()
            self._text += await self._clear()
        return not self._is_final

    def _parts(self) -> list[Part]:
        key = (self._text, self._is_final, self.has_feedback, self.question)
        if key != self._rendered[0]:  # rendering is the most costly step of an edit
            self._rendered = (key, self._render())
        return self._rendered[1]

    def _render(self) -> list[Part]:
        texts = self._adapter.render(self._text)
        last = len(texts) - 1
        return [
            Part(
                turn=self._turn,
                index=index,
                text=text,
                is_last=index == last,
                # what is before the last part does not change any more
                is_final=self._is_final or index != last,
                has_feedback=self.has_feedback,
                question=self.question if index == last else "",
            )
            for index, text in enumerate(texts)
        ]

    def _next_difference(self) -> int | None:
        for part in self._parts():
            shown = self._shown.get(part.index)
            if shown is None or shown != part:
                return part.index
        return None

    async def _intend(self, index: int) -> None:
        if index in self._intended:
            return
        await self._store.write(
            outbox.intend_op(self._turn, index, self._target.conversation, time.time())
        )
        self._intended.add(index)

    async def _look_for(self, index: int, *, again: bool = True) -> str | None:
        """The message of a part whose post has an unknown outcome, and may be made `again`."""
        since = self._doubtful.get(index)
        if since is None:
            return None
        part = Part(turn=self._turn, index=index, text="")
        found = await self._call(lambda: self._adapter.find(self._target, part, since, again=again))
        faults.reach("find.after")
        del self._doubtful[index]
        if found is not None:
            self._note(index, found)
        return found

    async def _post(self, part: Part) -> None:
        message_id = await self._call(lambda: self._post_once(part))
        if message_id is not None:
            self._doubtful.pop(part.index, None)
            self._note(part.index, message_id)
        self._shown[part.index] = part

    async def _post_once(self, part: Part) -> str | None:
        """Post, but never again without a look; None for a private answer of unknown outcome."""
        since = self._doubtful.get(part.index)
        if since is not None:
            found = await self._adapter.find(self._target, part, since)
            if found is not None:
                return found
        # until the platform has said something it may have been carried out
        self._doubtful.setdefault(part.index, time.time())
        try:
            if not self.is_held():
                raise LeaseLost  # a process that slept must not post what another has taken over
            faults.reach("post.before")
            async with asyncio.timeout(CALL_TIMEOUT):
                message_id = await self._adapter.post(self._target, part)
            faults.reach("post.after")
            return message_id
        except (PlatformUnavailable, TimeoutError):
            if not self._is_once:
                raise
            _log.warning("A private answer has an unknown outcome.", turn=self._turn)
            return None
        except PlatformError:
            if since is None:
                del self._doubtful[part.index]
            raise

    async def _edit(self, message_id: str, part: Part) -> None:
        faults.reach("edit.before")
        try:
            await self._call(lambda: self._adapter.edit(self._target, message_id, part))
            faults.reach("edit.after")
        except TargetGone:
            if not self._is_final:
                raise
            # Somebody deleted the answer; it is not posted again.
            _log.info("An answer was deleted before it was complete.", message=message_id)
        self._shown[part.index] = part

    async def _drop_surplus(self) -> None:
        """Delete messages that the final text has no part for."""
        count = len(self._parts()) if self._text else 0
        for index in sorted(self._doubtful):
            if index >= count:
                await self._look_for(index, again=False)
        for index in [index for index in self._ids if index >= count]:
            message_id = self._ids.pop(index)
            faults.reach("withdraw.before")
            with suppress(TargetGone):
                await self._call(
                    lambda message_id=message_id: self._adapter.withdraw(  # type: ignore[misc]
                        self._target, message_id
                    )
                )
            faults.reach("withdraw.after")
            self._writes.append(self._store.submit(outbox.withdrawn_op(self._turn, index)))

    def _note(self, index: int, message_id: str) -> None:
        self._ids[index] = message_id
        self._writes.append(self._store.submit(outbox.sent_op(self._turn, index, message_id)))
        self.on_posted(message_id)

    async def _settle_writes(self) -> None:
        writes, self._writes = self._writes, []
        for write in writes:
            await write.durable

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """One adapter call, repeated while its error is retryable."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(CALL_TIMEOUT * 2):
                    return await call()
            except (RateLimited, PlatformUnavailable, TimeoutError) as exc:
                if attempt == ATTEMPTS or (self._follower is not None and not self._is_final):
                    raise _as_platform_error(exc) from exc
                after = exc.retry_after if isinstance(exc, RateLimited) else None
                pause = after if after is not None else random.uniform(0, 0.5 * 2**attempt)  # noqa: S311
                await asyncio.sleep(min(pause, MAX_PAUSE))
        raise AssertionError("unreachable")


def _as_platform_error(exc: Exception) -> PlatformError:
    if isinstance(exc, PlatformError):
        return exc
    return PlatformUnavailable("The platform did not answer in time.")
