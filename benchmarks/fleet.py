"""
What an event of a fleet costs beside bare inserts, and what 1, 2 and 4 workers do with 1,000 and 100,000 sessions.

    python -m benchmarks.fleet postgresql://…      # a database of its own: its schema "fleet_benchmark" is dropped

Workers are processes. The provider answers in the process that asks: only the client and the fleet are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic, perf_counter, process_time
from typing import Final

import attrs
import httpx

from hpp_async import HPPClient, PollSchedule, ReadBudget, WatchEvent
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction
from hpp_async.fleet._division import bucket_of

_SCHEMA: Final = "fleet_benchmark"
_BOOK: Final = f"INSERT INTO {_SCHEMA}.booked VALUES (%s, %s, %s)"
_BOOKED_AT: Final = f"SELECT max(at) FROM {_SCHEMA}.booked WHERE session_id = %s"
_KEEP: Final = f"UPDATE {_SCHEMA}.session SET token = %s, status = %s, news = %s, news_at = now() WHERE id = %s"
_RATE: Final = 200.0
"""Reads per second of the whole fleet."""
_TRANSACTIONS: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


class _Provider(httpx.AsyncBaseTransport):
    """Answers each read with one status, at once; those of sessions whose name begins with pay with COMPLETED."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.reads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reads += 1
        session = request.url.path.rpartition("/")[2]
        status = "COMPLETED" if session.startswith("pay") else self.status
        body = {"session_id": session, "status": status, "order_id": f"order-{session}"}
        return httpx.Response(200, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _client(provider: _Provider, schedule: PollSchedule, rate: float = 100_000) -> HPPClient:
    return HPPClient(
        auth=("benchmark", "not-a-secret"),
        endpoint="http://127.0.0.1",
        http_client=httpx.AsyncClient(transport=provider),
        schedule=schedule,
        budget=ReadBudget(rate, max_in_flight=100),
    )


async def _prepare(store: PostgresStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
    await store.migrate()
    async with store.transaction() as tx:
        await tx.execute(f"CREATE TABLE {_SCHEMA}.booked (session_id text, what text, at float8)")


async def _inserts(store: PostgresStore, count: int, at_once: int, *, is_kept: bool, together: int = 1) -> float:
    """
    Return how many events' rows are written a second, so many at the same time.

    They are the row that ``deal_with`` inserts for each event, and, if *is_kept*, what the fleet keeps of the session.
    So many events are *together* in a transaction, and the session's row is written once in it.
    """
    news = json.dumps({"status": "COMPLETED", "previous": "IN_PROGRESS", "seen_at": "2026-11-28T12:00:00+00:00"})

    async def insert(number: int) -> None:
        for index in range(number, count // together, at_once):
            async with store.transaction() as tx:
                for _ in range(together):
                    await tx.execute(_BOOK, (f"bare-{index}", "Transition", 0.0))
                if is_kept:
                    await tx.execute(_KEEP, (f"hpp2:{index}" * 10, "COMPLETED", news, f"event-{index}"))

    began = perf_counter()
    await asyncio.gather(*(insert(number) for number in range(at_once)))
    return count / (perf_counter() - began)


async def _dealt_with(store: PostgresStore, count: int, prefix: str) -> float:
    """Return how many events a second one worker deals with, each of which inserts one row."""
    first, is_over = list[float](), asyncio.Event()

    async def deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
        await tx.execute(_BOOK, (event.session_id, type(event.news).__name__, 0.0))
        first.append(perf_counter())
        if len(first) == 2 * count:
            is_over.set()

    async with _client(_Provider("COMPLETED"), PollSchedule()) as client:
        fleet = Fleet(client, store)
        async with store.transaction() as tx:
            for number in range(count):
                await fleet.add(f"{prefix}-{number}", tx=tx)
        working = asyncio.create_task(fleet.work(deal_with))
        await is_over.wait()
        working.cancel()
        await asyncio.wait([working])
    return len(first) / (first[-1] - first[0])


async def _events(store: PostgresStore, count: int, rounds: int) -> None:
    """Compare events with bare inserts, in turn, so that both meet the same machine."""
    lines = list[tuple[float, float, float, float]]()
    for number in range(rounds):
        await _prepare(store)
        prefix = "event" if number == 0 else f"event{number}"
        booked = await _inserts(store, 2 * count, 10, is_kept=False)
        dealt = await _dealt_with(store, count, prefix)
        kept = await _inserts(store, 2 * count, 10, is_kept=True)
        shared = await _inserts(store, 2 * count, 10, is_kept=True, together=2)
        lines.append((dealt, dealt / kept, dealt / booked, dealt / shared))
    dealt, kept, booked, shared = (statistics.median(column) for column in zip(*lines, strict=True))
    print(f"events dealt with: {dealt:,.0f} a second, reads included, beside bare transactions that write")
    print(f"    the booked row and the session's, for each event: {kept:.2f} (≥ 0.5)")
    print(f"    the booked row alone, for each event: {booked:.2f}")
    print(f"    two booked rows and the session's, as the fleet does for a session that is paid: {shared:.2f}")


# -- workers as processes -------------------------------------------------------------------------------------------


async def _report(provider: _Provider) -> None:
    """Print, for each line on the standard input, how many reads there were, and the processor's seconds."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps([provider.reads, process_time()]), flush=True)


async def _deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
    await tx.execute(_BOOK, (event.session_id, type(event.news).__name__, monotonic()))


async def _worker(conninfo: str, sessions: int) -> None:
    """Be a worker of the fleet, until the standard input ends."""
    provider = _Provider("IN_PROGRESS")
    async with (
        _client(provider, PollSchedule.every(sessions / _RATE), _RATE) as client,
        PostgresStore(conninfo, schema=_SCHEMA) as store,
    ):
        working = asyncio.create_task(Fleet(client, store).work(_deal_with))
        await _report(provider)
        working.cancel()
        await asyncio.wait([working])


async def _watcher(conninfo: str, sessions: int, part: int, parts: int) -> None:
    """Watch the same sessions, or one of so many parts of them, without a fleet, until the standard input ends."""
    provider = _Provider("IN_PROGRESS")
    async with PostgresStore(conninfo, schema=_SCHEMA) as store, store.transaction() as tx:
        cursor = await tx.execute(f"SELECT id, token FROM {_SCHEMA}.session WHERE ended_at IS NULL")
        rows = await cursor.fetchall()
        tokens: dict[str, str | None] = {row[0]: row[1] for row in rows if bucket_of(row[0]) % parts == part}

    async def follow(client: HPPClient) -> None:
        async with client.watch(tokens, forever=True) as watch:
            async for _ in watch:
                pass

    async with _client(provider, PollSchedule.every(sessions / _RATE), _RATE / parts) as client:
        following = asyncio.create_task(follow(client))
        await _report(provider)
        following.cancel()
        await asyncio.wait([following])


@attrs.frozen
class _Process:
    """A worker, or the watch to which workers are compared."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, conninfo: str, role: str, sessions: int, part: int, parts: int) -> _Process:
        """Start one of so many processes with this role."""
        numbers = ["--sessions", str(sessions), "--part", str(part), "--parts", str(parts)]
        arguments = ["-m", "benchmarks.fleet", conninfo, "--role", role, *numbers]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe))

    async def report(self) -> tuple[int, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        reads, seconds = json.loads(await self.process.stdout.readline())
        return reads, seconds

    async def end(self) -> None:
        if self.process.returncode is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
        await self.process.wait()


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0.01)


async def _add(store: PostgresStore, sessions: int) -> None:
    """Add sessions that were read a moment ago, as workers before have left them."""
    async with _client(_Provider("IN_PROGRESS"), PollSchedule()) as client, client.watch(["template"]) as watch:
        token = (await anext(aiter(watch))).token
    assert token is not None
    async with store.transaction() as tx:
        copy = f"COPY {_SCHEMA}.session (id, bucket, token, status, added_at) FROM STDIN"
        async with tx.cursor() as cursor, cursor.copy(copy) as rows:
            for number in range(sessions):
                name = f"idle{number}"
                own = token.replace("template", name)
                await rows.write_row((name, bucket_of(name), own, "IN_PROGRESS", "2026-11-28"))
    async with store.transaction() as tx:
        await tx.execute(f"ANALYZE {_SCHEMA}.session")


async def _per_read(processes: list[_Process], store: PostgresStore, seconds: float) -> tuple[float, float, float]:
    """Return the reads a second, the processor's milliseconds per read, and the transactions a second."""

    async def counted() -> int:
        async with store.transaction() as tx:
            row = await (await tx.execute(_TRANSACTIONS)).fetchone()
        assert row is not None
        return int(row[0])

    began, transactions = perf_counter(), await counted()
    before = [await process.report() for process in processes]
    await asyncio.sleep(seconds)
    after = [await process.report() for process in processes]
    took, transactions = perf_counter() - began, await counted() - transactions
    reads = sum(now[0] - then[0] for now, then in zip(after, before, strict=True))
    used = sum(now[1] - then[1] for now, then in zip(after, before, strict=True))
    return reads / took, 1000 * used / max(1, reads), transactions / took


@asynccontextmanager
async def _processes(conninfo: str, role: str, count: int, sessions: int) -> AsyncGenerator[list[_Process]]:
    processes = [await _Process.start(conninfo, role, sessions, part, count) for part in range(count)]
    try:
        yield processes
    finally:
        await asyncio.gather(*(process.end() for process in processes))


async def _news(fleet: Fleet[PostgresTransaction], store: PostgresStore, count: int) -> list[float]:
    """Return the milliseconds from ``deal_with`` in a worker to the wait in this process, commit included."""
    taken = list[float]()
    for number in range(count):
        session = f"pay{number}"
        await fleet.add(session)
        await fleet.wait_for_outcome(session)
        now = monotonic()
        async with store.transaction() as tx:
            row = await (await tx.execute(_BOOKED_AT, (session,))).fetchone()
        assert row is not None
        taken.append((now - row[0]) * 1000)
    return taken


async def _watched(conninfo: str, store: PostgresStore, *, sessions: int, parts: int, seconds: float) -> float:
    """Return the processor's milliseconds per read of so many processes, each of which watches its part."""
    async with _processes(conninfo, "watcher", parts, sessions) as processes:
        await asyncio.sleep(seconds)
        _, milliseconds, _ = await _per_read(processes, store, seconds)
    return milliseconds


async def _fleets(conninfo: str, store: PostgresStore, *, workers: int, sessions: int, quick: bool) -> None:
    """Measure one number of workers with one number of sessions."""
    # All sessions were read at once before, so their reads come in waves of up to 10 s: a window has whole waves.
    seconds, most = (1.0, 3) if quick else (20.0, 30)
    await _prepare(store)
    await _add(store, sessions)

    async def is_divided_by(count: int) -> bool:
        owners = [shard.owner for shard in await fleet.shards()]
        return None not in owners and len(set(owners)) == count

    async with _client(_Provider("IN_PROGRESS"), PollSchedule()) as client:
        fleet = Fleet(client, store)
        bare, apart = [
            await _watched(conninfo, store, sessions=sessions, parts=parts, seconds=seconds) for parts in (1, workers)
        ]
        async with _processes(conninfo, "worker", workers, sessions) as processes:
            await _until(lambda: is_divided_by(workers))
            await asyncio.sleep(2 * seconds)  # sessions are loaded; backends that are idle report after up to 10 s
            reads, used, transactions = await _per_read(processes, store, seconds)
            taken = await _news(fleet, store, most)
            moved = "-"
            if workers > 1:
                processes[0].process.send_signal(signal.SIGKILL)
                began = perf_counter()
                await _until(lambda: is_divided_by(workers - 1))
                moved = f"{perf_counter() - began:.2f} s"
    print(
        f"| {workers} | {sessions:,} | {reads:.0f} | {used / bare:.2f} | {used / apart:.2f} | {transactions:.1f} "
        f"| {statistics.median(taken):.0f} ms, {max(taken):.0f} ms | {moved} |",
        flush=True,
    )


async def main(conninfo: str, *, quick: bool) -> None:
    async with PostgresStore(conninfo, schema=_SCHEMA) as store:
        await _events(store, 50 if quick else 1_500, 1 if quick else 5)
        print(
            "| workers | sessions | reads/s | CPU/read ÷ a watch's | ÷ as many watches' | transactions/s "
            "| news p50, most | taken over |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for sessions in (200,) if quick else (1_000, 100_000):
            for workers in (2,) if quick else (1, 2, 4):
                await _fleets(conninfo, store, workers=workers, sessions=sessions, quick=quick)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conninfo", help="a PostgreSQL database, as for libpq")
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    parser.add_argument("--role", choices=("worker", "watcher"), help=argparse.SUPPRESS)
    parser.add_argument("--sessions", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parts", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.role:
        case "worker":
            asyncio.run(_worker(options.conninfo, options.sessions))
        case "watcher":
            asyncio.run(_watcher(options.conninfo, options.sessions, options.part, options.parts))
        case _:
            asyncio.run(main(options.conninfo, quick=options.quick))
