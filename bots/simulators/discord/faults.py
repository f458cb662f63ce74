"""Failures that a test orders for the next matching requests."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec


class FaultOptions(TypedDict, total=False):
    """What may be told to `fail`; see `Fault`."""

    times: int
    status: int
    json: Any
    retry_after: float
    drop_before: bool
    drop_after: bool
    delay: float


class Fault(msgspec.Struct, kw_only=True):
    """One order. `status` answers without performing, unless it is 0.

    `drop_before` resets the connection without performing, `drop_after` performs first,
    `delay` waits first; `retry_after` fills a 429.
    """

    method: str
    route: str
    times: int = 1
    status: int = 0
    json: Any = None
    retry_after: float = 1.0
    drop_before: bool = False
    drop_after: bool = False
    delay: float = 0.0

    def body(self) -> Any:
        """The answer's JSON."""
        if self.json is not None:
            return self.json
        if self.status == 429:
            return {
                "message": "You are being rate limited.",
                "retry_after": self.retry_after,
                "global": False,
            }
        return {"message": f"{self.status}: simulated failure", "code": 0}


class Faults:
    """Orders by route; each is used up after its `times`."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def take(self, method: str, route: str) -> Fault | None:
        """The order for this request, counted down."""
        for order in self.orders:
            if order.method == method and order.route == route:
                order.times -= 1
                if order.times <= 0:
                    self.orders.remove(order)
                return order
        return None
