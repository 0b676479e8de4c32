"""Events, which observers are called with. They hold ids, statuses and seconds; no bodies, tokens or personal data."""

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
    """A read ended with a reading, ``seconds`` after its first attempt began."""

    session_id: str
    status: AnyStatus
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class ReadFailed:
    """
    A read ended without a reading, ``seconds`` after its first attempt began.

    ``error`` is the name of the class of the last attempt's error, and ``message`` is its message, which says why it
    failed; it is empty for an error that a hook of your own httpx client raised.

    Only reads are reported. The failure of `HPPClient.disable_session` is raised to its caller, and is no event.
    """

    session_id: str
    error: str
    message: str
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class TransitionSeen:
    """
    A wait saw a new status of its session.

    ``previous`` is ``None`` if the session was never seen before. ``sequence`` is that of the `Transition`.
    """

    session_id: str
    previous: AnyStatus | None
    status: AnyStatus
    sequence: int


@attrs.frozen(kw_only=True)
class Slept:
    """
    A read of a wait started ``seconds`` after the read before it was over, and ``late_by`` seconds after it was due.

    Reads start late if the budget is short or the event loop is busy. The first read of a wait has no such event.
    """

    session_id: str
    seconds: float
    late_by: float


@attrs.frozen(kw_only=True)
class BudgetPaused:
    """
    All reads of the client pause for ``seconds``.

    Either the provider answered a request with a 429 (``is_refused``), or an answer says that little is left of the
    merchant's quota. The request was a read, or another one that counts against the same budget, such as the DELETE of
    `HPPClient.disable_session`.
    """

    seconds: float
    is_refused: bool


@attrs.frozen(kw_only=True)
class WaitEnded:
    """
    A wait ended, after it had used ``reads`` reads, failed ones included.

    ``ending`` is the name of the class of its outcome or error. ``status`` is that of the newest reading; ``None`` if
    there was no reading.
    """

    session_id: str
    ending: str
    status: AnyStatus | None
    reads: int


Event = ReadFinished | ReadFailed | TransitionSeen | Slept | BudgetPaused | WaitEnded
Observer = Callable[[Event], object]


class Observers:
    """
    The functions that are called with each event, in the event loop, one after the other.

    If one of them raises, that is logged, and the wait goes on.

    Raises:
        ConfigurationError: an observer cannot be called, or is asynchronous.
    """

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        for observer in self._observers:
            if not callable(observer):
                raise ConfigurationError(f"observers contains {observer!r}, which cannot be called: give a function")
            if inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(type(observer).__call__):
                raise ConfigurationError(
                    f"observer {observer!r} is asynchronous and would never be awaited: give a plain function; it can "
                    "put the event into a queue that a task of yours reads"
                )

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, event: Event) -> None:
        """Call every observer with *event*."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - no failure of a user's observer may end a wait
                # Neither message nor traceback is logged: they are the user's, and may hold anything.
                _logger.error(  # noqa: TRY400
                    "observer %r raised %s on %s", observer, type(error).__name__, type(event).__name__
                )
