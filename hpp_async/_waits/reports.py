"""What waits and watches report to the log and to observers: ids, statuses and seconds."""

from __future__ import annotations

import logging
from itertools import count
from typing import Final

from hpp_async._core.exceptions import HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import Outcome
from hpp_async._core.session import Session
from hpp_async._waits.events import Observers, Slept, TransitionSeen, WaitDropped, WaitEnded, WaitStarted

_FOREVER: Final = float("inf")
_LASTING: Final = 30.0
"""Seconds without a readable answer after which a warning is logged."""

_numbers = count(1)
"""The numbers of waits and watches, for observers."""

_logger = logging.getLogger("hpp_async")


class Reports:
    """
    The reports of one wait, or of one watch for all of its sessions.

    A lasting outage is logged as a warning. The next warning, of this or of another outage, comes no earlier than
    *pause* seconds later; by default, once the outage has lasted for twice as long.
    """

    __slots__ = ("_is_watch", "_number", "_observers", "_pause", "_silent_until", "_started")

    def __init__(self, observers: Observers, *, pause: float | None = None, is_watch: bool = False) -> None:
        self._observers = observers
        self._pause = pause
        self._is_watch = is_watch
        self._silent_until = -_FOREVER
        self._number = 0
        self._started: dict[str, float] | None = None
        """When each wait that goes on began, in loop seconds; ``None`` where nobody observes."""

    def started(self, session_id: str, now: float) -> None:
        """Report to observers that the wait on the session began at *now* (loop seconds)."""
        if not self._observers:
            return
        if self._started is None:
            self._started, self._number = {}, next(_numbers)
        self._started[session_id] = now
        self._observers.tell(WaitStarted(session_id=session_id, wait=self._number, is_watched=self._is_watch))

    def dropped(self, session_id: str) -> bool:
        """Have observers told soon that a wait that began was given up; tell whether that is so. From any thread."""
        if self._started is None or self._started.pop(session_id, None) is None:
            return False
        self._observers.keep(WaitDropped(session_id=session_id, wait=self._number))
        return True

    def seen(self, session_id: str, transition: Transition) -> None:
        """Report a transition."""
        previous = transition.previous
        _logger.info("session %s: %s -> %s", session_id, previous or "first seen", transition.status)
        if self._observers:
            self._observers.tell(
                TransitionSeen(
                    session_id=session_id,
                    wait=self._number,
                    previous=previous,
                    status=transition.status,
                    sequence=transition.sequence,
                    age=_age(transition.session),
                )
            )

    def slept(self, session_id: str, seconds: float, late_by: float) -> None:
        """Report that a read started *seconds* after the read before it, and *late_by* seconds after it was due."""
        if self._observers:
            self._observers.tell(Slept(session_id=session_id, seconds=seconds, late_by=late_by))

    def failing(self, error: HPPError, failing_since: float | None, now: float) -> None:
        """
        Log a warning if an outage has lasted for 30 seconds, unless one was logged lately.

        *error* is the last failure, *failing_since* is when the outage began (``None``: there is none), and *now* is
        the time; both in loop seconds.
        """
        if failing_since is None or now - failing_since < _LASTING or now < self._silent_until:
            return
        lasted = now - failing_since
        self._silent_until = now + (lasted if self._pause is None else self._pause)
        _logger.warning("no readable answer for %.0f s, the wait goes on: %s", lasted, error)

    def ended(
        self, session_id: str, ending: Outcome | HPPError, now: float, *, latest: Session | None, reads: int
    ) -> None:
        """Report how a wait ended at *now* (loop seconds), after *reads* reads; *latest* is its newest reading."""
        name = type(ending).__name__
        _logger.info("session %s: the wait ended after %d reads: %s", session_id, reads, name)
        if isinstance(ending, Outcome) and ending.needs_attention:
            correlation_id = None if latest is None else latest.correlation_id
            _logger.warning(
                "session %s ended as %s with status %s, and needs a person's attention: see Outcome.needs_attention%s",
                session_id,
                name,
                ending.status,
                "" if correlation_id is None else f" (correlation id {correlation_id})",
            )
        if self._started is not None:
            self._observers.tell(
                WaitEnded(
                    session_id=session_id,
                    wait=self._number,
                    ending=name,
                    status=None if latest is None else latest.status,
                    reads=reads,
                    seconds=now - self._started.pop(session_id, now),
                )
            )


def _age(session: Session) -> float | None:
    """Return how long before the read the session had changed, in seconds; ``None`` if the provider did not say."""
    if session.updated_at is None or session.read_at is None:
        return None
    return max(0.0, (session.read_at - session.updated_at).total_seconds())
