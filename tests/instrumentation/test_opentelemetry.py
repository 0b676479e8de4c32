"""Spans and metrics for OpenTelemetry, beside the real instrumentation of httpx."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support.orders import order

from hpp_async import OutageError, SessionNotFoundError, SessionParked, ShardsOwned, ShardTakenOver
from hpp_async.instrumentation import OpenTelemetryObserver
from hpp_async.instrumentation._metrics import METRICS
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio


class Backend:
    """An SDK that keeps what it gets."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("the application")

    def observer(self, *, trace_requests: bool = False) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(
            tracer_provider=self.tracers, meter_provider=self.meters, trace_requests=trace_requests
        )

    @property
    def spans(self) -> dict[str, Any]:
        """The spans that have ended, by name; of several with one name, the last."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    @property
    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def instrumented(backend: Backend, provider: ScriptedProvider) -> Generator[ScriptedProvider]:
    """Have the lent httpx client instrumented by OpenTelemetry's own package."""
    HTTPXClientInstrumentor.instrument_client(provider.http_client, tracer_provider=backend.tracers)
    yield provider
    HTTPXClientInstrumentor.uninstrument_client(provider.http_client)


async def test_a_wait_is_one_span_under_the_callers_with_an_event_for_each_transition(
    backend: Backend, instrumented: ScriptedProvider
) -> None:
    session = instrumented.add([(0, "WAITING"), (5, "INVENTED"), (60, "COMPLETED")], session_id="told")
    async with instrumented.client(observers=[backend.observer()]) as client:
        with backend.tracer.start_as_current_span("checkout") as caller:
            wait = client.wait_for_outcome(session)
            await wait
            assert trace.get_current_span() is caller

    wanted = {"hpp.session.id": "told", "hpp.ending": "Completed", "hpp.reads": wait.reads}
    span = backend.spans["hpp.wait"]
    assert set(backend.spans) == {"hpp.wait", "checkout"}
    assert span.parent == caller.get_span_context()
    assert dict(span.attributes) == wanted | {"hpp.session.status": "COMPLETED"}
    assert span.status.status_code is StatusCode.UNSET
    assert [event.name for event in span.events] == ["hpp.transition"] * 3
    assert dict(span.events[0].attributes) == {"hpp.session.status": "WAITING", "hpp.transition.sequence": 1}
    assert span.events[2].attributes["hpp.session.previous_status"] == "INVENTED"


async def test_the_provider_gets_no_traceparent(backend: Backend, instrumented: ScriptedProvider) -> None:
    instrumented.answer_next(503)
    async with instrumented.client(observers=[backend.observer()]) as client:
        with backend.tracer.start_as_current_span("checkout"):
            await client.wait_for_outcome(instrumented.add([(5, "COMPLETED")]))
            await client.disable_session(instrumented.add())
            await client.create_payment_session(order())

    assert instrumented.requests
    assert [request for request in instrumented.requests if "traceparent" in request.headers] == []
    assert set(backend.spans) == {"hpp.wait", "checkout"}


async def test_requests_are_traced_if_that_is_asked_for(backend: Backend, instrumented: ScriptedProvider) -> None:
    async with instrumented.client(observers=[backend.observer(trace_requests=True)]) as client:
        with backend.tracer.start_as_current_span("checkout") as caller:
            await client.read_session(instrumented.add())

    assert backend.spans["GET"].parent == caller.get_span_context()
    assert "traceparent" in instrumented.requests[0].headers


async def test_the_requests_of_a_wait_are_under_the_callers_span_if_they_are_traced(
    backend: Backend, instrumented: ScriptedProvider
) -> None:
    instrumented.answer_next(503)
    async with instrumented.client(observers=[backend.observer(trace_requests=True)]) as client:
        with backend.tracer.start_as_current_span("checkout") as caller:
            await client.wait_for_outcome(instrumented.add([(5, "COMPLETED")]))

    requests = [span for span in backend.exporter.get_finished_spans() if span.name == "GET"]
    assert len(requests) == len(instrumented.requests) > 2  # an attempt that failed has a span of its own
    assert all(span.parent == caller.get_span_context() for span in requests)
    assert all("traceparent" in request.headers for request in instrumented.requests)


async def test_the_requests_of_a_watch_are_traces_of_their_own_if_they_are_traced(
    backend: Backend, instrumented: ScriptedProvider
) -> None:
    sessions = [instrumented.add([(600, "COMPLETED")]) for _ in range(2)]
    async with (
        instrumented.client(observers=[backend.observer(trace_requests=True)]) as client,
        client.watch(sessions) as watch,
    ):
        async for _ in watch:
            pass

    spans = backend.exporter.get_finished_spans()
    assert {(span.name, span.parent) for span in spans} == {("GET", None)}
    assert len({span.context.trace_id for span in spans if span.context is not None}) == len(instrumented.requests)


async def test_what_the_application_sends_itself_is_traced_as_before(
    backend: Backend, instrumented: ScriptedProvider
) -> None:
    url = instrumented.add()
    async with instrumented.client(observers=[backend.observer()]) as client:
        await client.read_session(url)
        await instrumented.http_client.get(url)

    assert [span.name for span in backend.exporter.get_finished_spans()] == ["GET"]
    assert ["traceparent" in request.headers for request in instrumented.requests] == [False, True]


async def test_an_error_that_ends_a_wait_is_the_status_of_its_span(
    backend: Backend, provider: ScriptedProvider
) -> None:
    async with provider.client(observers=[backend.observer()]) as client:
        with pytest.raises(SessionNotFoundError):
            await client.wait_for_outcome("never-made")

    span = backend.spans["hpp.wait"]
    assert dict(span.attributes) == {
        "hpp.session.id": "never-made",
        "hpp.ending": "SessionNotFoundError",
        "hpp.reads": 1,
        "error.type": "SessionNotFoundError",
    }
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "SessionNotFoundError")


async def test_a_wait_that_is_dropped_ends_its_span(backend: Backend, provider: ScriptedProvider) -> None:
    async with provider.client(observers=[backend.observer()]) as client:
        wait = client.wait_for_outcome(provider.add())
        await anext(wait)
        del wait
        gc.collect()
        await provider.clock.sleep(0)

        assert backend.spans["hpp.wait"].attributes["hpp.ending"] == "dropped"


async def test_two_waits_on_one_session_have_a_span_each(backend: Backend, provider: ScriptedProvider) -> None:
    session = provider.add([(5, "COMPLETED")])
    async with provider.client(observers=[backend.observer()]) as client:
        first, second = client.wait_for_outcome(session), client.wait_for_outcome(session)
        await anext(first)
        await second
        assert len(backend.exporter.get_finished_spans()) == 1
        await first

    assert [len(span.events) for span in backend.exporter.get_finished_spans()] == [2, 2]


async def test_a_watch_has_metrics_and_no_spans(backend: Backend, instrumented: ScriptedProvider) -> None:
    session = instrumented.add([(5, "COMPLETED")])
    async with instrumented.client(observers=[backend.observer()]) as client, client.watch([session]) as watch:
        async for _ in watch:
            pass
        watch.add(instrumented.add())
    await instrumented.clock.sleep(0)

    assert backend.spans == {}
    assert backend.points["hpp.client.outcomes"][0].value == 1
    assert backend.points["hpp.client.sessions.open"][0].value == 0


async def test_metrics_have_their_units_buckets_and_attributes(backend: Backend, provider: ScriptedProvider) -> None:
    async with provider.client(observers=[backend.observer()], outage_tolerance=30) as client:
        await client.wait_for_outcome(provider.add([(30, "COMPLETED")]))
        provider.answer_next(*[429] * 100)
        with pytest.raises(OutageError):
            await client.wait_for_outcome(provider.add())
        client.report(ShardsOwned(worker=1, owned=3, shards=16))
        client.report(ShardTakenOver(shard=2, was_handed_over=False))
        client.report(SessionParked(session_id="s", error="ZeroDivisionError", failures=10))

    points = backend.points
    allowed = {metric.name: set(metric.attributes) for metric in METRICS}
    assert set(points) == set(allowed)
    assert {
        name: used for name, used in allowed.items() if not all(set(p.attributes) <= used for p in points[name])
    } == {}
    [read, refused] = points["hpp.client.read.duration"]
    assert read.attributes == {"server.address": "api.playground.klarna.com", "http.response.status_code": 200}
    assert refused.attributes["error.type"] == "RateLimitedError"
    assert read.explicit_bounds[0] == 0.005
    [news] = points["hpp.client.news.age"]
    assert news.count == 1
    assert [points[f"hpp.fleet.shards.{name}"][0].value for name in ("owned", "limit")] == [3, 16]
    assert dict(points["hpp.fleet.takeovers"][0].attributes) == {"hpp.takeover.reason": "lost"}


async def test_the_observer_needs_no_sdk(provider: ScriptedProvider) -> None:
    async with provider.client(observers=[OpenTelemetryObserver()]) as client:
        await client.wait_for_outcome(provider.add([(5, "COMPLETED")]))
