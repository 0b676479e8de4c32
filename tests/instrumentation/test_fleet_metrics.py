"""What a fleet's workers report to the observers of their client, and what it adds to the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hpp_async import DealFailed, Event, SessionParked, ShardsOwned, ShardTakenOver, WatchEvent
from hpp_async.fleet import Fleet, SQLiteStore
from hpp_async.instrumentation import PrometheusObserver
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

OF_FLEETS: Final = (DealFailed, SessionParked, ShardsOwned, ShardTakenOver)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def value(registry: CollectorRegistry) -> Any:
    def of(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"hpp_fleet_{name}", labels)

    return of


class Shop:
    """A fleet of two shards in a file, whose worker books nothing until it is mended."""

    def __init__(self, provider: ScriptedProvider, path: Path, registry: CollectorRegistry) -> None:
        self.provider = provider
        self.events: list[Any] = []
        self.is_mended = False
        self.kind: type = object
        self.is_seen = asyncio.Event()
        self.store = SQLiteStore(path)
        self.client = provider.client(observers=[PrometheusObserver(registry), self.note])
        self.fleet = Fleet(self.client, self.store, shards=2)
        self.fleet._pause = lambda failures, _: None if failures > 2 else 0.0

    def note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, self.kind):
            self.is_seen.set()

    async def deal_with(self, event: WatchEvent, tx: object) -> None:
        del event, tx
        if not self.is_mended:
            raise ZeroDivisionError("about a customer")

    async def work_until(self, kind: type) -> list[Any]:
        """Work until an event of this *kind* is reported; return the events of the fleet since the begin."""
        self.events.clear()
        self.kind = kind
        self.is_seen.clear()
        working = asyncio.create_task(self.fleet.work(self.deal_with))
        async with asyncio.timeout(60):
            await self.is_seen.wait()
        working.cancel()
        await asyncio.wait([working])
        return [event for event in self.events if isinstance(event, OF_FLEETS)]


@pytest.fixture
async def shop(provider: ScriptedProvider, tmp_path: Path, registry: CollectorRegistry) -> AsyncGenerator[Shop]:
    shop = Shop(provider, tmp_path / "shop.db", registry)
    async with shop.store, shop.client:
        await shop.store.migrate()
        yield shop


async def test_what_fails_and_is_parked_is_counted_and_no_session_is_a_label(
    shop: Shop, registry: CollectorRegistry, value: Any
) -> None:
    await shop.fleet.add(shop.provider.add(session_id="marker-of-a-session"))
    events = await shop.work_until(SessionParked)

    assert [event for event in events if not isinstance(event, ShardsOwned)] == [
        DealFailed(session_id="marker-of-a-session", error="ZeroDivisionError", failures=1, retry_in=0.0),
        DealFailed(session_id="marker-of-a-session", error="ZeroDivisionError", failures=2, retry_in=0.0),
        SessionParked(session_id="marker-of-a-session", error="ZeroDivisionError", failures=3),
    ]
    assert value("deal_failures_total") == 3
    assert value("parked_total") == 1
    assert "marker" not in generate_latest(registry).decode()


async def test_a_worker_reports_how_many_shards_it_owns_until_it_has_handed_them_over(shop: Shop, value: Any) -> None:
    await shop.fleet.add(shop.provider.add())
    events = await shop.work_until(DealFailed)

    owned = [event for event in events if isinstance(event, ShardsOwned)]
    assert len({event.worker for event in owned}) == 1
    assert [(event.owned, event.shards) for event in owned] == [(0, 2), (1, 2), (2, 2), (0, 2), (0, 0)]
    assert (value("shards_owned"), value("shards_limit")) == (0, 0)


async def test_the_shards_of_all_workers_of_a_process_add_up(registry: CollectorRegistry, value: Any) -> None:
    observer = PrometheusObserver(registry)
    for worker, owned in ((1, 0), (1, 4), (2, 3), (1, 5)):
        observer(ShardsOwned(worker=worker, owned=owned, shards=8))

    assert (value("shards_owned"), value("shards_limit")) == (8, 16)


async def test_a_shard_that_was_handed_over_is_told_from_one_that_was_lost(shop: Shop, value: Any) -> None:
    await shop.fleet.add(shop.provider.add())
    first = await shop.work_until(DealFailed)
    second = await shop.work_until(ShardTakenOver)
    async with shop.store.transaction() as tx:  # as if the worker had been killed
        await tx.execute("UPDATE hpp_shard SET handed_over = handed_over - 1")
    third = await shop.work_until(ShardTakenOver)

    taken = [[event for event in events if isinstance(event, ShardTakenOver)] for events in (first, second, third)]
    assert taken[0] == []
    assert all(event.was_handed_over for event in taken[1])
    assert not any(event.was_handed_over for event in taken[2])
    assert value("takeovers_total", hpp_takeover_reason="handed_over") == len(taken[1])
    assert value("takeovers_total", hpp_takeover_reason="lost") == len(taken[2])
