"""A shop for tests: a fleet on a store, a provider in virtual time, and a table of what was booked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs

from hpp_async import Completed, HPPClient, Transition, WatchEvent
from hpp_async.fleet import Fleet, SQLiteStore, Store
from hpp_async.testing import ScriptedProvider

Tx = Any
"""A transaction of either store: psycopg's connection, or SQLite's."""


@attrs.define
class Shop:
    """
    What a test has in its hands.

    Attributes:
        events: every event that was dealt with, or tried to be.
        trouble: called at the end of each; it may raise.
    """

    provider: ScriptedProvider
    client: HPPClient
    store: Store[Tx]
    fleet: Fleet[Tx]
    events: list[WatchEvent] = attrs.field(init=False, factory=list[WatchEvent])
    trouble: Callable[[WatchEvent], Awaitable[None]] | None = attrs.field(init=False, default=None)

    async def deal_with(self, event: WatchEvent, tx: Tx) -> None:
        self.events.append(event)
        if isinstance(event.news, Completed):
            placeholder = "?" if isinstance(self.store, SQLiteStore) else "%s"
            await tx.execute(f"INSERT INTO booked (session_id) VALUES ({placeholder})", (event.session_id,))
        if self.trouble is not None:
            await self.trouble(event)

    async def booked(self) -> list[str]:
        async with self.store.transaction() as tx:
            cursor = await tx.execute("SELECT session_id FROM booked ORDER BY session_id")
            return [row[0] for row in await cursor.fetchall()]

    def statuses(self, session_id: str) -> list[str]:
        """Return the statuses that were dealt with, and the class of the end."""
        news = [event.news for event in self.events if event.session_id == session_id]
        return [str(item.status) if isinstance(item, Transition) else type(item).__name__ for item in news]

    @asynccontextmanager
    async def working(self, fleet: Fleet[Tx] | None = None) -> AsyncGenerator[asyncio.Task[None]]:
        """Work until the end of the block, and hand over then."""
        task = asyncio.create_task((fleet or self.fleet).work(self.deal_with))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def shop(
    provider: ScriptedProvider,
    store: Store[Tx],
    *,
    pause: Callable[[int, float], float | None] | None = None,
    **options: Any,
) -> AsyncGenerator[Shop]:
    """Open a shop. *pause* is for events that fail, in place of the fleet's own pauses."""
    async with store, provider.client() as client:
        await store.migrate()
        async with store.transaction() as tx:
            await tx.execute("CREATE TABLE IF NOT EXISTS booked (session_id text)")
        fleet = Fleet(client, store, **options)
        if pause is not None:
            fleet._pause = pause
        yield Shop(provider, client, store, fleet)


async def until(condition: Callable[[], object]) -> None:
    """Return once *condition* holds, and fail if it does not in a long time."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0)


async def is_let_go(here: Shop, session_id: str) -> None:
    """Return once nobody follows the session. Time passes meanwhile: a test that only asks would stop the clock."""
    async with asyncio.timeout(60):
        while here.client.notify(session_id):
            await here.provider.clock.sleep(1)


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Do the same for a condition that has to be awaited."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0)
