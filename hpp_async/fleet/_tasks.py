"""Ends tasks: they are cancelled until they are over."""

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
