"""The end of tasks: cancelled until they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_PATIENCE: Final = 0.2
"""Seconds until a task is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """
    Cancel *tasks*, and return once they are over.

    They are cancelled again and again: in Python 3.11 ``asyncio.wait_for``, in which psycopg waits, loses a
    cancellation that comes at the same time as what it waits for.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_PATIENCE)
