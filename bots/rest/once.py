"""Idempotency-Key: a request that is carried out once, however often it is sent.

The answer is finished and stored even if the caller has gone away, in one transaction with what it
adds to a conversation. A process that died before that leaves a row that the next attempt takes
over. What failed is forgotten, so that it can be tried again. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

import msgspec
from litestar import Response
from litestar.response import Stream

from bots.rest.answers import document, streamed
from bots.rest.problems import Problem, invalid
from bots.rest.services import Asked, Services, services_of
from core.callers import Caller
from core.errors import StoreError
from core.requests import (
    Kept,
    Name,
    Request,
    TakenOver,
    beat_op,
    begin_op,
    finish_op,
    give_up_op,
)
from core.storage import Op, Store
from core.telemetry import logger

LONGEST = 255
STALE = 20.0
"""Seconds without a sign of life after which another process's request is taken over."""

T = TypeVar("T")
Keep: TypeAlias = Callable[[Response[bytes]], Op[None]]
"""Keeps an answer, in the transaction that stores what it tells of."""
Work: TypeAlias = Callable[[Keep | None], Awaitable[Response[bytes]]]
"""Answers a request; None: its answer is not to be kept."""

_log = logger("talkwarden.rest")


@dataclass(slots=True)
class Runs:
    """What goes on whether or not its caller waits."""

    tasks: dict[Name, asyncio.Task[Any]] = field(default_factory=dict)
    claims: dict[Name, asyncio.Future[None]] = field(default_factory=dict)
    """One for each request that is looked up or carried out: the same one waits for it."""
    stale: float = STALE

    async def beat(self, store: Store, owner: str) -> None:
        """Tell other processes on the database what is under way here. Raises StoreError."""
        if self.tasks and not store.is_exclusive:
            await store.write(beat_op(owner, list(self.tasks), await store.now()))

    async def drain(self, grace: float) -> None:
        """Give what runs `grace` seconds, then end it."""
        tasks = list(self.tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def once_of(request: Asked, caller: Caller, body: Mapping[str, Any]) -> Once | None:
    """The request's promise, if it asks for one. Raises Problem."""
    name = request.headers.get("idempotency-key")
    if name is None:
        return None
    if not (0 < len(name) <= LONGEST and name.isprintable()):
        raise invalid(f"Idempotency-Key: 1 to {LONGEST} printable characters", "Idempotency-Key")
    content = msgspec.json.encode([request.method, request.url.path, body], order="deterministic")
    services = services_of(request)
    fingerprint = blake2b(content, digest_size=16).hexdigest()
    found = Request(caller.key.id, name, fingerprint, services.owner)
    runs: Runs = request.app.state.runs
    return Once(found, services, runs)


class Once:
    """One request under its key."""

    def __init__(self, request: Request, services: Services, runs: Runs) -> None:
        self._request = request
        self._services = services
        self._runs = runs
        self._id = (request.key, request.name)

    async def earlier(self) -> Response[bytes] | Stream | None:
        """The answer that was given before; None: carry it out, or keep it. Raises Problem."""
        claims = self._runs.claims
        while (other := claims.get(self._id)) is not None:
            await asyncio.wait([other])
        claims[self._id] = asyncio.get_running_loop().create_future()
        try:
            found = await self._begun()
        except BaseException:
            self._release()
            raise
        if found is None:
            return None
        self._release()
        return _replayed(found)

    async def carried_out(self, work: Work) -> Response[bytes]:
        """Do the work to its end, whoever waits, and keep its answer."""
        is_kept = False

        def keep(response: Response[bytes]) -> Op[None]:
            nonlocal is_kept
            is_kept = True
            return finish_op(self._request, _kept(response))

        async def run() -> Response[bytes]:
            async with self._given_up_if_it_fails():
                response = await work(keep)
                if not is_kept:
                    await self._finish(_kept(response))
            return response

        return await asyncio.shield(self._started(run()))

    def kept(self, batches: AsyncGenerator[list[bytes], None]) -> AsyncGenerator[list[bytes], None]:
        """The batches, which are read to their end even if nobody takes them any more."""
        ready: asyncio.Queue[list[bytes] | Exception | None] = asyncio.Queue()

        async def run() -> None:
            said: list[str] = []
            try:
                async with self._given_up_if_it_fails(), aclosing(batches):
                    async for batch in batches:
                        said += [each.decode() for each in batch]
                        ready.put_nowait(batch)
                    body = msgspec.json.encode(said).decode()
                    await self._finish(Kept(200, {}, body, is_stream=True))
                ready.put_nowait(None)
            except Exception as exc:  # noqa: BLE001  # raised where the batches are taken
                ready.put_nowait(exc)

        self._started(run())
        return _taken(ready)

    async def _begun(self) -> Kept | None:
        """The kept answer; None: the request is now ours to carry out. Raises Problem."""
        store = self._services.store
        now = await store.now()
        stale = now - self._runs.stale
        found = await store.write(begin_op(self._request, now, stale, is_alone=store.is_exclusive))
        if found is None:
            return None
        if found.fingerprint != self._request.fingerprint:
            message = "This Idempotency-Key was used for another request."
            raise Problem(422, message, param="Idempotency-Key", code="idempotency_key_reused")
        if found.answer is None:
            raise _in_progress()
        return found.answer

    def _started(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=f"request {self._request.name}")
        self._runs.tasks[self._id] = task
        task.add_done_callback(self._ended)
        return task

    def _ended(self, _: asyncio.Task[Any]) -> None:
        del self._runs.tasks[self._id]
        self._release()

    def _release(self) -> None:
        self._runs.claims.pop(self._id).set_result(None)

    async def _finish(self, answer: Kept) -> None:
        """Keep an answer that nothing else was stored with; if that fails, it is given once."""
        try:
            await self._services.store.write(finish_op(self._request, answer))
        except (StoreError, TakenOver) as exc:
            _log.warning("An answer could not be kept.", why=str(exc))

    @asynccontextmanager
    async def _given_up_if_it_fails(self) -> AsyncIterator[None]:
        """Let what failed be tried again. Raises Problem if another process has taken it over."""
        try:
            yield
        except TakenOver as exc:
            raise _in_progress() from exc
        except BaseException:
            giving_up = self._services.store.write(give_up_op(self._request))
            try:
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(giving_up)
            except StoreError as exc:  # the row is ours without a task: the next attempt takes it
                _log.warning("A request that failed could not be forgotten.", why=str(exc))
            raise


async def carried_out_once(
    request: Asked,
    caller: Caller,
    body: Mapping[str, Any],
    work: Work,
) -> Response[bytes] | Stream:
    """Do the work, unless its Idempotency-Key names an answer that was given before."""
    once = await once_of(request, caller, body)
    if once is None:
        return await while_waited_for(request, lambda: work(None))
    earlier = await once.earlier()
    return earlier if earlier is not None else await once.carried_out(work)


async def while_waited_for(request: Asked, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work until its caller goes away. Raises Problem, which nobody will read."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work()), asyncio.create_task(gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem(499, "The caller has gone away.", code="caller_gone")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def kept_with(
    keep: Keep | None, shown: Callable[[T], Response[bytes]]
) -> Callable[[T], Op[None]] | None:
    """Keeps the answer that shows a result, where it is to be kept."""
    return None if keep is None else lambda result: keep(shown(result))


def _kept(response: Response[bytes]) -> Kept:
    headers = dict(response.headers)
    return Kept(response.status_code or 200, headers, response.content.decode())


def _in_progress() -> Problem:
    message = "A request with this Idempotency-Key is being carried out."
    return Problem(409, message, code="request_in_progress", headers={"Retry-After": "1"})


async def _taken(
    ready: asyncio.Queue[list[bytes] | Exception | None],
) -> AsyncGenerator[list[bytes], None]:
    while (batch := await ready.get()) is not None:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _replayed(answer: Kept) -> Response[bytes] | Stream:
    headers = {**answer.headers, "idempotency-replayed": "true"}
    if not answer.is_stream:
        return document(msgspec.Raw(answer.body.encode()), answer.status, headers)
    said = [each.encode() for each in msgspec.json.decode(answer.body, type=list[str])]
    return streamed(said, _nothing(), headers)


async def _nothing() -> AsyncGenerator[list[bytes], None]:
    none: tuple[list[bytes], ...] = ()
    for batch in none:
        yield batch
