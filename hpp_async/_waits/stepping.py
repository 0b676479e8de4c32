"""One step at a time: whether a task goes on with a wait, or with a watch, at this moment."""

from __future__ import annotations

from typing import Any

from hpp_async._loop import running_loop


class Stepping:
    """
    Lets one task at a time take a step; *refusal* is what another one is told.

    A step whose event loop was closed is lost: its task never runs again, and does not count.
    """

    __slots__ = ("_loop", "_number", "_refusal")

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        self._number = 0
        self._loop: Any = None
        """The loop of the step that is under way; ``None`` between two steps."""

    def is_under_way(self) -> bool:
        """Tell whether a task takes a step."""
        # A run of trio ends all steps before it is over.
        return self._loop is not None and not (hasattr(self._loop, "is_closed") and self._loop.is_closed())

    def begin(self) -> int:
        """
        Begin a step, and return its number for `end`.

        Raises:
            RuntimeError: another step is under way.
        """
        if self.is_under_way():
            raise RuntimeError(self._refusal)
        self._loop = running_loop()
        self._number += 1
        return self._number

    def is_current(self, number: int) -> bool:
        """Tell whether the step is the last one, and was not cancelled."""
        return number == self._number

    def cancel(self) -> None:
        """Let the step that is under way count no more: its task ends it when it runs next."""
        self._number += 1
        self._loop = None

    def end(self, number: int) -> bool:
        """End the step; tell whether it was under way, for one that was lost may end during a later one."""
        if number != self._number:
            return False
        self._loop = None
        return True
