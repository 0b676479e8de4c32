"""When no task of an event loop can run, because all of them wait: seen on asyncio, uvloop and trio."""

from __future__ import annotations

import gc
import importlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from hpp_async._loop import running_loop, spawn


def whenever_idle(do: Callable[[], bool]) -> None:
    """
    Call *do* each time no task of the running loop can run, until it returns ``False``. *do* must not raise.

    *do* returns ``True`` where it has let a task run. Then others wait until no task can run again, and come first. One
    that is added twice is called once. Tasks that wait for a socket, a thread or a timer of the loop cannot run. If the
    loop is closed, nothing is left.

    Raises:
        RuntimeError: the loop does not show which of its callbacks can run.
    """
    loop = running_loop()
    lookout = _lookouts.get(loop)
    if lookout is None:
        lookout = _lookouts[loop] = _OnAsyncio(_ready_of(loop)) if hasattr(loop, "call_soon") else _OnTrio()
    lookout.add(do)


class _Lookout(ABC):
    """
    Looks whether a loop is idle, for all who want to know.

    Two of them in one loop would keep each other from seeing it idle, or would see the same idle moment.
    """

    def __init__(self) -> None:
        self._all: deque[Callable[[], bool]] = deque()

    def add(self, do: Callable[[], bool]) -> None:
        if do in self._all:  # from before its owner was used in another loop
            return
        self._all.append(do)
        if len(self._all) == 1:
            self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Look, until nobody wants to know any more."""

    def _call(self) -> None:
        """Call one after another until one has let a task run; that one is the last next time."""
        while self._all:
            do = self._all.popleft()
            if do():
                self._all.append(do)
                return


class _OnAsyncio(_Lookout):
    """
    Looks at the end of each turn of an asyncio loop.

    It is a callback: a task would be "destroyed but pending" where a loop is closed without cancelling its tasks.
    """

    def __init__(self, ready: deque[object]) -> None:
        super().__init__()
        self._ready = ready

    def _begin(self) -> None:
        running_loop().call_soon(self._look)  # kept as an attribute, the loop would never be collected

    def _look(self) -> None:
        if not self._ready:  # what is in the queue now runs before the next call
            self._call()
        if self._all:
            self._begin()


class _OnTrio(_Lookout):
    """Waits in a system task of trio's, which is cancelled at the end of the run."""

    def _begin(self) -> None:
        spawn(self._wait, "hpp_async.testing idle")

    async def _wait(self) -> None:
        wait_all_tasks_blocked = importlib.import_module("trio.testing").wait_all_tasks_blocked
        try:
            while self._all:
                await wait_all_tasks_blocked()
                self._call()
        finally:
            self._all.clear()  # else what is left would keep the run in memory


_lookouts: Final[WeakKeyDictionary[Any, _Lookout]] = WeakKeyDictionary()


def _ready_of(loop: Any) -> deque[object]:
    """Return the queue in which *loop* keeps the callbacks that can run."""
    ready: deque[object] | None = getattr(loop, "_ready", None)
    if ready is None:  # uvloop keeps it from Python, but not from the garbage collector
        mark = loop.call_soon(bool)
        queues = (cast("deque[object]", one) for one in gc.get_referents(loop) if isinstance(one, deque))
        ready = next((queue for queue in queues if mark in queue), None)
    if ready is None:
        raise RuntimeError(
            f"VirtualClock cannot see when all tasks of {type(loop).__module__}.{type(loop).__qualname__} wait: use "
            "asyncio's own event loop, uvloop's, or trio"
        )
    return ready
