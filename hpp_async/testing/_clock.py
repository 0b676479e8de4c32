"""A clock for tests that jumps to the next wake-up as soon as every task waits."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import anyio.lowlevel

from hpp_async._loop import spawn

_START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
_SETTLED: Final = 25
"""
Turns of the event loop in which nobody uses the clock, after which the clock takes every task to be waiting.

It is longer than any chain of awaits between two uses of the clock in this library and its scripted transport.
"""

_HELD: Final = 500
"""The same limit during a request to an application: each of Starlette's middlewares takes about six turns."""


class VirtualClock:
    """
    Time for tests: it stands still while a task runs, and jumps to the next wake-up when every task waits.

    Pass it to ``HPPClient(clock=…)`` and to `ScriptedProvider`. It knows only of the tasks that wait through it, so no
    task in such a test may wait for a real socket or thread. Use a clock in one event loop only.

    Args:
        start: the provider's date and time at the beginning, aware.
        skew: how far this machine's calendar is ahead of the provider's.
    """

    def __init__(self, start: datetime = _START, *, skew: timedelta = timedelta(0)) -> None:
        self._start = start
        self._skew = skew
        self._now = 0.0
        self._uses = 0
        self._wake_ups: list[tuple[float, int]] = []
        self._sleepers: dict[int, anyio.Event] = {}
        self._order = itertools.count()
        self._is_ticking = False

    def now(self) -> float:
        """Return the seconds since the beginning."""
        self._uses += 1
        return self._now

    def today(self) -> datetime:
        """Return this machine's date and time: the provider's plus *skew*."""
        return self.provider_time() + self._skew

    def provider_time(self) -> datetime:
        """Return the provider's date and time."""
        return self._start + timedelta(seconds=self.now())

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or when the clock has reached *until*."""
        if until == float("inf"):
            await event.wait()
            return
        number = next(self._order)
        self._sleepers[number] = event
        heapq.heappush(self._wake_ups, (until, number))
        self._uses += 1
        if not self._is_ticking:
            self._is_ticking = True
            spawn(self._tick, "hpp_async.testing clock")
        try:
            await event.wait()
        finally:
            self._sleepers.pop(number, None)

    async def sleep(self, seconds: float) -> None:
        """Return *seconds* later."""
        await self.wait(anyio.Event(), self.now() + seconds)

    async def hold(self, event: anyio.Event) -> None:
        """Let no time pass until *event* is set, but for no more turns than a request to an application may take."""
        for _ in range(_HELD):
            if event.is_set():
                break
            self._uses += 1
            await anyio.lowlevel.checkpoint()

    async def _tick(self) -> None:
        try:
            while self._next() is not None:
                await self._settle()
                wake_up = self._next()
                if wake_up is not None:
                    self._now = max(self._now, wake_up)
                    self._wake()
                await anyio.lowlevel.checkpoint()
        finally:
            self._is_ticking = False

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

    async def _settle(self) -> None:
        quiet, uses = 0, self._uses
        while quiet < _SETTLED:
            await anyio.lowlevel.checkpoint()
            quiet = quiet + 1 if self._uses == uses else 0
            uses = self._uses
