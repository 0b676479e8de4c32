"""What observers are told: ids, statuses and seconds; never bodies, tokens or personal data."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.session import AnyStatus

_logger = logging.getLogger("hpp_async")


@attrs.frozen(kw_only=True)
class ReadFinished:
    """A read gave a reading, ``seconds`` after its first attempt began."""

    session_id: str
    status: AnyStatus
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class ReadFailed:
    """
    A read failed after its last attempt, ``seconds`` after the first.

    ``error`` is the name of the error's class and ``message`` its sentence, which says why and from which host.

    Only reads are reported: why `HPPClient.disable_session` failed is raised to its caller.
    """

    session_id: str
    error: str
    message: str
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class TransitionSeen:
    """A wait saw a change of status."""

    session_id: str
    previous: AnyStatus | None
    status: AnyStatus
    sequence: int


@attrs.frozen(kw_only=True)
class Slept:
    """
    A wait slept for ``seconds`` between two reads; the second started ``late_by`` seconds after it was due.

    Reads start late where the budget is short or the event loop is busy.
    """

    session_id: str
    seconds: float
    late_by: float


@attrs.frozen(kw_only=True)
class BudgetPaused:
    """
    All reads of the client pause for ``seconds``: a request was refused with a 429, or the merchant's quota is low.

    ``is_refused`` tells the two apart. The request was a read, or another one that is counted in the same budget, such
    as the DELETE of `HPPClient.disable_session`.
    """

    seconds: float
    is_refused: bool


@attrs.frozen(kw_only=True)
class WaitEnded:
    """A wait ended; ``ending`` is the name of the class of its outcome or error."""

    session_id: str
    ending: str
    status: AnyStatus | None
    reads: int


Event = ReadFinished | ReadFailed | TransitionSeen | Slept | BudgetPaused | WaitEnded
Observer = Callable[[Event], object]


class Observers:
    """
    The callables that are told of events. One that raises is logged, and the wait goes on.

    Raises:
        ConfigurationError: an observer cannot be called, or is asynchronous.
    """

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        for observer in self._observers:
            if not callable(observer):
                raise ConfigurationError(f"observers has {observer!r} in it, which cannot be called with an event")
            if inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(type(observer).__call__):
                raise ConfigurationError(
                    f"observer {observer!r} is asynchronous, and would never be awaited: give a plain function, and "
                    "have it put the event into a queue, say, that a task of yours reads"
                )

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, event: Event) -> None:
        """Tell every observer of *event*."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - whatever a user's observer does, no wait may end by it
                # Not the traceback: its frames and message are the user's, and may hold anything.
                _logger.error(  # noqa: TRY400
                    "observer %r raised %s on %s", observer, type(error).__name__, type(event).__name__
                )
