"""What makes a wait a coroutine, as far as asyncio, anyio, trio and debuggers look."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator
from types import CodeType, FrameType
from typing import Any, TypeVar

from hpp_async._loop import running_task

T_co = TypeVar("T_co", covariant=True)


def mark_coroutine_function(function: Any) -> None:
    """
    Tell those who inspect *function* that what it returns is to be awaited.

    Starlette runs any other function in a thread, as a background task for one, and drops what it returns.
    """
    if sys.version_info >= (3, 12):  # pragma: no cover - depends on the version of Python
        inspect.markcoroutinefunction(function)
    else:  # pragma: no cover - depends on the version of Python
        from asyncio import coroutines  # noqa: PLC0415 - not at import time, of which it is a seventh

        function._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]  # asyncio's own mark


class AwaitableWait(Coroutine[Any, Any, T_co]):
    """
    A coroutine that can be awaited again: each await is a native coroutine of `_finish`, made when it is needed.

    Event loops want a coroutine, not just something that can be awaited: ``create_task``, ``TaskGroup`` and
    ``asyncio.run`` refuse the latter. They also look at the attributes of native coroutines.

    A task that is made from the wait drives one native coroutine by `send` and `throw`. While that is suspended, any
    other task that is made from the wait is refused, and the first one goes on.
    """

    __slots__ = ("_coroutine", "_driver", "_others")

    def __init__(self) -> None:
        self._coroutine: Any = None  # a native coroutine of _finish
        self._driver: object = None
        """The task that drives it, from its first step to its end."""
        self._others: dict[object, Any] | None = None
        """Other tasks, with what they drive: their steps were closed, or lost with an event loop."""

    @abstractmethod
    async def _finish(self) -> T_co:
        """Go on to the end; raise `RuntimeError` while another task does."""
        ...

    @abstractmethod
    def _is_stepping(self) -> bool:
        """Tell whether a task is going on with the wait."""
        ...

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._finish().__await__()

    def _inner(self) -> Any:
        # One that is over stays, for debuggers to look at, until a new task goes on with the wait.
        if self._coroutine is None or self._coroutine.cr_frame is None:
            self._coroutine, self._driver = self._finish(), None
        return self._coroutine

    def _driven(self) -> Any:
        """Return the coroutine that the running task drives: the wait's own, or one that is refused."""
        task = running_task()
        if self._others is not None and task in self._others:
            return self._others.pop(task)
        coroutine = self._inner()
        if self._driver is not None and self._driver is not task:
            if self._is_stepping():
                return self._finish()
            self._others = (self._others or {}) | {self._driver: coroutine}
            self._coroutine = coroutine = self._finish()
        self._driver = task
        return coroutine

    def send(self, value: Any) -> Any:
        """Drive the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._drive(self._driven().send, value)

    def throw(self, *exception: Any) -> Any:
        """Raise inside the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._drive(self._driven().throw, *exception)

    def _drive(self, go_on: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return go_on(*arguments)
        finally:
            if self._coroutine.cr_frame is None:
                self._driver = None

    def close(self) -> None:
        """End the step that is under way in a task made from the wait; see `collections.abc.Coroutine`."""
        if self._coroutine is not None:
            self._coroutine.close()
            self._driver = None

    @property
    def cr_await(self) -> Any:
        """What the wait is waiting for, for debuggers."""
        return None if self._coroutine is None else self._coroutine.cr_await

    @property
    def cr_code(self) -> CodeType:
        """The code that runs, for debuggers."""
        return type(self)._finish.__code__

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame that runs, for debuggers, and for trio, which asks before the first step."""
        frame: FrameType | None = (self._coroutine or self._inner()).cr_frame
        return frame

    @property
    def cr_running(self) -> bool:
        """Whether the wait is on the stack now."""
        return self._coroutine is not None and self._coroutine.cr_running
