"""One wait on one session: does what the poller says."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from datetime import timedelta
from types import CodeType, FrameType
from typing import Any, Final, assert_never

import attrs

from hpp_async._core.actions import Emit, Fail, Finish, Read, Sleep
from hpp_async._core.budget import Turn
from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome, Outcome
from hpp_async._core.poller import Poller
from hpp_async._core.schedule import seconds
from hpp_async._core.session import Session
from hpp_async._loop import Clock
from hpp_async._waits.reads import Reads, SharedReads
from hpp_async._waits.tracker import Alarm, Following

_FOREVER: Final = float("inf")


@attrs.frozen(kw_only=True)
class Heartbeat:
    """Nothing changed for a while, and the wait goes on."""

    session_id: str
    latest: Session | None


class OutcomeWait(Coroutine[Any, Any, AnyOutcome], AsyncIterator[Transition]):
    """
    A wait for the outcome of one session: await it, or iterate it.

    Awaiting returns an `AnyOutcome`; iterating yields each `Transition` and ends after the last one, then ``outcome``
    is set. Both can be mixed, and repeated: an ended wait gives the same outcome, or error, again.

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
        "_coroutine",
        "_following",
        "_is_ended",
        "_is_started",
        "_is_stepping",
        "_left_at",
        "_poller",
        "_reads",
        "_shared",
    )

    def __init__(self, poller: Poller, *, reads: Reads) -> None:
        self._poller = poller
        self._reads = reads
        self._following = Following(poller, reads=reads, alarm=Alarm())
        self._coroutine: Any = None  # a native coroutine of _finish
        self._is_started = self._is_stepping = self._is_ended = False
        self._shared: SharedReads | None = None
        self._left_at = 0.0

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
    def outcome(self) -> AnyOutcome | None:
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
        now = self._reads.clock.now()
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
        return _Updates(self, heartbeat=heartbeat, step=self._step, clock=self._reads.clock)

    def __await__(self) -> Generator[Any, Any, AnyOutcome]:
        return self._finish().__await__()

    async def _finish(self) -> AnyOutcome:
        while True:
            step = await self._step(_FOREVER)
            if isinstance(step, Outcome):
                return step

    # -- one step -----------------------------------------------------------------------------------------------

    async def _step(self, until: float) -> Transition | AnyOutcome | None:
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
            self._poller.resumed(self._left_at, self._reads.clock.now())
            while True:
                # First: a landing that began after it has served it.
                self._following.hear(shared.notified_at, shared.notified_after)
                self._following.take(shared.landed)
                now, wake_at = self._reads.clock.now(), _FOREVER
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
                        if self._following.take_young(shared, read.fresh_from):
                            continue
                        self._reads.check_open(self.session_id)
                        got = self._reads.ask(shared, turn, key=self._following.key_of(read, now))
                        if isinstance(got, Turn):
                            turn, wake_at = got, self._reads.asks_again_at(got)
                        else:
                            turn = None
                            self._following.board(got, read.due)
                            # An eager task of asyncio's may have landed already.
                            wake_at = _FOREVER if got.landed_at is None else now
                        wake_at = min(wake_at, read.until)
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
                self._left_at = self._reads.clock.now()

    def _attach(self) -> SharedReads:
        if self._shared is None:
            self._shared = self._reads.shared(self.session_id)
            self._shared.waits += 1
            self._following.attach(self._shared)  # the timeout counts from here
        return self._shared

    def _detach(self) -> None:
        if self._shared is not None and not self._is_ended:
            self._is_ended = True
            self._shared.waits -= 1

    def _end(self, ending: AnyOutcome | HPPError) -> None:
        if self._is_ended:
            return
        self._detach()
        self._following.end(ending)

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


class _Updates(AsyncIterator[Transition | Heartbeat]):
    """Steps of *wait*, each no longer than *heartbeat* seconds after the one before."""

    def __init__(
        self,
        wait: OutcomeWait,
        *,
        heartbeat: float,
        step: Callable[[float], Coroutine[Any, Any, Transition | AnyOutcome | None]],
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
