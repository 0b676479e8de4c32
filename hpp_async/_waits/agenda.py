"""
The order in which a watch attends to its sessions.

Reads of the schedule are in a heap by due time, new arrivals in a queue, and sessions with news to hand over in another
queue. The first few reads have turns in the budget's queue, so that the budget can grant them their tokens at the very
moment they are due, even where the event loop wakes the watch later.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from hpp_async._core.budget import Kind, Turn
from hpp_async._core.poller import Poller
from hpp_async._waits.reads import Reads
from hpp_async._waits.reports import Reports
from hpp_async._waits.tracker import Tracker
from hpp_async._waits.turns import Claim

_NOWHERE: Final = 0
_READY: Final = -1


class PlacedTracker(Tracker):
    """A tracker with its place on the agenda: a number in the heap, ready to be handed over, or nowhere."""

    __slots__ = ("place",)

    def __init__(self, poller: Poller, *, reads: Reads, reports: Reports) -> None:
        super().__init__(poller, reads=reads, reports=reports)
        self.place = _NOWHERE


class Agenda:
    """
    Which session of a watch is next.

    A tracker is in one of four places: it waits for its read, as a new arrival or until it is due; a flight of it has
    *finished*, of which its poller is to be told; it is *ready*, with news to hand over; or it is nowhere, while it is
    read. *claim* makes a claim on the budget's queue.
    """

    __slots__ = ("_claim", "_due", "_finished", "_new", "_numbers", "_queued", "_ready")

    def __init__(self, claim: Callable[[], Claim]) -> None:
        self._claim = claim
        self._due: list[tuple[float, int, PlacedTracker]] = []
        self._new: deque[tuple[int, PlacedTracker]] = deque()
        self._queued: dict[PlacedTracker, tuple[Turn, Claim]] = {}
        """The trackers that have a turn in the budget's queue."""
        self._numbers = 0
        self._ready: deque[PlacedTracker] = deque()
        self._finished: dict[PlacedTracker, None] = {}

    @property
    def ready(self) -> int:
        """How many sessions are ready."""
        return len(self._ready)

    @property
    def untold(self) -> int:
        """How many pollers are to be told of a finished flight."""
        return len(self._finished)

    def is_waiting(self, tracker: PlacedTracker) -> bool:
        """Tell whether the tracker waits for its read."""
        return tracker.place > _NOWHERE

    # -- where a tracker is -------------------------------------------------------------------------------------------

    def place(self, tracker: PlacedTracker) -> None:
        """Put a tracker that is not being read where its poller wants it."""
        if tracker.place == _READY:
            return
        self._remove(tracker)
        read = tracker.next_read()
        if read is None:
            tracker.place = _READY
            self._ready.append(tracker)
            return
        self._numbers += 1
        tracker.place = self._numbers
        kind, key = read
        if kind is Kind.DUE:
            heapq.heappush(self._due, (key, self._numbers, tracker))
        else:
            self._new.append((self._numbers, tracker))

    def asked(self, tracker: PlacedTracker) -> None:
        """Take the tracker off the agenda: it is being read."""
        self._remove(tracker)

    def finished(self, tracker: PlacedTracker) -> None:
        """Note that a flight of the tracker has finished."""
        self._finished[tracker] = None

    def discard(self, tracker: PlacedTracker) -> None:
        """Take the tracker off the agenda, wherever it is."""
        self._remove(tracker)
        self._finished.pop(tracker, None)

    def _remove(self, tracker: PlacedTracker) -> None:
        tracker.place = _NOWHERE
        _, claim = self._queued.pop(tracker, (None, None))
        if claim is not None:
            claim.leave()

    # -- the budget's queue -------------------------------------------------------------------------------------------

    def queue(self, most: int, lowest_key: float) -> list[tuple[PlacedTracker, Claim]]:
        """
        Have the first reads of the schedule, *most* of them, and the first new arrival queue for the budget.

        Return the trackers that queue, each with its claim. No read is queued before *lowest_key*, in the budget's
        virtual time: a watch that took no step for a while must not go before all others.
        """
        due = {tracker: turn.key for tracker, (turn, _) in self._queued.items() if turn.kind is Kind.DUE}
        while (head := self._head()) is not None:
            tracker, key = head[-1], max(head[0], lowest_key)
            last = max(due, key=due.__getitem__) if len(due) >= most else None
            if last is not None and due[last] <= key:
                break
            heapq.heappop(self._due)
            if last is not None:
                del due[last]
                self.place(last)
            due[tracker] = key
            self._claim_for(tracker, Kind.DUE, key)
        while self._new and len(self._queued) == len(due):
            number, tracker = self._new.popleft()
            if number == tracker.place:  # else it has another place by now, or none
                self._claim_for(tracker, Kind.NEW, 0.0)
        return [(tracker, claim) for tracker, (_, claim) in self._queued.items()]

    def leave(self) -> None:
        """Give the turns in the budget's queue back: no step is under way any more."""
        for tracker in list(self._queued):
            self.place(tracker)

    def _claim_for(self, tracker: PlacedTracker, kind: Kind, key: float) -> None:
        claim = self._claim()
        self._queued[tracker] = claim.queue(kind, key), claim

    def _head(self) -> tuple[float, int, PlacedTracker] | None:
        while self._due and self._due[0][1] != self._due[0][2].place:
            heapq.heappop(self._due)  # it has another place by now, or none
        return self._due[0] if self._due else None

    # -- what is next -------------------------------------------------------------------------------------------------

    def next_finished(self) -> PlacedTracker | None:
        """Take out the next tracker of which a flight has finished."""
        tracker = next(iter(self._finished), None)
        if tracker is not None:
            del self._finished[tracker]
        return tracker

    def next_ready(self) -> PlacedTracker | None:
        """Take out the next tracker with news, in the order in which they became ready."""
        while self._ready:
            tracker = self._ready.popleft()
            if tracker.place == _READY:  # else it was discarded
                tracker.place = _NOWHERE
                return tracker
        return None
