"""
Waits on thousands of sessions at once: does what their pollers say.

One heap of due times in the budget's virtual time, and one turn in its queue: that of the session which is due next. A
read belongs to the client, so nothing runs here between two steps: the consumer's own step starts the reads that are
due, takes what has landed, and hands over one event. A consumer that is slow slows the reads, and nothing piles up.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Self

import anyio
import attrs

from hpp_async._core.actions import Emit, Fail, Finish, Read, Sleep
from hpp_async._core.budget import Turn
from hpp_async._core.exceptions import ClientClosedError, HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome
from hpp_async._core.poller import Poller
from hpp_async._core.session import Session
from hpp_async._waits.reads import Flight, Reads
from hpp_async._waits.tracker import Alarm, Following

_FOREVER: Final = float("inf")
_WARNING_PAUSE: Final = 600.0
"""Seconds between two warnings of one watch: an outage is one outage, however many sessions meet it."""

_AWAY: Final = 1.0
"""Seconds between two steps from which on they count; all sessions are gone through, and that is not to be often."""

_NOWHERE: Final = 0
_READY: Final = -1


@attrs.frozen(kw_only=True)
class WatchEvent:
    """
    What a watch has to say of one session.

    Attributes:
        session_id: which one.
        token: where its wait is after this event; hand it to `Watch.add` or ``wait_for_outcome(since=…)`` to go on from
            here. ``None`` where the session was never seen. Store it once the event is dealt with.
        news: a `Transition`, or how the wait ended: an `AnyOutcome`, or the `HPPError` that awaiting would have raised.
            A watch keeps no transition that it has handed over, so an outcome's ``transitions`` are the last ones only.
    """

    session_id: str
    token: str | None
    news: Transition | AnyOutcome | HPPError

    @property
    def is_last(self) -> bool:
        """Whether the session is not watched any more."""
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


class _Followed(Following):
    """With its place: a number in the heap, ready to be handed over, or nowhere while it is read."""

    __slots__ = ("place",)

    place: int


class Watch(AsyncIterator[WatchEvent]):
    """
    Follow many sessions: iterate what changes, and how each of them ends.

    ::

        async with client.watch({session_url: token, …}) as watch:
            async for event in watch:
                …  # deal with event.news, then store event.token

    Each session is followed as by `HPPClient.wait_for_outcome`: the same reads, endings and promises; but an error that
    ends the wait on one is its last event. The iteration ends when nothing is left to watch, and goes on after another
    `add`; with ``forever`` it waits for that.

    Every event is handed over at least once: one that was not dealt with comes again when its session is resumed from
    the token before it. Between two steps nothing runs: reads that are under way land with the client, and a step that
    is cancelled loses nothing. One task iterates at a time; `add` and `discard` are for any task of the event loop.
    """

    def __init__(
        self,
        *,
        reads: Reads,
        id_of: Callable[[str], str],
        poller_of: Callable[[str, Session | str | None], Poller],
        forever: bool = False,
    ) -> None:
        self._reads = reads
        self._id_of = id_of
        self._poller_of = poller_of
        self._forever = forever
        self._alarm = Alarm(_WARNING_PAUSE)
        self._followed: dict[str, _Followed] = {}
        self._heap: list[tuple[float, int, _Followed]] = []
        self._places = 0
        self._ready: deque[_Followed] = deque()
        self._landed: dict[_Followed, Flight] = {}
        self._turn: Turn | None = None
        self._turn_is_of = _NOWHERE
        self._error: Exception | None = None
        self._left_at = _FOREVER
        self._news: anyio.Event | None = None
        self._is_entered = self._is_closed = self._is_stepping = False

    # -- which sessions -----------------------------------------------------------------------------------------------

    def add(self, session: str, *, since: Session | str | None = None) -> None:
        """
        Watch another session, too; one that is watched already stays as it is.

        *session* is an id, or a ``session_url`` of the client's endpoint; *since* a reading or a resume token:
        transitions up to it are not yielded again. To be called in the event loop.

        Raises:
            ConfigurationError: an argument is refused.
        """
        session_id = self._id_of(session)
        if session_id in self._followed:
            return
        followed = _Followed(self._poller_of(session_id, since), reads=self._reads, alarm=self._alarm)
        followed.place = _NOWHERE
        self._followed[session_id] = followed
        self._place(followed)
        self.wake()

    def discard(self, session: str) -> None:
        """
        Stop watching the session, if it is watched; an event that was not yielded yet is not yielded any more.

        Raises:
            ConfigurationError: *session* is refused.
        """
        followed = self._followed.pop(self._id_of(session), None)
        if followed is not None:
            followed.place = _NOWHERE
            self._landed.pop(followed, None)
            self.wake()

    def tokens(self) -> dict[str, str | None]:
        """
        Return where the wait on each session is that has not ended, by session id: what to store at a shutdown.

        ``None`` for a session that was not seen yet. `HPPClient.watch` takes the whole mapping.
        """
        return {session_id: followed.poller.token for session_id, followed in self._followed.items()}

    def __len__(self) -> int:
        return len(self._followed)

    def __repr__(self) -> str:
        return f"<Watch of {len(self)} sessions{', closed' if self._is_closed else ''}>"

    # -- iterating ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise RuntimeError("a watch is entered once: start another with client.watch(watch.tokens())")
        self._is_entered = True
        self._reads.follow(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self._reads.unfollow(self)
        self.wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        """
        Return what happens next to any of the sessions.

        Raises:
            ClientClosedError: the client, or the httpx client it borrows, was closed. What was read comes before.
            Exception: whatever a schedule or an httpx hook of the caller's own raised.
        """
        if not self._is_entered:
            raise RuntimeError("enter the watch before it is iterated: async with client.watch(…) as watch")
        if self._is_stepping:
            raise RuntimeError("another task is iterating this watch: one at a time")
        self._is_stepping = True
        try:
            self._come_back()
            while not self._is_closed:
                self._take_landed()
                is_reading = len(self._ready) < self._reads.in_flight and not self._reads.is_closed and not self._error
                wake_at = self._launch() if is_reading else -_FOREVER
                event = self._next_event()
                if event is not None:
                    return event
                self._check()
                if not self._followed and not self._forever:
                    break
                if is_reading and not self._landed:
                    self._news = anyio.Event()
                    await self._reads.clock.wait(self._news, wake_at)
            raise StopAsyncIteration
        finally:
            self._is_stepping = False
            self._news = None
            self._leave()
            self._left_at = self._reads.clock.now()

    def _come_back(self) -> None:
        """Take the time in which nobody took a step from what counts as an outage: who does not look has none."""
        now = self._reads.clock.now()
        if now - self._left_at > _AWAY:
            for followed in self._followed.values():
                followed.poller.resumed(self._left_at, now)

    def _next_event(self) -> WatchEvent | None:
        while self._ready:
            followed = self._ready.popleft()
            if followed.place != _READY:
                continue  # it was discarded
            followed.place = _NOWHERE
            session_id, poller = followed.session_id, followed.poller
            action = poller.next_action(self._reads.clock.now())
            if isinstance(action, Emit):
                poller.emitted()
                self._place(followed)  # now, not at the next step: what is due next decides how long to wait
                return WatchEvent(session_id=session_id, token=action.transition.token, news=action.transition)
            assert isinstance(action, Finish | Fail), "whoever is ready has news"
            news = action.outcome if isinstance(action, Finish) else action.error
            del self._followed[session_id]
            followed.end(news)
            return WatchEvent(session_id=session_id, token=poller.token, news=news)
        return None

    # -- reading ------------------------------------------------------------------------------------------------------

    def _place(self, followed: _Followed) -> None:
        """Put a session that is not being read where its poller wants it: into the heap, or among those with news."""
        if self._followed.get(followed.session_id) is not followed:
            return  # it was discarded, perhaps by an observer that was just told of it
        now = self._reads.clock.now()
        match followed.poller.next_action(now):
            case Read() as read:
                key = followed.key_of(read, now)
            case Sleep(until):
                key = followed.key(until)
            case _:
                followed.place = _READY
                self._ready.append(followed)
                return
        self._places += 1
        followed.place = self._places
        heapq.heappush(self._heap, (key, self._places, followed))

    def _launch(self) -> float:
        """Start the reads whose turn has come; return when to look again, in loop seconds."""
        reads = self._reads
        while len(self._ready) + len(self._landed) < reads.in_flight:  # an eager task of asyncio's lands at once
            while self._heap and self._heap[0][1] != self._heap[0][2].place:
                heapq.heappop(self._heap)  # it has another place by now, or none
            if not self._heap:
                break
            key, place, followed = self._heap[0]
            now = reads.clock.now()
            action = followed.poller.next_action(now)
            if isinstance(action, Sleep):
                self._leave()
                return max(action.until, key + reads.lateness())
            assert isinstance(action, Read), "whoever has news is not in the heap"
            shared = reads.shared(followed.session_id)
            if followed.take_young(shared, action.fresh_from):
                self._place(followed)
                continue
            if self._turn_is_of != place:
                self._leave()
            # Who was away has no claim to go before everybody else; within a step, no key is behind the virtual time.
            asked = reads.ask(shared, self._turn, key=max(key, now - reads.lateness()), wake=self.wake)
            if isinstance(asked, Turn):
                self._turn, self._turn_is_of = asked, place
                return reads.asks_again_at(asked)
            self._turn = None
            followed.place = _NOWHERE
            followed.board(asked, action.due)
        self._leave()
        return _FOREVER

    def _leave(self) -> None:
        self._reads.leave(self._turn)
        self._turn = None

    def _take_landed(self) -> None:
        while self._landed:
            followed = next(iter(self._landed))
            flight = self._landed.pop(followed)
            try:
                followed.take(flight)
            except Exception as error:  # noqa: BLE001 - it is raised once what was read is handed over
                self._error = self._error or error
            if followed.place != _READY:
                self._place(followed)

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._reads.is_closed and (self._followed or self._forever):
            raise ClientClosedError(f"{len(self)} sessions cannot be watched: the client was closed")

    # -- what the client tells ----------------------------------------------------------------------------------------

    def landed(self, session_id: str, flight: Flight) -> None:
        """Take note of a landing; see `hpp_async._waits.reads.Follower`."""
        followed = self._followed.get(session_id)
        # A reading is not forgotten for a failure after it: it may show an outcome, and the failure be a 404.
        if followed is not None and (flight.reading is not None or followed not in self._landed):
            self._landed[followed] = flight
            self.wake()

    def notified(self, session_id: str, now: float) -> bool:
        """Make a read of the session due; return whether it is watched."""
        followed = self._followed.get(session_id)
        if followed is None:
            return False
        # What is due by the clock may have its turn much later, by the budget's: it is brought forward, once.
        is_known = followed.poller.is_notified and isinstance(followed.poller.next_action(now), Read)
        followed.hear(now, self._reads.begun)
        if followed.place > _NOWHERE and not is_known:
            self._place(followed)
            self.wake()
        return True

    def wake(self) -> None:
        """Let the step under way look again at what there is."""
        if self._news is not None:
            self._news.set()
