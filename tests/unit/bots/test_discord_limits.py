"""Pacing by Discord's headers, and the SDK's own limiter in our form."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bots.discord.handles import Handle
from bots.discord.limits import CREATE, GLOBAL, Limits
from bots.discord.rest import Rest, Slots
from core.adapter import Target, Urgency
from core.messages import ConversationId, Place

CHANNEL = "11"


def limits() -> tuple[Limits, Rest]:
    rest = Rest(asyncio.get_running_loop(), "http://localhost/api/v10/")
    return Limits(rest, is_on=True), rest


def where(root: str = "1") -> Target:
    return Target(ConversationId(f"discord:1:{CHANNEL}:{root}"), Place("discord", "1", CHANNEL))


def said(slots: Slots, *, limit: int, remaining: int, reset_after: float) -> None:
    """Discord's headers on a response."""
    headers = {
        "X-Ratelimit-Limit": str(limit),
        "X-Ratelimit-Remaining": str(remaining),
        "X-Ratelimit-Reset-After": str(reset_after),
    }
    response: Any = SimpleNamespace(headers=headers)
    slots.update(response)


def known(rest: Rest) -> Slots:
    """The SDK's limit of the route that creates messages in CHANNEL."""
    found = rest.get_ratelimit(f"{CREATE[0]} {CREATE[1]}:{CHANNEL}")
    assert isinstance(found, Slots)
    return found


def test_interaction_tokens_stay_out_of_logs(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs addresses when it is rate limited; a token in one is masked."""
    url = "https://discord.com/api/v10/webhooks/123/s3cr3t/messages/@original"
    with caplog.at_level("WARNING"):
        logging.getLogger("discord.http").warning("limited: %s %s, %.2f s", "PATCH", url, 1.0)
    assert "s3cr3t" not in caplog.text
    assert "/webhooks/123/***/messages/@original" in caplog.text


def test_no_second_holds_more_than_fifty_calls() -> None:
    """Whatever is waiting, the bot stays below Discord's global limit."""
    assert GLOBAL.burst + GLOBAL.rate < 50


async def test_an_exhausted_bucket_is_waited_for() -> None:
    """When the headers say that nothing is left, nobody passes before the reset."""
    pace, rest = limits()
    await pace.wait(where(), CHANNEL, None, Urgency.FINAL, is_edit=False)
    said(known(rest), limit=5, remaining=0, reset_after=0.2)
    pace.learn(CREATE, CHANNEL)
    started = time.monotonic()
    await pace.wait(where(), CHANNEL, None, Urgency.FINAL, is_edit=False)

    assert 0.15 < time.monotonic() - started < 0.5


async def test_the_shape_of_a_bucket_is_learned() -> None:
    """A bucket that is wider than assumed is used as wide as it is."""
    pace, rest = limits()
    await pace.wait(where(), CHANNEL, None, Urgency.FINAL, is_edit=False)
    said(known(rest), limit=50, remaining=49, reset_after=1.0)
    pace.learn(CREATE, CHANNEL)
    started = time.monotonic()
    for _ in range(8):
        await pace.wait(where(), "12", None, Urgency.FINAL, is_edit=False)

    assert time.monotonic() - started < 0.3


async def test_finals_overtake_drafts() -> None:
    """A final text gets the slot before drafts that have waited longer."""
    pace, _ = limits()
    order: list[str] = []

    async def want(name: str, urgency: Urgency) -> None:
        await pace.wait(where(name), CHANNEL, None, urgency, is_edit=False)
        order.append(name)

    for number in range(5):
        await want(str(number), Urgency.FINAL)
    drafts = [asyncio.create_task(want(f"draft {n}", Urgency.POST)) for n in range(3)]
    await asyncio.sleep(0)
    final = asyncio.create_task(want("final", Urgency.FINAL))
    await asyncio.wait([final], timeout=3)
    for task in drafts:
        task.cancel()
    await asyncio.gather(*drafts, return_exceptions=True)

    assert order[5] == "final"


async def test_drafts_share_a_channel() -> None:
    """Two streams in a channel take turns: together they edit as often as one would."""
    pace, _ = limits()
    await pace.wait(where("a"), CHANNEL, None, Urgency.POST, is_edit=False)
    started = time.monotonic()
    await pace.wait(where("b"), CHANNEL, None, Urgency.EDIT, is_edit=True)
    assert time.monotonic() - started > 1.0


async def test_interactions_have_a_limit_of_their_own() -> None:
    """An interaction's answer does not wait for its channel."""
    pace, _ = limits()
    for _ in range(5):
        await pace.wait(where(), CHANNEL, None, Urgency.FINAL, is_edit=False)
    started = time.monotonic()
    await pace.wait(where(), CHANNEL, Handle("1", "2", "t"), Urgency.FINAL, is_edit=False)
    assert time.monotonic() - started < 0.1


async def test_throttled() -> None:
    """After a 429 nobody passes before its pause is over."""
    pace, _ = limits()
    pace.throttle(CREATE, CHANNEL, 0.2)
    started = time.monotonic()
    await pace.wait(where(), CHANNEL, None, Urgency.FINAL, is_edit=False)
    assert time.monotonic() - started > 0.15


async def test_slots_serve_all_that_wait() -> None:
    """Requests beyond the limit go on after the reset, none is forgotten, none too early."""
    slots = Slots()
    said(slots, limit=3, remaining=3, reset_after=0.1)
    times: list[float] = []
    started = time.monotonic()

    async def request() -> None:
        async with slots:
            times.append(time.monotonic() - started)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(request() for _ in range(3)))
    said(slots, limit=3, remaining=0, reset_after=0.1)
    await asyncio.gather(*(request() for _ in range(3)))

    assert max(times[:3]) < 0.09
    assert min(times[3:]) >= 0.09


async def test_slots_survive_cancellation() -> None:
    """A request that gives up does not take its slot along."""
    slots = Slots()
    async with slots:
        waiting = [asyncio.create_task(slots.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await waiting[1]


async def test_slots_do_not_wait_for_ever() -> None:
    """A reset that is far away is an error, not a hanging answer."""
    slots = Slots()
    said(slots, limit=1, remaining=0, reset_after=600)
    with pytest.raises(discord.RateLimited):
        await slots.acquire()
