"""One session that is followed, alone or among thousands: what its poller is told, and what is told of it."""

from __future__ import annotations

import logging
from typing import Final

from hpp_async._core.actions import Read
from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import Outcome
from hpp_async._core.poller import Poller
from hpp_async._waits.events import Slept, TransitionSeen, WaitEnded
from hpp_async._waits.reads import Flight, Reads, SharedReads

_FOREVER: Final = float("inf")
_LASTING: Final = 30.0
"""Seconds without a readable answer after which a warning is logged."""

_logger = logging.getLogger("hpp_async")


class Alarm:
    """Whether a lasting outage is still to be warned of: once, or again after *pause* seconds."""

    __slots__ = ("_pause", "_silent_until")

    def __init__(self, pause: float = _FOREVER) -> None:
        self._pause = pause
        self._silent_until = -_FOREVER

    def sounds(self, now: float) -> bool:
        """Tell whether to warn at *now*; then it is silent."""
        if now < self._silent_until:
            return False
        self._silent_until = now + self._pause
        return True


class Following:
    """A poller, and what it has been told. Times are in loop seconds."""

    __slots__ = (
        "_alarm",
        "_landed_before",
        "_lateness",
        "_notified_after",
        "_notified_at",
        "_reads",
        "_told_at",
        "_used",
        "asked",
        "poller",
    )

    def __init__(self, poller: Poller, *, reads: Reads, alarm: Alarm) -> None:
        self.poller = poller
        self.asked: Flight | None = None
        self._reads = reads
        self._alarm = alarm
        self._notified_at = self._told_at = -_FOREVER
        self._lateness = 0.0
        self._used = self._landed_before = self._notified_after = 0

    @property
    def session_id(self) -> str:
        """The session that is followed."""
        return self.poller.session_id

    def attach(self, shared: SharedReads) -> None:
        """Begin: from here on landings count, notifications, and the poller's timeout."""
        self._landed_before = 0 if shared.landed is None else shared.landed.number
        self._notified_at, self._notified_after = shared.notified_at, shared.notified_after
        self.poller.next_action(self._reads.clock.now())

    # -- what came ----------------------------------------------------------------------------------------------------

    def take(self, landed: Flight | None) -> None:
        """
        Tell the poller what came since the last time: what was asked for, and the last that *landed* for anybody.

        Raises:
            ClientClosedError: the client, or the httpx client it borrows, was closed.
        """
        asked, heard = self.asked, landed
        if heard is not None and (heard.reading is None or heard.number <= self._landed_before):
            heard = None
        if asked is not None and asked.landed_at is not None:
            self.asked = None
            if asked.reading is not None:
                self._use(asked, asked.landed_at)
            elif heard is None or heard.number < asked.number:
                # Not one that a later reading outdates; and from now: while nobody looked there was no outage.
                self._use(asked, self._reads.clock.now())
        if heard is not None and heard.number > self._used:
            self._use(heard, _landed_at(heard))

    def take_young(self, shared: SharedReads, fresh_from: float) -> bool:
        """Use the session's last landing, even one from before this began, if asked for at or after *fresh_from*."""
        landed, known = shared.landed, max(self._used, shared.notified_after)
        if landed is None or landed.reading is None or landed.number <= known or landed.started_at < fresh_from:
            return False
        self._use(landed, _landed_at(landed))
        return True

    def hear(self, notified_at: float, notified_after: int) -> None:
        """Tell the poller of a notification, once; *notified_after* is the last flight that had begun by then."""
        if notified_at > self._notified_at or notified_after > self._notified_after:
            self._notified_at, self._notified_after = notified_at, notified_after
            self.poller.notified(notified_at)
            self._lateness = self._reads.lateness()

    def _use(self, flight: Flight, landed_at: float) -> None:
        self._used = flight.number
        if flight.reading is not None:
            seen = len(self.poller.transitions)
            self.poller.received(flight.reading, landed_at, self._reads.draw(), asked_at=flight.started_at)
            for transition in self.poller.transitions[seen:]:
                self._report(transition)
        else:
            self._fail(flight, landed_at)
        if flight.number <= self._notified_after:
            # A notification is served only by a read that began after it, be it in the same moment of the clock.
            self.poller.notified(self._notified_at)
        self._told_at, self._lateness = landed_at, self._reads.lateness()

    def _fail(self, flight: Flight, landed_at: float) -> None:
        try:
            flight.result()
        except ClientClosedError:
            raise
        except HPPError as error:
            self.poller.failed(error, landed_at, self._reads.draw(), asked_at=flight.started_at)
            self._warn(error, landed_at)

    # -- what is next -------------------------------------------------------------------------------------------------

    def key(self, due: float) -> float:
        """When *due* is in the budget's virtual time: as late as that was when the delay began."""
        return due - self._lateness

    def key_of(self, read: Read, now: float) -> float:
        """When *read* is due in the budget's virtual time."""
        if read.is_urgent or read.due == -_FOREVER:
            return now - self._reads.lateness()
        return self.key(read.due)

    def board(self, flight: Flight, due: float) -> None:
        """Wait for *flight*, which answers the read that was due at *due*."""
        if self.asked is flight:
            return
        self.asked = flight
        observers = self._reads.observers
        if observers and due > -_FOREVER:
            seconds, late_by = flight.started_at - self._told_at, max(0.0, flight.started_at - due)
            observers.tell(Slept(session_id=self.session_id, seconds=max(0.0, seconds), late_by=late_by))

    # -- what is said of it -------------------------------------------------------------------------------------------

    def _report(self, transition: Transition) -> None:
        previous = transition.previous
        _logger.info("session %s: %s -> %s", self.session_id, previous or "first seen", transition.status)
        self._reads.observers.tell(
            TransitionSeen(
                session_id=self.session_id,
                previous=previous,
                status=transition.status,
                sequence=transition.sequence,
            )
        )

    def _warn(self, error: HPPError, now: float) -> None:
        failing_since = self.poller.failing_since
        if failing_since is None or now - failing_since < _LASTING or not self._alarm.sounds(now):
            return
        _logger.warning("no readable answer for %.0f s, the wait goes on: %s", now - failing_since, error)

    def end(self, ending: Outcome | HPPError) -> None:
        """Say how it ended."""
        latest, reads = self.poller.latest, self.poller.reads
        support = (
            "" if latest is None or latest.correlation_id is None else f" (correlation id {latest.correlation_id})"
        )
        name = type(ending).__name__
        _logger.info("session %s: the wait ended after %d reads: %s", self.session_id, reads, name)
        if isinstance(ending, Outcome) and ending.needs_attention:
            _logger.warning(
                "session %s ended as %s with status %s, and needs a person's attention: see Outcome.needs_attention%s",
                self.session_id,
                name,
                ending.status,
                support,
            )
        self._reads.observers.tell(
            WaitEnded(
                session_id=self.session_id,
                ending=name,
                status=None if latest is None else latest.status,
                reads=reads,
            )
        )


def _landed_at(flight: Flight) -> float:
    assert flight.landed_at is not None, "asked of a flight that has landed"
    return flight.landed_at
