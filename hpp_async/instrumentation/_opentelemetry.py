"""
Metrics and spans for OpenTelemetry, by its API alone: which SDK and exporter there are is for the application.

*Requests are quiet.* A payment takes about 200 reads, and a span for each would hide what happened. All requests of a
client run in tasks of its own, and in the context of these tasks the instrumentations of HTTP clients are suppressed.
They make no span then, and write no ``traceparent`` into what the provider gets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from opentelemetry import context, metrics, trace
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.trace import Span, Status, StatusCode, TracerProvider

from hpp_async import Event, TransitionSeen, WaitDropped, WaitEnded, WaitStarted, __version__
from hpp_async.instrumentation._metrics import (
    ENDING,
    ERROR,
    METRICS,
    OUTCOMES_OF_WAITS,
    PREVIOUS,
    STATUS,
    Attributes,
    Kind,
    Measurements,
    Metric,
    ending_name,
)

SPAN: Final = "hpp.wait"
TRANSITION: Final = "hpp.transition"
SESSION_ID: Final = "hpp.session.id"
SEQUENCE: Final = "hpp.transition.sequence"
READS: Final = "hpp.reads"
_DROPPED: Final = "dropped"

_SUPPRESS: Final = "suppress_instrumentation"
"""The key that the instrumentations look for in the context; the API has no public name for it."""

_Record = Callable[[float, Attributes], None]


class OpenTelemetryObserver:
    """
    An observer that gives OpenTelemetry metrics and spans: ``HPPClient.from_env(observers=[OpenTelemetryObserver()])``.

    Each wait is one span, ``hpp.wait``, under the span that is current at the wait's first step. It has an event for
    each transition, and ends with the wait. An error that ends the wait is the span's status; ``error.type`` is the
    name of its class. The sessions of a watch have no spans: a watch lasts for days, and has metrics.

    Args:
        tracer_provider: where spans go; by default to the global one.
        meter_provider: where metrics go; by default to the global one.
        trace_requests: whether an instrumentation of the HTTP client makes a span for each request, under the span that
            is current when the request is made, and writes ``traceparent`` into it, which the provider gets then.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        trace_requests: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer("hpp_async", __version__, tracer_provider)
        meter = metrics.get_meter("hpp_async", __version__, meter_provider)
        self._record = {metric.name: _instrument(meter, metric) for metric in METRICS}
        self._measurements = Measurements()
        self._spans: dict[int, Span] = {}
        """The spans of the waits that go on, by the number of the wait."""
        self._trace_requests = trace_requests

    def __call__(self, event: Event) -> None:
        """Measure *event*, and note it in its span."""
        for metric, value, attributes in self._measurements.of(event):
            self._record[metric.name](value, attributes)
        match event:
            case WaitStarted(is_watched=False):
                self._spans[event.wait] = self._tracer.start_span(SPAN, attributes={SESSION_ID: event.session_id})
            case TransitionSeen() if event.wait in self._spans:
                self._spans[event.wait].add_event(TRANSITION, _of_transition(event))
            case WaitEnded() if event.wait in self._spans:
                _end(self._spans.pop(event.wait), event)
            case WaitDropped() if event.wait in self._spans:
                span = self._spans.pop(event.wait)
                span.set_attribute(ENDING, _DROPPED)
                span.end()
            case _:
                pass

    def enter_task(self) -> None:
        """Suppress instrumentations in the context of a task of the client; see ``Observers`` of the waits."""
        if not self._trace_requests:
            context.attach(context.set_value(_SUPPRESS, True))


def _of_transition(event: TransitionSeen) -> Attributes:
    found: Attributes = {STATUS: str(event.status), SEQUENCE: event.sequence}
    if event.previous is not None:
        found[PREVIOUS] = str(event.previous)
    return found


def _end(span: Span, event: WaitEnded) -> None:
    ending = ending_name(event.ending)
    span.set_attributes({ENDING: ending, READS: event.reads})
    if event.status is not None:
        span.set_attribute(STATUS, str(event.status))
    if ending not in OUTCOMES_OF_WAITS:
        span.set_attribute(ERROR, ending)
        span.set_status(Status(StatusCode.ERROR, ending))
    span.end()


def _instrument(meter: Meter, metric: Metric) -> _Record:
    name, unit, description = metric.name, metric.unit, metric.description
    match metric.kind:
        case Kind.HISTOGRAM:
            return meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=metric.buckets
            ).record
        case Kind.UP_DOWN:
            return meter.create_up_down_counter(name, unit, description).add
        case Kind.COUNTER:
            return meter.create_counter(name, unit, description).add
        case _ as never:
            assert_never(never)
