"""
Reads that belong to the client.

A caller that is cancelled must not cancel a request: native asyncio cancellation in the middle of one leaves httpx's
pool unusable. So a read runs in a task of the client; callers wait for it to land, and leave without touching it. That
also makes it shareable: there is at most one in flight per session, and its answer goes to every wait on that session.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio

from hpp_async._core.budget import Budget, Quota, Turn
from hpp_async._core.exceptions import ClientClosedError, HPPError, ReadError
from hpp_async._core.session import Session
from hpp_async._loop import Clock, spawn
from hpp_async._waits.events import BudgetPaused, Observers, ReadFailed, ReadFinished

_FOREVER: Final = float("inf")

Operation = Callable[[str, "Reads"], Awaitable[Session | None]]
"""What a flight does with a session id, its attempts counted here; it gives a reading, or has none to give."""


class Flight:
    """One read: in flight, then landed with a reading or a failure. Times are in loop seconds."""

    __slots__ = ("failure", "landed_at", "number", "reading", "started_at")

    def __init__(self, number: int, started_at: float) -> None:
        self.number = number
        self.started_at = started_at
        self.landed_at: float | None = None
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


class SharedReads:
    """What all waits on one session share: the flight, the last that had a reading, and who wants to know of more."""

    __slots__ = (
        "__weakref__",
        "in_flight",
        "landed",
        "listeners",
        "notified_after",
        "notified_at",
        "session_id",
        "waits",
    )

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.in_flight: Flight | None = None
        self.landed: Flight | None = None
        self.notified_at = float("-inf")
        self.notified_after = 0
        """The number of the last flight that had begun by then, of all sessions: two moments may be one on a clock."""
        self.listeners: list[anyio.Event] = []  # of one or two: a set is three times as large
        self.waits = 0

    def wake(self) -> None:
        """Let everyone look again at what there is."""
        for event in self.listeners:
            event.set()


class Follower(Protocol):
    """Somebody who follows many sessions, and is told of each what `SharedReads` tells those who follow one."""

    def landed(self, session_id: str, flight: Flight) -> None:
        """Take note of a landing."""
        ...

    def notified(self, session_id: str, now: float) -> bool:
        """Make a read of the session due; return whether it is followed."""
        ...

    def wake(self) -> None:
        """Look again at what there is."""
        ...


class Reads:
    """All reads of one client, and whatever else it asks of the provider."""

    def __init__(
        self,
        read: Operation,
        *,
        budget: Budget,
        clock: Clock,
        draw: Callable[[], float],
        observers: Observers,
    ) -> None:
        self.clock = clock
        self.draw = draw
        self.observers = observers
        self._read = read
        self._budget = budget
        self._sessions: weakref.WeakValueDictionary[str, SharedReads] = weakref.WeakValueDictionary()
        self._under_way: dict[Flight, tuple[SharedReads, anyio.CancelScope]] = {}
        self._followers: list[Follower] = []
        self._count = 0
        self.is_closed = False

    def shared(self, session_id: str) -> SharedReads:
        """Return what is shared about the session; it lives as long as somebody holds it."""
        shared = self._sessions.get(session_id)
        if shared is None:
            shared = self._sessions[session_id] = SharedReads(session_id)
        return shared

    def follow(self, follower: Follower) -> None:
        """Tell *follower* of every landing and notification, and of the end."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Tell *follower* nothing more."""
        self._followers.remove(follower)

    @property
    def in_flight(self) -> int:
        """How many reads are under way at once, at the most."""
        return self._budget.in_flight

    @property
    def begun(self) -> int:
        """The number of the last flight that has begun, of all sessions."""
        return self._count

    # -- asking -------------------------------------------------------------------------------------------------------

    def lateness(self) -> float:
        """Return how far the budget's virtual clock is behind, in seconds; see `hpp_async._core.budget`."""
        return self._budget.lateness(self.clock.now())

    def ask(
        self, shared: SharedReads, turn: Turn | None, *, key: float, wake: Callable[[], object] | None = None
    ) -> Flight | Turn:
        """
        Return the read of the session that is in flight, starting one when its turn has come; else the turn.

        *turn* is what the last call returned, and *key* when the read is due in the budget's virtual time. Between two
        calls, wait for `news`, or to be woken, until `asks_again_at`; a turn that is no longer wanted is to be given to
        `leave`.
        """
        if shared.in_flight is not None:
            self.leave(turn)
            return shared.in_flight
        now = self.clock.now()
        if turn is None or key < turn.key:  # due earlier than it was: a notification came, or the timeout
            self.leave(turn)
            turn = self._budget.queue(key, now, shared.wake if wake is None else wake)
        if not self._budget.admit(turn, now):
            return turn
        flight = shared.in_flight = self._prepare(now)
        self._start(flight, shared, self._read)
        return flight

    def asks_again_at(self, turn: Turn) -> float:
        """Return when to `ask` again at the latest, in loop seconds."""
        return self._budget.opens_at(turn, self.clock.now())

    def leave(self, turn: Turn | None) -> None:
        """Give *turn* back, if there is one."""
        if turn is not None:
            self._budget.leave(turn)

    async def read(self, session_id: str, *, is_urgent: bool = False) -> Session:
        """
        Return a reading that was asked for now or later; an urgent one goes before all others.

        Raises:
            HPPError: the read's failure.
            ClientClosedError: before, or meanwhile.
        """
        shared = self.shared(session_id)
        asked_at = self.clock.now()
        turn: Turn | None = None
        try:
            while True:
                self.check_open(session_id)
                key = -_FOREVER if is_urgent else asked_at - self.lateness()
                got = self.ask(shared, turn, key=key if turn is None else turn.key)
                if isinstance(got, Turn):
                    turn = got
                    await self.news(shared, self.asks_again_at(turn))
                    continue
                turn = None
                await self._landing(got, shared)
                if got.started_at >= asked_at:
                    reading = got.result()
                    assert reading is not None, "a read that did not fail has a reading"
                    return reading
        finally:
            self.leave(turn)

    async def run(self, session_id: str, operation: Operation) -> None:
        """
        Do *operation*, which gives no reading, in a task of the client and counted in the budget, before any read.

        Raises:
            HPPError: the operation's failure.
            ClientClosedError: before, or meanwhile.
        """
        shared = self.shared(session_id)
        turn = self._budget.queue(-_FOREVER, self.clock.now(), shared.wake)
        try:
            self.check_open(session_id)
            while not self._budget.admit(turn, self.clock.now()):
                await self.news(shared, self.asks_again_at(turn))
                self.check_open(session_id)
        finally:
            self.leave(turn)
        flight = self._prepare(self.clock.now())
        self._start(flight, shared, operation)
        await self._landing(flight, shared)
        flight.result()

    async def _landing(self, flight: Flight, shared: SharedReads) -> None:
        while flight.landed_at is None:
            await self.news(shared)

    async def again(self, delay: float) -> None:
        """Sleep for *delay* seconds, and then until another attempt of a read under way has its turn, before others."""
        until = self.clock.now() + delay
        while self.clock.now() < until:
            await self.clock.wait(anyio.Event(), until)
        alone = SharedReads("")
        turn = self._budget.queue(-_FOREVER, self.clock.now(), alone.wake, is_under_way=True)
        try:
            while not self._budget.admit(turn, self.clock.now()):
                await self.news(alone, self.asks_again_at(turn))
        finally:
            self.leave(turn)

    # -- what the answers say of the quota ----------------------------------------------------------------------------

    def answered(self, quota: Quota, now: float) -> None:
        """Note what a good answer, received at *now*, says of the quota."""
        until = self._budget.heard(quota, now)
        if until is not None:
            self.observers.tell(BudgetPaused(seconds=until - now, is_refused=False))

    def refused(self, retry_after: float | None, now: float) -> None:
        """Note a 429, received at *now*: all reads pause."""
        self.observers.tell(BudgetPaused(seconds=self._budget.throttled(now, retry_after) - now, is_refused=True))

    # -- hearing ------------------------------------------------------------------------------------------------------

    async def news(self, shared: SharedReads, until: float = _FOREVER) -> None:
        """Return at the next landing, notification, turn or closing, or at *until* (loop seconds)."""
        event = anyio.Event()
        shared.listeners.append(event)
        try:
            await self.clock.wait(event, until)
        finally:
            shared.listeners.remove(event)

    def notify(self, session_id: str) -> bool:
        """Make a read of the session due in every wait on it; return whether there is any."""
        now = self.clock.now()
        is_followed = [follower.notified(session_id, now) for follower in self._followers]
        shared = self._sessions.get(session_id)
        if shared is None:
            return any(is_followed)
        shared.notified_at, shared.notified_after = now, self._count
        shared.wake()
        return shared.waits > 0 or any(is_followed)

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
        """End every read in flight and every wait. Cancelled half-way, it can be called again."""
        self.is_closed = True
        for shared in list(self._sessions.values()):
            shared.wake()
        for follower in self._followers:
            follower.wake()
        for _, scope in list(self._under_way.values()):
            scope.cancel()
        while self._under_way:
            shared, _ = next(iter(self._under_way.values()))
            await self.news(shared)

    # -- flying -------------------------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> Flight:
        self._count += 1
        return Flight(self._count, now)

    def _start(self, flight: Flight, shared: SharedReads, operation: Operation) -> None:
        # What it will have been, unless it lands otherwise.
        flight.failure = ClientClosedError(f"session {shared.session_id}: the client was closed during a read")
        try:
            scope = anyio.CancelScope()
            self._under_way[flight] = shared, scope
            spawn(
                lambda: self._fly(flight, shared, operation, scope),
                f"hpp_async read {shared.session_id}",
                ended=lambda: self._land(flight, shared),
            )
        except BaseException:
            # No task, no landing: what would wait for one must not.
            self._land(flight, shared)
            raise

    async def _fly(self, flight: Flight, shared: SharedReads, operation: Operation, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                flight.reading = await operation(shared.session_id, self)
                flight.failure = None
        except Exception as error:  # noqa: BLE001 - it is raised where the read was asked for
            flight.failure = error
        finally:
            self._land(flight, shared)

    def _land(self, flight: Flight, shared: SharedReads) -> None:
        if flight.landed_at is not None:
            return
        flight.landed_at = self.clock.now()
        if shared.in_flight is flight:
            shared.in_flight = None
            if flight.reading is not None:
                shared.landed = flight  # a failure is news to those alone who asked
            for follower in self._followers:
                follower.landed(shared.session_id, flight)
        self._under_way.pop(flight, None)
        self._budget.landed()
        self._report(flight, shared.session_id, flight.landed_at - flight.started_at)
        shared.wake()

    def _report(self, flight: Flight, session_id: str, seconds: float) -> None:
        if not self.observers:
            return
        reading = flight.reading
        if reading is not None:
            self.observers.tell(
                ReadFinished(
                    session_id=session_id,
                    status=reading.status,
                    correlation_id=reading.correlation_id,
                    seconds=seconds,
                )
            )
            return
        error = flight.failure
        if error is None:
            return
        self.observers.tell(
            ReadFailed(
                session_id=session_id,
                error=type(error).__name__,
                correlation_id=error.correlation_id if isinstance(error, ReadError) else None,
                seconds=seconds,
            )
        )
