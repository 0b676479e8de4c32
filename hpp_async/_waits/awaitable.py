"""Makes a wait a coroutine: an object that asyncio, anyio, trio and debuggers treat like a native one."""

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
    Mark *function* as one whose result must be awaited, for frameworks that inspect functions.

    Without the mark Starlette, for one, runs the function of a background task in a thread and drops the result.
    """
    if sys.version_info >= (3, 12):  # pragma: no cover - depends on the version of Python
        inspect.markcoroutinefunction(function)
    else:  # pragma: no cover - depends on the version of Python
        from asyncio import coroutines  # noqa: PLC0415 - asyncio would take a seventh of the import time

        function._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]  # asyncio's own mark


class AwaitableWait(Coroutine[Any, Any, T_co]):
    """
    A coroutine that can be awaited again: each ``await`` runs a new native coroutine, made by `_finish`.

    It has to be a coroutine and not only an awaitable: ``create_task``, ``TaskGroup`` and ``asyncio.run`` refuse
    awaitables that are no coroutines. Event loops and debuggers also read the attributes that native coroutines have.

    A task that is made from the wait drives one native coroutine by `send` and `throw`. While that coroutine is
    suspended, every other task that is made from the wait gets a `RuntimeError`, and the first task goes on.
    """

    __slots__ = ("_coroutine", "_driver", "_others")

    def __init__(self) -> None:
        self._coroutine: Any = None
        """The native coroutine, made by `_finish`, that tasks made from the wait drive."""
        self._driver: object = None
        """The task that drives the native coroutine, from its first step to its end."""
        self._others: dict[object, Any] | None = None
        """Tasks whose steps were closed, or lost with an event loop, each with the native coroutine that it drives."""

    @abstractmethod
    async def _finish(self) -> T_co:
        """
        Go on to the end of the wait, and return its result.

        Raises:
            RuntimeError: another task is going on with the wait.
        """
        ...

    @abstractmethod
    def _is_stepping(self) -> bool:
        """Tell whether a task is going on with the wait."""
        ...

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._finish().__await__()

    def _inner(self) -> Any:
        # A native coroutine that has ended is kept for debuggers, until a new task goes on with the wait.
        if self._coroutine is None or self._coroutine.cr_frame is None:
            self._coroutine, self._driver = self._finish(), None
        return self._coroutine

    def _driven(self) -> Any:
        """
        Return the native coroutine for the running task.

        A task in ``_others`` gets the coroutine that it drove before. While another task takes a step, a task gets a
        new coroutine, which raises `RuntimeError`. In all other cases it gets the wait's own.
        """
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
        """Go on, in the task that an event loop made from the wait; see `collections.abc.Coroutine`."""
        return self._drive(self._driven().send, value)

    def throw(self, *exception: Any) -> Any:
        """Raise *exception* inside the wait, as an event loop does to cancel it; see `collections.abc.Coroutine`."""
        return self._drive(self._driven().throw, *exception)

    def _drive(self, go_on: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return go_on(*arguments)
        finally:
            if self._coroutine.cr_frame is None:
                self._driver = None

    def close(self) -> None:
        """Close the native coroutine of a task made from the wait, if any; see `collections.abc.Coroutine`."""
        if self._coroutine is not None:
            self._coroutine.close()
            self._driver = None

    @property
    def cr_await(self) -> Any:
        """The object that the native coroutine awaits, for debuggers; ``None`` if there is none."""
        return None if self._coroutine is None else self._coroutine.cr_await

    @property
    def cr_code(self) -> CodeType:
        """The code object of the native coroutine, for debuggers."""
        return type(self)._finish.__code__

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame of the native coroutine, for debuggers, and for trio, which reads it before the first step."""
        frame: FrameType | None = (self._coroutine or self._inner()).cr_frame
        return frame

    @property
    def cr_running(self) -> bool:
        """Whether the native coroutine is running now, rather than suspended."""
        return self._coroutine is not None and self._coroutine.cr_running
