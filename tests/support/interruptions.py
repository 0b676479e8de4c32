"""Runs a coroutine and interrupts it at one of its awaits, chosen by number."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final

ENOUGH: Final = 1000
"""More awaits than anything that is interrupted here has."""


async def calling(inner: Coroutine[Any, Any, None], at: int, call: Callable[[], object]) -> bool:
    """Run *inner*, and *call* just before its suspension number *at*; return whether it came to that."""
    return await _calling(inner, at, call)


@coroutine
def _calling(inner: Coroutine[Any, Any, None], at: int, call: Callable[[], object]) -> Generator[Any, Any, bool]:
    suspensions, value, error = 0, None, None
    while True:
        try:
            trap = inner.send(value) if error is None else inner.throw(error)
        except StopIteration:
            return suspensions > at
        if suspensions == at:
            call()
        suspensions += 1
        value = error = None
        try:
            value = yield trap
        except BaseException as thrown:  # noqa: BLE001 - it is thrown into *inner*, which decides
            error = thrown
