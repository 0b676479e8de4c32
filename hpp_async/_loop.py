"""The event loop: which one a client is used in, its clock, and tasks that are not cancelled with their caller."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """
    The source of time of the library. `HPPClient` takes another one for tests.

    It has two kinds of time. Sleeps and timeouts are measured in *loop seconds* (`now`). The date of this machine
    (`today`) is used only until a reading of the provider has a ``Date``.
    """

    def now(self) -> float:
        """Return the time in loop seconds: seconds from an arbitrary zero, which never decrease."""
        ...

    def today(self) -> datetime:
        """Return the date and time of this machine, with a time zone."""
        ...

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or when `now` has reached *until*. It must be possible to cancel it."""
        ...


class LoopClock:
    """
    The clock of the running event loop, on asyncio, uvloop and trio.

    The zero of a loop's own time is arbitrary, and random for each run of trio. So that a client can move from one loop
    to the next, each loop's time is shifted to that of `time.monotonic`.
    """

    __slots__ = ("_offset", "_time")

    def __init__(self) -> None:
        self._time: Callable[[], float] | None = None
        self._offset = 0.0

    def enter(self, loop: Any) -> None:
        """Note that *loop* is the `running_loop`: looking for it in each `now` would take four times as long."""
        # A method of asyncio's loop; anyio.current_time() would return the same after a search for the backend.
        time: Callable[[], float] = getattr(loop, "time", anyio.current_time)
        self._time, self._offset = time, monotonic() - time()

    def now(self) -> float:
        """Return the running loop's time in seconds, by the zero of `time.monotonic`."""
        time = self._time
        if time is None:  # it was not entered
            self.enter(running_loop())
            return self.now()
        return time() + self._offset

    def today(self) -> datetime:
        """Return the date and time of this machine, in UTC."""
        return datetime.now(UTC)

    async def wait(self, event: anyio.Event, until: float) -> None:
        """Return when *event* is set, or when the loop's time has reached *until*."""
        if until == float("inf"):
            await event.wait()
            return
        with anyio.move_on_after(until - self.now()):
            await event.wait()


class Sleeper:
    """
    Lets one task at a time sleep until `wake` is called, or until a given time.

    A call of `wake` while no task sleeps has no effect. A cancelled sleep leaves nothing behind.
    """

    __slots__ = ("_clock", "_sleep")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleep: anyio.Event | asyncio.Future[None] | None = None

    def now(self) -> float:
        """Return the loop's time, in seconds."""
        return self._clock.now()

    async def sleep(self, until: float = float("inf")) -> None:
        """Return when `wake` is called, or when the loop's time has reached *until*, in seconds."""
        create_future = getattr(running_loop(), "create_future", None) if until == float("inf") else None
        sleep: anyio.Event | asyncio.Future[None]
        slept: Awaitable[None]
        if create_future is not None:  # asyncio, where a future takes a third of the time of an event
            sleep = slept = create_future()
        else:
            sleep = anyio.Event()
            slept = self._clock.wait(sleep, until)
        self._sleep = sleep
        try:
            await slept
        finally:
            if self._sleep is sleep:  # else this sleep was lost with its event loop, and another one has begun
                self._sleep = None

    def wake(self) -> None:
        """End the sleep, if there is one. It can be called in any loop, and after the loop of the sleep was closed."""
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
"""A function that has an event loop call its argument soon; it raises `RuntimeError` if the loop is closed."""


def soon() -> Soon:
    """Return a function that reaches the running event loop from other threads and from signal handlers."""
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        into_trio: Soon = trio.lowlevel.current_trio_token().run_sync_soon
        return into_trio

    import asyncio  # noqa: PLC0415 - a seventh of the import time, and trio does without it

    return asyncio.get_running_loop().call_soon_threadsafe


_tasks: Final[set[asyncio.Task[None]]] = set()  # asyncio itself holds tasks only weakly


def spawn(
    run: Callable[[], Coroutine[object, object, None]],
    name: str,
    *,
    ended: Callable[[], object] = bool,
    context: Context | None = None,
) -> None:
    """
    Start *run*, which must not raise, in a task of its own: the cancellation of a caller does not reach it.

    On asyncio *ended* is called when the task is over, even if it was cancelled before its first step. On trio a system
    task is used, and *ended* is not called. *context* holds the task's context variables. Without it they are a copy of
    the caller's on asyncio, and those of the system tasks on trio.

    From Python 3.12 on, asyncio takes the first step at once, so *run* may be over when this function returns. A turn
    of the event loop before the first step would take a tenth of the time of a read in memory.
    """
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        trio.lowlevel.spawn_system_task(run, name=name, context=context)
        return

    import asyncio  # noqa: PLC0415 - a seventh of the import time, and trio does without it

    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:  # pragma: no cover - newer than the reference
        task: asyncio.Task[None] = asyncio.Task(run(), loop=loop, name=name, context=context, eager_start=True)
        if task.done():
            ended()
            return
    else:
        task = loop.create_task(run(), name=name, context=context)
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
    """Return the asyncio loop that runs in this thread, or the token of trio's run; ``None`` if neither runs."""
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        return trio.lowlevel.current_trio_token()
    asyncio: Any = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def running_task() -> object:
    """Return the task of asyncio or of trio that runs in this thread; ``None`` if none runs."""
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None:
        with suppress(RuntimeError):
            return trio.lowlevel.current_task()
    if asyncio is not None:
        with suppress(RuntimeError):
            return asyncio.current_task()
    return None


def is_task_cancelled() -> bool:
    """
    Tell, where a cancellation arrives, whether it is for the running task.

    On asyncio it may be another task's, for whose result code in this one has asked. On trio that cannot be.
    """
    cancelling = getattr(running_task(), "cancelling", None)
    return cancelling is None or bool(cancelling())


_CLOSING: Final = 5.0
"""Seconds that closing may take after it was cancelled."""


async def to_the_end(close: Callable[[], Awaitable[None]]) -> None:
    """
    Await *close*, which can be repeated. If it is cancelled, repeat it, and let the cancellation go on afterwards.

    In a scope of anyio or trio that is cancelled, every await is cancelled at once, and nothing would be closed. So the
    repetition is shielded, for a few seconds.
    """
    try:
        await close()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_CLOSING, shield=True):
            await close()
        raise


class Home:
    """
    The event loop that a client is used in, or another *owner*.

    A client is used in one loop at a time, and may outlive that loop. When it is used in another one, each of *moved*
    is called, and drops what belonged to the loop before.
    """

    __slots__ = ("_call_soon", "_entered", "_loop", "_moved", "_owner", "_process")

    def __init__(
        self, *moved: Callable[[], object], owner: str = "HPPClient", entered: Callable[[Any], object] = bool
    ) -> None:
        self._moved = moved
        self._entered = entered
        self._owner = owner
        self._loop: Any = None
        self._call_soon: Soon | None = None
        self._process = 0

    def enter(self) -> None:
        """
        Note that the client is used in the running loop. If none runs, do nothing.

        Raises:
            RuntimeError: the client is in use in another loop, which is running as well.
        """
        loop = running_loop()
        if loop is self._loop and self._process == os.getpid():
            return
        if loop is None:
            return
        if self._loop is not None:
            if self.is_running():
                raise RuntimeError(
                    f"this {self._owner} is in use in another event loop, which is running: make one for each loop, or "
                    "use it in one loop after the other"
                )
            self._loop = None
            self._entered(loop)
            for moved in self._moved:
                moved()
        else:
            self._entered(loop)
        self._loop, self._call_soon, self._process = loop, soon(), os.getpid()

    def is_here(self) -> bool:
        """Tell whether the running loop is the client's."""
        return self._loop is not None and running_loop() is self._loop

    def is_running(self) -> bool:
        """Tell whether the client's loop is running, in any thread of this process."""
        loop = self._loop
        if loop is None or self._process != os.getpid():  # after a fork, the loop runs in the parent process only
            return False
        if hasattr(loop, "is_running"):
            return bool(loop.is_running())
        return self.call(bool)

    def call(self, do: Callable[[], object]) -> bool:
        """
        Have the client's loop call *do* soon. It can be called from any thread.

        Return ``False`` if the loop is closed. ``True`` is no guarantee: a loop that was stopped may never run again.
        """
        assert self._call_soon is not None, "the client is used in a loop"
        try:
            self._call_soon(do)
        except RuntimeError:  # asyncio: the loop is closed; trio: the run is over
            return False
        return True
