"""
What an event of a fleet costs beside a bare insert, how soon its news is elsewhere, and what reads cost the database.

    python -m benchmarks.fleet postgresql://…      # a database of its own: its schema "fleet_benchmark" is dropped
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from time import perf_counter
from typing import Final

import httpx

from hpp_async import HPPClient, PollSchedule, ReadBudget, WatchEvent
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction

_SCHEMA: Final = "fleet_benchmark"
_BOOK: Final = f"INSERT INTO {_SCHEMA}.booked VALUES (%s, %s)"
_BOOKED: Final = f"SELECT count(*) FROM {_SCHEMA}.booked"
_TRANSACTIONS: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


class _Provider(httpx.AsyncBaseTransport):
    """Answers each read with one status, at once."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.reads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reads += 1
        session = request.url.path.rpartition("/")[2]
        body = {"session_id": session, "status": self.status, "order_id": f"order-{session}"}
        return httpx.Response(200, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _client(provider: _Provider, schedule: PollSchedule) -> HPPClient:
    return HPPClient(
        auth=("benchmark", "not-a-secret"),
        endpoint="http://127.0.0.1",
        http_client=httpx.AsyncClient(transport=provider),
        schedule=schedule,
        budget=ReadBudget(100_000, max_in_flight=100),
    )


async def _prepare(store: PostgresStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
    await store.migrate()
    async with store.transaction() as tx:
        await tx.execute(f"CREATE TABLE {_SCHEMA}.booked (session_id text, what text)")


async def _bare(store: PostgresStore, count: int, at_once: int) -> float:
    """Return how many rows are inserted a second, each in a transaction of its own, so many at the same time."""

    async def insert(number: int) -> None:
        for index in range(number, count, at_once):
            async with store.transaction() as tx:
                await tx.execute(_BOOK, (f"bare-{index}", "Transition"))

    began = perf_counter()
    await asyncio.gather(*(insert(number) for number in range(at_once)))
    return count / (perf_counter() - began)


async def _dealt_with(store: PostgresStore, count: int) -> float:
    """Return how many events a second one worker deals with, each of which inserts one row."""
    first: list[float] = []

    async def deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
        first.append(perf_counter())
        await tx.execute(_BOOK, (event.session_id, type(event.news).__name__))

    async with _client(_Provider("COMPLETED"), PollSchedule()) as client:
        fleet = Fleet(client, store)
        async with store.transaction() as tx:
            for number in range(count):
                await fleet.add(f"event-{number}", tx=tx)
        working = asyncio.create_task(fleet.work(deal_with))
        while len(first) < 2 * count:  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working])
    return len(first) / (first[-1] - first[0])


async def _news(store: PostgresStore, elsewhere: PostgresStore, count: int) -> list[float]:
    """Return the milliseconds from the end of ``deal_with`` to the wait on another connection, commit included."""
    dealt: dict[str, float] = {}

    async def deal_with(event: WatchEvent, _: PostgresTransaction) -> None:
        dealt[event.session_id] = perf_counter()

    async with _client(_Provider("COMPLETED"), PollSchedule()) as client:
        fleet, taken = Fleet(client, store), list[float]()
        working = asyncio.create_task(fleet.work(deal_with))
        for number in range(count):
            session = f"news-{number}"
            await fleet.add(session)
            await Fleet(client, elsewhere).wait_for_outcome(session)
            taken.append((perf_counter() - dealt[session]) * 1000)
        working.cancel()
        await asyncio.wait([working])
    return taken


async def _transactions(store: PostgresStore, sessions: int, seconds: float) -> tuple[float, float]:
    """Return the reads a second of a worker whose sessions do not change, and the transactions a second meanwhile."""

    async def counted() -> int:
        await asyncio.sleep(seconds)  # backends that are idle report after up to 10 seconds
        async with store.transaction() as tx:
            row = await (await tx.execute(_TRANSACTIONS)).fetchone()
        assert row is not None
        return int(row[0])

    provider = _Provider("IN_PROGRESS")
    async with _client(provider, PollSchedule.every(1.0)) as client:
        fleet = Fleet(client, store)
        async with store.transaction() as tx:
            for number in range(sessions):
                await fleet.add(f"idle-{number}", tx=tx)
        working = asyncio.create_task(fleet.work(lambda *_: asyncio.sleep(0)))
        while provider.reads < 3 * sessions:  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.1)
        before, reads, began = await counted(), provider.reads, perf_counter()
        await asyncio.sleep(seconds)
        after, took = await counted(), perf_counter() - began
        working.cancel()
        await asyncio.wait([working])
    return (provider.reads - reads) / took, (after - before) / took


async def main(conninfo: str, *, quick: bool) -> None:
    count = 50 if quick else 2_000
    async with PostgresStore(conninfo, schema=_SCHEMA) as store, PostgresStore(conninfo, schema=_SCHEMA) as elsewhere:
        await _prepare(store)
        bare = await _bare(store, count, at_once=10)
        dealt = await _dealt_with(store, count)
        print(f"events dealt with: {dealt:,.0f} a second; bare inserts: {bare:,.0f}; ratio {dealt / bare:.2f} (≥ 0.5)")
        taken = await _news(store, elsewhere, 10 if quick else 200)
        print(f"news elsewhere: p50 {statistics.median(taken):.1f} ms, most {max(taken):.1f} ms (p50 ≤ 100)")
        reads, transactions = await _transactions(store, 20 if quick else 500, 2.0 if quick else 12.0)
        print(f"a worker that reads {reads:,.0f} times a second: {transactions:.1f} transactions a second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conninfo", help="a PostgreSQL database, as for libpq")
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    options = parser.parse_args()
    asyncio.run(main(options.conninfo, quick=options.quick))
