"""The user's ``deal_with``: whether it can be called and awaited, and where it failed."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sysconfig
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePath
from types import FunctionType
from typing import Final

from hpp_async import ConfigurationError, WatchEvent
from hpp_async.fleet._store import Tx

_LIBRARIES: Final = (
    str(Path(__file__).parents[1]),  # this one, also where it is installed from a checkout
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)

_AT: Final = " at "
_LONGEST: Final = 100
"""How many characters of a place are kept."""

_ADVICE: Final = "give an async function of two arguments: async def deal_with(event, tx)"


class NotAwaitableError(ConfigurationError):
    """``deal_with`` returned what cannot be awaited: it would fail at every event."""


class DealCancelledError(Exception):
    """What ``deal_with`` waited for was cancelled, and its worker was not."""


class DealOverdueError(Exception):
    """While the event was dealt with, the event loop stood still until the shard was lost."""


class DealCutError(Exception):
    """Several times in a row, the connection broke while the event was dealt with: ``deal_with`` may be the reason."""


def check_deal_with(deal_with: object) -> None:
    """
    Refuse what cannot deal with events, as far as can be told without calling it.

    A lambda, a function with an annotation, and a callable of C can return an awaitable: `call` looks at those.

    Raises:
        ConfigurationError: it is refused.
    """
    if not callable(deal_with):
        raise ConfigurationError(f"deal_with is no function: {_ADVICE}")
    if _is_never_awaitable(deal_with):
        raise ConfigurationError(f"deal_with is not async: {_ADVICE}")
    try:
        inspect.signature(deal_with).bind(None, None)
    except TypeError:
        raise ConfigurationError(f"deal_with does not take two arguments: {_ADVICE}") from None
    except ValueError:  # a callable of C that does not say
        pass


def _is_never_awaitable(deal_with: object) -> bool:
    while isinstance(deal_with, functools.partial):
        deal_with = deal_with.func
    if inspect.iscoroutinefunction(deal_with):
        return False
    function: object = inspect.unwrap(deal_with) if callable(deal_with) else deal_with
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        function = inspect.getattr_static(type(function), "__call__", None)
    if not isinstance(function, FunctionType) or inspect.iscoroutinefunction(function):
        return False
    is_silent = function.__name__ != "<lambda>" and function.__annotations__.get("return") in {None, "None"}
    return is_silent or inspect.isasyncgenfunction(function)


async def call(deal_with: Callable[[WatchEvent, Tx], object], event: WatchEvent, tx: Tx) -> None:
    """
    Deal with an event.

    Raises:
        NotAwaitableError: what *deal_with* returned cannot be awaited.
        DealCancelledError: *deal_with* raised `asyncio.CancelledError`, although nobody cancelled the task.
        Exception: *deal_with* raised it.
    """
    dealing = deal_with(event, tx)
    if not isinstance(dealing, Awaitable):
        raise NotAwaitableError(f"deal_with returned a {type(dealing).__name__}, which cannot be awaited: {_ADVICE}")
    try:
        await dealing
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise DealCancelledError("what deal_with waited for was cancelled").with_traceback(
            error.__traceback__
        ) from None


def failure_of(error: BaseException) -> str:
    """
    Return the class of *error*, and where ``deal_with`` raised it. Its message is left out: it may hold anything.

    The place is in the innermost function that is in no library, or in the outermost one if all are in libraries.
    """
    name, places = type(error).__name__, list[tuple[str, int]]()
    traceback, is_inside = error.__traceback__, False
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_inside:
            places.append((code.co_filename, traceback.tb_lineno))
        is_inside = is_inside or code is call.__code__
        traceback = traceback.tb_next
    if not places:
        return name
    file, line = ([place for place in places if not place[0].startswith(_LIBRARIES)] or places[:1])[-1]
    place = f"{'/'.join(PurePath(file).parts[-2:])}:{line}"[-_LONGEST:]
    return name + _AT + "".join(each if each.isprintable() else "?" for each in place)  # it goes into logs and tables


def name_and_place(failure: str | None) -> tuple[str | None, str | None]:
    """Return the two parts of what `failure_of` returned."""
    name, _, place = (failure or "").partition(_AT)
    return name or None, place or None
