"""Keeps the local scorer's learning beside the labels that it learned from.

The labels are the truth: what was learned is stored now and then with the last label's number,
and at a start the labels after it are learned again, to the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from core.errors import StoreError
from core.moderation.learner import Learner, Model
from core.storage import Op, Row, Store, query
from core.telemetry import logger

_log = logger("talkwarden.moderation")

_KEY = "moderation.learner"
_PAGE = 100
_UNSAVED = 25
"""Labels that are rather learned again than stored after each."""
_LOOK = 60.0
"""Seconds between two looks for labels that another process wrote."""


class _Index(msgspec.Struct, frozen=True):
    after: int = 0
    categories: tuple[str, ...] = ()


class Lessons:
    """One learner and its place among the labels."""

    def __init__(self, store: Store, learner: Learner | None = None) -> None:
        self._store = store
        self.learner = learner or Learner()
        self._after = 0
        self._saved_at = 0
        self._learned = 0
        self._news = asyncio.Event()

    def notice(self, label: object = None) -> None:  # noqa: ARG002  # it is read from the store
        """There is a new label; `keep` learns it."""
        self._news.set()

    async def keep(self) -> None:
        """Learn what moderators decide, for ever; starts from what is stored."""
        is_loaded = False
        while True:
            self._news.clear()
            try:
                if not is_loaded:
                    await self.load()
                    is_loaded = True
                await self.catch_up()
            except StoreError as exc:
                _log.warning("The local scorer could not learn; trying again.", why=str(exc))
            try:
                async with asyncio.timeout(_LOOK):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def load(self) -> None:
        """Take up what was stored; what can't be read is learned anew. Raises StoreError."""
        index, models = await self._store.read(_load_op())
        try:
            self.learner.models = {name: Model.load(text) for name, text in models.items()}
            self._after = index.after
        except ValueError as exc:
            self.learner.models, self._after = {}, 0
            _log.warning("What the local scorer had learned is learned anew.", why=str(exc))
        self._saved_at = self._learned

    async def catch_up(self) -> int:
        """Learn the labels that came since, oldest first; how many. Raises StoreError."""
        count = 0
        while rows := await self._store.read(_labels_op(self._after)):
            for row in rows:
                self.learner.learn(row["text"], row["category"], bool(row["is_violation"]))
                self._after = row["id"]
                count += 1
                await asyncio.sleep(0)  # a label is a third of a millisecond; others have to live
        self._learned += count
        if self._learned - self._saved_at >= _UNSAVED:
            await self.save()
        return count

    async def save(self) -> None:
        """Store what was learned. Raises StoreError."""
        learner, learned = self.learner, self._learned
        changed, learner.changed = learner.changed, set()
        index = _Index(self._after, tuple(learner.models))
        try:
            # nothing learns meanwhile: that is done by whoever saves
            texts = {
                name: await asyncio.to_thread(learner.models[name].dump) for name in sorted(changed)
            }
            await self._store.write(_save_op(index, texts))
        except BaseException:
            learner.changed |= changed
            raise
        self._saved_at = learned


def _labels_op(after: int) -> Op[list[Row]]:
    return (yield query("cases.labels", after=after, most=_PAGE))


def _load_op() -> Op[tuple[_Index, dict[str, str]]]:
    rows = yield query("memory.get", key=_KEY)
    index = msgspec.json.decode(rows[0]["value"], type=_Index) if rows else _Index()
    models = {}
    for name in index.categories:
        stored = yield query("memory.get", key=f"{_KEY}:{name}")
        models[name] = str(stored[0]["value"]) if stored else ""
    return index, models


def _save_op(index: _Index, models: Mapping[str, str]) -> Op[None]:
    for name, text in models.items():
        yield query("memory.put", key=f"{_KEY}:{name}", value=text)
    yield query("memory.put", key=_KEY, value=msgspec.json.encode(index).decode())
