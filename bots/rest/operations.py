"""What operators and monitors ask: is it alive, is it ready, what did it count."""

from __future__ import annotations

from litestar import Response, get
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bots.rest.answers import document
from bots.rest.services import Asked, services_of
from core.telemetry import Counters


@get("/health", operation_id="health", tags=["Operation"])
async def health() -> Response[bytes]:
    """The process is alive."""
    return document({"status": "ok"})


@get("/ready", operation_id="ready", tags=["Operation"], raises=[])
async def ready(request: Asked) -> Response[bytes]:
    """Everything that it needs is there; 503 names what is not."""
    missing = dict(services_of(request).health())
    status = "unavailable" if missing else "ok"
    return document({"status": status, "missing": missing}, 503 if missing else 200)


@get("/metrics", operation_id="metrics", tags=["Operation"])
async def metrics(request: Asked) -> Response[bytes]:
    """Counters in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Counted(services_of(request).counters))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Counted(Collector):
    """Our counters as Prometheus reads them: events.accepted -> talkwarden_events_accepted_total"""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> list[CounterMetricFamily]:
        """One family for each name, with its labels."""
        families: dict[tuple[str, tuple[str, ...]], CounterMetricFamily] = {}
        for name, labels, value in self._counters.series():
            keys = tuple(sorted(labels))
            family = families.get((name, keys))
            if family is None:
                metric = "talkwarden_" + name.replace(".", "_").replace("-", "_")
                family = families[name, keys] = CounterMetricFamily(metric, name, labels=keys)
            family.add_metric([labels[key] for key in keys], value)
        return list(families.values())
