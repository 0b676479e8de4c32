"""The metrics for Prometheus, under its names: ``hpp.client.read.duration`` is ``hpp_client_read_duration_seconds``."""

from __future__ import annotations

from typing import Final, Literal, assert_never
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from hpp_async import Event
from hpp_async.instrumentation._metrics import METRICS, Kind, Measurements, Metric

_Collector = Counter | Gauge | Histogram

_registered: Final[WeakKeyDictionary[CollectorRegistry, dict[str, _Collector]]] = WeakKeyDictionary()
"""The collectors by registry: a registry refuses a second one of the same name, and several clients share them."""


class PrometheusObserver:
    """
    An observer that keeps Prometheus metrics of a client: ``HPPClient.from_env(observers=[PrometheusObserver()])``.

    The metrics are registered in *registry*, by default in prometheus_client's own. Observers of one registry share
    them: their figures add up. With prometheus_client's multi-process mode, the open sessions of live processes are
    added, and so are the shards that they own.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        if registry not in _registered:
            _registered[registry] = {metric.name: _collector(metric, registry) for metric in METRICS}
        self._collectors = _registered[registry]
        self._measurements = Measurements()

    def __call__(self, event: Event) -> None:
        """Measure *event*."""
        for metric, value, attributes in self._measurements.of(event):
            collector = self._collectors[metric.name]
            if metric.attributes:
                collector = collector.labels(*(str(attributes.get(name, "")) for name in metric.attributes))
            if isinstance(collector, Histogram):
                collector.observe(value)
            else:
                collector.inc(value)


def _collector(metric: Metric, registry: CollectorRegistry) -> _Collector:
    name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
    labels = [attribute.replace(".", "_") for attribute in metric.attributes]
    match metric.kind:
        case Kind.HISTOGRAM:
            return Histogram(name, metric.description, labels, buckets=metric.buckets, registry=registry)
        case Kind.UP_DOWN:
            mode: Literal["livemax", "livesum"] = "livemax" if metric.is_shared else "livesum"
            return Gauge(name, metric.description, labels, registry=registry, multiprocess_mode=mode)
        case Kind.COUNTER:
            counter = Counter(name, metric.description, labels, registry=registry)
            # Else the first one makes the series, and `increase` and `rate` do not count what a series begins with.
            for value in metric.known:
                counter.labels(value)
            return counter
        case _ as never:
            assert_never(never)
