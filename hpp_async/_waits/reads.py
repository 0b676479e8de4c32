"""
Shared reads: single flight, and who is told of what the reads show.

At any time there is at most one read in flight per session (the pattern is known as *single flight*), and its answer
goes to every wait on that session. A read runs in a task of the client, and its callers wait for it to finish: a caller
that is cancelled leaves without touching the request, because native asyncio cancellation in the middle of a request
leaves httpx's pool unusable.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

import anyio
import attrs

from hpp_async._core.budget import Kind
from hpp_async._core.exceptions import ClientClosedError, HPPError, ReadError
from hpp_async._core.session import Session
from hpp_async._loop import Clock, Sleeper, spawn
from hpp_async._waits.events import Observers, ReadFailed, ReadFinished
from hpp_async._waits.streams import Streams
from hpp_async._waits.turns import Claim, Turns

_REMEMBERED: Final = 1024
"""Sessions of which a client remembers that `Reads.read` has read them."""

Operation = Callable[[str, Turns], Awaitable[Session | None]]
"""What is asked of the provider about a session id, its attempts counted in the budget; a read returns a reading."""


class Flight:
    """One request for a session: in flight, then finished with a reading or a failure. Times are in loop seconds."""

    __slots__ = ("failure", "finished_at", "is_command", "number", "reading", "session_id", "started_at")

    def __init__(self, session_id: str, number: int, started_at: float, *, is_command: bool) -> None:
        self.session_id: str = session_id
        self.number: int = number
        self.started_at: float = started_at
        self.is_command: bool = is_command
        self.finished_at: float | None = None
        self.reading: Session | None = None
        self.failure: Exception | None = None

    def result(self) -> Session | None:
        """
        Return the reading.

        Raises:
            Exception: why there is none; a copy for each caller, as one object raised in many tasks tangles tracebacks.
        """
        if self.failure is None:
            return self.reading
        if not isinstance(self.failure, HPPError):
            raise self.failure  # of a user's hook: not every exception can be copied
        error = copy.copy(self.failure)
        error.__cause__ = self.failure.__cause__
        raise error


@attrs.frozen
class Notification:
    """
    A hint that a session changed: it came *at* a moment (loop seconds), when *after* was the last flight started.

    A read serves it only if it started later. Flights are compared by number: a clock may show the same moment twice.
    """

    session_id: str
    at: float
    after: int


class Subscriber(Protocol):
    """Who follows sessions: a wait follows one, a watch many, and a caller of `Reads.read` one for a moment."""

    def finished(self, flight: Flight) -> None:
        """Take note that a flight has finished; only those who asked for it care for a failure."""
        ...

    def notified(self, notification: Notification) -> bool:
        """Make a read of the session due; return whether the session is followed."""
        ...

    def wake(self) -> None:
        """Look again at whether the client is open."""
        ...


class SharedReads:
    """What all who follow one session share: the flight, the latest finished one with a reading, and who they are."""

    __slots__ = ("flight", "latest", "outdated", "session_id", "subscribers")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.flight: Flight | None = None
        self.latest: Flight | None = None
        self.outdated = 0
        """The number of the last flight that had started when the last notification came."""
        self.subscribers: list[Subscriber] = []  # of one or two: a set is three times as large


class _Caller(Sleeper):
    """Who waits for one flight and needs to know when it has finished."""

    __slots__ = ()

    def finished(self, flight: Flight) -> None:
        self.wake()

    def notified(self, notification: Notification) -> bool:
        return False


class Reads:
    """
    All reads of one client, and its commands, which are counted in the same budget.

    Whoever follows sessions subscribes, to one session or to all, and is told of each flight that finishes and of each
    notification: there is no other way to hear of them.
    """

    def __init__(self, read: Operation, *, turns: Turns, observers: Observers) -> None:
        self.turns = turns
        self.clock: Clock = turns.clock
        self.observers = observers
        self.streams: Streams = Streams()
        self.is_closed: bool = False
        self._read = read
        self._sessions: dict[str, SharedReads] = {}
        self._subscribers: list[Subscriber] = []
        self._in_flight: dict[Flight, anyio.CancelScope] = {}
        self._were_read: OrderedDict[str, None] = OrderedDict()
        self._count = 0

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return len(self._in_flight)

    # -- who is told --------------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber, session_id: str | None = None) -> None:
        """Tell *subscriber* of the flights and notifications of one session, or of all."""
        if session_id is None:
            self._subscribers.append(subscriber)
        else:
            self._shared(session_id).subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber, session_id: str | None = None) -> None:
        """Tell *subscriber* nothing more."""
        if session_id is None:
            self._subscribers.remove(subscriber)
        else:
            shared = self._sessions[session_id]
            shared.subscribers.remove(subscriber)
            self._tidy(shared)

    @contextmanager
    def _calling(self, session_id: str) -> Generator[_Caller]:
        caller = _Caller(self.clock)
        self.subscribe(caller, session_id)
        try:
            yield caller
        finally:
            self.unsubscribe(caller, session_id)

    def _shared(self, session_id: str) -> SharedReads:
        shared = self._sessions.get(session_id)
        if shared is None:
            shared = self._sessions[session_id] = SharedReads(session_id)
        return shared

    def _tidy(self, shared: SharedReads) -> None:
        """Forget what nobody shares any more."""
        if not shared.subscribers and shared.flight is None:
            self._sessions.pop(shared.session_id, None)

    def _subscribers_of(self, session_id: str) -> tuple[Subscriber, ...]:
        shared = self._sessions.get(session_id)
        return (*(() if shared is None else shared.subscribers), *self._subscribers)

    def notify(self, session_id: str) -> bool:
        """Make a read of the session due for everyone who follows it; return whether there is anyone."""
        notification = Notification(session_id, self.clock.now(), self._count)
        shared = self._sessions.get(session_id)
        if shared is not None:
            shared.latest, shared.outdated = None, self._count
        are_following = [subscriber.notified(notification) for subscriber in self._subscribers_of(session_id)]
        return any(are_following)

    # -- asking -------------------------------------------------------------------------------------------------------

    def latest(self, session_id: str) -> Flight | None:
        """Return the latest finished flight with a reading, while somebody follows the session; see `notify`."""
        shared = self._sessions.get(session_id)
        return None if shared is None else shared.latest

    def was_read(self, session_id: str) -> bool:
        """Tell whether the session was read before: for somebody who follows it now, or lately by `read`."""
        return session_id in self._were_read or self.latest(session_id) is not None

    def ask(self, session_id: str, claim: Claim, kind: Kind, key: float = 0.0) -> Flight | None:
        """
        Return the flight of the session, starting one if the budget admits it; ``None`` while *claim* must wait.

        *key* is when a read of the schedule is due, in the budget's virtual time.
        """
        shared = self._sessions.get(session_id)
        if shared is not None and shared.flight is not None:
            claim.leave()
            return shared.flight
        if not claim.is_admitted(kind, key):
            return None
        shared = self._shared(session_id)
        flight = shared.flight = self._flight(session_id)
        self._start(flight, self._read)
        return flight

    async def read(self, session_id: str, *, is_urgent: bool = False) -> Session:
        """
        Return a reading that was asked for now or later; an urgent one goes before all others.

        Raises:
            HPPError: the read's failure.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        asked_at = self.clock.now()
        with self._calling(session_id) as caller, self.turns.claim(caller) as claim:
            while True:
                self.check_open(session_id)
                flight = self.ask(session_id, claim, Kind.URGENT if is_urgent else Kind.NEW)
                if flight is None:
                    await claim.sleep()
                    continue
                while flight.finished_at is None:
                    await caller.sleep()
                if flight.started_at >= asked_at:
                    reading = flight.result()
                    assert reading is not None, "a read that did not fail has a reading"
                    self._remember(session_id)
                    return reading

    def _remember(self, session_id: str) -> None:
        self._were_read[session_id] = None
        self._were_read.move_to_end(session_id)
        if len(self._were_read) > _REMEMBERED:
            self._were_read.popitem(last=False)

    async def command(self, session_id: str, operation: Operation) -> None:
        """
        Do *operation*, which gives no reading, before any read; then notify all who follow the session.

        It runs in a task of the client, and is counted in the budget. They are notified whatever became of it: where
        the answer was lost, it may have been done.

        Raises:
            HPPError: the operation's failure.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        with self._calling(session_id) as caller, self.turns.claim(caller) as claim:
            self.check_open(session_id)
            while not claim.is_admitted(Kind.URGENT):
                await claim.sleep()
                self.check_open(session_id)
            flight = self._flight(session_id, is_command=True)
            self._start(flight, operation)
            while flight.finished_at is None:
                await caller.sleep()
        flight.result()

    # -- closing ------------------------------------------------------------------------------------------------------

    def check_open(self, session_id: str) -> None:
        """
        Do nothing while the client is open.

        Raises:
            ClientClosedError: it is not.
        """
        if self.is_closed:
            raise ClientClosedError(f"session {session_id} cannot be read: the client was closed")

    async def aclose(self) -> None:
        """End every flight and every wait. Cancelled half-way, it can be called again."""
        self.is_closed = True
        for subscriber in [*self._subscribers, *(who for one in self._sessions.values() for who in one.subscribers)]:
            subscriber.wake()
        for scope in list(self._in_flight.values()):
            scope.cancel()
        while self._in_flight:
            with self._calling(next(iter(self._in_flight)).session_id) as caller:
                await caller.sleep()

    # -- a flight -----------------------------------------------------------------------------------------------------

    def _flight(self, session_id: str, *, is_command: bool = False) -> Flight:
        self._count += 1
        return Flight(session_id, self._count, self.clock.now(), is_command=is_command)

    def _start(self, flight: Flight, operation: Operation) -> None:
        # The default result: the task may be cancelled before its first step.
        flight.failure = ClientClosedError(f"session {flight.session_id}: the client was closed during a read")
        try:
            scope = self._in_flight[flight] = anyio.CancelScope()
            spawn(
                lambda: self._run(flight, operation, scope),
                f"hpp_async read {flight.session_id}",
                ended=lambda: self._finish(flight),
            )
        except BaseException:
            # There is no task, so nothing else would finish the flight, and its callers would wait for ever.
            self._finish(flight)
            raise

    async def _run(self, flight: Flight, operation: Operation, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                flight.reading = await operation(flight.session_id, self.turns)
                flight.failure = None
        except Exception as error:  # noqa: BLE001 - it is raised where the read was asked for
            flight.failure = error
        finally:
            self._finish(flight)

    def _finish(self, flight: Flight) -> None:
        if flight.finished_at is not None:
            return
        flight.finished_at = self.clock.now()
        self._in_flight.pop(flight, None)
        self.turns.release()
        shared = self._shared(flight.session_id)
        if shared.flight is flight:
            shared.flight = None
            if flight.reading is not None and flight.number > shared.outdated:
                shared.latest = flight  # failures are not shared: only the callers of this read get them
        for subscriber in self._subscribers_of(flight.session_id):
            subscriber.finished(flight)
        if flight.is_command:
            self.notify(flight.session_id)
        else:
            self._report(flight, flight.finished_at - flight.started_at)
        self._tidy(shared)

    def _report(self, flight: Flight, seconds: float) -> None:
        if not self.observers:
            return
        reading, error = flight.reading, flight.failure
        if reading is not None:
            self.observers.tell(
                ReadFinished(
                    session_id=flight.session_id,
                    status=reading.status,
                    correlation_id=reading.correlation_id,
                    seconds=seconds,
                )
            )
        else:
            self.observers.tell(
                ReadFailed(
                    session_id=flight.session_id,
                    error=type(error).__name__,
                    # What a lent client's hook raises is not ours, and may hold anything.
                    message=str(error) if isinstance(error, HPPError) else "",
                    correlation_id=error.correlation_id if isinstance(error, ReadError) else None,
                    seconds=seconds,
                )
            )
