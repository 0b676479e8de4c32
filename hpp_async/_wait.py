"""One wait on one session: does what the poller says."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from datetime import timedelta
from types import CodeType, FrameType
from typing import Any, Final, assert_never

import attrs

from hpp_async._budget import Turn
from hpp_async._clock import Clock
from hpp_async._events import Observers, Slept, TransitionSeen, WaitEnded
from hpp_async._exceptions import ClientClosedError, HPPError
from hpp_async._outcome import Outcome
from hpp_async._poller import Emit, Fail, Finish, Poller, Read, Sleep
from hpp_async._reads import Flight, Reads, SharedReads
from hpp_async._schedule import seconds
from hpp_async._session import Session
from hpp_async._transitions import Transition

_FOREVER: Final = float("inf")
_LASTING: Final = 30.0
"""Seconds without a readable answer after which one warning is logged."""

_logger = logging.getLogger("hpp_async")


@attrs.frozen(kw_only=True)
class Heartbeat:
    """Nothing changed for a while, and the wait goes on."""

    session_id: str
    latest: Session | None


class OutcomeWait(Coroutine[Any, Any, Outcome], AsyncIterator[Transition]):
    """
    A wait for the outcome of one session: await it, or iterate it.

    Awaiting returns the `Outcome`; iterating yields each `Transition` and ends after the last one, then ``outcome`` is
    set. Both can be mixed, and repeated: an ended wait gives the same outcome, or error, again.

    Between steps it holds no task, scope or connection, so ``break`` needs no clean-up. A cancelled step loses nothing:
    another task may go on with the wait; two at once raise `RuntimeError`.

    Raises:
        SessionNotFoundError: 404, and the session was never seen.
        SessionVanishedError: 404 on a session that was seen and cannot have expired: it may have been paid elsewhere.
        AuthenticationError: 401 or 403.
        WaitTimeoutError: the wait's ``timeout`` ran out; says nothing about payment.
        OutageError: nothing readable for longer than the client's ``outage_tolerance``.
        ClientClosedError: the client was closed.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_attached_at",
        "_clock",
        "_coroutine",
        "_draw",
        "_is_ended",
        "_is_started",
        "_is_stepping",
        "_is_warned",
        "_lateness",
        "_left_at",
        "_notified_at",
        "_observers",
        "_poller",
        "_reads",
        "_shared",
        "_told_at",
        "_used",
    )

    def __init__(
        self, poller: Poller, *, reads: Reads, clock: Clock, draw: Callable[[], float], observers: Observers
    ) -> None:
        self._poller = poller
        self._reads = reads
        self._clock = clock
        self._draw = draw
        self._observers = observers
        self._coroutine: Any = None  # a native coroutine of _finish
        self._is_started = self._is_stepping = self._is_ended = self._is_warned = False
        self._shared: SharedReads | None = None
        self._attached_at = self._notified_at = -_FOREVER
        self._asked: Flight | None = None
        self._used = 0
        self._told_at = self._lateness = self._left_at = 0.0

    # -- what it knows ------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session that is waited for."""
        return self._poller.session_id

    @property
    def latest(self) -> Session | None:
        """The newest believed reading; ``None`` before the first."""
        return self._poller.latest

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every change seen so far."""
        return self._poller.transitions

    @property
    def outcome(self) -> Outcome | None:
        """The outcome, once it is known."""
        return self._poller.outcome

    @property
    def reads(self) -> int:
        """How many answers this wait has used; waits on one session share theirs."""
        return self._poller.reads

    @property
    def token(self) -> str | None:
        """Where the caller is, as text for ``since``: after the last transition it was given; ``None`` before any."""
        return self._poller.token

    @property
    def next_read_in(self) -> float | None:
        """
        Seconds until the next read is due, for showing it; to be asked in the event loop.

        ``None`` before the first step, while a read is under way, and after the end.
        """
        if not self._is_started:
            return None
        now = self._clock.now()
        action = self._poller.next_action(now)
        return action.until - now if isinstance(action, Sleep) else None

    def __repr__(self) -> str:
        latest = self.latest
        status = "not read yet" if latest is None else str(latest.status)
        return f"<OutcomeWait session {self.session_id}: {status}, {self.reads} reads>"

    # -- iterating and awaiting ---------------------------------------------------------------------------------

    def __aiter__(self) -> OutcomeWait:
        return self

    async def __anext__(self) -> Transition:
        step = await self._step(_FOREVER)
        if isinstance(step, Transition):
            return step
        raise StopAsyncIteration

    def updates(self, heartbeat: float | timedelta = 15.0) -> AsyncIterator[Transition | Heartbeat]:
        """
        Iterate the same wait, with a `Heartbeat` whenever *heartbeat* seconds passed without a transition.

        For streams to a browser: a connection that was left is noticed at the next send only.

        Raises:
            ConfigurationError: *heartbeat* is not a positive number of seconds.
        """
        heartbeat = seconds(heartbeat, "heartbeat", at_least=0.01)
        return _Updates(self, heartbeat=heartbeat, step=self._step, clock=self._clock)

    def __await__(self) -> Generator[Any, Any, Outcome]:
        return self._finish().__await__()

    async def _finish(self) -> Outcome:
        while True:
            step = await self._step(_FOREVER)
            if isinstance(step, Outcome):
                return step

    # -- one step -----------------------------------------------------------------------------------------------

    async def _step(self, until: float) -> Transition | Outcome | None:
        """Go on to the next transition, or to the outcome; return ``None`` if *until* (loop seconds) comes first."""
        if self._is_stepping:
            raise RuntimeError(
                f"another task is already going on with the wait for session {self.session_id}: one at a time, or "
                "start a second wait (they share their reads)"
            )
        self._is_stepping = self._is_started = True
        turn, is_in_loop = None, True
        try:
            shared = self._attach()
            self._poller.resumed(self._left_at, self._clock.now())
            while True:
                self._take_news(shared)
                now, wake_at = self._clock.now(), _FOREVER
                match self._poller.next_action(now):
                    case Emit(transition):
                        self._poller.emitted()
                        return transition
                    case Finish(outcome):
                        self._end(outcome)
                        return outcome
                    case Fail(error):
                        self._end(error)
                        raise error
                    case Read() as read:
                        if self._take_young(shared, read.since):
                            continue
                        self._reads.check_open(self.session_id)
                        got = self._reads.ask(shared, turn, key=self._key(read, now))
                        if isinstance(got, Turn):
                            turn, wake_at = got, self._reads.asks_again_at(got)
                        else:
                            turn = None
                            self._board(got, read.due)
                            # An eager task of asyncio's may have landed already.
                            wake_at = _FOREVER if got.landed_at is None else now
                    case Sleep(wake_at):
                        self._reads.check_open(self.session_id)
                        self._reads.leave(turn)
                        turn = None
                    case _ as never:
                        assert_never(never)
                if now >= until:
                    return None
                await self._reads.news(shared, min(wake_at, until))
        except ClientClosedError as error:
            self._end(error)
            raise
        except GeneratorExit:
            is_in_loop = False  # closed, by whoever dropped it: there may be no loop to ask for its time
            raise
        finally:
            self._is_stepping = False
            self._reads.leave(turn)
            if is_in_loop:
                self._left_at = self._clock.now()

    def _attach(self) -> SharedReads:
        if self._shared is None:
            self._shared = self._reads.shared(self.session_id)
            self._shared.waits += 1
            self._attached_at = self._clock.now()
            self._notified_at = self._shared.notified_at
            self._poller.next_action(self._attached_at)  # the timeout counts from here
        return self._shared

    def _detach(self) -> None:
        if self._shared is not None and not self._is_ended:
            self._is_ended = True
            self._shared.waits -= 1

    def _take_news(self, shared: SharedReads) -> None:
        """Tell the poller what came since the last look: notifications, what was asked for, what others asked for."""
        if shared.notified_at > self._notified_at:
            # Before the landings: one that began after the notification has served it.
            self._notified_at = shared.notified_at
            self._poller.notified(self._notified_at)
            self._lateness = self._reads.lateness()
        asked, heard = self._asked, shared.landed
        if heard is not None and (heard.reading is None or _landed_at(heard) < self._attached_at):
            heard = None
        if asked is not None and asked.landed_at is not None:
            self._asked = None
            if asked.reading is not None:
                self._use(asked, asked.landed_at)
            elif heard is None or heard.number < asked.number:
                # Not one that a later reading outdates; and from now: while nobody looked there was no outage.
                self._use(asked, self._clock.now())
        if heard is not None and heard.number > self._used:
            self._use(heard, _landed_at(heard))

    def _take_young(self, shared: SharedReads, since: float) -> bool:
        """Use the last landing, even one from before this wait, if it is young enough."""
        landed, since = shared.landed, max(since, shared.notified_at)
        if landed is None or landed.reading is None or landed.number <= self._used or landed.started_at < since:
            return False
        self._use(landed, _landed_at(landed))
        return True

    def _use(self, flight: Flight, landed_at: float) -> None:
        self._used = flight.number
        if flight.reading is not None:
            seen = len(self._poller.transitions)
            self._poller.received(flight.reading, landed_at, self._draw(), asked_at=flight.started_at)
            for transition in self._poller.transitions[seen:]:
                self._report(transition)
        else:
            self._fail(flight, landed_at)
        if flight.started_at < self._notified_at:
            # A notification is served only by a read that began after it.
            self._poller.notified(self._notified_at)
        self._told_at, self._lateness = landed_at, self._reads.lateness()

    def _fail(self, flight: Flight, landed_at: float) -> None:
        try:
            flight.result()
        except ClientClosedError:
            raise
        except HPPError as error:
            self._poller.failed(error, landed_at, self._draw(), asked_at=flight.started_at)
            self._warn_once(error, landed_at)

    def _key(self, read: Read, now: float) -> float:
        """When the read is due in the budget's virtual time: as late as the clock was when the delay began."""
        if read.is_urgent or read.due == -_FOREVER:
            return now - self._reads.lateness()
        return read.due - self._lateness

    def _board(self, flight: Flight, due: float) -> None:
        if self._asked is flight:
            return
        self._asked = flight
        if self._observers and due > -_FOREVER:
            seconds, late_by = flight.started_at - self._told_at, max(0.0, flight.started_at - due)
            self._observers.tell(Slept(session_id=self.session_id, seconds=max(0.0, seconds), late_by=late_by))

    # -- what it says of itself ---------------------------------------------------------------------------------

    def _report(self, transition: Transition) -> None:
        previous = transition.previous
        _logger.info("session %s: %s -> %s", self.session_id, previous or "first seen", transition.status)
        self._observers.tell(
            TransitionSeen(
                session_id=self.session_id,
                previous=previous,
                status=transition.status,
                sequence=transition.sequence,
            )
        )

    def _warn_once(self, error: HPPError, now: float) -> None:
        failing_since = self._poller.failing_since
        if self._is_warned or failing_since is None or now - failing_since < _LASTING:
            return
        self._is_warned = True
        _logger.warning("no readable answer for %.0f s, the wait goes on: %s", now - failing_since, error)

    def _end(self, ending: Outcome | HPPError) -> None:
        if self._is_ended:
            return
        self._detach()
        latest = self.latest
        support = (
            "" if latest is None or latest.correlation_id is None else f" (correlation id {latest.correlation_id})"
        )
        name = type(ending).__name__
        _logger.info("session %s: the wait ended after %d reads: %s", self.session_id, self.reads, name)
        if isinstance(ending, Outcome) and ending.needs_attention:
            _logger.warning(
                "session %s ended as %s with status %s, and needs a person's attention: see Outcome.needs_attention%s",
                self.session_id,
                name,
                ending.status,
                support,
            )
        self._observers.tell(
            WaitEnded(
                session_id=self.session_id,
                ending=name,
                status=None if latest is None else latest.status,
                reads=self.reads,
            )
        )

    # -- a coroutine, as far as asyncio, anyio and trio look ------------------------------------------------------

    def _inner(self) -> Any:
        # One that is over stays, for debuggers to look at, until a new task goes on with the wait.
        if self._coroutine is None or self._coroutine.cr_frame is None:
            self._coroutine = self._finish()
        return self._coroutine

    def send(self, value: Any) -> Any:
        """Drive the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._inner().send(value)

    def throw(self, *exception: Any) -> Any:
        """Raise inside the wait as an event loop does; see `collections.abc.Coroutine`."""
        return self._inner().throw(*exception)

    def close(self) -> None:
        """End the step that is under way; see `collections.abc.Coroutine`."""
        self._is_started = True
        if self._coroutine is not None:
            self._coroutine.close()

    @property
    def cr_await(self) -> Any:
        """What the wait is waiting for, for debuggers."""
        return None if self._coroutine is None else self._coroutine.cr_await

    @property
    def cr_code(self) -> CodeType:
        """The code that runs, for debuggers."""
        return type(self)._finish.__code__

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame that runs, for debuggers, and for trio, which asks before the first step."""
        frame: FrameType | None = (self._coroutine or self._inner()).cr_frame
        return frame

    @property
    def cr_running(self) -> bool:
        """Whether the wait is on the stack now."""
        return self._coroutine is not None and self._coroutine.cr_running

    def __del__(self) -> None:
        if not getattr(self, "_is_started", True):
            warnings.warn(
                f"the wait for session {self.session_id} was never awaited or iterated",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
            self.close()
        self._detach()


def _landed_at(flight: Flight) -> float:
    assert flight.landed_at is not None, "asked of a flight that has landed"
    return flight.landed_at


class _Updates(AsyncIterator[Transition | Heartbeat]):
    """Steps of *wait*, each no longer than *heartbeat* seconds after the one before."""

    def __init__(
        self,
        wait: OutcomeWait,
        *,
        heartbeat: float,
        step: Callable[[float], Coroutine[Any, Any, Transition | Outcome | None]],
        clock: Clock,
    ) -> None:
        self._wait = wait
        self._heartbeat = heartbeat
        self._step = step
        self._clock = clock
        self._quiet_since: float | None = None

    async def __anext__(self) -> Transition | Heartbeat:
        if self._quiet_since is None:
            self._quiet_since = self._clock.now()
        step = await self._step(self._quiet_since + self._heartbeat)
        if isinstance(step, Outcome):
            raise StopAsyncIteration
        self._quiet_since = self._clock.now()
        return step or Heartbeat(session_id=self._wait.session_id, latest=self._wait.latest)
