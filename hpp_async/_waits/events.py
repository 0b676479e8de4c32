"""What observers are told: ids, statuses and seconds; never bodies, tokens or personal data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import attrs

from hpp_async._core.session import AnyStatus

_logger = logging.getLogger("hpp_async")


@attrs.frozen(kw_only=True)
class ReadFinished:
    """A read gave a reading, after ``seconds`` of waiting, attempts and answers."""

    session_id: str
    status: AnyStatus
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class ReadFailed:
    """A read failed for good, after ``seconds``; ``error`` is the name of the error's class."""

    session_id: str
    error: str
    correlation_id: str | None
    seconds: float


@attrs.frozen(kw_only=True)
class TransitionSeen:
    """A wait believed a change of status."""

    session_id: str
    previous: AnyStatus | None
    status: AnyStatus
    sequence: int


@attrs.frozen(kw_only=True)
class Slept:
    """
    A wait rested for ``seconds``, and its read went out ``late_by`` seconds after it was due.

    Lateness is what a short budget, or a busy event loop, costs.
    """

    session_id: str
    seconds: float
    late_by: float


@attrs.frozen(kw_only=True)
class BudgetPaused:
    """All reads of the client pause for ``seconds``: refused by a 429, or because the merchant's quota runs low."""

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
    """The callables that are told; one that raises is logged, never felt."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

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
