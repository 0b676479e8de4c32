"""
Shared reads: single flight, and how subscribers get the readings.

At any time there is at most one read in flight per session (the pattern is known as *single flight*), and its reading
goes to every wait and watch on that session. A read runs in a task of the client, and its callers wait for it to
finish. A caller that is cancelled leaves, and the request goes on: native asyncio cancellation in the middle of a
request leaves httpx's pool unusable.

Reads belong to the event loop in which they were started. When that loop is gone, and the client is used in another
one, the reads in flight are dropped. A dropped read has no result, so each caller and each subscriber that waited for
it asks for another read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from hpp_async._core.budget import Kind
from hpp_async._core.exceptions import ClientClosedError, HPPError, ReadError, ResponseError, TransportError
from hpp_async._core.provider_clock import ProviderClock
from hpp_async._core.session import Session
from hpp_async._loop import Clock, Home, LoopClock, Sleeper
from hpp_async._waits.events import Observers, ReadFailed, ReadFinished
from hpp_async._waits.flight import Flight, Notification, SharedReads, Subscriber
from hpp_async._waits.streams import Streams
from hpp_async._waits.turns import Claim, ReadTurns, Turns

_FOREVER: Final = float("inf")
_REMEMBERED: Final = 1024
"""How many sessions a client remembers as read by `Reads.read`."""

_NOTIFICATION_INTERVAL: Final = 1.0
"""
Seconds at least between two reads of a session that notifications make due.

So a flood of notifications cannot use up the budget.
"""

Operation = Callable[[str, Turns | ReadTurns], Awaitable[Session | None]]
"""
Sends the requests of one read or command on a session id, and counts its attempts in the budget.

A read returns a reading, and a command ``None``.
"""


class Reads:
    """
    All reads of one client, and its commands, which count against the same budget.

    A wait subscribes to one session, and a watch to all sessions of the client. Subscribers are called with each flight
    that finishes and with each notification. *read* is the operation that reads a session. *provider_clock* dates what
    resume tokens remember. *moved* is called when the client has moved to another event loop, and *abandon* ends all
    requests when it is closed.
    """

    def __init__(
        self,
        read: Operation,
        *,
        turns: Turns,
        provider_clock: ProviderClock,
        observers: Observers,
        moved: Callable[[], object],
        abandon: Callable[[], object],
    ) -> None:
        self.turns = turns
        self.provider_clock = provider_clock
        self.observers = observers
        self.streams: Streams = Streams()
        self._read = read
        self._abandon = abandon
        self._sessions: dict[str, SharedReads] = {}
        self._subscribers: list[Subscriber] = []
        self._in_flight: set[Flight] = set()
        self._were_read: OrderedDict[str, None] = OrderedDict()
        self._count = 0
        clock = turns.clock
        self._home = Home(moved, self._forget, entered=clock.enter if isinstance(clock, LoopClock) else bool)
        self._notified: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        """When a read for notifications is due, and whether it has started, by session; kept as long as it matters."""
        self._undelivered: dict[str, None] = {}
        """Sessions whose notification came outside of the client's event loop and is not delivered in it yet."""

    @property
    def clock(self) -> Clock:
        """The client's clock."""
        return self.turns.clock

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self.turns.is_closed

    @property
    def in_flight(self) -> int:
        """How many flights are under way, reads and commands."""
        return len(self._in_flight)

    # -- subscribers --------------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber, session_id: str | None = None) -> None:
        """Pass the flights and notifications of one session, or of all (``None``), to *subscriber* from now on."""
        if session_id is None:
            self._subscribers.append(subscriber)
        else:
            self._shared(session_id).subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber, session_id: str | None = None) -> None:
        """Undo `subscribe` with the same arguments."""
        if session_id is None:
            self._subscribers.remove(subscriber)
        else:
            shared = self._sessions[session_id]
            shared.subscribers.remove(subscriber)
            self._tidy(shared)

    def is_followed(self, session_id: str) -> bool:
        """Tell whether a wait or a watch follows the session; from any thread."""
        return any(subscriber.follows(session_id) for subscriber in self._subscribers_of(session_id))

    def _shared(self, session_id: str) -> SharedReads:
        shared = self._sessions.get(session_id)
        if shared is None:
            shared = self._sessions[session_id] = SharedReads(session_id)
        return shared

    def _tidy(self, shared: SharedReads) -> None:
        """Forget the session if it has neither subscribers nor a flight."""
        if not shared.subscribers and shared.flight is None:
            self._sessions.pop(shared.session_id, None)

    def _subscribers_of(self, session_id: str) -> tuple[Subscriber, ...]:
        shared = self._sessions.get(session_id)
        return (*(() if shared is None else shared.subscribers), *self._subscribers)

    def notify(self, session_id: str) -> bool:
        """
        Make a read of the session due in every wait and watch that follows it; return whether there is one.

        It can be called from any thread. In the thread of the client's event loop the read is due at once. In another
        thread it is due as soon as that loop gets to it; if the loop is not running, once the client is used in a loop
        again.
        """
        if self._home.is_here():
            return self._notify(session_id)
        is_followed = self.is_followed(session_id)
        if is_followed or session_id in self._sessions:
            self._undelivered[session_id] = None
            if self._home.is_running():
                self._home.call(self._deliver)
        return is_followed

    def _deliver(self) -> None:
        while self._undelivered:
            self._notify(self._undelivered.popitem()[0])

    def _notify(self, session_id: str) -> bool:
        now = self.clock.now()
        notification = Notification(session_id, now, self._due_for_notification(session_id, now), self._count)
        shared = self._sessions.get(session_id)
        if shared is not None:
            shared.latest, shared.outdated = None, self._count
        are_following = [subscriber.notified(notification) for subscriber in self._subscribers_of(session_id)]
        return any(are_following)

    def _due_for_notification(self, session_id: str, now: float) -> float:
        """Return when a read is due for a notification at *now*; the same for all who follow the session."""
        dues = self._notified
        while dues and next(iter(dues.values()))[0] + _NOTIFICATION_INTERVAL <= now:
            dues.popitem(last=False)
        due, has_started = dues.pop(session_id, (now, False))
        if has_started:
            due = max(now, due + _NOTIFICATION_INTERVAL)
        dues[session_id] = due, False
        return due

    # -- the event loop -----------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """
        Note that the client is used in the running loop; to be called before anything else is done in it.

        Raises:
            RuntimeError: the client is in use in another loop, which is running.
        """
        self._home.enter()
        self._deliver()

    def _forget(self) -> None:
        """Drop what belonged to the loop that is gone."""
        for flight in list(self._in_flight):
            self._finish(flight)
        self.turns.forget()
        self._wake_all()

    def _wake_all(self) -> None:
        # A copy: a garbage collection at any moment may drop waits, and with them their sessions.
        alone = [subscriber for shared in list(self._sessions.values()) for subscriber in list(shared.subscribers)]
        for subscriber in (*self._subscribers, *alone):
            subscriber.wake()

    # -- reads and commands -------------------------------------------------------------------------------------------

    def latest(self, session_id: str) -> Flight | None:
        """
        Return the last finished flight with a reading, if there is one.

        It is forgotten at a notification, which may make it obsolete, and when no wait follows the session any more.
        """
        shared = self._sessions.get(session_id)
        return None if shared is None else shared.latest

    def was_read(self, session_id: str) -> bool:
        """Tell whether the client has read the session: there is a `latest` flight, or `read` returned a reading."""
        return session_id in self._were_read or self.latest(session_id) is not None

    def ask(self, session_id: str, claim: Claim, kind: Kind, key: float = _FOREVER) -> Flight | None:
        """
        Return the read of the session that is in flight, or start one if the budget admits it.

        Return ``None`` if the budget does not admit it yet. Then *claim* has a turn in the queue: await `Claim.sleep`,
        and call again. *key* is when the schedule makes the read due, in seconds of the budget's virtual time. `enter`
        must have been called in the running loop.
        """
        shared = self._sessions.get(session_id)
        if shared is not None and shared.flight is not None:
            claim.leave()
            return shared.flight
        if not claim.admit(kind, key):
            return None
        flight = self._shared(session_id).flight = self._flight(session_id)
        notified = self._notified.get(session_id)
        if notified is not None:
            self._notified[session_id] = min(notified[0], flight.started_at), True
        self._start(flight, self._read, kind)
        return flight

    async def read(self, session_id: str, *, is_urgent: bool = False) -> Session:
        """
        Return the reading of a read that starts now or later; an urgent read goes before all other new arrivals.

        A caller that is cancelled leaves the request in flight.

        Raises:
            HPPError: the read failed.
            ClientClosedError: the client was closed, before or meanwhile.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        self.enter()
        asked_at = self.clock.now()
        caller = Sleeper(self.clock)
        with self.turns.claim(caller) as claim:
            while True:
                self.check_open(session_id)
                flight = self.ask(session_id, claim, Kind.URGENT if is_urgent else Kind.NEW)
                if flight is None:
                    await claim.sleep()
                    continue
                await flight.finished(caller)
                if flight.started_at >= asked_at and not flight.is_dropped:
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
        Run the command *operation*, before all other new arrivals; then make a read due for all who follow the session.

        The command counts against the budget. It runs in a task of the client, so a cancelled caller leaves the request
        in flight. The read is due even if the command failed: it may have taken effect although its answer was lost.

        Raises:
            HPPError: the command failed. `TransportError` also if its task was cancelled, or lost with its event loop.
            ClientClosedError: the client was closed, before or meanwhile.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        self.enter()
        caller = Sleeper(self.clock)
        with self.turns.claim(caller) as claim:
            self.check_open(session_id)
            while not claim.admit(Kind.URGENT):
                await claim.sleep()
                self.check_open(session_id)
            flight = self._flight(session_id, is_command=True)
            self._start(flight, operation, Kind.URGENT)
            await flight.finished(caller)
        if flight.is_dropped:
            raise TransportError(f"session {session_id}: no answer (the request was cancelled)", session_id=session_id)
        flight.result()

    # -- closing ------------------------------------------------------------------------------------------------------

    def check_open(self, session_id: str) -> None:
        """
        Raise if the client is closed.

        Raises:
            ClientClosedError: the client was closed.
        """
        if self.is_closed:
            raise ClientClosedError(f"session {session_id} cannot be read: the client was closed")

    async def aclose(self) -> None:
        """
        End every flight and every wait, and return when no flight is left. If it is cancelled, it can be called again.

        Raises:
            RuntimeError: the client is in use in another event loop, which is running.
        """
        self.enter()
        self.turns.close()
        self._wake_all()
        self._abandon()
        while self._in_flight:
            await next(iter(self._in_flight)).finished(Sleeper(self.clock))
        self.observers.flush()

    def flush_observers_soon(self) -> None:
        """Have observers called, in the client's event loop, with the events that are kept for them."""
        if self._home.is_running():
            self._home.call(self.observers.flush)

    # -- a flight -----------------------------------------------------------------------------------------------------

    def _flight(self, session_id: str, *, is_command: bool = False) -> Flight:
        self._count += 1
        return Flight(session_id, self._count, self.clock.now(), is_command=is_command)

    def _start(self, flight: Flight, operation: Operation, kind: Kind) -> None:
        self._in_flight.add(flight)
        pace: Turns | ReadTurns = self.turns
        if self.observers or kind is Kind.DUE:
            pace = flight.counted = ReadTurns(self.turns, kind)
        flight.start(
            lambda: operation(flight.session_id, pace),
            f"hpp_async read {flight.session_id}",
            finish=lambda: self._finish(flight),
            context=self.observers.task_context(),
        )

    def _finish(self, flight: Flight) -> None:
        if flight.finished_at is not None:
            return
        flight.finished_at = self.clock.now()
        if self.is_closed and (flight.is_dropped or isinstance(flight.failure, ClientClosedError)):
            flight.failure = ClientClosedError(f"session {flight.session_id}: the client was closed during a read")
            flight.is_dropped = False
        self._in_flight.discard(flight)
        self.turns.release()
        shared = self._shared(flight.session_id)
        if shared.flight is flight:
            shared.flight = None
            if flight.reading is not None and flight.number > shared.outdated:
                shared.latest = flight  # failures are not shared: only the callers of this read get them
        for subscriber in (*shared.subscribers, *self._subscribers):
            subscriber.finished(flight)
        flight.wake()
        if flight.is_command:
            self._notify(flight.session_id)
        elif self.observers:
            self._report(flight, flight.finished_at - flight.started_at)
        self._tidy(shared)

    def _report(self, flight: Flight, seconds: float) -> None:
        if flight.is_dropped:
            return
        reading, error, counted = flight.reading, flight.failure, flight.counted
        assert counted is not None, "reads are counted where there are observers"
        if reading is not None:
            self.observers.tell(
                ReadFinished(
                    session_id=flight.session_id,
                    status=reading.status,
                    correlation_id=reading.correlation_id,
                    seconds=seconds,
                    attempts=counted.attempts,
                    status_code=counted.status_code,
                    host=self.observers.host,
                )
            )
        else:
            self.observers.tell(
                ReadFailed(
                    session_id=flight.session_id,
                    error=type(error).__name__,
                    # An error that a hook of a lent client raised is the user's, and may hold anything.
                    message=str(error) if isinstance(error, HPPError) else "",
                    correlation_id=error.correlation_id if isinstance(error, ReadError) else None,
                    seconds=seconds,
                    attempts=counted.attempts,
                    status_code=error.status_code if isinstance(error, ResponseError) else counted.status_code,
                    host=self.observers.host,
                )
            )
