"""Work of a client in a task of its own: its callers wait for it, and their cancellation does not reach it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

from hpp_async._loop import Sleeper, spawn

T = TypeVar("T")


class Work(Generic[T]):
    """
    One piece of work: in flight at first, later finished with a ``value``, with a ``failure``, or without either.

    It is finished without either if it ``is_dropped``.
    """

    __slots__ = ("callers", "failure", "finished_at", "is_dropped", "value")

    def __init__(self) -> None:
        self.finished_at: float | None = None
        """When it finished, in loop seconds; `start`'s *finish* sets it."""
        self.value: T | None = None
        self.failure: Exception | None = None
        self.is_dropped: bool = True
        """
        Whether it finished without a result.

        True by default: the task may be cancelled before its first step, or lost with its event loop.
        """
        self.callers: list[Sleeper] = []
        """The sleepers of the callers that wait for it to finish."""

    def start(
        self,
        operation: Callable[[], Awaitable[T]],
        name: str,
        *,
        finish: Callable[[], object],
        context: Context | None = None,
    ) -> None:
        """
        Await *operation* in a task called *name*; then call *finish*, which may be called a second time.

        *context* holds the task's context variables; see `spawn`.

        *finish* is called in any case, also where no task can be made: else the callers would wait for ever.
        """
        try:
            spawn(lambda: self._run(operation, finish), name, ended=finish, context=context)
        except BaseException:
            finish()
            raise

    async def _run(self, operation: Callable[[], Awaitable[T]], finish: Callable[[], object]) -> None:
        try:
            self.value = await operation()
            self.is_dropped = False
        except GeneratorExit:  # pragma: no cover - at the interpreter's exit, of a task that was lost with its loop
            raise
        except Exception as error:  # noqa: BLE001 - it is raised to the callers
            self.failure, self.is_dropped = error, False
        except BaseException:
            finish()
            raise
        finish()

    async def finished(self, caller: Sleeper) -> None:
        """Return when it is finished. The caller sleeps in *caller*, and can be cancelled."""
        self.callers.append(caller)
        while self.finished_at is None:
            await caller.sleep()

    def wake(self) -> None:
        """Wake the callers."""
        for caller in self.callers:
            caller.wake()
