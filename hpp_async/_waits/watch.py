"""
Waits on thousands of sessions at once.

A watch has a tracker for each session, and requests reads in the order of its `Agenda`. Between two steps of the
iteration a watch starts no read, and only notes the reads that finish and the notifications. A step passes the finished
reads to the pollers, starts the reads that are due and admitted, and hands over one event.

*Back-pressure.* A step starts reads only while the number of sessions with news is below `max_in_flight`. So a caller
that is slow slows the reads, and events do not pile up.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import attrs

from hpp_async._core.endpoint import SessionHandle
from hpp_async._core.exceptions import ClientClosedError, ConfigurationError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome
from hpp_async._core.poller import Poller
from hpp_async._core.session import Session
from hpp_async._loop import Sleeper
from hpp_async._waits.agenda import Agenda, PlacedTracker
from hpp_async._waits.flight import Flight, Notification
from hpp_async._waits.reads import Reads
from hpp_async._waits.reports import Reports
from hpp_async._waits.stepping import Stepping
from hpp_async._waits.turns import Claim

if TYPE_CHECKING:
    from hpp_async._core.orders.answers import CreatedSession

_FOREVER: Final = float("inf")
_WARNING_PAUSE: Final = 600.0
"""Seconds between two warnings of one watch: an outage that many sessions meet is warned of once."""

_AWAY: Final = 1.0
"""Seconds: a longer pause between two steps counts as idle time. To note it, every session has to be visited."""


@attrs.frozen(kw_only=True)
class WatchEvent:
    """
    A transition of one watched session, or the end of the wait on it.

    Attributes:
        session_id: the session.
        token: the resume token after this event, for `Watch.add` or ``wait_for_outcome(since=…)``. Store it once the
            event is dealt with. ``None`` if the session was never seen.
        news: a `Transition`; or the end of the wait: an `AnyOutcome`, or the `HPPError` that awaiting would have
            raised. A watch does not keep transitions that it has handed over, so an outcome's ``transitions`` hold only
            those that had not been handed over when it was seen.
    """

    session_id: str
    token: str | None
    news: Transition | AnyOutcome | HPPError

    @property
    def is_last(self) -> bool:
        """Whether this is the last event of the session, which is not watched any more."""
        return not isinstance(self.news, Transition)

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """
        Return the event as plain data, for a JSON answer, a queue or a log.

        ``news["type"]`` is ``"transition"``, ``"outcome"`` or ``"error"``. See `Session.to_dict` for *show_secrets*.
        """
        news = self.news
        return {
            "session_id": self.session_id,
            "token": self.token,
            "is_last": self.is_last,
            "news": news.to_dict() if isinstance(news, HPPError) else news.to_dict(show_secrets=show_secrets),
        }

    def __repr__(self) -> str:
        news = self.news
        return (
            f"<WatchEvent session {self.session_id}: {type(news).__name__ if isinstance(news, HPPError) else news!r}>"
        )


class _Stage(enum.Enum):
    MADE = enum.auto()
    ENTERED = enum.auto()
    CLOSED = enum.auto()


class Watch(AsyncIterator[WatchEvent]):
    """
    Follow many sessions: iterate what changes, and how each of them ends.

    ::

        async with client.watch({session_url: token, …}) as watch:
            async for event in watch:
                …  # deal with event.news, then store event.token

    Each session is followed as by `HPPClient.wait_for_outcome`: by the same schedule, to the same endings. But an
    error that ends the wait on one session is the last event of that session, and the iteration goes on. The iteration
    ends when no session is left to watch, and can be continued after another `add`; with ``forever`` it does not end
    then, but waits for another `add`.

    Every event is handed over at least once: an event that was not dealt with comes again when its session is resumed
    from the token before it. A step that is cancelled loses nothing. Between two steps only the reads in flight go on.
    One task iterates at a time; `add` and `discard` can be called by any task of the event loop.
    """

    def __init__(
        self,
        *,
        reads: Reads,
        id_of: Callable[[str | SessionHandle], str],
        poller_of: Callable[[str, Session | str | None], Poller],
        forever: bool = False,
    ) -> None:
        self._reads = reads
        self._id_of = id_of
        self._poller_of = poller_of
        self._forever = forever
        self._reports = Reports(reads.observers, pause=_WARNING_PAUSE, is_watch=True)
        self._trackers: dict[str, PlacedTracker] = {}
        self._refused: dict[str, tuple[ConfigurationError, str | None]] = {}
        """Sessions whose ``since`` was refused, each with the error to hand over and the token that it came with."""
        self._sleeper = Sleeper(reads.clock)
        self._agenda = Agenda(lambda woken: reads.turns.claim(self._sleeper, woken=woken))
        self._error: Exception | None = None
        """The first error that a schedule or hook of the user's raised: raised once there is no event to hand over."""
        self._left_at = _FOREVER
        """When the last step ended, in loop seconds."""
        self._stage = _Stage.MADE
        self._steps = Stepping("another task is already iterating this watch: iterate it in one task at a time")

    # -- which sessions -----------------------------------------------------------------------------------------------

    def add(self, session: CreatedSession | str, *, since: Session | str | None = None) -> None:
        """
        Watch another session, too; nothing changes for a session that is watched already.

        *session* is an id, a ``session_url`` of the client's endpoint, or what `HPPClient.create_session` returned.
        *since* is a reading or a resume token: transitions up to it are not yielded again. To be called in the event
        loop.

        If *since* is refused, because a stored token is damaged or belongs to another session, nothing is raised: the
        `ConfigurationError` becomes the only event of this session, and the other sessions are watched on.

        Raises:
            ConfigurationError: *session* is refused.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        session_id = self._id_of(session)
        if session_id in self._trackers or session_id in self._refused:
            return
        self._reads.enter()
        try:
            poller = self._poller_of(session_id, since)
        except ConfigurationError as error:
            self._refused[session_id] = error, since if isinstance(since, str) else None
        else:
            tracker = self._trackers[session_id] = PlacedTracker(poller, reads=self._reads, reports=self._reports)
            tracker.start(spread=0.0 if since is None else self._reads.turns.draw())
            self._agenda.place(tracker)
            if self._stage is _Stage.ENTERED:
                tracker.begin()
        self.wake()

    def discard(self, session: CreatedSession | str) -> None:
        """
        Stop watching the session, if it is watched. Events of it that were not yielded yet are dropped.

        Raises:
            ConfigurationError: *session* is refused.
        """
        session_id = self._id_of(session)
        self._refused.pop(session_id, None)
        tracker = self._trackers.pop(session_id, None)
        if tracker is not None:
            self._agenda.discard(tracker)
            tracker.drop()
        self.wake()

    def rest_of(self, session: CreatedSession | str) -> list[WatchEvent]:
        """
        Return the events that are left of a session whose outcome is known, to deal with them at once; else none.

        They are those that the next steps would return for it: transitions, and then the outcome. The session is not
        watched any more then. To be called between two steps, by the task that iterates.

        Raises:
            ConfigurationError: *session* is refused.
        """
        tracker = self._trackers.get(self._id_of(session))
        events: list[WatchEvent] = []
        while tracker is not None and tracker.outcome is not None and not (events and events[-1].is_last):
            self._agenda.discard(tracker)
            events.append(self._event_of(tracker))
        return events

    def tokens(self) -> dict[str, str | None]:
        """
        Return the resume tokens of the sessions that are watched, by session id: what to store at a shutdown.

        The token of a session that was not seen yet is ``None``. `HPPClient.watch` takes the whole mapping.
        """
        tokens: dict[str, str | None] = {session_id: token for session_id, (_, token) in self._refused.items()}
        return tokens | {session_id: tracker.token for session_id, tracker in self._trackers.items()}

    @property
    def late_by(self) -> float:
        """
        How late the watch is: for how many seconds the next read has been due and has not begun; 0 if none is due.

        Reads are late if the budget is short or paused, or if it takes long until the next step of the iteration. First
        reads do not count.
        """
        return self._agenda.late_by

    def __len__(self) -> int:
        return len(self._trackers) + len(self._refused)

    def __repr__(self) -> str:
        return f"<Watch of {len(self)} sessions{', closed' if self._stage is _Stage.CLOSED else ''}>"

    # -- iterating ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._stage is not _Stage.MADE:
            raise RuntimeError("a watch can be entered only once: start another with client.watch(watch.tokens())")
        self._reads.enter()
        self._stage = _Stage.ENTERED
        self._reads.subscribe(self)
        for tracker in list(self._trackers.values()):
            if self._trackers.get(tracker.session_id) is tracker:  # else an observer has discarded it
                tracker.begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stage = _Stage.CLOSED
        self._reads.unsubscribe(self)
        for tracker in self._trackers.values():
            tracker.drop()
        self.wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        """
        Return the next event of any of the sessions. A step that is cancelled loses nothing.

        Raises:
            ClientClosedError: the client, or the httpx client that it borrows, was closed.
            RuntimeError: another task is taking a step, the watch was not entered, or the client is in use in another
                event loop, which is running.
            Exception: a schedule, or an httpx hook, of the user's own raised it.

        Errors are raised once the events that are ready have been handed over; a `RuntimeError` is raised at once.
        """
        if self._stage is _Stage.MADE:
            raise RuntimeError("enter the watch before you iterate it: async with client.watch(…) as watch")
        step = self._steps.begin()
        try:
            self._reads.enter()
            self._resume()
            while not self._is_closed:
                self._catch_up()
                is_reading = self._may_read()
                look_again_at = self._ask() if is_reading else -_FOREVER
                event = self._next_event()
                if event is not None:
                    return event
                self._check()
                if not self and not self._forever:
                    break
                if is_reading and not self._agenda.unprocessed:
                    await self._sleeper.sleep(look_again_at)
            raise StopAsyncIteration
        finally:
            if self._steps.end(step):
                self._agenda.leave()
                self._left_at = self._reads.clock.now()

    @property
    def _is_closed(self) -> bool:
        return self._stage is _Stage.CLOSED

    def _resume(self) -> None:
        """Note the idle time since the last step: it does not count as outage."""
        if self._reads.clock.now() - self._left_at > _AWAY:
            for tracker in self._trackers.values():
                tracker.resume(self._left_at)

    def _catch_up(self) -> None:
        while (tracker := self._agenda.next_finished()) is not None:
            try:
                tracker.catch_up()
            except Exception as error:  # noqa: BLE001 - raised once the events that are ready were handed over
                self._error = self._error or error
            self._place(tracker)

    def _place(self, tracker: PlacedTracker) -> None:
        if self._trackers.get(tracker.session_id) is tracker:  # else it was discarded, perhaps by an observer
            self._agenda.place(tracker)

    def _next_event(self) -> WatchEvent | None:
        if self._refused:
            session_id = next(iter(self._refused))
            error, _ = self._refused.pop(session_id)
            now = self._reads.clock.now()
            self._reports.started(session_id, now)
            self._reports.ended(session_id, error, now, latest=None, reads=0)
            return WatchEvent(session_id=session_id, token=None, news=error)
        tracker = self._agenda.next_ready()
        return None if tracker is None else self._event_of(tracker)

    def _event_of(self, tracker: PlacedTracker) -> WatchEvent:
        news = tracker.take_news()
        assert news is not None, "a tracker that is ready has news"
        if isinstance(news, Transition):
            self._agenda.place(tracker)  # now, so that the next step knows when the read of this session is due
            return WatchEvent(session_id=tracker.session_id, token=news.token, news=news)
        del self._trackers[tracker.session_id]
        tracker.end(news)
        return WatchEvent(session_id=tracker.session_id, token=tracker.token, news=news)

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._reads.is_closed and (self or self._forever):
            raise ClientClosedError(f"the watch ended, with {len(self)} sessions left to watch: the client was closed")

    # -- reading ------------------------------------------------------------------------------------------------------

    def _may_read(self) -> bool:
        is_full = self._agenda.ready >= self._reads.turns.max_in_flight
        return not is_full and not self._reads.is_closed and not self._error

    def _ask(self) -> float:
        """Start the reads that are due and admitted; return when to call again at the latest, in loop seconds."""
        agenda, turns = self._agenda, self._reads.turns
        # Bounded: a read in an eager task of asyncio is over as soon as it is started, and never counts as in flight.
        while agenda.ready + agenda.unprocessed < turns.max_in_flight:
            look_again_at = agenda.place_due(self._reads.clock.now())
            agenda.queue(turns.max_in_flight, turns.virtual, is_schedule_next=turns.is_schedule_next)
            turn = agenda.next_open(self._reads.clock.now)
            if turn is None:
                return min(look_again_at, agenda.opens_at)
            self._ask_for(*turn)
        return -_FOREVER

    def _ask_for(self, tracker: PlacedTracker, claim: Claim) -> None:
        tracker.ask(claim, lowest_key=self._reads.turns.virtual())
        if tracker.asked is None:
            self._place(tracker)  # no read was needed: the latest flight was young enough
            return
        self._agenda.asked(tracker)
        if tracker.asked.finished_at is not None:  # pragma: no cover - in an eager task, from Python 3.12 on
            self._agenda.finished(tracker)

    # -- called by the shared reads: see `hpp_async._waits.flight.Subscriber` ------------------------------------------

    def finished(self, flight: Flight) -> None:
        """Take note of a flight that has finished."""
        tracker = self._trackers.get(flight.session_id)
        if tracker is not None and tracker.keep(flight):
            self._agenda.finished(tracker)
            self.wake()

    def follows(self, session_id: str) -> bool:
        """Tell whether the session is watched."""
        return session_id in self._trackers

    def notified(self, notification: Notification) -> bool:
        """Make a read of the session due; return whether the session is watched."""
        tracker = self._trackers.get(notification.session_id)
        if tracker is None:
            return False
        # A read that is due already is brought forward as well: with a short budget its turn may come much later.
        if tracker.bring_forward(notification) and self._agenda.is_waiting(tracker):
            self._agenda.place(tracker)
            self.wake()
        return True

    def wake(self) -> None:
        """Wake the step that is under way, if any, so that it checks for events, for due reads and for its end."""
        self._sleeper.wake()
