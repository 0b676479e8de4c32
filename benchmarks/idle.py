"""Memory of an idle wait, without its task: measured over thousands that sleep between two reads."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from uuid import UUID

import anyio
import httpx

from benchmarks.figures import Figure
from benchmarks.provider import AUTH, UNLIMITED, InMemory
from hpp_async import HPPClient, Session


def measure(*, quick: bool) -> Iterator[Figure]:
    yield asyncio.run(_idle(100 if quick else 2_000))


class _TwoReads:
    """
    A schedule with a second read soon after the first, and the third in an hour.

    After its second read a wait holds two readings: the latest one, and the one of its transition.
    """

    def __init__(self) -> None:
        self._seen: set[str | None] = set()

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        if session.session_id in self._seen:
            return 3600.0
        self._seen.add(session.session_id)
        return 0.2


async def _idle(count: int) -> Figure:
    transport = InMemory()
    session_ids = [str(UUID(int=number)) for number in range(count)]
    http_client = httpx.AsyncClient(transport=transport)
    client = HPPClient(
        auth=AUTH, endpoint="https://api.klarna.com", budget=UNLIMITED, http_client=http_client, schedule=_TwoReads()
    )

    async def wait(session_id: str) -> None:
        await client.wait_for_outcome(session_id)

    async def sleep(_: str) -> None:
        await anyio.Event().wait()

    async def until_asleep() -> None:
        while transport.reads < 2 * count:  # noqa: ASYNC110 - an event would be measured, too
            await asyncio.sleep(0.1)

    async with http_client, client:
        await client.read_session("warmed-up")
        transport.reads = 0
        tracemalloc.start()
        try:
            bare = await _bytes(sleep, session_ids, asleep=lambda: asyncio.sleep(0))
            waits = await _bytes(wait, session_ids, asleep=until_asleep)
        finally:
            tracemalloc.stop()

    detail = f"{waits:.0f} B a task with one of {count} waits, {bare:.0f} B with an event"
    return Figure(name="idle_wait", value=waits - bare, unit="B", bar=4096.0, detail=detail)


async def _bytes(
    run: Callable[[str], Coroutine[object, object, None]],
    session_ids: list[str],
    *,
    asleep: Callable[[], Coroutine[object, object, None]],
) -> float:
    before = _traced()
    tasks = [asyncio.create_task(run(session_id)) for session_id in session_ids]
    await asleep()
    await asyncio.sleep(0.1)
    after = _traced()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return (after - before) / len(session_ids)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
