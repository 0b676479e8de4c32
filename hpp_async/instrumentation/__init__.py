"""
Metrics and spans of a client: observers for Prometheus and for OpenTelemetry (extras ``prometheus`` and ``otel``).

::

    client = HPPClient.from_env(observers=[PrometheusObserver()])

They hold seconds, counts, statuses and names of classes; session ids are in spans only, and never in a metric.
docs/observability.md lists the metrics.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hpp_async._extras import with_extra

if TYPE_CHECKING:
    from hpp_async.instrumentation._opentelemetry import OpenTelemetryObserver
    from hpp_async.instrumentation._prometheus import PrometheusObserver

__all__ = ["OpenTelemetryObserver", "PrometheusObserver"]

_EXTRAS = {
    "OpenTelemetryObserver": ("_opentelemetry", "opentelemetry", "otel"),
    "PrometheusObserver": ("_prometheus", "prometheus_client", "prometheus"),
}
"""Each observer's module, the package that the module needs, and the extra that installs the package."""


if not TYPE_CHECKING:  # pragma: no branch - for type checkers: to them a module with this function has every name

    def __getattr__(name: str) -> object:
        if name not in _EXTRAS:
            raise AttributeError(f"module 'hpp_async.instrumentation' has no attribute {name!r}")
        module, package, extra = _EXTRAS[name]
        try:
            return getattr(import_module(f"hpp_async.instrumentation.{module}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != package:
                raise
            raise ImportError(f"{name} needs {package}, which is not installed: {with_extra(extra)}") from error


def __dir__() -> list[str]:
    # `help` looks at each name: one whose package is missing would end it with an error.
    missing = {name for name, (_, package, _) in _EXTRAS.items() if find_spec(package) is None}
    return sorted({*globals(), *__all__} - missing)
