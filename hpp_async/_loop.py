"""The event loop: which one a client is in, its clock, and tasks that no caller's cancellation reaches."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

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
    """
    The clock of the running event loop, on asyncio, uvloop and trio.

    Each run of trio begins at a time drawn at random, so the loops' own times are shifted to one that all share.
    """

    __slots__ = ("_loop", "_offset", "_time")

    def __init__(self) -> None:
        self._loop: object = None
        self._time: Callable[[], float] = anyio.current_time
        self._offset = 0.0

    def now(self) -> float:
        """Return the running loop's time, in seconds since any moment."""
        loop = running_loop()
        if loop is not self._loop or loop is None:
            # asyncio's own method gives anyio's answer, too, without its search for the backend.
            self._time = getattr(loop, "time", anyio.current_time)
            self._loop, self._offset = loop, monotonic() - self._time()
        return self._time() + self._offset

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

    __slots__ = ("_clock", "_sleep")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleep: anyio.Event | asyncio.Future[None] | None = None

    def now(self) -> float:
        """Return the loop's time, in seconds."""
        return self._clock.now()

    async def sleep(self, until: float = float("inf")) -> None:
        """Return when `wake` is called, or when the loop's time has reached *until*."""
        create_future = getattr(running_loop(), "create_future", None) if until == float("inf") else None
        sleep: anyio.Event | asyncio.Future[None]
        slept: Awaitable[None]
        if create_future is not None:  # asyncio's: a future costs a third of an event
            sleep = slept = create_future()
        else:
            sleep = anyio.Event()
            slept = self._clock.wait(sleep, until)
        self._sleep = sleep
        try:
            await slept
        finally:
            if self._sleep is sleep:  # else this sleep was given up with its loop, and there is another one
                self._sleep = None

    def wake(self) -> None:
        """End the sleep, if there is one; harmless in any loop, and where that of the sleep was closed."""
        sleep = self._sleep
        if sleep is None:
            return
        try:
            if isinstance(sleep, anyio.Event):
                sleep.set()
            elif not sleep.done():
                sleep.set_result(None)
        except RuntimeError:  # asyncio: the loop of the sleep was closed
            pass


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

    def is_over(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        ended()

    task.add_done_callback(is_over)


def _is_running(trio: ModuleType) -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def running_loop() -> Any:
    """Return the event loop that runs in this thread, of asyncio's, or trio's token for it; ``None`` if none runs."""
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None and _is_running(trio):
        return trio.lowlevel.current_trio_token()
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def running_task() -> object:
    """Return the task that runs in this thread, of asyncio's or trio's; ``None`` if none runs."""
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None:
        with suppress(RuntimeError):
            return trio.lowlevel.current_task()
    if asyncio is not None:
        with suppress(RuntimeError):
            return asyncio.current_task()
    return None


class Home:
    """
    The event loop that a client is in.

    A client is in one loop at a time, and may outlive it: when it is used in another one, each *moved* is called, to
    drop what belonged to the loop before.
    """

    __slots__ = ("_call_soon", "_loop", "_moved", "_process")

    def __init__(self, *moved: Callable[[], object]) -> None:
        self._moved = moved
        self._loop: Any = None
        self._call_soon: Soon | None = None
        self._process = 0

    def enter(self) -> None:
        """
        Note that the client is used in the running loop.

        Raises:
            RuntimeError: the loop that the client is in runs as well, in another thread.
        """
        loop = running_loop()
        if loop is self._loop and self._process == os.getpid():
            return
        if loop is None:
            return
        if self._loop is not None:
            if self.is_running():
                raise RuntimeError(
                    "this HPPClient is in use in another event loop, which is running: make one client for each loop, "
                    "or use it in one loop after the other"
                )
            self._loop = None
            for moved in self._moved:
                moved()
        self._loop, self._call_soon, self._process = loop, soon(), os.getpid()

    def is_here(self) -> bool:
        """Tell whether the running loop is the client's."""
        return self._loop is not None and running_loop() is self._loop

    def is_running(self) -> bool:
        """Tell whether the client's loop runs, in whichever thread of this process."""
        loop = self._loop
        if loop is None or self._process != os.getpid():  # a fork leaves the loop behind
            return False
        if hasattr(loop, "is_running"):
            return bool(loop.is_running())
        return self.call(bool)

    def call(self, do: Callable[[], object]) -> bool:
        """Have the client's loop call *do* soon, from any thread; return whether it will, as far as is known."""
        assert self._call_soon is not None, "the client is in a loop"
        try:
            self._call_soon(do)
        except RuntimeError:  # asyncio: the loop is closed; trio: the run is over
            return False
        return True
