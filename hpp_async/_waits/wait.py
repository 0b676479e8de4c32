"""One wait on one session, as the user awaits and iterates it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

import attrs

from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome, Outcome
from hpp_async._core.poller import Poller
from hpp_async._core.schedule import seconds
from hpp_async._core.session import Session
from hpp_async._loop import Sleeper
from hpp_async._waits.awaitable import AwaitableWait
from hpp_async._waits.flight import Flight, Notification
from hpp_async._waits.reads import Reads
from hpp_async._waits.reports import Reports
from hpp_async._waits.stepping import Stepping
from hpp_async._waits.tracker import Tracker

_FOREVER: Final = float("inf")


@attrs.frozen(kw_only=True)
class Heartbeat:
    """No transition for a while, and the wait goes on; ``latest`` is its newest reading, ``None`` before the first."""

    session_id: str
    latest: Session | None


@attrs.frozen(kw_only=True)
class Parked:
    """
    A wait that handed itself back, as its next read is some time away; see `HPPClient.step`.

    Attributes:
        session_id: the session.
        token: the resume token to go on from. It holds nothing secret.
        resume_in: seconds until the next read is due.
    """

    session_id: str
    token: str
    resume_in: float


class _Tracker(Tracker):
    """The tracker of a wait, which subscribes to its session; what comes for it wakes the step that is under way."""

    __slots__ = ("claim", "sleeper")

    def __init__(self, poller: Poller, *, reads: Reads) -> None:
        super().__init__(poller, reads=reads, reports=Reports(reads.observers))
        self.sleeper = Sleeper(reads.clock)
        self.claim = reads.turns.claim(self.sleeper)

    def finished(self, flight: Flight) -> None:
        if self.keep(flight):
            self.sleeper.wake()

    def follows(self, session_id: str) -> bool:
        return session_id == self.session_id

    def notified(self, notification: Notification) -> bool:
        self.bring_forward(notification)
        self.sleeper.wake()
        return True

    def wake(self) -> None:
        self.sleeper.wake()


class OutcomeWait(AwaitableWait[AnyOutcome], AsyncIterator[Transition]):
    """
    A wait for the outcome of one session: await it, or iterate it.

    Awaiting returns an `AnyOutcome`. Iterating yields each `Transition` and ends after the last one; ``outcome`` is set
    then. A wait can be iterated first and awaited later. Once it has ended, it gives the same outcome or error again.

    A step runs from an ``await`` or ``anext`` to its result. Between two steps the wait holds no task, cancel scope or
    connection, so ``break`` needs no clean-up. A cancelled step loses nothing: this task or another can go on. While
    one task takes a step, another task that tries gets a `RuntimeError`.

    Raises:
        SessionNotFoundError: 404, and the session was never seen.
        SessionVanishedError: 404, and the session may have been paid: it was seen and is not known to have expired, or
            the 404 says that it was completed.
        AuthenticationError: 401 or 403; on a session that was read before, two more reads must confirm it.
        ExpiryUnknownError: still open 72 hours after it was first seen, and no reading says when it expires.
        WaitTimeoutError: the wait's ``timeout`` ran out. The session may still be paid.
        OutageError: no readable answer for longer than the client's ``outage_tolerance``.
        ConfigurationError: the schedule returned something that is not a delay.
        ClientClosedError: the client was closed, or the httpx client that it borrows.
        RuntimeError: another task is taking a step, or the client is in use in another event loop, which is running.
    """

    __slots__ = (
        "__weakref__",
        "_is_started",
        "_is_subscribed",
        "_left_at",
        "_reads",
        "_steps",
        "_tracker",
    )

    def __init__(self, poller: Poller, *, reads: Reads) -> None:
        super().__init__()
        self._reads = reads
        self._tracker = _Tracker(poller, reads=reads)
        self._steps = Stepping(
            f"another task is already awaiting or iterating the wait for session {self.session_id}: use it in one task "
            "at a time, or start a second wait (waits on one session share their reads)"
        )
        self._is_started = False
        self._is_subscribed: bool | None = None
        """``None`` before the first step; ``False`` once the wait has ended."""
        self._left_at = 0.0
        """When the last step ended, in loop seconds; from the first step on."""

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The id of the session that is waited for."""
        return self._tracker.session_id

    @property
    def latest(self) -> Session | None:
        """
        The newest reading; ``None`` before the first.

        Stale readings do not count: replicas of the provider answer out of order.
        """
        return self._tracker.latest

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every transition seen so far, in order."""
        return self._tracker.transitions

    @property
    def outcome(self) -> AnyOutcome | None:
        """The outcome, once it is known."""
        return self._tracker.outcome

    @property
    def reads(self) -> int:
        """How many reads this wait has used, failed ones included; waits on one session share their reads."""
        return self._tracker.reads

    @property
    def token(self) -> str | None:
        """
        The resume token, for ``since``: a wait that starts from it goes on after the last transition handed over.

        Before the first transition it is where this wait started from; ``None`` if it started without ``since``.
        """
        return self._tracker.token

    @property
    def next_read_in(self) -> float | None:
        """
        Seconds until the next read is due, to be shown to a person. Use it in the event loop.

        ``None`` before the first step, while a read is due or under way, and after the end.
        """
        return None if self._is_subscribed is None else self._tracker.next_read_in

    @property
    def failing_for(self) -> float | None:
        """
        Seconds for which the session could not be read, to be shown to a person. Use it in the event loop.

        ``None`` where there is no outage, and before the first step. At the client's ``outage_tolerance`` the wait
        gives up. Idle time does not count. An outage that goes on from ``since`` counts from its beginning.
        """
        since = self._tracker.failing_since
        return None if since is None else self._reads.clock.now() - since

    def __repr__(self) -> str:
        latest = self.latest
        status = "not read yet" if latest is None else str(latest.status)
        return f"<OutcomeWait session {self.session_id}: {status}, {self.reads} reads>"

    # -- iterating and awaiting ---------------------------------------------------------------------------------

    def __aiter__(self) -> OutcomeWait:
        return self

    async def __anext__(self) -> Transition:
        try:
            step = await self._step(_FOREVER)
        except _StepClosedError:
            raise StopAsyncIteration from None
        if isinstance(step, Transition):
            return step
        raise StopAsyncIteration

    def updates(self, heartbeat: float | timedelta = 15.0) -> Updates:
        """
        Iterate the same wait, with a `Heartbeat` whenever *heartbeat* seconds have passed without a transition.

        For streams to a browser: a server notices that the browser has left only when it sends something. The
        iteration ends after the last transition, and at `HPPClient.stop_streams`, when ``outcome`` may still be
        ``None``.

        Raises:
            ConfigurationError: *heartbeat* is not a positive number of seconds.
        """
        heartbeat = seconds(heartbeat, "heartbeat", at_least=0.01)
        return Updates(self, heartbeat=heartbeat, step=self._step_of_stream, reads=self._reads)

    async def _finish(self) -> AnyOutcome:
        while True:
            step = await self._step(_FOREVER)
            if isinstance(step, Outcome):
                return step

    async def aclose(self) -> None:
        """
        End the step that is under way, if any, so that `contextlib.aclosing` works. Another step can begin at once.

        The step may be another task's: if that task iterates, its iteration ends; if it awaits the wait, it gets a
        `RuntimeError`.
        """
        self._is_started = True
        if self._steps.is_under_way():
            self._steps.cancel()
            self._left_at = self._reads.clock.now()
            self._tracker.wake()

    # -- one step -----------------------------------------------------------------------------------------------

    async def step(self, hold: float) -> Transition | AnyOutcome | Parked:
        """
        Return the next transition, or the outcome; or a `Parked` once the next read is more than *hold* seconds away.

        `HPPClient.step` calls this.
        """
        try:
            step = await self._step(_FOREVER, hold=hold)
            if step is not None:
                return step
            token, resume_in = self.token, self.next_read_in
            assert token is not None, "a wait that has read has something to remember"
            return Parked(session_id=self.session_id, token=token, resume_in=resume_in or 0.0)
        finally:
            if self._unsubscribe():
                self._tracker.drop()

    async def _step(self, until: float, *, hold: float = _FOREVER) -> Transition | AnyOutcome | None:
        """
        Return the next transition, or the outcome.

        Return ``None`` if *until* (loop seconds) comes first, or if the next read is more than *hold* seconds away.
        """
        tracker, reads, is_in_loop = self._tracker, self._reads, True
        step = self._steps.begin()
        self._is_started = True
        try:
            reads.enter()
            self._start()
            tracker.resume(self._left_at)
            with tracker.claim as claim:
                while True:
                    tracker.catch_up()
                    news = tracker.take_news()
                    if news is not None:
                        return self._hand_over(news)
                    reads.check_open(self.session_id)
                    look_again_at = tracker.ask(claim)
                    if reads.clock.now() >= until or (hold < _FOREVER and (tracker.next_read_in or 0.0) > hold):
                        return None
                    await claim.sleep(min(look_again_at, until))
                    if not self._steps.is_current(step):
                        raise _StepClosedError(f"the wait for session {self.session_id} was closed during this step")
        except ClientClosedError as error:
            self._end(error)
            raise
        except GeneratorExit:
            is_in_loop = False  # the coroutine was dropped, perhaps outside of any loop, and a loop's time is not known
            raise
        finally:
            if self._steps.end(step) and is_in_loop:
                self._left_at = reads.clock.now()

    def _is_stepping(self) -> bool:
        return self._steps.is_under_way()

    async def _step_of_stream(self, until: float) -> Transition | AnyOutcome | None:
        """Do as `_step` does; return ``None`` also if the streams of the client are stopped first."""
        self._is_started = True
        with self._reads.streams.step():
            if not self._reads.streams.are_stopped:
                return await self._step(until)
        return None

    def _start(self) -> None:
        if self._is_subscribed is None:
            self._is_subscribed, self._left_at = True, self._reads.clock.now()
            self._reads.subscribe(self._tracker, self.session_id)
            self._tracker.start()
            self._tracker.begin()

    def _hand_over(self, news: Transition | AnyOutcome | HPPError) -> Transition | AnyOutcome:
        if isinstance(news, Transition):
            return news
        self._end(news)
        if isinstance(news, Outcome):
            return news
        raise news

    def _end(self, ending: AnyOutcome | HPPError) -> None:
        if self._unsubscribe():
            self._tracker.end(ending)

    def _unsubscribe(self) -> bool:
        """Unsubscribe if the wait is subscribed, and tell whether it was."""
        if not self._is_subscribed:
            return False
        self._is_subscribed = False
        self._reads.unsubscribe(self._tracker, self.session_id)
        return True

    def throw(self, *exception: Any) -> Any:
        """Raise *exception* inside the wait; a task that is cancelled before its first step counts as one, too."""
        self._is_started = True
        return super().throw(*exception)

    def close(self) -> None:
        """Close the native coroutine of a task made from the wait, if any. To end a step, call `aclose`."""
        self._is_started = True
        super().close()

    def __del__(self) -> None:
        if not getattr(self, "_is_started", True):
            warnings.warn(
                f"the wait for session {self.session_id} was never awaited or iterated",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
            self.close()
        if self._unsubscribe():
            self._tracker.drop()


class _StepClosedError(RuntimeError):
    """The step was ended by `OutcomeWait.aclose`."""


class Updates(AsyncIterator[Transition | Heartbeat]):
    """The iteration that `OutcomeWait.updates` returns: transitions, and a `Heartbeat` after each pause without one."""

    def __init__(
        self,
        wait: OutcomeWait,
        *,
        heartbeat: float,
        step: Callable[[float], Coroutine[Any, Any, Transition | AnyOutcome | None]],
        reads: Reads,
    ) -> None:
        self._wait = wait
        self._heartbeat = heartbeat
        self._step = step
        self._clock = reads.clock
        self._streams = reads.streams
        self._quiet_since: float | None = None

    async def __anext__(self) -> Transition | Heartbeat:
        if self._quiet_since is None:
            self._quiet_since = self._clock.now()
        try:
            step = await self._step(self._quiet_since + self._heartbeat)
        except _StepClosedError:
            raise StopAsyncIteration from None
        if isinstance(step, Outcome) or (step is None and self._streams.are_stopped):
            raise StopAsyncIteration
        self._quiet_since = self._clock.now()
        return step or Heartbeat(session_id=self._wait.session_id, latest=self._wait.latest)

    async def aclose(self) -> None:
        """End the step that is under way, if any; see `OutcomeWait.aclose`."""
        await self._wait.aclose()
