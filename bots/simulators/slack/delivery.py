"""Payloads on their way to the app: attempts, acknowledgements and Slack's redelivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bots.simulators.slack.clock import Instant, now
from bots.simulators.slack.options import SlackOptions
from bots.simulators.slack.payloads import unique_id

DeliveryKind = Literal["events_api", "slash_commands", "interactive"]


@dataclass(slots=True, eq=False, kw_only=True)
class Delivery:
    """One payload; `sent_at` is its first attempt, each attempt has its own envelope id."""

    kind: DeliveryKind
    payload: dict[str, Any]
    attempts: int = 0
    acks: int = 0
    envelope_ids: list[str] = field(default_factory=list)
    retry_reason: str = ""
    sent_at: Instant | None = None
    acked_at: Instant | None = None
    given_up: bool = False
    answer: Any = None
    on_answer: Callable[[Any], None] | None = None
    http_status: int | None = None
    timer: asyncio.TimerHandle | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def envelope_id(self) -> str:
        """The envelope of the last attempt."""
        return self.envelope_ids[-1]

    @property
    def event_id(self) -> str | None:
        """The Events API's id of the event, None for commands and interactions."""
        return self.payload.get("event_id")


class Transport(Protocol):
    """A way to the app. `send` starts one attempt and says what becomes of it to the courier."""

    timeout_reason: str

    def send(self, delivery: Delivery) -> None:
        """Start an attempt; must not block."""

    async def close(self) -> None:
        """Close what is open."""


class Courier:
    """Delivers payloads until acknowledged: three retries for events, none for the rest.

    The schedule is the one of https://docs.slack.dev/apis/events-api#retries.
    """

    def __init__(self, options: SlackOptions, changed: Callable[[], None]) -> None:
        self._options = options
        self._changed = changed
        self.deliveries: list[Delivery] = []
        self._by_envelope: dict[str, Delivery] = {}
        self._open: dict[int, Delivery] = {}
        self.transport: Transport | None = None

    @property
    def unacked(self) -> list[Delivery]:
        """Everything sent and not acknowledged, given up or not."""
        return list(self._open.values())

    def post(self, kind: DeliveryKind, payload: dict[str, Any]) -> Delivery:
        """Send a payload for the first time."""
        delivery = Delivery(kind=kind, payload=payload)
        if len(self.deliveries) > self._options.keep:
            del self.deliveries[: self._options.keep // 2]
        self.deliveries.append(delivery)
        self._open[id(delivery)] = delivery
        self._attempt(delivery)
        return delivery

    def repeat(self, delivery: Delivery, reason: str) -> None:
        """Send a payload once more although nothing asks for it."""
        delivery.retry_reason = reason
        delivery.given_up = False
        self._attempt(delivery)

    def acked(self, envelope_id: str, answer: Any = None) -> None:
        """Note the app's acknowledgement; a late one still ends the retries."""
        delivery = self._by_envelope.get(envelope_id)
        if delivery is None:
            return
        self._stop_timer(delivery)
        delivery.acks += 1
        if delivery.acked_at is None:
            delivery.acked_at = now()
            delivery.answer = answer
            self._open.pop(id(delivery), None)
            self._forget(delivery)
            if delivery.on_answer is not None:
                delivery.on_answer(answer)
            delivery.done.set()
        self._changed()

    def failed(self, delivery: Delivery, reason: str, *, retry: bool = True) -> None:
        """Note a failed attempt and plan the next one, if there is one."""
        self._stop_timer(delivery)
        if delivery.acked_at is not None or delivery.given_up:
            return
        delays = self._options.retry_delays if delivery.kind == "events_api" and retry else ()
        if delivery.attempts > len(delays):
            self._give_up(delivery)
            return
        delivery.retry_reason = reason
        delay = delays[delivery.attempts - 1] * self._options.retry_scale
        loop = asyncio.get_running_loop()
        delivery.timer = loop.call_later(delay, self._attempt, delivery)

    def clear(self) -> None:
        """Give up and forget everything."""
        for delivery in self.deliveries:
            self._stop_timer(delivery)
            self._give_up(delivery)
        self.deliveries.clear()
        self._open.clear()

    def _give_up(self, delivery: Delivery) -> None:
        delivery.given_up = True
        self._forget(delivery)
        delivery.done.set()
        self._changed()

    def _attempt(self, delivery: Delivery) -> None:
        self._stop_timer(delivery)
        delivery.attempts += 1
        delivery.envelope_ids.append(unique_id(""))
        self._by_envelope[delivery.envelope_id] = delivery
        if delivery.sent_at is None:
            delivery.sent_at = now()
        if self.transport is not None:
            delivery.timer = asyncio.get_running_loop().call_later(
                self._options.ack_timeout, self.failed, delivery, self.transport.timeout_reason
            )
            self.transport.send(delivery)

    def _forget(self, delivery: Delivery) -> None:
        for envelope_id in delivery.envelope_ids:
            self._by_envelope.pop(envelope_id, None)

    @staticmethod
    def _stop_timer(delivery: Delivery) -> None:
        if delivery.timer is not None:
            delivery.timer.cancel()
            delivery.timer = None
