"""The order in which a watch attends to its sessions: one heap of due times, and a queue of those with news."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

from hpp_async._core.poller import Poller
from hpp_async._waits.reads import Reads
from hpp_async._waits.reports import Reports
from hpp_async._waits.tracker import Tracker

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

    A tracker is in one of four places: it waits in the heap for its read to be due; a flight of it has *finished*, of
    which its poller is to be told; it is *ready*, with news to hand over; or it is nowhere, while it is read.
    """

    __slots__ = ("_finished", "_heap", "_numbers", "_ready")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, PlacedTracker]] = []
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

    def is_in_heap(self, tracker: PlacedTracker) -> bool:
        """Tell whether the tracker waits for its read to be due."""
        return tracker.place > _NOWHERE

    def place(self, tracker: PlacedTracker) -> None:
        """Put a tracker that is not being read where its poller wants it."""
        if tracker.place == _READY:
            return
        key = tracker.due_at()
        if key is None:
            tracker.place = _READY
            self._ready.append(tracker)
            return
        self._numbers += 1
        tracker.place = self._numbers
        heapq.heappush(self._heap, (key, self._numbers, tracker))

    def asked(self, tracker: PlacedTracker) -> None:
        """Take the tracker out of the heap: it is being read."""
        tracker.place = _NOWHERE

    def finished(self, tracker: PlacedTracker) -> None:
        """Note that a flight of the tracker has finished."""
        self._finished[tracker] = None

    def discard(self, tracker: PlacedTracker) -> None:
        """Take the tracker off the agenda, wherever it is."""
        tracker.place = _NOWHERE
        self._finished.pop(tracker, None)

    def head(self) -> PlacedTracker | None:
        """Return the tracker whose read is due first, and leave it where it is."""
        while self._heap and self._heap[0][1] != self._heap[0][2].place:
            heapq.heappop(self._heap)  # it has another place by now, or none
        return self._heap[0][2] if self._heap else None

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
