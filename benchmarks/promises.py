"""How many of the promised reads come on a real event loop, beside plain loops that sleep and read in the same run."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Final, Literal

import httpx

from benchmarks.__main__ import report
from benchmarks.figures import Figure
from benchmarks.provider import AUTH, InMemory
from hpp_async import Event, HPPClient, PollSchedule, ReadBudget, Slept

_ENDPOINT: Final = "https://api.klarna.com"
_INTERVAL: Final = 2.0
"""Seconds between two reads of a session. The reads of all sessions are spread evenly over it."""

_OPEN: Final = 10_000.0
"""Reads per second of a budget that never binds."""

Driver = Literal["waits", "watch"]


def measure(*, quick: bool) -> Iterator[Figure]:
    rates = ((20.0, _OPEN),) if quick else ((50.0, _OPEN), (200.0, _OPEN), (400.0, _OPEN), (150.0, 200.0))
    for rate, budget in rates:
        yield from asyncio.run(_share(rate, budget, seconds=1.0 if quick else 8.0))


async def _share(rate: float, budget: float, *, seconds: float) -> list[Figure]:
    count, figures = round(rate * _INTERVAL), list[Figure]()
    plain = await _plain(count, seconds)
    drivers: tuple[Driver, ...] = ("waits", "watch")
    for driver in drivers:
        reads, late_by = await _ours(count, budget, driver, seconds)
        name = f"{driver}_at_{rate:g}" + ("" if budget == _OPEN else f"_of_{budget:g}")
        detail = f"{reads:.1f} reads/s beside {plain:.1f}"
        figures += [
            Figure(name=name, value=reads / plain, unit="×", bar=0.97, is_floor=True, detail=detail),
            Figure(name=f"{name}_late", value=late_by * 1e3, unit="ms", bar=5.0, detail="median of all reads"),
        ]
    return figures


async def _plain(count: int, seconds: float) -> float:
    transport = InMemory()
    async with httpx.AsyncClient(transport=transport) as http_client:

        async def follow(session_id: str) -> None:
            while True:
                await http_client.get(f"{_ENDPOINT}/hpp/v1/sessions/{session_id}")
                await asyncio.sleep(_INTERVAL)

        async with _running(_spread(count, follow)):
            return await _rate(transport, seconds)


async def _ours(count: int, budget: float, driver: Driver, seconds: float) -> tuple[float, float]:
    """Return the reads per second, and how late they were, in seconds: the median."""
    transport, late = InMemory(), list[float]()

    def observe(event: Event) -> None:
        if isinstance(event, Slept):
            late.append(event.late_by)

    client = HPPClient(
        auth=AUTH,
        endpoint=_ENDPOINT,
        http_client=httpx.AsyncClient(transport=transport),
        budget=ReadBudget(budget),
        schedule=PollSchedule.every(_INTERVAL),
        observers=[observe],
    )
    async with client, client.watch(forever=True) as watch:

        async def iterate() -> None:
            async for _ in watch:
                pass

        async def follow(session_id: str) -> None:
            if driver == "watch":
                watch.add(session_id)
            else:
                await client.wait_for_outcome(session_id)

        async with _running(_spread(count, follow), iterate()):
            reads = await _rate(transport, seconds)
            return reads, median(late)


async def _rate(transport: InMemory, seconds: float) -> float:
    """Return the reads per second, once all sessions are read in turn."""
    await asyncio.sleep(3 * _INTERVAL)
    loop = asyncio.get_running_loop()
    reads, began_at = transport.reads, loop.time()
    await asyncio.sleep(seconds)
    return (transport.reads - reads) / (loop.time() - began_at)


async def _spread(count: int, follow: Callable[[str], Coroutine[object, object, None]]) -> None:
    """Start to *follow* each session at its own moment of the interval."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(max(0.0, began_at + _INTERVAL * number / count - loop.time()))
            tasks.create_task(follow(f"open-{number}"))


@asynccontextmanager
async def _running(*coroutines: Coroutine[object, object, None]) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promises", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs, and ignore the figures")
    report(measure(quick=parser.parse_args().quick))


if __name__ == "__main__":
    main()
