"""
One session that is tracked, by a wait or among thousands by a watch: the only door to its poller.

A tracker is told what the shared reads show, keeps that until its driver takes a step, and tells the poller then. The
driver asks it for news to hand over, and has it ask for the read that is due.
"""

from __future__ import annotations

from typing import Final

from hpp_async._core.actions import Action, Emit, Fail, Finish, Read, Sleep
from hpp_async._core.budget import Kind
from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome
from hpp_async._core.poller import Poller
from hpp_async._core.session import Session
from hpp_async._waits.flight import Flight, Notification
from hpp_async._waits.reads import Reads
from hpp_async._waits.reports import Reports
from hpp_async._waits.turns import Claim

_FOREVER: Final = float("inf")
_NEVER: Final = -_FOREVER  # one object: thousands of sessions share it
_NOTIFICATION_INTERVAL: Final = 1.0
"""Seconds: notifications make a session due no more often, so that a flood of them cannot use up the budget."""

_ROUNDING: Final = 1e-6
"""Seconds by which the loop's time and the budget's virtual time may disagree about a due time: sums of floats."""


class Tracker:
    """A poller, and what has come for it. Times are in loop seconds."""

    __slots__ = (
        "_inbox",
        "_lateness",
        "_notification",
        "_notified_due",
        "_poller",
        "_reads",
        "_reports",
        "_rests_since",
        "_used",
        "asked",
    )

    def __init__(self, poller: Poller, *, reads: Reads, reports: Reports) -> None:
        self._poller = poller
        self._reads = reads
        self._reports = reports
        self.asked: Flight | None = None
        """The flight that answers the read that is due, until the poller is told of its end."""
        self._inbox: tuple[Flight, ...] = ()
        """Finished flights with a reading of which the poller is to be told."""
        self._used = 0
        """The number of the last flight that the poller was told of."""
        self._notification: Notification | None = None
        self._notified_due = _NEVER
        """When the last notification made a read due, in loop seconds."""
        self._rests_since = _NEVER
        self._lateness = 0.0
        """How far the budget's virtual time was behind when the delay began that lasts now."""

    # -- what the caller may know -------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session that is tracked."""
        return self._poller.session_id

    @property
    def latest(self) -> Session | None:
        """The newest believed reading."""
        return self._poller.latest

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every transition that the poller keeps."""
        return self._poller.transitions

    @property
    def outcome(self) -> AnyOutcome | None:
        """The outcome, once there is one."""
        return self._poller.outcome

    @property
    def reads(self) -> int:
        """How many answers were used."""
        return self._poller.reads

    @property
    def token(self) -> str | None:
        """Where the caller is: after the last transition that was handed over."""
        return self._poller.token

    @property
    def next_read_in(self) -> float | None:
        """Seconds until the next read is due; ``None`` if there is none to wait for."""
        action = self._action()
        return action.until - self._reads.clock.now() if isinstance(action, Sleep) else None

    # -- what came ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Note that the driver takes its first step: the poller's timeout counts from here."""
        self._poller.next_action(self._reads.clock.now())

    def resume(self, left_at: float) -> None:
        """Note that the driver takes a step, and took none since *left_at*: idle time does not count as outage."""
        self._poller.resumed(left_at, self._reads.clock.now())

    def keep(self, flight: Flight) -> bool:
        """
        Keep what the finished *flight* showed for the next step; tell whether that is anything.

        Of several readings in a row with the same status the last one is kept. Failures count only where this tracker
        asked for the flight.
        """
        reading = flight.reading
        if reading is None:
            return flight is self.asked
        kept = self._inbox
        if kept and kept[-1].reading is not None and kept[-1].reading.status == reading.status:
            kept = kept[:-1]
        self._inbox = (*kept, flight)
        return True

    def bring_forward(self, notification: Notification) -> bool:
        """Make a read due that starts after *notification*; tell whether that is earlier than it was."""
        is_known = self._poller.is_notified and self.asked is None
        if not is_known:
            self._notified_due = max(notification.at, self._notified_due + _NOTIFICATION_INTERVAL)
        self._notification = notification
        self._poller.notified(notification.at, self._notified_due)
        self._lateness = self._reads.turns.lateness()
        return not is_known

    def catch_up(self) -> None:
        """
        Tell the poller what came since the last step.

        Raises:
            ClientClosedError: the client, or the httpx client it borrows, was closed.
            Exception: whatever a schedule or an httpx hook of the caller's own raised.
        """
        asked = self.asked
        if asked is not None and asked.finished_at is not None:
            self.asked = None
        else:
            asked = None
        while self._inbox:
            flight, self._inbox = self._inbox[0], self._inbox[1:]
            self._use(flight)
        if asked is not None and asked.failure is not None and self._used < asked.number:
            # A later reading makes a failure obsolete. And it counts from now: idle time does not count as outage.
            self._fail(asked, self._reads.clock.now())

    def _use(self, flight: Flight) -> None:
        assert flight.reading is not None, "only readings are kept"
        assert flight.finished_at is not None, "only finished flights are kept"
        self._used = flight.number
        seen = len(self._poller.transitions)
        self._poller.received(flight.reading, flight.finished_at, self._reads.turns.draw(), asked_at=flight.started_at)
        for transition in self._poller.transitions[seen:]:
            self._reports.seen(self.session_id, transition)
        self._rest(flight, flight.finished_at)

    def _fail(self, flight: Flight, now: float) -> None:
        self._used = flight.number
        try:
            flight.result()
        except ClientClosedError:
            raise
        except HPPError as error:
            self._poller.failed(
                error,
                now,
                self._reads.turns.draw(),
                asked_at=flight.started_at,
                held=max(0.0, self._reads.turns.lateness() - self._lateness),
                was_read=self._reads.was_read(self.session_id),
            )
            self._reports.failing(error, self._poller.failing_since, now)
        self._rest(flight, now)

    def _rest(self, flight: Flight, now: float) -> None:
        if self._notification is not None and flight.number <= self._notification.after:
            # The read started before the notification, so it cannot have served it.
            self._poller.notified(self._notification.at, self._notified_due)
        self._rests_since, self._lateness = now, self._reads.turns.lateness()

    # -- what is next -------------------------------------------------------------------------------------------------

    def take_news(self) -> Transition | AnyOutcome | HPPError | None:
        """Return what is to be handed to the caller next, and take it for handed over; ``None`` if there is nothing."""
        match self._action():
            case Emit(transition):
                self._poller.emitted()
                return transition
            case Finish(outcome):
                return outcome
            case Fail(error):
                return error
            case _:
                return None

    def next_read(self) -> tuple[Kind, float] | None:
        """
        Return what kind of read is next, and when it is due; ``None`` where there is news instead.

        One of the schedule is due in the budget's virtual time. A new arrival is due now.
        """
        match self._action():
            case Read() as read:
                return self._kind(read), self._key(read)
            case Sleep(until):
                return Kind.DUE, self._virtually(until)
            case _:
                return None

    def _kind(self, read: Read) -> Kind:
        if read.is_urgent:
            return Kind.URGENT
        if read.due == _NEVER:
            return Kind.DUE if self._poller.is_resumed else Kind.NEW
        return Kind.NEW if self._poller.is_notified else Kind.DUE

    def _key(self, read: Read) -> float:
        return self._reads.turns.virtual() if read.due == _NEVER else self._virtually(read.due)

    def _virtually(self, due: float) -> float:
        """Return when *due* (loop seconds) is in the budget's virtual time."""
        # Where nothing is late both are one object: thousands of sessions keep it.
        return due - self._lateness if self._lateness else due

    def _action(self) -> Action:
        now = self._reads.clock.now()
        action = self._poller.next_action(now)
        if isinstance(action, Sleep) and action.until - now < _ROUNDING:
            action = self._poller.next_action(action.until)
        return action

    def ask(self, claim: Claim, *, lowest_key: float = _NEVER) -> float:
        """
        Ask for the read if it is due and `take_news` has nothing; then there is a flight to wait for, `asked`.

        Return when to look again at the latest, in loop seconds. Sleep through *claim* until then: it may be admitted
        earlier. There may be news at once. No read is queued before *lowest_key*, in the budget's virtual time.
        """
        now = self._reads.clock.now()
        match self._action():
            case Sleep(until):
                claim.leave()
                return until
            case Read() as read if not self._use_latest(read.fresh_from):
                key = max(self._key(read), lowest_key)
                flight = self._reads.ask(self.session_id, claim, self._kind(read), key)
                if flight is None:
                    return read.until
                self._await(flight, read.due)
                return read.until if flight.finished_at is None else now  # an eager task of asyncio's has finished
            case _:
                return now

    def _use_latest(self, fresh_from: float) -> bool:
        """Use the session's latest flight, even one from before the wait, unless it started before *fresh_from*."""
        latest = self._reads.latest(self.session_id)
        if latest is None or latest.number <= self._used or latest.started_at < fresh_from:
            return False
        self._use(latest)
        return True

    def _await(self, flight: Flight, due: float) -> None:
        if self.asked is flight:
            return
        self.asked = flight
        if due > _NEVER:
            seconds, late_by = flight.started_at - self._rests_since, flight.started_at - due
            self._reports.slept(self.session_id, max(0.0, seconds), max(0.0, late_by))

    def end(self, ending: AnyOutcome | HPPError) -> None:
        """Say how it ended."""
        self._reports.ended(self.session_id, ending, latest=self.latest, reads=self.reads)
