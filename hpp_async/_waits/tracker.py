"""
One tracked session, in a wait or in a watch of thousands. Nothing else reaches the session's poller.

A tracker gets the finished flights of its session from the shared reads. It keeps them until its driver, the wait or
the watch, takes a step, and passes them to the poller then. The driver takes news from the tracker to hand it over, and
has the tracker request the read that is due.
"""

from __future__ import annotations

from typing import Final

from hpp_async._core.actions import Action, Emit, Fail, Finish, Read, Sleep
from hpp_async._core.budget import Kind
from hpp_async._core.exceptions import ClientClosedError, HPPError, WaitError
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
_ROUNDING: Final = 1e-6
"""Seconds by which a due time in loop time and in virtual time may differ, as both are sums of floats."""


class Tracker:
    """A poller, the finished flights that it has yet to receive, and the last notification. Times are loop seconds."""

    __slots__ = (
        "_inbox",
        "_lateness",
        "_notification",
        "_poller",
        "_reads",
        "_reports",
        "_used",
        "asked",
    )

    def __init__(self, poller: Poller, *, reads: Reads, reports: Reports) -> None:
        self._poller = poller
        self._reads = reads
        self._reports = reports
        self.asked: Flight | None = None
        """The flight of the read that the poller wants, until the poller has received its result."""
        self._inbox: tuple[Flight, ...] = ()
        """Finished flights with readings that the poller has yet to receive."""
        self._used = 0
        """The number of the last flight whose result the poller has received."""
        self._notification: Notification | None = None
        self._lateness = 0.0
        """How far the budget's virtual time was behind the loop's when the present delay began."""

    # -- what the user may see ----------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The id of the tracked session."""
        return self._poller.session_id

    @property
    def latest(self) -> Session | None:
        """The newest reading that the poller believes; ``None`` before the first."""
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
        """How many reads the poller has received, failed ones included."""
        return self._poller.reads

    @property
    def token(self) -> str | None:
        """
        The resume token: where the wait is after the last transition that was handed over.

        At first it is where ``since`` was, and ``None`` without ``since``.
        """
        return self._poller.token(self._reads.provider_clock.calendar)

    @property
    def next_read_in(self) -> float | None:
        """Seconds until the next read is due; ``None`` if there is none to wait for."""
        action = self._action()
        return action.until - self._reads.clock.now() if isinstance(action, Sleep) else None

    @property
    def failing_since(self) -> float | None:
        """When the outage began, in loop seconds; ``None`` where there is none."""
        return self._poller.failing_since

    @property
    def late_by(self) -> float:
        """For how many seconds the read has been due by the schedule; 0 if it is not, or is the first read."""
        action = self._action()
        if not isinstance(action, Read) or action.key == _NEVER:
            return 0.0
        # The key is later if a notification made the read due, and earlier after a restart.
        return max(0.0, self._reads.clock.now() - max(action.due, action.key))

    # -- input --------------------------------------------------------------------------------------------------------

    def start(self, *, spread: float = 0.0) -> None:
        """
        Note that the driver takes its first step: the timeout counts from here, and the wait goes on from ``since``.

        For *spread* see `Poller.start`.
        """
        clock, provider_clock = self._reads.clock, self._reads.provider_clock
        # In this order: if the process is held up between the two, the next read comes late. Else it would come early.
        today = clock.today()
        now = clock.now()
        provider_clock.look(now=now, today=today)
        calendar = provider_clock.calendar
        assert calendar is not None, "it was looked at just now"
        self._poller.start(now, calendar, spread=spread)
        self._lateness = self._reads.turns.lateness()

    def resume(self, left_at: float) -> None:
        """Note that the driver took no step from *left_at* until now: idle time does not count as outage."""
        self._poller.resumed(left_at, self._reads.clock.now())

    def keep(self, flight: Flight) -> bool:
        """
        Keep the finished *flight* for the next step; tell whether it matters to this tracker.

        Of several readings in a row with the same status, only the last one is kept. A flight without a reading matters
        only if this tracker asked for it.
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
        """
        Make a read due that starts after *notification*.

        Tell whether that changes anything: not if such a read is due already and has not started.
        """
        # A read serves no notification that came after its start: the first such one makes the next read due. That
        # holds for the read in flight, and for one that finished while the driver was away.
        started = (*self._inbox[-1:], *(() if self.asked is None else (self.asked,)))
        is_known = self._poller.is_notified and all(map(self._came_after, started))
        self._notification = notification
        self._poller.notified(notification.at, notification.due)
        return not is_known

    def catch_up(self) -> None:
        """
        Pass the flights that finished since the last step to the poller.

        Raises:
            ClientClosedError: the client, or the httpx client that it borrows, was closed.
            Exception: a schedule, or an httpx hook, of the user's own raised it.
        """
        asked = self.asked
        if asked is not None and asked.finished_at is not None:
            self.asked = None
        else:
            asked = None
        while self._inbox:
            flight, self._inbox = self._inbox[0], self._inbox[1:]
            self._use(flight, is_followed=bool(self._inbox))
        if asked is not None and asked.failure is not None and self._used < asked.number:
            # A later reading makes a failure obsolete. A failure counts from now: idle time does not count as outage.
            self._fail(asked, self._reads.clock.now())

    def _use(self, flight: Flight, *, is_followed: bool = False) -> None:
        assert flight.reading is not None, "only readings are kept"
        assert flight.finished_at is not None, "only finished flights are kept"
        self._used = flight.number
        seen = len(self._poller.transitions)
        self._poller.received(
            flight.reading,
            flight.finished_at,
            self._reads.turns.draw(),
            asked_at=flight.started_at,
            is_followed=is_followed,
            calendar=self._reads.provider_clock.calendar,
        )
        for transition in self._poller.transitions[seen:]:
            self._reports.seen(self.session_id, transition)
        self._rest(flight)

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
            self._reports.failing(error, self.failing_since, now)
        self._rest(flight)

    def _rest(self, flight: Flight) -> None:
        if self._notification is not None and self._came_after(flight):
            # The read started before the notification and may not show the change, so another one stays due.
            self._poller.notified(self._notification.at, self._notification.due)
        self._lateness = self._reads.turns.lateness()

    def _came_after(self, flight: Flight) -> bool:
        """Tell whether the last notification came after the start of *flight*, which may not show the change then."""
        return self._notification is not None and flight.number <= self._notification.after

    # -- output -------------------------------------------------------------------------------------------------------

    def take_news(self) -> Transition | AnyOutcome | HPPError | None:
        """
        Return the news that the driver hands over next; ``None`` if there is none.

        A transition is returned once: it counts as handed over. An outcome or error is returned each time.
        """
        match self._action():
            case Emit(transition):
                self._poller.emitted()
                return transition
            case Finish(outcome):
                return outcome
            case Fail(error):
                if isinstance(error, WaitError):
                    error.token = self.token
                return error
            case _:
                return None

    def next_read(self) -> tuple[Kind, float, float] | None:
        """
        Return the kind of the next read, its key in the budget's queue, and a time; ``None`` if there is news instead.

        The key is when the schedule makes the read due, notified or not, in seconds of the budget's virtual time; ∞ if
        it does not. The time is -∞ if the read may be queued at once: the budget admits no read before its key. A read
        that is due at a loop time, however slow the virtual clock is, must not be queued before that time.
        """
        match self._action():
            case Read() as read:
                return self._kind(read), self._key(read), _NEVER
            case Sleep(until) if self._poller.is_notified or self._poller.is_ahead:
                return Kind.DUE, _FOREVER, until
            case Sleep(until):
                return Kind.DUE, self._virtually(until), _NEVER
            case _:
                return None

    def _kind(self, read: Read) -> Kind:
        if read.is_urgent:
            return Kind.URGENT
        if read.due == _NEVER:
            return Kind.DUE if self._poller.is_resumed else Kind.NEW
        return Kind.NEW if self._poller.is_notified else Kind.DUE

    def _key(self, read: Read) -> float:
        if read.key > _NEVER:
            return self._virtually(read.key)
        return self._reads.turns.virtual() if self._poller.is_resumed else _FOREVER

    def _virtually(self, due: float) -> float:
        """Convert *due* from loop seconds to seconds of the budget's virtual time."""
        # Without lateness, return the same float object: thousands of sessions keep one each.
        return due - self._lateness if self._lateness else due

    def _action(self) -> Action:
        now = self._reads.clock.now()
        action = self._poller.next_action(now)
        if isinstance(action, Sleep) and action.until - now < _ROUNDING:
            action = self._poller.next_action(action.until)
        return action

    def ask(self, claim: Claim, *, lowest_key: float = _NEVER) -> float:
        """
        Request the read, if one is due and there is no news; ``asked`` is its flight, once the budget admits it.

        Return when the driver must call `take_news` and `ask` again at the latest (loop seconds): in the past or now,
        if there may be news. Until then the driver sleeps in ``claim.sleep``, which wakes it when its turn may
        be admitted. The read's key in the budget's queue is at least *lowest_key*, in seconds of virtual time.
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
                return read.until if flight.finished_at is None else now  # finished: it ran in an eager task of asyncio
            case _:
                return now

    def _use_latest(self, fresh_from: float) -> bool:
        """
        Pass the session's latest flight to the poller if it can serve as the read; tell whether it could.

        A flight from before this wait will do, unless it started before *fresh_from* or was passed on already.
        """
        latest = self._reads.latest(self.session_id)
        if latest is None or latest.number <= self._used or latest.started_at < fresh_from:
            return False
        self._use(latest)
        return True

    def _await(self, flight: Flight, due: float) -> None:
        if self.asked is flight:
            return
        self.asked = flight
        if due > _NEVER and self._used:  # else it is the first read of this wait
            seconds, late_by = flight.started_at - self._poller.rested_at, flight.started_at - due
            self._reports.slept(self.session_id, max(0.0, seconds), max(0.0, late_by))

    def begin(self) -> None:
        """Report to observers that the wait on the session began."""
        self._reports.started(self.session_id, self._reads.clock.now())

    def drop(self) -> None:
        """Report to observers that the wait on the session was given up; from any thread, and in a finalizer."""
        if self._reports.dropped(self.session_id):
            self._reads.flush_observers_soon()

    def end(self, ending: AnyOutcome | HPPError) -> None:
        """Report how the wait on the session ended."""
        self._reports.ended(self.session_id, ending, self._reads.clock.now(), latest=self.latest, reads=self.reads)
