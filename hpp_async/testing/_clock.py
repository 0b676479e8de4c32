"""A clock for tests that jumps to the next wake-up as soon as every task waits."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from hpp_async._loop import Home, running_task
from hpp_async.testing._idle import whenever_idle

_START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


class VirtualClock:
    """
    Time for tests: it stands still while a task can run, and jumps to the next wake-up when every task waits.

    Pass it to ``HPPClient(clock=…)`` and to `ScriptedProvider`. A task that waits for a real socket, thread or timer
    looks idle to the clock: let it do so in `busy`. Like a client, a clock is used in one event loop at a time. When it
    is used in the next one, it forgets the sleeps of the loop before, and its time goes on.

    Args:
        start: the provider's date and time at the beginning, aware.
        skew: how far this machine's calendar is ahead of the provider's.
    """

    def __init__(self, start: datetime = _START, *, skew: timedelta = timedelta(0)) -> None:
        self._start = start
        self._skew = skew
        self._now = 0.0
        self._wake_ups: list[tuple[float, int]] = []
        self._sleepers: dict[int, anyio.Event] = {}
        self._order = itertools.count()
        self._busy: list[object] = []
        """The tasks that are in `busy`."""
        self._is_ticking = False
        self._home = Home(self._forget, owner=type(self).__name__)

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def today(self) -> datetime:
        """Return this machine's date and time: the provider's plus *skew*."""
        return self.provider_time() + self._skew

    def provider_time(self) -> datetime:
        """Return the provider's date and time."""
        return self._start + timedelta(seconds=self._now)

    async def wait(self, event: anyio.Event, until: float) -> None:
        """
        Return when *event* is set, or when the clock has reached *until*.

        Raises:
            RuntimeError: this task is in `busy`, or the clock is in use in another event loop, which is running.
        """
        if until == float("inf"):
            await event.wait()
            return
        self._home.enter()
        if self._busy and running_task() in self._busy:
            raise RuntimeError(
                "this task is in VirtualClock.busy(), where no time passes, and waits for time to pass: put only what "
                "waits for something real into the block"
            )
        number = next(self._order)
        self._sleepers[number] = event
        heapq.heappush(self._wake_ups, (until, number))
        try:
            self._tick()
            await event.wait()
        finally:
            self._sleepers.pop(number, None)

    async def sleep(self, seconds: float) -> None:
        """Return *seconds* later."""
        await self.wait(anyio.Event(), self._now + seconds)

    @contextmanager
    def busy(self) -> Generator[None]:
        """
        Let no time pass during the block, in which this task waits for something real: a query, a thread, a socket.

        ::

            with clock.busy():
                await database.execute("UPDATE …")

        Several tasks can be in such a block at once. What waits for time to pass does not belong into it.

        Raises:
            RuntimeError: no task is running, or the clock is in use in another event loop, which is running.
        """
        task = running_task()
        if task is None:
            raise RuntimeError(
                "VirtualClock.busy() is for a task that waits for something real, and no task is running"
            )
        self._home.enter()
        self._busy.append(task)
        try:
            yield
        finally:
            if task in self._busy:  # else the task's event loop is gone
                self._busy.remove(task)
                self._tick()

    def _tick(self) -> None:
        if self._sleepers and not self._is_ticking and not self._busy:
            whenever_idle(self._jump)  # raises where the loop cannot be seen idle
            self._is_ticking = True

    def _jump(self) -> bool:
        """Go to the next wake-up; tell whether there was one to go to."""
        if not self._home.is_here():
            return False
        wake_up = None if self._busy else self._next()
        self._is_ticking = wake_up is not None
        if wake_up is not None:
            self._now = max(self._now, wake_up)
            self._wake()
        return self._is_ticking

    def _next(self) -> float | None:
        """Return when the next sleeper is to be woken; the wake-ups of sleepers that have left are dropped."""
        while self._wake_ups and self._wake_ups[0][1] not in self._sleepers:
            heapq.heappop(self._wake_ups)
        return self._wake_ups[0][0] if self._wake_ups else None

    def _wake(self) -> None:
        while self._wake_ups and self._wake_ups[0][0] <= self._now:
            event = self._sleepers.pop(heapq.heappop(self._wake_ups)[1], None)
            if event is not None:
                event.set()

    def _forget(self) -> None:
        """Forget the sleepers and the busy tasks of an event loop that is gone."""
        self._wake_ups.clear()
        self._sleepers.clear()
        self._busy.clear()
        self._is_ticking = False
