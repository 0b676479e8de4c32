"""
The order in which a watch attends to its sessions.

Reads of the schedule wait in a heap, ordered by due time. New arrivals wait in a queue, and sessions with news to hand
over in another queue. The first reads of the heap and the first new arrival also have turns in the budget's queue. The
budget can then grant a read its token for the very moment at which the read is due, even if the event loop wakes the
watch later.

The heap is ordered by the budget's virtual time, which may be much slower than the loop's. Two kinds of reads must not
wait for that: reads after a notification, and the first reads after a restart of sessions with a short delay. They wait
in a heap of their own, ordered by loop time, and go to the heap or the queue above when they are due.
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

_FOREVER: Final = float("inf")
_NEVER: Final = -_FOREVER
_NOWHERE: Final = 0
_READY: Final = -1


class PlacedTracker(Tracker):
    """
    A tracker and its place on the agenda of a watch.

    ``place`` is a positive number while the tracker waits for its read, ``_READY`` while it has news to hand over, and
    ``_NOWHERE`` while it is read. An entry of the heap or of the queue of new arrivals holds the tracker's number. The
    entry is stale, and is skipped, once the tracker has another place.
    """

    __slots__ = ("place",)

    def __init__(self, poller: Poller, *, reads: Reads, reports: Reports) -> None:
        super().__init__(poller, reads=reads, reports=reports)
        self.place = _NOWHERE


class Agenda:
    """
    Decides which session of a watch is next.

    Every tracker has one place. It *waits* for its read, as a new arrival or until the read is due; or it is *ready*,
    which means that it has news to hand over; or it has no place, while its session is read. Beside that, a flight of
    its session may have *finished* that its poller has not received yet. *claim* returns a new claim on the budget's
    queue.
    """

    __slots__ = ("_claim", "_due", "_finished", "_later", "_new", "_numbers", "_paused", "_queued", "_ready")

    def __init__(self, claim: Callable[[], Claim]) -> None:
        self._claim = claim
        self._due: list[tuple[float, int, PlacedTracker]] = []
        self._later: list[tuple[float, int, PlacedTracker]] = []
        """The reads that must not be queued before a loop time, which is the first number."""
        self._new: deque[tuple[int, PlacedTracker]] = deque()
        self._queued: dict[PlacedTracker, tuple[Turn, Claim]] = {}
        """The trackers that have a turn in the budget's queue, each with its turn and the claim that holds the turn."""
        self._paused: tuple[PlacedTracker, Claim] | None = None
        """The new arrival that had a turn in the last step, and its claim."""
        self._numbers = 0
        self._ready: deque[PlacedTracker] = deque()
        self._finished: dict[PlacedTracker, None] = {}

    @property
    def ready(self) -> int:
        """How many trackers are ready; discarded ones count until `next_ready` skips them."""
        return len(self._ready)

    @property
    def unprocessed(self) -> int:
        """How many trackers have finished flights that their pollers have not received yet."""
        return len(self._finished)

    def is_waiting(self, tracker: PlacedTracker) -> bool:
        """Tell whether the tracker waits for its read."""
        return tracker.place > _NOWHERE

    # -- where a tracker is -------------------------------------------------------------------------------------------

    def place(self, tracker: PlacedTracker) -> None:
        """
        Put a tracker that is not being read where its poller wants it: ready, if it has news, else waiting.

        A tracker that is ready stays ready: more news may come, but what it has does not go away.
        """
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
        kind, key, not_before = read
        if not_before > _NEVER:
            heapq.heappush(self._later, (not_before, self._numbers, tracker))
            return
        if kind is not Kind.DUE:
            self._new.append((self._numbers, tracker))
        if key < _FOREVER:
            heapq.heappush(self._due, (key, self._numbers, tracker))

    def asked(self, tracker: PlacedTracker) -> None:
        """Note that the session of the tracker is being read: the tracker has no place until it is placed again."""
        self._remove(tracker)

    def finished(self, tracker: PlacedTracker) -> None:
        """Note that the tracker has a finished flight for its poller."""
        self._finished[tracker] = None

    def discard(self, tracker: PlacedTracker) -> None:
        """Take the tracker off the agenda, wherever it is, and forget its finished flights."""
        self._remove(tracker)
        self._finished.pop(tracker, None)

    def _remove(self, tracker: PlacedTracker) -> None:
        tracker.place = _NOWHERE
        _, claim = self._queued.pop(tracker, (None, None))
        if claim is not None:
            claim.leave()

    # -- the budget's queue -------------------------------------------------------------------------------------------

    def place_due(self, now: float) -> float:
        """Place the trackers whose reads are due at loop time *now*; return when to call again."""
        while (head := self._head(self._later)) is not None and head[0] <= now:
            self.place(head[-1])
        return _FOREVER if head is None else head[0]

    def queue(
        self, most: int, lowest_key: float, *, is_schedule_next: bool = True
    ) -> list[tuple[PlacedTracker, Claim]]:
        """
        Give turns in the budget's queue to the first *most* reads of the schedule and to the first new arrival.

        Return all trackers that have a turn, each with its claim. Keys are seconds of the budget's virtual time. A key
        is at least *lowest_key*: the overdue reads of a watch that took no step for a while must not go before
        everybody else's.

        A token that is there already goes to the turn that is queued first. So *is_schedule_next* says which line that
        must be: where steps are short, the same line would get every token otherwise.
        """
        if is_schedule_next:
            self._queue_schedule(most, lowest_key)
            self._queue_arrival(lowest_key)
        else:
            self._queue_arrival(lowest_key)
            self._queue_schedule(most, lowest_key)
        return [(tracker, claim) for tracker, (_, claim) in self._queued.items()]

    def _queue_schedule(self, most: int, lowest_key: float) -> None:
        due = {tracker: turn.key for tracker, (turn, _) in self._queued.items() if turn.kind is Kind.DUE}
        while (head := self._head(self._due)) is not None:
            tracker, key = head[-1], max(head[0], lowest_key)
            last = max(due, key=due.__getitem__) if len(due) >= most else None
            if last is not None and due[last] <= key:
                break
            heapq.heappop(self._due)
            if tracker in self._queued:  # as a new arrival: its turn is in the schedule's line, too
                continue
            if last is not None:
                del due[last]
                self.place(last)
            due[tracker] = key
            self._claim_for(tracker, Kind.DUE, key)

    def _queue_arrival(self, lowest_key: float) -> None:
        while self._new and all(turn.kind is Kind.DUE for turn, _ in self._queued.values()):
            number, tracker = self._new.popleft()
            if number == tracker.place:  # else the entry is stale
                self._claim_for(tracker, Kind.NEW, lowest_key)  # its turn may be in the line of the schedule only

    def leave(self) -> None:
        """
        Give all turns in the budget's queue back, at the end of a step: nobody would ask for them until the next.

        The new arrival among them stays the first here, and keeps its place there: else it would never be read where
        steps are short.
        """
        for tracker, (turn, claim) in list(self._queued.items()):
            is_arrival = turn.kind is not Kind.DUE
            if is_arrival:
                claim.pause()
                self._paused = tracker, claim
                del self._queued[tracker]
            self.place(tracker)
            if is_arrival and self._new and self._new[-1][-1] is tracker:
                self._new.rotate(1)

    @property
    def late_by(self) -> float:
        """For how many seconds the read has been due that has been due for longest of those that are next; or 0."""
        heads = [head[-1] for head in map(self._head, (self._due, self._later)) if head is not None]
        waiting = [*self._queued, *heads]
        return max((tracker.late_by for tracker in waiting), default=0.0)

    def _claim_for(self, tracker: PlacedTracker, kind: Kind, lowest_key: float) -> None:
        read = tracker.next_read()
        assert read is not None, "a tracker that waits for its read has no news"
        claim = self._queued[tracker][1] if tracker in self._queued else self._claim_with_place(tracker, kind)
        self._queued[tracker] = claim.queue(kind, max(read[1], lowest_key)), claim

    def _claim_with_place(self, tracker: PlacedTracker, kind: Kind) -> Claim:
        if kind is not Kind.DUE and self._paused is not None and self._paused[0] is tracker:
            return self._paused[1]
        return self._claim()

    @staticmethod
    def _head(heap: list[tuple[float, int, PlacedTracker]]) -> tuple[float, int, PlacedTracker] | None:
        while heap and heap[0][1] != heap[0][2].place:
            heapq.heappop(heap)  # the entry is stale
        return heap[0] if heap else None

    # -- what is next -------------------------------------------------------------------------------------------------

    def next_finished(self) -> PlacedTracker | None:
        """Remove and return the next tracker with a finished flight; ``None`` if there is none."""
        tracker = next(iter(self._finished), None)
        if tracker is not None:
            del self._finished[tracker]
        return tracker

    def next_ready(self) -> PlacedTracker | None:
        """Remove and return the tracker that has been ready for longest; ``None`` if none is."""
        while self._ready:
            tracker = self._ready.popleft()
            if tracker.place == _READY:  # else it was discarded
                tracker.place = _NOWHERE
                return tracker
        return None
