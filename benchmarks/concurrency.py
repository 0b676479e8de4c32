"""
Many waits at once beside as many plain loops, and the same over a faster transport.

Every wait has a session of its own, which is read a fixed number of times, a millisecond apart, so that the event loop
is the bottleneck. The plain loops are the code that one writes by hand: one default `httpx.AsyncClient`, and a task per
session that reads, looks and sleeps.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final, Literal

import attrs
import httpx

from benchmarks.figures import Comparison, Figure
from benchmarks.provider import AUTH, UNLIMITED, over_http, reads_at, wait_id
from hpp_async import Completed, HPPClient, Session

_PATH: Final = "/hpp/v1/sessions/"
_DELAY: Final = 0.001

_PATIENCE: Final = 60.0
"""Seconds after which the process with ten thousand plain loops is killed."""

_BARS: Final = {10: 1.0, 1_000: 1.5}
"""The least reads per second, as a multiple of the plain loops', by number of waits."""


@attrs.frozen
class Load:
    """How many waits, how many reads of each, and how many rounds of it all."""

    waits: int
    reads: int
    rounds: int


_TEN: Final = Load(10, 60, 9)
_LOADS: Final = (Load(1, 400, 9), _TEN, Load(100, 10, 9), Load(1_000, 2, 5))
_CROWD: Final = Load(10_000, 2, 3)
_FASTER: Final = (Load(1, 300, 11), Load(10, 40, 11), Load(100, 8, 9), Load(1_000, 2, 5))
_QUICK: Final = (Load(1, 5, 1), Load(10, 2, 1))


@attrs.frozen
class Cost:
    """CPU and wall-clock seconds per read, and how often httpx's pool timed out."""

    cpu: float
    wall: float
    timeouts: int = 0


Side = Callable[[str, Load], Awaitable[Cost]]
Wait = Callable[[str], Coroutine[object, object, object]]
"""Waits on a session until it is COMPLETED."""


class _Hurried:
    """A schedule with a fixed, very short delay."""

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        return _DELAY


def measure(*, quick: bool) -> Iterator[Figure]:
    loads = _QUICK if quick else _LOADS
    with over_http() as base_url:
        for load in loads:
            yield from asyncio.run(_beside_plain_loops(base_url, load))
        if not quick:
            yield asyncio.run(_beside_ten_of_ours(base_url, _LOADS[-1]))
            reads = asyncio.run(_reads_until_killed(base_url, _CROWD))
            remark = f"; the plain loops: {reads} reads in {_PATIENCE:.0f} s"
            yield asyncio.run(_beside_ten_of_ours(base_url, _CROWD, remark))
        for load in _QUICK if quick else _FASTER:
            yield from asyncio.run(_over_aiohttp(base_url, load))


async def _beside_plain_loops(base_url: str, load: Load) -> list[Figure]:
    ours, theirs = await _in_turns((_ours, load), (_plain, load), base_url)
    timeouts = sum(cost.timeouts for cost in theirs)
    return [
        _cpu(ours, theirs).figure(f"cpu_of_{load.waits}_waits", bar=None, scale=1e6, unit="µs"),
        _speed(
            f"speed_of_{load.waits}_waits",
            ours,
            theirs,
            bar=_BARS.get(load.waits),
            remark=f", which timed out {timeouts} times" if timeouts else "",
        ),
    ]


async def _beside_ten_of_ours(base_url: str, load: Load, remark: str = "") -> Figure:
    many, ten = await _in_turns((_ours, load), (_ours, _TEN), base_url)
    return _speed(f"speed_of_{load.waits}_to_our_10", many, ten, bar=None, remark=remark)


async def _over_aiohttp(base_url: str, load: Load) -> list[Figure]:
    name = f"aiohttp_at_{load.waits}"
    faster, default = await _in_turns((_ours_over_aiohttp, load), (_ours, load), base_url)
    again, theirs = await _in_turns((_ours_over_aiohttp, load), (_azure, load), base_url)
    return [
        _cpu(faster, default).figure(f"{name}_to_default", bar=0.72, scale=1e6, unit="µs"),
        _cpu(again, theirs).figure(f"{name}_to_azure_core", bar=1.0, scale=1e6, unit="µs"),
    ]


async def _in_turns(one: tuple[Side, Load], other: tuple[Side, Load], base_url: str) -> tuple[list[Cost], list[Cost]]:
    mine: list[Cost] = []
    theirs: list[Cost] = []
    for number in range(one[1].rounds):
        turns = [(*one, mine), (*other, theirs)]
        for side, load, costs in turns[:: 1 if number % 2 else -1]:
            costs.append(await side(base_url, load))
    return mine, theirs


def _cpu(one: Sequence[Cost], other: Sequence[Cost]) -> Comparison:
    return Comparison([cost.cpu for cost in one], [cost.cpu for cost in other])


def _speed(name: str, one: Sequence[Cost], other: Sequence[Cost], *, bar: float | None, remark: str) -> Figure:
    mine, theirs = (1 / median(cost.wall for cost in costs) for costs in (one, other))
    return Figure(
        name=name,
        value=median(second.wall / first.wall for first, second in zip(one, other, strict=True)),
        unit="×",
        bar=bar,
        is_floor=True,
        detail=f"{mine:.0f} reads/s beside {theirs:.0f}{remark}",
    )


# -- the sides ---------------------------------------------------------------------------------------------------


async def _ours(base_url: str, load: Load, transport: Literal["httpx", "aiohttp"] = "httpx") -> Cost:
    client = HPPClient(auth=AUTH, endpoint=base_url, budget=UNLIMITED, schedule=_Hurried(), transport=transport)

    async def wait(session_id: str) -> None:
        outcome = await client.wait_for_outcome(session_id)
        assert isinstance(outcome, Completed)

    async with client:
        return await _cost(wait, base_url, load)


async def _ours_over_aiohttp(base_url: str, load: Load) -> Cost:
    return await _ours(base_url, load, "aiohttp")


async def _azure(base_url: str, load: Load) -> Cost:
    """Wait in loops over azure-core's client, whose usual transport is aiohttp."""
    # Imported here: azure-core has few types, and takes long to load.
    from azure.core import AsyncPipelineClient  # noqa: PLC0415
    from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415
    from azure.core.rest import HttpRequest  # noqa: PLC0415

    credentials = b64encode(":".join(AUTH).encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
    client: Any = AsyncPipelineClient(base_url, transport=AioHttpTransport())

    async def wait(session_id: str) -> None:
        while True:
            response = await client.send_request(HttpRequest("GET", f"{base_url}{_PATH}{session_id}", headers=headers))
            response.raise_for_status()
            if response.json()["status"] == "COMPLETED":
                return
            await asyncio.sleep(_DELAY)

    async with client:
        return await _cost(wait, base_url, load)


async def _plain(base_url: str, load: Load) -> Cost:
    timeouts = 0
    async with httpx.AsyncClient() as client:

        async def wait(session_id: str) -> None:
            nonlocal timeouts
            url = f"{base_url}{_PATH}{session_id}"
            while True:
                try:
                    response = await client.get(url, auth=AUTH)
                except httpx.TimeoutException:
                    timeouts += 1  # of httpx's pool; without this clause the wait would be lost
                else:
                    response.raise_for_status()
                    if response.json()["status"] == "COMPLETED":
                        return
                await asyncio.sleep(_DELAY)

        cost = await _cost(wait, base_url, load)
    return attrs.evolve(cost, timeouts=timeouts)


async def _reads_until_killed(base_url: str, load: Load) -> int:
    """Return how many reads so many plain loops make; httpx's pool searches its whole queue at every request."""
    served = await reads_at(base_url)
    program = [sys.executable, "-m", __name__, base_url, str(load.waits), str(load.reads)]
    with subprocess.Popen(program) as process:  # noqa: ASYNC220 - nothing else is to run
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return await reads_at(base_url) - served - 1  # the first read goes out before the crowd


_numbers: Final = itertools.count()


async def _cost(wait: Wait, base_url: str, load: Load) -> Cost:
    """Run the load, each wait on another session, and check the number of reads at the provider."""
    run = f"{os.getpid()}{next(_numbers)}"
    await wait(wait_id(1, f"{run}-first"))  # connected, and everything imported
    session_ids = [wait_id(load.reads, f"{run}-{number}") for number in range(load.waits)]
    served = await reads_at(base_url)

    cpu, wall = process_time(), perf_counter()
    await asyncio.gather(*map(wait, session_ids))
    cpu, wall = process_time() - cpu, perf_counter() - wall

    reads = load.waits * load.reads
    assert await reads_at(base_url) - served == reads, "not the same number of reads"
    return Cost(cpu / reads, wall / reads)


if __name__ == "__main__":
    asyncio.run(_plain(sys.argv[1], Load(int(sys.argv[2]), int(sys.argv[3]), rounds=1)))
