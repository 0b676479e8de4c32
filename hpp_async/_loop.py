"""The event loop: its clock, and tasks that no caller's cancellation reaches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

import anyio

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """
    What the library needs to know of time; `HPPClient` takes another one for tests.

    ``now`` is in seconds since any moment, and never decreases.
    """

    def now(self) -> float:
        """Return the loop's time, in seconds."""
        ...

    def today(self) -> datetime:
        """Return the date and time that this machine's calendar shows, aware."""
        ...

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or when `now` has reached *until*."""
        ...


class LoopClock:
    """The clock of the running event loop, on asyncio, uvloop and trio."""

    def now(self) -> float:
        """Return the running loop's time, in seconds."""
        import asyncio  # noqa: PLC0415 - a seventh of the import time, and trio does without it

        try:
            return asyncio.get_running_loop().time()  # anyio's answer too, without its search for the backend
        except RuntimeError:
            return anyio.current_time()

    def today(self) -> datetime:
        """Return the system's date and time, in UTC."""
        return datetime.now(UTC)

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or when the loop's time has reached *until*."""
        if until == float("inf"):
            await event.wait()
            return
        with anyio.move_on_after(until - self.now()):
            await event.wait()


class Sleeper:
    """Sleeps until somebody wakes it, or until a moment. A call of `wake` while nobody sleeps has no effect."""

    __slots__ = ("_clock", "_event")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event: anyio.Event | None = None

    def now(self) -> float:
        """Return the loop's time, in seconds."""
        return self._clock.now()

    async def sleep(self, until: float = float("inf")) -> None:
        """Return when `wake` is called, or when the loop's time has reached *until*."""
        event = self._event = anyio.Event()
        try:
            await self._clock.wait(event, until)
        finally:
            self._event = None

    def wake(self) -> None:
        """End the sleep, if there is one."""
        if self._event is not None:
            self._event.set()


Soon = Callable[[Callable[[], object]], object]
"""Has an event loop call something soon; `RuntimeError` where the loop is over."""


def soon() -> Soon:
    """Return the way into the running event loop from other threads and from signal handlers."""
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        into_trio: Soon = trio.lowlevel.current_trio_token().run_sync_soon
        return into_trio

    import asyncio  # noqa: PLC0415 - a seventh of the import time, and trio does without it

    return asyncio.get_running_loop().call_soon_threadsafe


_tasks: Final[set[asyncio.Task[None]]] = set()  # asyncio itself holds tasks only weakly


def spawn(run: Callable[[], Coroutine[object, object, None]], name: str, *, ended: Callable[[], object] = bool) -> None:
    """
    Start *run*, which must not raise, in a task that no caller's cancellation reaches; on asyncio and trio.

    *ended* is called where a task of asyncio's is over, even one that was cancelled before its first step.
    """
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        trio.lowlevel.spawn_system_task(run, name=name)
        return

    import asyncio  # noqa: PLC0415 - a seventh of the import time, and trio does without it

    task = asyncio.get_running_loop().create_task(run(), name=name)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    task.add_done_callback(lambda _: ended())


def _is_running(trio: ModuleType) -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
