"""Scorers: what gives categories and scores to texts, and the one that asks an endpoint.

A scorer never raises for an endpoint that fails; it says `Unchecked`, and the policy decides.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, TypeAlias

import msgspec

from core.errors import ModelError, TalkwardenError
from core.moderation.breaker import Breaker

Scores: TypeAlias = dict[str, float]


class Unchecked(msgspec.Struct, frozen=True):
    """No scores, and why; the reason is stored with the message."""

    reason: str


Scored: TypeAlias = Scores | Unchecked


class Scorer(Protocol):
    """Anything that scores texts: an endpoint, a policy model, a local model."""

    async def score(self, items: Sequence[str]) -> list[Scored]:
        """One result for each item, in order, within the scorer's own deadline."""
        ...

    async def aclose(self) -> None:
        """Give up what is under way."""
        ...


class ModerationEndpoint(Protocol):
    """What is needed of a completions client: one call that takes many texts."""

    async def moderate(self, inputs: Sequence[str]) -> Sequence[Mapping[str, float | None]]:
        """Scores of each text by category; raises ModelError (with `retry_after` if told)."""
        ...


class ScorerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the endpoint's use; times in seconds."""

    model: str = "omni-moderation-latest"
    """Part of the cache's key."""
    deadline: float = 1.5
    batch: int = 32
    in_flight: int = 2
    """Requests at once: a question and the answer to it need not wait for one another."""
    queue: int = 1024
    cache: int = 4096
    failures: int = 5
    """In a row, until the endpoint is left alone for a while."""
    rest: float = 30.0


class _Job:
    """One text that waits for its scores, on behalf of everybody who asked for it."""

    __slots__ = ("expires", "result", "text")

    def __init__(self, text: str, expires: float) -> None:
        self.text = text
        self.expires = expires
        self.result: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()


class OpenAIScorer:
    """`/v1/moderations`: few requests in flight, and what comes meanwhile goes with the next.

    https://platform.openai.com/docs/api-reference/moderations
    """

    def __init__(
        self, endpoint: ModerationEndpoint, settings: ScorerSettings | None = None
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings or ScorerSettings()
        self._cache: dict[bytes, Scores] = {}
        self._jobs: dict[bytes, _Job] = {}
        self._breaker = Breaker(self._settings.failures, self._settings.rest)
        self._pumps: set[asyncio.Task[None]] = set()
        self._flying: set[bytes] = set()

    async def score(self, items: Sequence[str]) -> list[Scored]:
        """One result for each item, at the deadline at the latest."""
        found = [self._lookup(item) for item in items]
        waiting = {each for each in found if isinstance(each, asyncio.Future)}
        if waiting:
            # not wait_for: a text that came too late for one asker may serve the next
            await asyncio.wait(waiting, timeout=self._settings.deadline)
        return [self._settled(each) for each in found]

    async def aclose(self) -> None:
        """Stop the request in flight; whoever waits for it is told so."""
        if pumps := set(self._pumps):
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
        self._give_up(list(self._jobs), "the scorer is shutting down")

    def _settled(self, found: Scored | asyncio.Future[Scored]) -> Scored:
        if isinstance(found, asyncio.Future):
            if not found.done():
                return Unchecked(f"no answer within {self._settings.deadline:g} s")
            found = found.result()
        # several may get the same scores: each its own copy
        return dict(found) if isinstance(found, dict) else found

    def _lookup(self, text: str) -> Scored | asyncio.Future[Scored]:
        if not text.strip():
            return {}
        key = self._key(text)
        cached = self._cache.pop(key, None)
        if cached is not None:
            self._cache[key] = cached
            return cached
        now = asyncio.get_running_loop().time()
        expires = now + self._settings.deadline
        job = self._jobs.get(key)
        if job is not None:
            job.expires = expires
            return self._pumped(job)
        resting = self._breaker.resting_until
        if resting >= expires:
            return Unchecked(f"{self._breaker.reason}; not asked for {resting - now:.0f} s more")
        if len(self._jobs) >= self._settings.queue:
            return Unchecked(f"{self._settings.queue} texts are waiting for the scorer")
        job = self._jobs[key] = _Job(text, expires)
        return self._pumped(job)

    def _key(self, text: str) -> bytes:
        content = f"{self._settings.model}\0{text}".encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=16).digest()

    def _pumped(self, job: _Job) -> asyncio.Future[Scored]:
        if len(self._pumps) < self._settings.in_flight:
            pump = asyncio.create_task(self._drain(), name="moderation scorer")
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)
        return job.result

    async def _drain(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(0.0, self._breaker.resting_until - clock()))
            now = clock()
            waiting = {k: job for k, job in self._jobs.items() if k not in self._flying}
            self._give_up(
                [key for key, job in waiting.items() if job.expires <= now],
                "the scorer had no time for it",
            )
            keys = [key for key in waiting if key in self._jobs][: self._settings.batch]
            if not keys:
                return
            self._flying.update(keys)
            try:
                await self._send(keys)
            finally:
                self._flying.difference_update(keys)

    async def _send(self, keys: list[bytes]) -> None:
        texts = [self._jobs[key].text for key in keys]
        try:
            # past the askers' deadline, since a late answer is still good for the cache
            async with asyncio.timeout(2 * self._settings.deadline):
                rows = await self._endpoint.moderate(texts)
        except TimeoutError:
            self._failed(keys, "the scorer did not answer in time")
        except TalkwardenError as exc:
            wait = exc.retry_after if isinstance(exc, ModelError) else None
            self._failed(keys, f"the scorer failed ({type(exc).__name__})", wait)
        except Exception as exc:
            # a fault of ours: whoever waits gets it raised, and the pump starts anew next time
            for key in keys:
                self._finish(key, exc)
            raise
        else:
            self._answered(keys, rows)

    def _answered(self, keys: list[bytes], rows: Sequence[Mapping[str, float | None]]) -> None:
        results = [_read_scores(row) for row in rows]
        if len(rows) != len(keys) or any(isinstance(each, Unchecked) for each in results):
            self._failed(keys, "the scorer's answer can't be read")
            return
        self._breaker.succeeded()
        for key, result in zip(keys, results, strict=True):
            if isinstance(result, dict):
                self._remember(key, result)
            self._finish(key, result)

    def _failed(self, keys: list[bytes], reason: str, retry_after: float | None = None) -> None:
        now = asyncio.get_running_loop().time()
        self._breaker.failed(reason, now, retry_after)
        resting = self._breaker.resting_until
        # told to come back later: those that can wait stay, the failure is not theirs
        hopeless = keys if retry_after is None else []
        self._give_up(
            [*hopeless, *(key for key, job in self._jobs.items() if job.expires <= resting)], reason
        )

    def _give_up(self, keys: list[bytes], reason: str) -> None:
        for key in keys:
            self._finish(key, Unchecked(reason))

    def _finish(self, key: bytes, result: Scored | Exception) -> None:
        job = self._jobs.pop(key, None)
        if job is None or job.result.done():
            return
        if isinstance(result, Exception):
            job.result.set_exception(result)
        else:
            job.result.set_result(result)

    def _remember(self, key: bytes, scores: Scores) -> None:
        if self._settings.cache <= 0:
            return
        while len(self._cache) >= self._settings.cache:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = scores


def _read_scores(row: object) -> Scored:
    """The numbers of one result; a category that does not apply is null and left out."""
    if not isinstance(row, Mapping):
        return Unchecked("not a mapping")
    scores: Scores = {}
    for category, score in row.items():
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, int | float) or math.isnan(score):
            return Unchecked("not a number")
        scores[str(category)] = float(score)
    return scores
