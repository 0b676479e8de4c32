"""
News that is committed, and that the waits in other processes have not been told yet.

PostgreSQL lets one transaction commit at a time of all those that send a NOTIFY: each holds a lock of the whole cluster
until its commit is on disk. If every event sent its own, events could not share their writes to disk. So an event's
transaction sends its news only if the last one that did is a moment ago, and then it sends what is left here, too. What
no event takes along is sent by itself a little later.

A worker that is killed meanwhile loses what is left: the next owner of its shards lets the waits look for themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

PACE: Final = 0.02
"""Seconds between two transactions that send news along."""

_LATEST: Final = 0.05
"""Seconds after which news is sent that no event took along."""


class Outbox:
    """The news of one process. *send* sends it in a transaction of its own, and handles its errors."""

    def __init__(self, send: Callable[[Collection[str]], Awaitable[None]]) -> None:
        self._send = send
        self._left: set[str] = set()
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def take(self, session_id: str) -> list[str]:
        """Return the news that the transaction with news of this session is to send: none, if it is to `leave` it."""
        now = asyncio.get_running_loop().time()
        if now < self._sent_at + PACE:
            return []
        self._sent_at = now
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        taken, self._left = [session_id, *self._left], set()
        return taken

    def leave(self, session_ids: Collection[str]) -> None:
        """Note news that is committed, and was not sent."""
        self._left.update(session_ids)
        if self._left and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LATEST, self._is_late)

    def _is_late(self) -> None:
        self._timer = None
        task = asyncio.create_task(self.flush(), name="hpp_async.fleet news")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def flush(self) -> None:
        """Send what is left."""
        taken, self._left = self._left, set()
        if taken:
            await self._send(taken)

    async def aclose(self) -> None:
        """Send what is left, and return once nothing is sent any more."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(self.flush(), *self._sending)
