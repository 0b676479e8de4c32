"""What a watch of thousands costs: memory, CPU of a read and of an idle second, time to start and to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from time import perf_counter, process_time
from typing import Final
from uuid import UUID

import attrs
import httpx

from benchmarks.__main__ import report
from benchmarks.figures import Figure
from benchmarks.provider import AUTH, UNLIMITED, InMemory, over_http, reads_at
from hpp_async import HPPClient, ReadBudget, Session, Watch

_ENDPOINT: Final = "https://api.klarna.com"
_HOUR: Final = 3600.0
_READS: Final = 6
"""Reads of a session before it counts as idle; after five, a poller remembers as much as it ever will."""

_RATE: Final = 200.0
_WARM: Final = 2_000
"""Reads before measuring: more than there are parsed URLs in memory, so that their number does not grow any more."""


@attrs.define
class _Reads:
    """A schedule with *count* reads of a session in quick succession, and the next in an hour."""

    count: int
    _seen: Counter[str | None] = attrs.field(init=False, factory=Counter[str | None])

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        self._seen[session.session_id] += 1
        if self._seen[session.session_id] < self.count:
            return 0.01
        self._seen.pop(session.session_id)
        return _HOUR


def measure(*, quick: bool) -> Iterator[Figure]:
    for count in (50,) if quick else (1_000, 10_000):
        yield asyncio.run(_idle(count))
    for count in (200,) if quick else (1_000, 10_000, 100_000):
        yield from asyncio.run(_in_memory(count))
    with over_http() as base_url:
        for count in (200,) if quick else (1_000, 10_000, 100_000):
            yield asyncio.run(_over_http(base_url, count, seconds=0.5 if quick else 20.0))


def ids(count: int, *, first: int = 0) -> Iterator[str]:
    return (str(UUID(int=number)) for number in range(first, first + count))


@asynccontextmanager
async def _watching(watch: Watch) -> AsyncGenerator[None]:
    """Iterate the watch in a task of its own."""

    async def follow() -> None:
        async with watch:
            async for _ in watch:
                pass

    task = asyncio.create_task(follow())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _until(transport: InMemory, reads: int) -> None:
    while transport.reads < reads:  # noqa: ASYNC110 - an event would be measured, too
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)


@asynccontextmanager
async def _client(transport: InMemory, schedule: _Reads) -> AsyncGenerator[HPPClient]:
    http_client = httpx.AsyncClient(transport=transport)
    client = HPPClient(auth=AUTH, endpoint=_ENDPOINT, budget=UNLIMITED, http_client=http_client, schedule=schedule)
    async with http_client, client:
        for session_id in ids(_WARM, first=1_000_000):
            await client.read_session(session_id)
        transport.reads = 0
        yield client


async def _idle(count: int) -> Figure:
    """Measure (tracemalloc) what a watch and everything it holds add; every session sleeps for an hour."""
    transport = InMemory()
    tracemalloc.start()
    try:
        async with _client(transport, _Reads(_READS)) as client:
            before = _traced()
            watch = client.watch(ids(count))
            async with _watching(watch):
                await _until(transport, count * _READS)
                size = (_traced() - before) / count
                assert len(watch) == count
    finally:
        tracemalloc.stop()
    return Figure(name=f"watch_idle_{count}", value=size, unit="B", bar=1536.0, detail=f"after {_READS} reads each")


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _pass_of_the_collector() -> float:
    """Return the seconds of CPU for which a full garbage collection stops the event loop."""
    began_at = process_time()
    gc.collect()
    return process_time() - began_at


async def _in_memory(count: int) -> list[Figure]:
    """Start from tokens, as after a restart; read every session once; idle; stop."""
    transport, pause = InMemory(), 2.0
    tokens = {session_id: f"hpp1:1:1768478400000000:1768647600000000:{session_id}:WAITING" for session_id in ids(count)}
    async with _client(transport, _Reads(1)) as client:
        started_at = perf_counter()
        watch = client.watch(tokens)
        start = perf_counter() - started_at
        async with _watching(watch):
            cpu = process_time()
            await _until(transport, count)
            read = (process_time() - cpu) / count
            cpu, began_at = process_time(), perf_counter()
            await asyncio.sleep(pause)
            idle = (process_time() - cpu) / (perf_counter() - began_at)
            tracked = len(gc.get_objects())
            full = _pass_of_the_collector()
            gc.freeze()
            frozen = _pass_of_the_collector()
            gc.unfreeze()
            stopped_at = perf_counter()
        await client.aclose()
        del watch
        gc.collect()  # objects in reference cycles are freed here
        stop = perf_counter() - stopped_at
    return [
        Figure(name=f"watch_start_{count}", value=start, unit="s", detail="from tokens"),
        Figure(name=f"watch_read_{count}", value=read * 1e6, unit="µs", detail="CPU, on an in-memory transport"),
        Figure(name=f"watch_idle_cpu_{count}", value=idle * 100, unit="%", detail="of a core, nothing due"),
        Figure(name=f"watch_gc_{count}", value=full * 1e3, unit="ms", detail=f"one full pass, {tracked:,} objects"),
        Figure(name=f"watch_gc_frozen_{count}", value=frozen * 1e3, unit="ms", detail="the next, after gc.freeze()"),
        Figure(name=f"watch_stop_{count}", value=stop, unit="s", bar=1.0, detail="watch and client, all freed"),
    ]


async def _over_http(base_url: str, count: int, *, seconds: float) -> Figure:
    """Make every session due at once, as after a restart: the budget is used up, which takes the most CPU."""
    before = await reads_at(base_url)
    client = HPPClient(auth=AUTH, endpoint=base_url, budget=ReadBudget(_RATE))
    async with client, _watching(client.watch(ids(count))):
        await asyncio.sleep(0.1)
        cpu, began_at = process_time(), perf_counter()
        await asyncio.sleep(seconds)
        cpu, passed = process_time() - cpu, perf_counter() - began_at
    rate = (await reads_at(base_url) - before) / (passed + 0.1)
    detail = f"of a core for {rate:.0f} reads/s over loopback HTTP"
    return Figure(name=f"watch_cpu_{count}", value=cpu / passed * 100, unit="%", bar=50.0, detail=detail)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs, and ignore the figures")
    report(measure(quick=parser.parse_args().quick))


if __name__ == "__main__":
    main()
