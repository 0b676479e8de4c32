"""
What to do next in a wait: a state machine without I/O, clock or randomness.

The theory
==========

A wait is a dialogue between a driver, which can read and sleep, and the poller, which decides. The driver calls
`Poller.next_action` and gets a value: *read* the session, *sleep* until some time, *emit* a transition, *finish* with
an outcome, or *fail* with an error. The driver does that, and reports what happened: it has `received` a reading, it
has `failed` to get one, it was `notified`, or it has `emitted` the transition. Asking twice gives the same answer, so a
driver that was interrupted before its report asks again. Nothing here awaits. A single wait, a watch over thousands,
the tests and the simulations drive the same machine.

::

                       ┌──────────── emitted ───────────┐
                       ▼                                │
    start ──▶  [ due ] ── Read ──▶ received / failed ──▶ [ news ] ── Emit
                │  ▲                       │
     patience   │  │ time, notified        ├──▶ [ resting ] ── Sleep(until)
     used up    │  └───────────────────────┼─────────┘
                ▼                          │
             [ over ] ◀────────────────────┘
                └── (Emit…) ── Finish | Fail

There are two kinds of time, and they are never mixed. ``now`` is the time of the loop's clock: seconds from an
arbitrary zero, which only grow. Sleeps are measured with it. ``updated_at`` and ``expires_at`` are dates of the
provider. They are compared only with one another and with the provider's own ``Date``; the distance to the ``Date`` of
the same answer (``age``, ``expires_in``) is what the loop's clock measures from then on. So a local calendar that is
two hours wrong changes nothing, unless no reading has a ``Date``.

*When the next read is due.* After a reading, the next read is due after the schedule's delay for the age of the status.
Four things make it due earlier: a notification, a suspicion that a confirmation read must settle, the expiry (plus a
grace), and the timeout of the wait. The first delay for a session that is old already, or that is read at once because
its token is old, is drawn from its whole length. After a failure the delay is a back-off, or the seconds that the
server asks for if these are more; the same four make the next read due earlier.

*What ends a wait.* A wait ends with

- a believed reading whose status is in the stop set, or is final (`_core.history` decides what is believed),
- the expiry of the session, or 72 hours in which no reading says when it expires (`_core.expiry`),
- a 401, 403 or 404 that is believed, or an outage that lasts longer than the tolerance (`_core.failures`),
- the last read after its timeout (`_core.deadline`),
- a schedule that returns something other than a delay.

*After a restart.* A wait that goes on from a resume token reads when the wait before would have read
(`_core.resuming`), and counts failures, ages and late readings on.
"""

from __future__ import annotations

from typing import Final

import attrs

from hpp_async._core.actions import Action, Emit, Fail, Finish, Read, Sleep
from hpp_async._core.deadline import Deadline
from hpp_async._core.endings import Endings
from hpp_async._core.exceptions import ConfigurationError, HPPError, WaitTimeoutError
from hpp_async._core.expiry import Expiry
from hpp_async._core.failures import CONFIRMATION_DELAY, Failures, Meaning
from hpp_async._core.history import History, Transition
from hpp_async._core.memory import Calendar, Memory
from hpp_async._core.outcome import AnyOutcome, Expired, outcome_of
from hpp_async._core.position import Position, date_of
from hpp_async._core.resuming import began_at, delay_of, next_read, own_delay
from hpp_async._core.schedule import PollSchedule
from hpp_async._core.session import Session
from hpp_async._core.settings import Settings

_FOREVER: Final = float("inf")
_NEVER: Final = -_FOREVER  # one object: thousands of sessions share it


@attrs.define(init=False, eq=False, weakref_slot=False)
class Poller:
    """
    The decisions of one wait for one session; *since* is the position of an earlier wait for it.

    All times are loop seconds. Thousands of pollers live for days, so parts that are seldom needed are made only when
    they are needed.
    """

    settings: Settings
    reads: int
    """How many reads were reported, failed ones included."""
    _history: History
    _expiry: Expiry
    _failures: Failures | None
    """The failures since the last reading; ``None`` where there are none."""
    _deadline: Deadline | None
    """The timeout; ``None`` where there is none, and before the first `next_action`, from which it counts."""
    _verdict: Finish | Fail | None
    """How the wait ends, once that is decided."""
    _emitted: int
    """How many of the transitions in the history were emitted."""
    _token: str | None
    """The caller's resume token while there are transitions that were not emitted."""
    _due: float
    """When the next read is due."""
    _key: float
    """Its key in the budget's queue: when it would be due without a notification, or earlier after a restart."""
    rested_at: float
    """When the present delay began: when the last read was over, perhaps before a restart; -∞ before the first."""
    _notified_at: float
    """When the last notification came, if no reading was received since; else -∞."""
    _born_at: float | None
    """When the session got its present status: its age is ``now`` minus this. ``None`` before the first reading."""

    def __init__(self, session_id: str, settings: Settings = Settings(), *, since: Position | None = None) -> None:
        self.settings = settings
        self.reads = self._emitted = 0
        self._history = History(session_id=session_id, since=since)
        self._expiry = Expiry()
        self._failures = self._deadline = self._verdict = self._token = self._born_at = None
        self._due = self._key = self.rested_at = self._notified_at = _NEVER

    # -- what the driver may ask --------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session that is waited for."""
        return self._history.session_id

    @property
    def latest(self) -> Session | None:
        """The newest believed reading."""
        return self._history.latest

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every transition so far, emitted or not. A poller that forgets has only those that were not emitted."""
        return self._history.transitions

    @property
    def outcome(self) -> AnyOutcome | None:
        """The outcome, once there is one."""
        return self._verdict.outcome if isinstance(self._verdict, Finish) else None

    @property
    def failing_since(self) -> float | None:
        """When the outage began; ``None`` where there is none."""
        return None if self._failures is None else self._failures.outage_since

    @property
    def is_notified(self) -> bool:
        """Whether no reading was received since the last notification."""
        return self._notified_at > _NEVER

    @property
    def is_ahead(self) -> bool:
        """Whether the next read, once it is due, goes ahead in the budget's queue; see `_core.resuming`."""
        return self._key < self._due

    @property
    def is_resumed(self) -> bool:
        """Whether the wait goes on from ``since`` and has no timeout. If so, its first read is not a new arrival."""
        return self._history.since is not None and self.settings.timeout is None

    @property
    def expires_at(self) -> float | None:
        """When the session expires, as far as is known."""
        return self._expiry.at

    def token(self, calendar: Calendar | None = None) -> str | None:
        """
        Return the resume token after the last transition that was emitted; ``None`` where there is nothing to remember.

        *calendar* dates the loop times. Without one, the token has only what `since` remembers.
        """
        return self._token if self._has_news else self._token_now(calendar)

    @property
    def _has_news(self) -> bool:
        return self._emitted < len(self._history.transitions)

    def start(self, now: float, calendar: Calendar, *, spread: float = 0.0) -> None:
        """
        Note that the driver takes its first step at *now*, and go on from what ``since`` remembers.

        The next read is due when it was due, but no later than the schedule's own delay from now: *calendar* may be
        wrong. For *spread* see `_core.resuming`; a watch of thousands passes numbers that are uniform in [0, 1).
        """
        self.next_action(now)  # the timeout counts from here
        since = self._history.since
        if since is None or (memory := since.memory) is None:
            return
        at = calendar.loop_time(memory)
        rested_at = self.rested_at = min(now, at)
        if since.status is not None:
            aged = memory.age if since.updated_at is None else memory.at - since.updated_at.timestamp()
            self._born_at = rested_at - max(0.0, aged or 0.0)
        self._expiry.resume(memory, rested_at, known=since.expires_at)
        own = None if since.status is None else own_delay(self.settings.schedule, self._history.known, self._age(now))
        delay = delay_of(memory, own)
        if memory.failing is not None:
            self._failures = Failures.resume(memory.failing, rested_at, rested_at + (delay or 0.0))
        if delay is not None:
            self.rested_at, due, key = next_read(at, delay, now=now, own=own, spread=0.0 if memory.failing else spread)
            self._rest_until(due, now, key=key)

    def _token_now(self, calendar: Calendar | None) -> str | None:
        memory, position = self._memory(calendar), self._history.position
        if position is None and memory is not None and memory.failing is not None:
            position = Position.unseen(self.session_id)
        return None if position is None else attrs.evolve(position, memory=memory).token

    def _memory(self, calendar: Calendar | None) -> Memory | None:
        """Return what a later wait must know beside the position; *calendar* dates it."""
        since, at = self._history.since, self.rested_at
        remembered = None if since is None else since.memory
        if calendar is None or at == _NEVER:
            return remembered
        calendar = calendar.knowing(remembered)
        # The failures of a wait that is over have ended it: whoever goes on begins anew, and reads at once.
        is_over = self._verdict is not None and not isinstance(getattr(self._verdict, "error", None), WaitTimeoutError)
        is_dated = self._history.newest_at is not None
        return Memory(
            at=calendar.date(at),
            skew=calendar.skew,
            delay=None if is_over or self._due == _NEVER else max(0.0, self._due - at),
            age=None if is_dated or self._born_at is None else max(0.0, at - self._born_at),
            unknown_for=self._expiry.unknown_for(at),
            was_open=self._expiry.was_open,
            late_readings=self._expiry.late_readings,
            failing=None if is_over or self._failures is None else self._failures.remembered(at),
        )

    def next_action(self, now: float) -> Action:
        """Return what to do at *now*. Asking twice gives the same answer."""
        settings = self.settings
        if self._deadline is None and settings.timeout is not None:
            self._deadline = Deadline(now + settings.timeout, settings.patience)
        if self._has_news:
            return Emit(self._history.transitions[self._emitted])
        if self._verdict is not None:
            return self._verdict
        if now < self._due:
            return Sleep(self._due)
        until = _FOREVER if self._deadline is None else self._deadline.until(now)
        if now >= until:
            self._verdict = self._timed_out()
            return self._verdict
        return Read(self._fresh_from(now), self._due, self._key, self._is_over(now), until)

    def _fresh_from(self, now: float) -> float:
        """Return the oldest acceptable request time: most reads may use a young answer to another wait's read."""
        schedule, deciding_read_at = self.settings.schedule, self._expiry.deciding_read_at
        smallest_delay = schedule.smallest_delay if isinstance(schedule, PollSchedule) else 0.0
        fresh_from = max(self._notified_at, now - smallest_delay)
        # The last read after the timeout, and the read that decides about the expiry, must begin after these times.
        if self._deadline is not None and self._deadline.is_over(now):
            fresh_from = max(fresh_from, self._deadline.at)
        if deciding_read_at is not None and deciding_read_at <= now:
            fresh_from = max(fresh_from, deciding_read_at)
        return fresh_from

    # -- what the driver reports --------------------------------------------------------------------------------

    def emitted(self) -> None:
        """Note that the driver has handed over the transition that `next_action` returned."""
        transition = self._history.transitions[self._emitted]
        if self.settings.forgets:
            self._history.transitions = self._history.transitions[1:]
        else:
            self._emitted += 1
        self._token = transition.token if self._has_news else None

    def notified(self, now: float, due: float | None = None) -> None:
        """
        Note that the session may have changed.

        A read becomes due at *due* (by default *now*), and only a read that begins at *now* or later will do.
        """
        self._due = min(self._due, now if due is None else due)
        self._notified_at = now

    def resumed(self, left_at: float, now: float) -> None:
        """Note that no step was taken from *left_at* to *now*: idle time counts neither as outage nor as patience."""
        if self._failures is not None:
            self._failures.resumed(left_at, now)
        if self._deadline is not None:
            self._deadline.resumed(left_at, now)

    def received(
        self,
        reading: Session,
        now: float,
        draw: float,
        *,
        asked_at: float | None = None,
        is_followed: bool = False,
        calendar: Calendar | None = None,
    ) -> None:
        """
        Note *reading*, which arrived at *now*; *draw*, uniform in [0, 1), is for the jitter of the next delay.

        *asked_at* is when the read began, by default *now*: one that began before the timeout is not the last read.
        *is_followed* is whether a later reading is at hand: then no expiry and no timeout ends the wait before that is
        noted, because it may show an outcome.
        *calendar* dates what the token of a transition remembers.

        Raises:
            ConfigurationError: the schedule returned something that is not a delay. The wait ends with the same error.
        """
        if self._verdict is not None:
            return
        asked_at = now if asked_at is None else asked_at
        is_last_read = self._is_over(asked_at)
        # A callback can be ahead of the replica that answered. A read that began later than a confirmation read would
        # have, as after a pause of the driver, needs no confirmation.
        is_doubtful, self._notified_at = asked_at < self._notified_at + CONFIRMATION_DELAY, _NEVER
        self.reads += 1

        history, since = self._history, self._history.since
        is_believed = not history.is_stale(reading)
        if is_believed and reading.status != history.status and not self._has_news:
            self._token = self._token_now(calendar)
        is_expired = self._expiry.observe(
            reading,
            now,
            asked_at=asked_at,
            known=history.expires_at,
            is_believed=is_believed,
            seen_for=history.seen_for(reading),
        )
        is_stop = is_believed and (reading.status.is_final or reading.status in self.settings.stop_on)
        is_unknown = self._expiry.is_unknown(now)
        may_end = not is_followed
        self._failures = None
        is_herd = self.reads == 1 and self._due == self.rested_at  # at once with an old token: see `next_read`
        transition = history.observe(reading, is_last=is_stop or (is_expired and may_end))
        self.rested_at = now
        if is_stop or (may_end and (is_expired or is_unknown)):
            self._due = self._key = _NEVER  # whoever goes on reads at once
        else:
            if is_last_read and may_end:
                self._verdict = self._timed_out()
            delay = self._delay_after(reading, now, draw, is_changed=bool(transition), is_herd=is_herd, since=since)
            if is_doubtful and transition is None:
                delay = min(delay, CONFIRMATION_DELAY)
            self._rest_until(now + delay, now)
        if transition is not None:
            history.remember(self._memory(calendar))

        if is_stop:
            self._verdict = Finish(outcome_of(reading, self.transitions))
        elif is_expired and may_end:
            self._verdict = Finish(Expired(session=history.known, transitions=self.transitions, confirmed=True))
        elif is_unknown and may_end:
            self._verdict = self._timed_out() if is_last_read else self._endings.without_expiry()

    def failed(
        self,
        error: HPPError,
        now: float,
        draw: float,
        *,
        asked_at: float | None = None,
        held: float = 0.0,
        was_read: bool = False,
    ) -> None:
        """
        Note that a read failed with *error* at *now*. What is believed of the session stays as it is.

        *held* is for how many seconds the client's own budget held the read back. *was_read* is whether the session was
        seen before, by this wait or by the client. For *draw*, *asked_at* and what is raised see `received`.
        """
        if self._verdict is not None:
            return
        asked_at = now if asked_at is None else asked_at
        is_last_read = self._is_over(asked_at)
        self.reads += 1
        failures = self._failures = self._failures or Failures()
        meaning = failures.note(error, now, asked_at=asked_at, longest=self.settings.longest_read, held=held)
        self.rested_at = now
        if meaning is not Meaning.NOTHING:
            self._verdict = self._endings.answered(failures, asked_at, meaning, was_read=was_read, expiry=self._expiry)
        elif not is_last_read and now >= failures.ends_at(self.settings.outage_tolerance):
            self._verdict = self._endings.outage(failures.lasted(now))
        if self._verdict is not None:
            return
        if is_last_read:
            self._verdict = self._timed_out()
        if meaning is Meaning.DOUBTFUL:
            self._rest_until(now + failures.confirm(), now)
        else:
            delay = failures.back_off(draw, _FOREVER if self._born_at is None else self._delay(now, draw))
            self._rest_until(min(now + delay, failures.ends_at(self.settings.outage_tolerance)), now)
        failures.rests_until(self._due)

    def _rest_until(self, due: float, now: float, *, key: float = _FOREVER) -> None:
        deciding_read_at = self._expiry.deciding_read_at
        if deciding_read_at is not None and now < deciding_read_at:
            due = min(due, deciding_read_at)
        if self._deadline is not None and self._verdict is None:
            due = min(due, self._deadline.at)
        self._due, self._key = due, min(due, key)

    def _is_over(self, now: float) -> bool:
        return self._deadline is not None and self._deadline.is_over(now)

    # -- when the next read is due ------------------------------------------------------------------------------

    def _delay_after(
        self, reading: Session, now: float, draw: float, *, is_changed: bool, is_herd: bool, since: Position | None
    ) -> float:
        is_first = self._born_at is None
        latest = self._history.latest
        if latest is not None and reading.read_at is not None and date_of(latest) is not None:
            assert latest.updated_at is not None
            self._born_at = now - max(0.0, (reading.read_at - latest.updated_at).total_seconds())
        elif is_changed or is_first:
            self._born_at = now
        elif since is not None and since.memory is not None and self._born_at is not None:
            self._born_at = began_at(since.memory, reading, now, reckoned=self._born_at)

        delay = self._delay(now, draw)
        if (is_first or is_herd) and self._age(now) > delay:
            # Thundering herd: waits that start together for old sessions would read together again and again, and the
            # budget would be idle in between. So the first delay is drawn from its whole length.
            delay *= draw
        return min(delay, self._expiry.confirm_after(now))

    def _age(self, now: float) -> float:
        # No delay is computed before the first reading, so `_born_at` is never None here; the types do not say so.
        return 0.0 if self._born_at is None else max(0.0, now - self._born_at)

    def _delay(self, now: float, draw: float) -> float:
        schedule = self.settings.schedule
        delay = schedule.delay(self._history.known, age=self._age(now), draw=draw)
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < _FOREVER:
            error = ConfigurationError(
                f"{type(schedule).__name__}.delay() returned {delay!r}: return the seconds to the next read, a finite "
                "number of at least 0, and start the wait again with since=token"
            )
            # The schedule would return the same the next time. So the wait is over, and makes no more reads.
            self._verdict = Fail(error)
            raise error
        return delay

    # -- how it ends --------------------------------------------------------------------------------------------

    @property
    def _endings(self) -> Endings:
        last_error = None if self._failures is None else self._failures.last
        return Endings(self._history, reads=self.reads, last_error=last_error)

    def _timed_out(self) -> Fail:
        return self._endings.timed_out(self.settings.timeout or 0.0)
