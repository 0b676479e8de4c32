"""One step at a time: keeps two tasks from going on with the same wait, or with the same watch, at once."""

from __future__ import annotations

from typing import Any

from hpp_async._loop import running_loop


class Stepping:
    """
    Lets one task at a time take a step of a wait or a watch; *refusal* is the message of the error for a second task.

    A step is lost when its event loop is closed: its task never runs again. A lost step is not under way any more, and
    is in no other task's way.
    """

    __slots__ = ("_loop", "_number", "_refusal")

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        self._number = 0
        self._loop: Any = None
        """The event loop of the step that is under way; ``None`` between two steps."""

    def is_under_way(self) -> bool:
        """Tell whether a task is taking a step."""
        # Only a loop of asyncio's can lose a step: a run of trio waits for all of its tasks.
        return self._loop is not None and not (hasattr(self._loop, "is_closed") and self._loop.is_closed())

    def begin(self) -> int:
        """
        Begin a step, and return its number, for `is_current` and `end`.

        Raises:
            RuntimeError: another step is under way.
        """
        if self.is_under_way():
            raise RuntimeError(self._refusal)
        self._loop = running_loop()
        self._number += 1
        return self._number

    def is_current(self, number: int) -> bool:
        """Tell whether no later step has begun since, and the step was not cancelled by `cancel`."""
        return number == self._number

    def cancel(self) -> None:
        """Give up the step that is under way. Its task must ask `is_current` when it runs next, and end the step."""
        self._number += 1
        self._loop = None

    def end(self, number: int) -> bool:
        """
        End the step, and tell whether it was still current.

        A step that was cancelled or lost may end while a later one is under way, which then stays so.
        """
        if number != self._number:
            return False
        self._loop = None
        return True
