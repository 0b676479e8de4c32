"""A wait in any process for what the fleet's workers find out: it listens to the database, and reads nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic

from hpp_async import AnyStatus, ConfigurationError, Session
from hpp_async._waits.awaitable import AwaitableWait
from hpp_async.fleet._division import shard_of
from hpp_async.fleet._lease import reconnect_after
from hpp_async.fleet._store import Row, Store, Tx
from hpp_async.fleet._tasks import Cancellation
from hpp_async.fleet._values import News

_LOOK_EVERY: Final = 15.0
"""Seconds: the row is looked at so often, even if no message comes. Messages can be lost where a connection breaks."""


class FleetWait(AwaitableWait[News], AsyncIterator[News], Generic[Tx]):
    """
    A wait for the end of one session of the fleet: await it, or iterate it. It reads no session.

    Awaiting returns the last `News`. Iterating yields `News` for what is stored now, if something is, and then for each
    event that a worker dealt with; it ends after the last one. Of events that follow one another quickly, only the
    latest may be yielded. A cancelled step loses nothing. While the database cannot be reached, the wait
    goes on, and a warning is logged.

    Raises:
        ConfigurationError: the session was never added, or the database is refused: there is no fleet in it, or one
            with another number of shards.
        StoreClosedError: the store was closed.
        RuntimeError: another task is taking a step; or the store is in use in another event loop, which is running.
    """

    def __init__(
        self, store: Store[Tx], session_id: str, shards: int, check: Callable[[Tx], Awaitable[object]]
    ) -> None:
        super().__init__()
        self._store = store
        self._check = check
        self._shards = shards
        self._seen: object = None
        self._step: object = None
        self.session_id: str = session_id
        self.latest: News | None = None

    def __repr__(self) -> str:
        return f"<FleetWait for session {self.session_id}: {'not seen' if self.latest is None else self.latest.status}>"

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        if self.latest is not None and self.latest.is_last:
            raise StopAsyncIteration
        if self._step is not None:
            raise RuntimeError(f"another task is already in the wait for session {self.session_id}: start a second one")
        self._store.life.enter()
        step = self._step = object()
        woken = asyncio.Event()
        channels = self._store.channels
        channels.subscribe(self.session_id, woken.set)
        try:
            while True:
                row = await self._look()
                if row is not None:
                    self.latest = self._news(row)
                    return self.latest
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY):
                        await woken.wait()
                woken.clear()
        finally:
            channels.unsubscribe(self.session_id, woken.set)
            if self._step is step:
                self._step = None

    async def _finish(self) -> News:
        async for _ in self:
            pass
        assert self.latest is not None, "a wait that ended has seen the end"
        return self.latest

    def _is_stepping(self) -> bool:
        return self._step is not None

    async def _look(self) -> Row | None:
        """Return what is stored of the session and is new to this wait, and the owner of its shard."""
        failures, cancellation = 0, Cancellation()
        while True:
            try:
                return await self._query(cancellation)
            except Exception as error:
                await cancellation.check()
                if not self._store.is_passing(error):
                    raise
                failures += 1
                self._store.life.complain(error)
                await asyncio.sleep(reconnect_after(failures, 0.5))

    async def _query(self, cancellation: Cancellation) -> Row | None:
        await self._store.listen()
        async with self._store.own_transaction() as tx:
            await self._check(tx)
            rows = await self._store.run(tx, "news", self.session_id)
            owners = await self._store.owners(tx)
        await cancellation.check()
        if not rows:
            raise ConfigurationError(
                f"session {self.session_id} is not in the fleet's store: add it with fleet.add(session)"
            )
        status, ending, news, *_ = rows[0]
        if (status is None and ending is None) or self._seen == (ending, news):
            return None
        self._seen = (ending, news)
        return (*rows[0], shard_of(self.session_id, self._shards) in owners)

    def _news(self, row: Row) -> News:
        status, ending, data, age, is_parked, _, is_followed = row
        return News(
            session_id=self.session_id,
            status=status_of(status),
            ending=ending,
            data=None if data is None else json.loads(data),
            age=age,
            is_followed=is_followed,
            is_parked=bool(is_parked),
        )


def status_of(text: str | None) -> AnyStatus | None:
    """Return a stored status as a status; ``None`` if there is none."""
    return None if text is None else Session(status=text).status
