"""When no task of an event loop can run, because all of them wait: seen on asyncio, uvloop and trio."""

from __future__ import annotations

import gc
import importlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from hpp_async._loop import running_loop, spawn


def whenever_idle(do: Callable[[], bool]) -> None:
    """
    Call *do* each time no task of the running loop can run, until it returns ``False``. *do* must not raise.

    Tasks that wait for a socket, a thread or a timer of the loop cannot run. If the loop is closed, nothing is left.

    Raises:
        RuntimeError: the loop does not show which of its callbacks can run.
    """
    loop = running_loop()
    if not hasattr(loop, "call_soon"):
        spawn(lambda: _idle_on_trio(do), "hpp_async.testing idle")
        return
    lookout = _lookouts.get(loop)
    if lookout is None:
        lookout = _lookouts[loop] = _Lookout(_ready_of(loop))
    lookout.add(do)


async def _idle_on_trio(do: Callable[[], bool]) -> None:
    wait_all_tasks_blocked = importlib.import_module("trio.testing").wait_all_tasks_blocked
    while True:
        await wait_all_tasks_blocked()
        if not do():
            return


class _Lookout:
    """
    Looks at the end of each turn of an asyncio loop whether the loop is idle, for all who want to know.

    Two of them in one loop would keep each other from seeing it idle. It is a callback: a task would be "destroyed but
    pending" where a loop is closed without cancelling its tasks.
    """

    def __init__(self, ready: deque[object]) -> None:
        self._ready = ready
        self._all: list[Callable[[], bool]] = []

    def add(self, do: Callable[[], bool]) -> None:
        self._all.append(do)
        if len(self._all) == 1:
            self._come_again()

    def _look(self) -> None:
        if not self._ready:  # what is in the queue now runs before the next call
            self._all = [do for do in self._all if do()]
        if self._all:
            self._come_again()

    def _come_again(self) -> None:
        running_loop().call_soon(self._look)  # kept as an attribute, the loop would never be collected


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
