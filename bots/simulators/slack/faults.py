"""Failures a test orders for coming Web API calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class FaultSpec(TypedDict, total=False):
    """What goes wrong. `skip` lets that many calls pass first; seconds for the times."""

    error: str
    status: int
    body: str
    retry_after: int
    drop_before: bool
    drop_after: bool
    delay: float
    skip: int


@dataclass(slots=True, kw_only=True)
class Fault:
    """One order; `drop_after` performs the call and then cuts the connection."""

    times: int
    error: str = ""
    status: int = 0
    body: str = ""
    retry_after: int = 0
    drop_before: bool = False
    drop_after: bool = False
    delay: float = 0.0
    skip: int = 0


class Faults:
    """The outstanding orders by method; "*" stands for every method."""

    def __init__(self) -> None:
        self._orders: dict[str, list[Fault]] = {}

    def order(self, method: str, fault: Fault) -> None:
        """Let coming calls of a method fail."""
        self._orders.setdefault(method, []).append(fault)

    def clear(self) -> None:
        """Withdraw all orders."""
        self._orders.clear()

    def take(self, method: str) -> Fault | None:
        """Return what happens to this call, using up one time of it."""
        if not self._orders:
            return None
        for name in (method, "*"):
            for fault in self._orders.get(name, ()):
                if fault.skip > 0:
                    fault.skip -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault
        return None
