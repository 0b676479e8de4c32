"""The metrics for Prometheus: names, values, and labels that nobody can make many of."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hpp_async import AuthenticationError, HPPError, OutageError, ReadFailed, Slept
from hpp_async.instrumentation import PrometheusObserver
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def value(registry: CollectorRegistry) -> Any:
    def of(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"hpp_client_{name}", labels)

    return of


HOST = {"server_address": "api.playground.klarna.com"}
READ = {**HOST, "http_response_status_code": "200", "error_type": ""}


async def test_a_payment_in_metrics(provider: ScriptedProvider, registry: CollectorRegistry, value: Any) -> None:
    session = provider.add([(0, "WAITING"), (5, "IN_PROGRESS"), (60, "COMPLETED")])
    async with provider.client(observers=[PrometheusObserver(registry)]) as client:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        assert value("sessions_open") == 1
        await wait

    assert value("sessions_open") == 0
    assert value("read_duration_seconds_count", **READ) == wait.reads
    assert value("read_lateness_seconds_count") == wait.reads - 1
    assert value("outcomes_total", hpp_ending="Completed") == 1
    assert value("wait_duration_seconds_sum", hpp_ending="Completed") == pytest.approx(provider.clock.now(), abs=0.1)
    assert value("transitions_total", hpp_session_previous_status="none", hpp_session_status="WAITING") == 1
    assert value("transitions_total", hpp_session_previous_status="WAITING", hpp_session_status="IN_PROGRESS") == 1
    assert value("news_age_seconds_count", hpp_session_status="WAITING") is None  # a first sighting is no late news
    assert value("news_age_seconds_count", hpp_session_status="COMPLETED") == 1
    assert 0 <= value("news_age_seconds_sum", hpp_session_status="COMPLETED") <= provider.clock.now() - 59


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        (403, {"http_response_status_code": "403", "error_type": "AuthenticationError"}),
        (httpx.ConnectError("refused"), {"http_response_status_code": "", "error_type": "TransportError"}),
        (httpx.Response(599), {"http_response_status_code": "", "error_type": "ServerError"}),
        (httpx.Response(200, text="?"), {"http_response_status_code": "200", "error_type": "UnexpectedPayloadError"}),
    ],
    ids=["refused", "silent", "invented", "unreadable"],
)
async def test_a_failed_read_has_its_http_status_and_its_error(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any, answer: Any, labels: dict[str, str]
) -> None:
    session = provider.add()
    provider.answer_next(answer)
    async with provider.client(observers=[PrometheusObserver(registry)], attempts=1) as client:
        with pytest.raises(HPPError):
            await client.read_session(session)

    assert value("read_duration_seconds_count", **HOST, **labels) == 1


async def test_pauses_are_counted_once_however_many_reads_are_refused(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any
) -> None:
    sessions = [provider.add() for _ in range(3)]
    provider.latency = 0.5
    provider.answer_next(*[httpx.Response(429, headers={"Retry-After": "20"})] * 3)
    client = provider.client(observers=[PrometheusObserver(registry)], attempts=1)

    async def read(session: str) -> None:
        with pytest.raises(HPPError):
            await client.read_session(session)

    async with client, anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(read, session)

    assert 20 <= value("budget_paused_seconds_total", hpp_budget_reason="refused") < 21
    assert value("budget_paused_seconds_total", hpp_budget_reason="quota") == 0


async def test_sparing_the_quota_has_a_reason_of_its_own(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any
) -> None:
    low = {"X-Ratelimit-Limit": "40, 40;w=1", "X-Ratelimit-Remaining": "3", "X-Ratelimit-Reset": "2"}
    provider.answer_next(httpx.Response(200, headers=low, json={"status": "WAITING"}))
    async with provider.client(observers=[PrometheusObserver(registry)]) as client:
        await client.read_session(provider.add())

    assert value("budget_paused_seconds_total", hpp_budget_reason="quota") == 2


async def test_an_outage_and_a_refusal_are_endings(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any
) -> None:
    async with provider.client(observers=[PrometheusObserver(registry)], outage_tolerance=30) as client:
        provider.answer_next(403)
        with pytest.raises(AuthenticationError):
            await client.wait_for_outcome(provider.add())
        provider.answer_next(*[503] * 100)
        with pytest.raises(OutageError):
            await client.wait_for_outcome(provider.add())

    assert value("outcomes_total", hpp_ending="OutageError") == 1
    assert value("outcomes_total", hpp_ending="AuthenticationError") == 1


async def test_the_sessions_of_a_watch_are_open_until_they_are_discarded(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any
) -> None:
    sessions = [provider.add() for _ in range(3)]
    async with provider.client(observers=[PrometheusObserver(registry)]) as client:
        async with client.watch(sessions) as watch:
            wait = client.wait_for_outcome(sessions[0])  # a session is open once, whoever follows it
            await anext(wait)
            assert value("sessions_open") == 3
            watch.discard(sessions[1])
            await provider.clock.sleep(0)
            assert value("sessions_open") == 2
        await provider.clock.sleep(0)
        assert value("sessions_open") == 1


async def test_what_the_provider_invents_makes_no_series(
    provider: ScriptedProvider, registry: CollectorRegistry, value: Any
) -> None:
    async with provider.client(observers=[PrometheusObserver(registry)]) as client:
        for number in range(5):
            session = provider.add([(0, f"INVENTED_{number}"), (5, f"CREATED_{number}"), (10, "COMPLETED")])
            await client.wait_for_outcome(session)

    assert value("transitions_total", hpp_session_previous_status="none", hpp_session_status="other") == 5
    assert value("transitions_total", hpp_session_previous_status="other", hpp_session_status="other") == 5
    assert "INVENTED" not in generate_latest(registry).decode()


def test_the_name_of_a_hooks_error_makes_no_series(registry: CollectorRegistry, value: Any) -> None:
    failed = ReadFailed(
        session_id="s",
        error="Hook7Error",
        message="",
        correlation_id=None,
        seconds=1,
        attempts=1,
        status_code=None,
        host="",
    )
    PrometheusObserver(registry)(failed)

    labels = {"server_address": "", "http_response_status_code": "", "error_type": "other"}
    assert value("read_duration_seconds_count", **labels) == 1


async def test_no_session_id_is_in_a_metric(provider: ScriptedProvider, registry: CollectorRegistry) -> None:
    session = provider.add([(5, "COMPLETED")], session_id="marker-of-a-session")
    provider.answer_next(503, 500)
    async with provider.client(observers=[PrometheusObserver(registry)]) as client:
        await client.wait_for_outcome(session)

    assert "marker" not in generate_latest(registry).decode()


def test_observers_of_one_registry_share_its_metrics(registry: CollectorRegistry, value: Any) -> None:
    for observer in (PrometheusObserver(registry), PrometheusObserver(registry)):
        observer(Slept(session_id="s", seconds=2.0, late_by=0.5))

    assert value("read_lateness_seconds_sum") == 1.0


def test_endings_have_a_series_before_they_occur(registry: CollectorRegistry, value: Any) -> None:
    PrometheusObserver(registry)

    assert value("outcomes_total", hpp_ending="OutageError") == 0
