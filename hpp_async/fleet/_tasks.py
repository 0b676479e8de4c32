"""Cancellations that psycopg may lose: of other tasks, which are cancelled again, and of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_PATIENCE: Final = 0.2
"""Seconds until a task is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """
    Cancel *tasks*, and return once they are over, in whichever way.

    They are cancelled again and again: in Python 3.11 ``asyncio.wait_for``, in which psycopg waits, loses a
    cancellation that comes at the same time as what it waits for.
    """
    left = list(tasks)
    while left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_PATIENCE)
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()  # else asyncio logs, with a traceback, that nobody has seen it
        left = [task for task in left if not task.done()]


class Cancellation:
    """
    Notices a cancellation of the current task that was lost, from now on.

    Without that, a wait with a timeout could go on for ever: a timeout cancels its task once. For the reason see `end`.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine on asyncio runs in a task"
        self._task = task
        self._before = task.cancelling()

    async def check(self) -> None:
        """
        Raise if the task was cancelled.

        Raises:
            asyncio.CancelledError: it was.
        """
        if self._task.cancelling() > self._before:
            for _ in range(2):  # a scope of anyio's cancels again by then, and knows its own cancellation only
                await asyncio.sleep(0)
            raise asyncio.CancelledError
