"""
News that is committed, and was not sent to the waits in other processes yet.

Of all transactions that send a NOTIFY, PostgreSQL commits one at a time: each holds a lock of the whole cluster until
its commit is on disk. If every event sent its own news, events could not share their writes to disk. So an event's
transaction sends its news only if none has sent any for a moment (`PACE`), and then it also sends the news that is left
here. News that no event's transaction takes along is sent in a transaction of its own a little later.

A worker that is killed meanwhile loses the news that is left here. The next owner of its shards then wakes the
waits, which read their rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

PACE: Final = 0.02
"""Seconds, at least, between two events whose transactions send news."""

_LATEST: Final = 0.05
"""Seconds after which news is sent in a transaction of its own, if no event's took it along."""


class Outbox:
    """The news of one process. *send* sends it in a transaction of its own, and handles its errors."""

    def __init__(self, send: Callable[[Collection[str]], Awaitable[None]]) -> None:
        self._send = send
        self._left: set[str] = set()
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def take(self, session_id: str) -> list[str]:
        """
        Return the sessions whose news the transaction of an event of *session_id* is to send.

        If it returns none, pass *session_id* to `leave` after the commit.
        """
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
        """Note the sessions with news that is committed, and was not sent."""
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
        """Send what is left, and return once all sending is over."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(self.flush(), *self._sending)
