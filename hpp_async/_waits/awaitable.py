"""What makes a wait a coroutine, as far as asyncio, anyio, trio and debuggers look."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Generator
from types import CodeType, FrameType
from typing import Any, TypeVar

T_co = TypeVar("T_co", covariant=True)


class AwaitableWait(Coroutine[Any, Any, T_co]):
    """
    A coroutine that can be awaited again: each await is a native coroutine of `_finish`, made when it is needed.

    Event loops want a coroutine, not just something that can be awaited: ``create_task``, ``TaskGroup`` and
    ``asyncio.run`` refuse the latter. They also look at the attributes of native coroutines.
    """

    __slots__ = ("_coroutine",)

    def __init__(self) -> None:
        self._coroutine: Any = None  # a native coroutine of _finish

    @abstractmethod
    async def _finish(self) -> T_co: ...

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._finish().__await__()

    def _inner(self) -> Any:
        # One that is over stays, for debuggers to look at, until a new task goes on with the wait.
        if self._coroutine is None or self._coroutine.cr_frame is None:
            self._coroutine = self._finish()
        return self._coroutine

    def send(self, value: Any) -> Any:
        """Drive the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._inner().send(value)

    def throw(self, *exception: Any) -> Any:
        """Raise inside the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._inner().throw(*exception)

    def close(self) -> None:
        """End the step that is under way; see `collections.abc.Coroutine`."""
        if self._coroutine is not None:
            self._coroutine.close()

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
