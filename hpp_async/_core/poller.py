"""
What to do next in a wait: a machine without I/O, clock or randomness.

The theory
==========

A wait is a dialogue. The driver asks `Poller.next_action` and gets a value: *read* the session, *sleep* until then,
*emit* this transition, *finish* with this outcome, *fail* with this error. It does that, and tells the poller what came
of it: `received` a reading, `failed` to get one, was `notified`, has `emitted`. Asking twice is asking once, so a
driver that was interrupted between asking and telling simply asks again. Nothing here awaits; a single wait, a watch
over thousands, the tests and the simulations drive the same machine.

::

                       ┌──────────── emitted ───────────┐
                       ▼                                │
    start ──▶  [ due ] ── Read ──▶ received / failed ──▶ [ news ] ── Emit
                  ▲                        │
              time, notified               ├──▶ [ resting ] ── Sleep(until) ──▶ due
                  │                        │
              [ resting ] ◀────────────────┤
                                           └──▶ [ over ] ── (Emit…) ── Finish | Fail

Two kinds of time meet here and never mix. ``now`` is the loop's clock, seconds from anywhere, and only ever grows;
sleeps are measured with it. What the provider says, ``updated_at`` and ``expires_at``, is measured against the
provider's own ``Date`` in the same answer, and turned into a distance on arrival (``expires_in``, ``age``). So a local
clock that is two hours wrong decides nothing.

*Due.* After a reading, the next read is due after the schedule's delay for the age of the status. Three things pull it
nearer: expiry (plus a grace), the wait's timeout, a notification. After a failure the session may have moved unseen,
so the delay is a backoff of its own as long as that is shorter; the server's hint is its floor.

*Expiry.* There is no EXPIRED status, so expiry is an inference, and a wrong one sends goods back that are then paid
for. It takes a reading on a session whose expiry has passed, and agreement: of the last five readings none may put the
expiry later, and there must be one from before it and one from after. Where the session was never seen open, all five
must agree. A replica with a wrong clock can then delay the inference by a few looks, and not cause it.

*404.* Never proof of "not paid". See `_not_found`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from hpp_async._core.actions import Action, Emit, Fail, Finish, Read, Sleep
from hpp_async._core.exceptions import (
    AuthenticationError,
    ConfigurationError,
    HPPError,
    OutageError,
    RateLimitedError,
    SessionNotFoundError,
    SessionVanishedError,
    WaitError,
    WaitTimeoutError,
)
from hpp_async._core.history import History, Transition
from hpp_async._core.outcome import AnyOutcome, Expired, outcome_of
from hpp_async._core.position import Position, date_of, expiry_of
from hpp_async._core.schedule import PollSchedule, Schedule
from hpp_async._core.session import OUTCOME, AnyStatus, Session

EXPIRY_GRACE: Final = 5.0
"""Seconds after ``expires_at`` at which the last look is taken: a payment of the last second has to show up first."""

_DATE_RESOLUTION: Final = 1.0
"""``Date`` counts whole seconds, so two readings may disagree by one about when the session expires."""

_EXPIRY_VOTES: Final = 5
"""How many of the last readings must agree that expiry has passed."""

_LOOK_AGAIN: Final = 2.0
"""
Seconds between looks that settle a doubt: a 404 on a session that was seen, an expiry only one reading speaks of, a
notification after which nothing had changed.
"""

_MISSING_LOOKS: Final = 3
"""404s in a row (the first, and two more looks) after which a session that was seen counts as vanished."""

_FAILURE_DELAY: Final = 2.0
_FAILURE_DOUBLINGS: Final = 5  # 2, 4, 8 … 64 s; the exponent is capped, an endless outage would overflow it
_HINT_MAXIMUM: Final = 300.0
"""No server hint delays a wait by more: a header is not trusted with a night of somebody's money."""


@attrs.define(kw_only=True, weakref_slot=False)
class Poller:
    """
    One wait on one session.

    *timeout* counts from the first `next_action`, in seconds, and *patience* from the beginning of the last look that
    follows it; *outage_tolerance* from the first of the failures that nothing interrupted. The time in which nobody
    took a step is not counted in the latter two. A poller that *forgets* keeps no transition that was emitted:
    thousands are watched for days.
    """

    session_id: str
    schedule: Schedule = PollSchedule()
    stop_on: AbstractSet[AnyStatus] = OUTCOME
    timeout: float | None = None
    patience: float = float("inf")
    outage_tolerance: float = 600.0
    since: Position | None = None
    forgets: bool = False

    reads: int = attrs.field(init=False, default=0)
    last_error: HPPError | None = attrs.field(init=False, default=None)
    is_notified: bool = attrs.field(init=False, default=False)
    """Whether no reading came since the last notification."""
    _history: History = attrs.field(init=False)
    _verdict: Finish | Fail | None = attrs.field(init=False, default=None)
    _emitted: int = attrs.field(init=False, default=0)
    _token: str | None = attrs.field(init=False, default=None)
    """Where the caller is while there are transitions that were not emitted."""

    _due: float = attrs.field(init=False, default=float("-inf"))
    _fresh_from: float = attrs.field(init=False, default=float("-inf"))
    _deadline: float | None = attrs.field(init=False, default=None)
    _last_look_at: float | None = attrs.field(init=False, default=None)
    """When, in loop seconds, the look after the timeout was first asked for."""
    _born: float | None = attrs.field(init=False, default=None)
    """When, in loop seconds, the session got its present status: its age is ``now`` minus this."""
    _expiries: tuple[float, ...] = attrs.field(init=False, default=())
    """When the session expires, in loop seconds, by each of the last readings that knew."""
    _was_open: bool = attrs.field(init=False, default=False)
    _readings: int = attrs.field(init=False, default=0)
    _late_looks: int = attrs.field(init=False, default=0)
    _missing: int = attrs.field(init=False, default=0)
    _failures: int = attrs.field(init=False, default=0)
    _failing_since: float | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._history = History(session_id=self.session_id, since=self.since)
        if self.forgets:
            self.since = None  # the history has it, for as long as it is needed

    # -- what the driver and the caller may ask -----------------------------------------------------------------

    @property
    def latest(self) -> Session | None:
        """The newest believed reading."""
        return self._history.latest

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every transition so far, emitted or not; of a poller that forgets, those that were not."""
        return self._history.transitions

    @property
    def outcome(self) -> AnyOutcome | None:
        """The outcome, once there is one."""
        return self._verdict.outcome if isinstance(self._verdict, Finish) else None

    @property
    def failing_since(self) -> float | None:
        """When, in loop seconds, the failures began that nothing has interrupted since."""
        return self._failing_since

    @property
    def token(self) -> str | None:
        """Where the caller is: after the last transition that was emitted."""
        if self._emitted < len(self._history.transitions):
            return self._token
        position = self._history.position
        return None if position is None else position.token

    @property
    def expires_at(self) -> float | None:
        """When the session expires, in loop seconds, as far as is known."""
        return max(self._expiries) if self._expiries else None

    def next_action(self, now: float) -> Action:
        """Return what to do at *now*, in loop seconds. Asking twice is asking once."""
        if self._deadline is None and self.timeout is not None:
            self._deadline = now + self.timeout
        if self._emitted < len(self._history.transitions):
            return Emit(self._history.transitions[self._emitted])
        if self._verdict is not None:
            return self._verdict
        if now < self._due:
            return Sleep(self._due)
        until = float("inf") if self._deadline is None else self._deadline
        if is_over := self._is_over(now):
            self._last_look_at = now if self._last_look_at is None else self._last_look_at
            until = self._last_look_at + self.patience
            if now >= until:
                self._verdict = self._timed_out()
                return self._verdict
        return Read(self._oldest_answer(now), self._due, is_urgent=is_over, until=until)

    def _oldest_answer(self, now: float) -> float:
        """Return since when an answer will do: a look at expiry or timeout must come after it, others may share one."""
        smallest = self.schedule.smallest_delay if isinstance(self.schedule, PollSchedule) else 0.0
        oldest = max(self._fresh_from, now - smallest)
        for moment in (self._deadline, None if self.expires_at is None else self.expires_at + EXPIRY_GRACE):
            if moment is not None and moment <= now:
                oldest = max(oldest, moment)
        return oldest

    # -- what the driver tells ----------------------------------------------------------------------------------

    def emitted(self) -> None:
        """Note that the caller has the transition that `next_action` named."""
        transition = self._history.transitions[self._emitted]
        if self.forgets:
            self._history.transitions = self._history.transitions[1:]
        else:
            self._emitted += 1
        self._token = transition.token if self._emitted < len(self._history.transitions) else None

    def notified(self, now: float) -> None:
        """Note a hint that the session changed: a read that begins now or later is due."""
        self._due = min(self._due, now)
        self._fresh_from = now
        self.is_notified = True

    def resumed(self, left_at: float, now: float) -> None:
        """Note that nobody took a step from *left_at* until *now*: who does not look has no outage, nor a last look."""
        if self._failing_since is not None:
            self._failing_since += now - left_at
        if self._last_look_at is not None:
            # It may have been asked for since: by a first step, before which nobody had left, or by who only inquires.
            self._last_look_at += now - max(left_at, self._last_look_at)

    def received(self, reading: Session, now: float, draw: float, *, asked_at: float | None = None) -> None:
        """
        Note *reading*, which arrived at *now*; *draw*, uniform in [0, 1), jitters the next delay.

        *asked_at* is when it was asked for: one from before the timeout is not the last look.
        """
        if self._verdict is not None:
            return
        is_last_look = self._is_over(now if asked_at is None else asked_at)
        self.reads += 1
        self._readings += 1
        self.last_error = self._failing_since = None
        self._failures = self._missing = 0
        self._note_expiry(reading, now)

        is_believed = not self._history.is_stale(reading)
        is_stop = is_believed and (reading.status.is_final or reading.status in self.stop_on)
        is_expired = not is_stop and self._is_expired(now, is_believed=is_believed)
        before = self._history.position if self._emitted == len(self._history.transitions) else None
        transition = self._history.observe(reading, is_last=is_stop or is_expired)
        if transition is not None and before is not None:
            self._token = before.token

        if is_stop:
            self._verdict = Finish(outcome_of(reading, self.transitions))
        elif is_expired:
            self._verdict = Finish(
                Expired(session=self._history.known, transitions=self.transitions, confirmed=True),
            )
        elif is_last_look:
            self._verdict = self._timed_out()
        else:
            self._note_age(reading, now, is_changed=transition is not None)
            delay = self._delay_after_reading(now, draw)
            if self.is_notified and transition is None:
                # A callback can be ahead of the replica that was asked: one more look.
                delay = min(delay, _LOOK_AGAIN)
            self._rest(now, delay)
        self.is_notified = False

    def failed(self, error: HPPError, now: float, draw: float, *, asked_at: float | None = None) -> None:
        """Note that a read ended with *error* at *now*; see `received`. Nothing that is believed changes."""
        if self._verdict is not None:
            return
        is_last_look = self._is_over(now if asked_at is None else asked_at)
        self.reads += 1
        self.last_error = error

        if isinstance(error, AuthenticationError):
            self._verdict = Fail(error)
        elif isinstance(error, SessionNotFoundError):
            self._not_found(error, now, is_last_look=is_last_look)
        else:
            self._unreadable(error, now, draw, is_last_look=is_last_look)

    # -- expiry -------------------------------------------------------------------------------------------------

    def _note_expiry(self, reading: Session, now: float) -> None:
        expires_at = expiry_of(reading) or self._history.expires_at  # one that is silent votes on what was last heard
        if expires_at is None or reading.read_at is None:
            return
        expires_in = (expires_at - reading.read_at).total_seconds()
        expires_at_loop = now + expires_in
        if self._expiries and abs(expires_at_loop - self._expiries[-1]) <= _DATE_RESOLUTION:
            expires_at_loop = self._expiries[-1]  # the same moment, as far as a Date can tell
        self._expiries = (*self._expiries, expires_at_loop)[-_EXPIRY_VOTES:]
        self._was_open = self._was_open or expires_in > 0

    def _is_expired(self, now: float, *, is_believed: bool) -> bool:
        if self.expires_at is None or now < self.expires_at + EXPIRY_GRACE - _DATE_RESOLUTION:
            self._late_looks = 0
            return False
        # A stale look shows a replica that is behind, and the only reading that ever spoke of expiry may have a wrong
        # clock, so they settle nothing; but when nothing better ever comes, the wait must end all the same.
        self._late_looks += 1
        votes = 2 if self._was_open else _EXPIRY_VOTES
        return (is_believed and len(self._expiries) >= votes) or self._late_looks >= _EXPIRY_VOTES

    # -- failures -----------------------------------------------------------------------------------------------

    def _not_found(self, error: SessionNotFoundError, now: float, *, is_last_look: bool) -> None:
        """
        Decide what a 404 means.

        "Expired or could not be found": the same for a wrong id, another region and another merchant; and a
        neighbouring API of the provider answers it for a session that was *paid* (``SESSION_COMPLETED``).
        """
        self._failing_since, self._failures = None, 0
        if error.speaks_of_completion:
            self._verdict = Fail(
                self._ended(
                    SessionVanishedError,
                    f"is gone ({error.error_code}): it was probably paid. Look for its order before you sell again",
                )
            )
        elif not self._history.is_seen:
            self._verdict = Fail(error)
        elif self._is_past_expiry(error, now) and not self._history.known.status.is_final:
            # What `since` knows as final, as paid above all, has not expired: it vanishes.
            self._verdict = Finish(
                Expired(session=self._history.known, transitions=self.transitions, confirmed=False),
            )
        elif self._missing + 1 >= _MISSING_LOOKS:
            self._verdict = Fail(
                self._ended(
                    SessionVanishedError,
                    f"answers 404 and is not known to have expired; it was {self._history.known.status} before, and "
                    "may have been paid elsewhere. Look for its order before you sell again",
                )
            )
        elif is_last_look:
            self._verdict = self._timed_out()
        else:
            self._missing += 1
            self._rest(now, _LOOK_AGAIN)

    def _is_past_expiry(self, error: SessionNotFoundError, now: float) -> bool:
        # Two witnesses: what the readings said, and the Date of this very answer. Where both are known they must agree,
        # for there may be one reading only, with a wrong Date. After a restart there may be none: then `since` knows.
        if self.expires_at is not None and (now < self.expires_at or error.read_at is None):
            return now >= self.expires_at
        expires_at = self._history.expires_at
        return expires_at is not None and error.read_at is not None and error.read_at >= expires_at

    def _unreadable(self, error: HPPError, now: float, draw: float, *, is_last_look: bool) -> None:
        if self._failing_since is None:
            self._failing_since = now
        if is_last_look:
            self._verdict = self._timed_out()
            return
        given_up_at = self._failing_since + self.outage_tolerance
        if now >= given_up_at:
            outage = self._ended(
                OutageError,
                f"could not be read for {now - self._failing_since:.0f} s ({type(error).__name__}). It may have been "
                "paid meanwhile: wait on with since=token",
            )
            self._verdict = Fail(outage)
            return

        backoff: float = _FAILURE_DELAY * 2 ** min(self._failures, _FAILURE_DOUBLINGS) * (1.0 - draw / 2)
        self._failures += 1
        delay = backoff if self._history.latest is None else min(backoff, self._delay(now, draw))
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            delay = max(delay, min(error.retry_after, _HINT_MAXIMUM))
        self._rest(now, delay)
        self._due = min(self._due, given_up_at)

    def _timed_out(self) -> Fail:
        position = self._history.position
        seen = "was never read" if position is None else f"is still {position.status}"
        return Fail(
            self._ended(
                WaitTimeoutError,
                f"{seen} after {self.timeout:g} s. It may still be paid: disable it, or wait on with since=token",
            )
        )

    def _ended(self, kind: type[WaitError], what: str) -> WaitError:
        position = self._history.position
        error = kind(
            f"session {self.session_id} {what}",
            session_id=self.session_id,
            latest=self.latest,
            token=None if position is None else position.token,
            reads=self.reads,
            last_error=self.last_error,
        )
        error.__cause__ = self.last_error
        return error

    # -- the next read ------------------------------------------------------------------------------------------

    def _is_over(self, now: float) -> bool:
        return self._deadline is not None and now >= self._deadline

    def _note_age(self, reading: Session, now: float, *, is_changed: bool) -> None:
        latest = self._history.latest
        if latest is not None and reading.read_at is not None and date_of(latest) is not None:
            assert latest.updated_at is not None
            self._born = now - max(0.0, (reading.read_at - latest.updated_at).total_seconds())
        elif is_changed or self._born is None:
            self._born = now

    def _delay_after_reading(self, now: float, draw: float) -> float:
        delay = self._delay(now, draw)
        if self._readings == 1 and self._age(now) > delay:
            # Waits that start together on old sessions would come back together for ever: the first is drawn whole.
            delay *= draw
        if self._expiries and self._expiries[-1] + EXPIRY_GRACE <= now:
            # Expiry has passed, or at least the newest reading says so: settle it.
            delay = min(delay, _LOOK_AGAIN)
        return delay

    def _age(self, now: float) -> float:
        return 0.0 if self._born is None else max(0.0, now - self._born)

    def _delay(self, now: float, draw: float) -> float:
        delay = self.schedule.delay(self._history.known, age=self._age(now), draw=draw)
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < float("inf"):
            raise ConfigurationError(
                f"{type(self.schedule).__name__}.delay() returned {delay!r}: return the seconds to the next read"
            )
        return delay

    def _rest(self, now: float, delay: float) -> None:
        self._due = now + delay
        if self.expires_at is not None and now < self.expires_at + EXPIRY_GRACE:
            self._due = min(self._due, self.expires_at + EXPIRY_GRACE)
        if self._deadline is not None:
            self._due = min(self._due, self._deadline)
