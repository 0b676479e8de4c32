"""
The order in which a watch attends to its sessions.

Reads of the schedule wait in a heap, ordered by due time. New arrivals wait in a queue, and sessions with news to hand
over in another queue. The first reads of the heap and the first new arrival also have turns in the budget's queue. The
budget can then grant a read its token for the very moment at which the read is due, even if the event loop wakes the
watch later. There may be hundreds of turns, and hundreds of steps a second. So a step asks only about turns that may be
admitted: new ones, those that the budget has woken, and those for which the budget has named a time.

The heap is ordered by the budget's virtual time, which may be much slower than the loop's. Two kinds of reads must not
wait for that: reads after a notification, and the first reads after a restart of sessions with a short delay. They wait
in a heap of their own, ordered by loop time, and go to the heap or the queue above when they are due.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

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


_Entry = tuple[float, int, PlacedTracker]
"""An entry of a heap: when the read is due, the tracker's number, and the tracker."""


class _Queued(NamedTuple):
    """A turn in the budget's queue, the claim that holds it, and the entry that was taken from the heap for it."""

    turn: Turn
    claim: Claim
    entry: _Entry


class Agenda:
    """
    Decides which session of a watch is next.

    Every tracker has one place. It *waits* for its read, as a new arrival or until the read is due; or it is *ready*,
    which means that it has news to hand over; or it has no place, while its session is read. Beside that, a flight of
    its session may have *finished* that its poller has not received yet. *claim* returns a new claim on the budget's
    queue, which calls its argument when the watch is woken to ask the claim.
    """

    __slots__ = (
        "_arrival",
        "_ask_at",
        "_claim",
        "_due",
        "_finished",
        "_highest_key",
        "_later",
        "_new",
        "_numbers",
        "_paused",
        "_queued",
        "_ready",
    )

    def __init__(self, claim: Callable[[Callable[[], object]], Claim]) -> None:
        self._claim = claim
        self._due: list[_Entry] = []
        self._later: list[_Entry] = []
        """The reads that must not be queued before a loop time, which is the first number."""
        self._new: deque[tuple[int, PlacedTracker]] = deque()
        self._queued: dict[PlacedTracker, _Queued] = {}
        """The trackers that have a turn in the budget's queue."""
        self._arrival: PlacedTracker | None = None
        """The new arrival that has a turn."""
        self._paused: tuple[PlacedTracker, Claim] | None = None
        """The new arrival that had a turn in the last step, and its claim."""
        self._highest_key = _NEVER
        """No turn of the schedule has a higher key."""
        self._ask_at: dict[PlacedTracker, float] = {}
        """When to ask about a turn, in loop seconds. The budget will wake the turns that are not in it."""
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
        queued = self._queued.pop(tracker, None)
        if queued is not None:
            queued.claim.leave()
            self._ask_at.pop(tracker, None)
            if tracker is self._arrival:
                self._arrival = None

    # -- the budget's queue -------------------------------------------------------------------------------------------

    def place_due(self, now: float) -> float:
        """Place the trackers whose reads are due at loop time *now*; return when to call again."""
        while (head := self._head(self._later)) is not None and head[0] <= now:
            self.place(head[-1])
        return _FOREVER if head is None else head[0]

    def queue(self, most: int, virtual: Callable[[], float], *, is_schedule_next: bool = True) -> None:
        """
        Give turns in the budget's queue to the first *most* reads of the schedule and to the first new arrival.

        Keys are seconds of the budget's virtual time. A key is at least the *virtual* time now: the overdue reads of a
        watch that took no step for a while must not go before everybody else's.

        A token that is there already goes to the turn that is queued first. So *is_schedule_next* says which line that
        must be: where steps are short, the same line would get every token otherwise.
        """
        if not self._lacks_turns(most):
            return  # without asking for the time: mostly, nothing has changed
        lowest_key = virtual()
        if is_schedule_next:
            self._queue_schedule(most, lowest_key)
            self._queue_arrival(lowest_key)
        else:
            self._queue_arrival(lowest_key)
            self._queue_schedule(most, lowest_key)

    def _queue_schedule(self, most: int, lowest_key: float) -> None:
        while (head := self._head(self._due)) is not None:
            tracker, key = head[-1], max(head[0], lowest_key)
            is_full = self._scheduled >= most
            last = self._last_after(key) if is_full else None
            if is_full and last is None:
                break
            heapq.heappop(self._due)
            if tracker in self._queued:  # as a new arrival: its turn is in the schedule's line, too
                continue
            if last is not None:
                self.place(last)
            self._take_turn(Kind.DUE, key, head)
            self._highest_key = max(self._highest_key, key)

    def _queue_arrival(self, lowest_key: float) -> None:
        while self._new and self._arrival is None:
            number, tracker = self._new[0]
            if number == tracker.place:  # else the entry is stale
                read = tracker.next_read()
                assert read is not None, "a tracker that waits for its read has no news"
                key = max(read[1], lowest_key)
                if self._take_turn(Kind.NEW, key, (key, number, tracker)).kind is Kind.DUE:
                    break  # it has a token already, as a read of the schedule
                self._arrival = tracker
            self._new.popleft()

    def _lacks_turns(self, most: int) -> bool:
        """Tell whether a read has no turn and should perhaps have one."""
        head = self._head(self._due)
        if head is not None and (self._scheduled < most or head[0] < self._highest_key):
            return True
        return bool(self._new) and self._arrival is None

    @property
    def _scheduled(self) -> int:
        """How many reads of the schedule have turns, beside the new arrival."""
        return len(self._queued) - (self._arrival is not None)

    def _last_after(self, key: float) -> PlacedTracker | None:
        """Return the tracker with the last of the schedule's turns, if that has a higher key than *key*."""
        if key >= self._highest_key:
            return None
        last = max((tracker for tracker in self._queued if tracker is not self._arrival), key=self._key_of)
        self._highest_key = self._key_of(last)
        return last if key < self._highest_key else None

    def _key_of(self, tracker: PlacedTracker) -> float:
        return self._queued[tracker].turn.key

    def _take_turn(self, kind: Kind, key: float, entry: _Entry) -> Turn:
        tracker = entry[-1]
        _, claim, entry = self._queued.get(tracker) or (None, self._claim_with_place(tracker, kind), entry)
        turn = claim.queue(kind, key)
        self._queued[tracker] = _Queued(turn, claim, entry)
        if not claim.is_behind():
            self._ask(tracker)
        return turn

    def _claim_with_place(self, tracker: PlacedTracker, kind: Kind) -> Claim:
        if kind is not Kind.DUE and self._paused is not None and self._paused[0] is tracker:
            return self._paused[1]
        return self._claim(partial(self._ask, tracker))

    def _ask(self, tracker: PlacedTracker) -> None:
        """Let the step under way, or the next one, ask about the turn of the tracker."""
        self._ask_at[tracker] = _NEVER

    def leave(self) -> None:
        """
        Give all turns in the budget's queue back, at the end of a step: nobody would ask for them until the next.

        The new arrival among them stays the first here, and keeps its place there: else it would never be read where
        steps are short.
        """
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            claim = self._queued.pop(arrival).claim
            claim.pause()
            self._paused = arrival, claim
            self.place(arrival)
            if self._new and self._new[-1][-1] is arrival:
                self._new.rotate(1)
        for _, claim, entry in reversed(self._queued.values()):  # so that few of them are heads when they leave
            claim.leave()
            heapq.heappush(self._due, entry)
        self._queued.clear()
        self._ask_at.clear()

    def next_open(self, now: Callable[[], float]) -> tuple[PlacedTracker, Claim] | None:
        """Return a tracker that may be read, as its turn is open; ``None`` if no turn is open *now* (loop seconds)."""
        while self._ask_at:
            tracker = min(self._ask_at, key=self._ask_at.__getitem__)
            if self._ask_at[tracker] > now():
                break
            claim = self._queued[tracker].claim
            opens_at = claim.opens_at()
            if opens_at == _FOREVER:
                del self._ask_at[tracker]
                continue
            self._ask_at[tracker] = opens_at
            # Read the clock after `opens_at`, which returns its own "now" for a turn that may be admitted: not earlier.
            if opens_at <= now():
                return tracker, claim
        return None

    @property
    def opens_at(self) -> float:
        """When to call `next_open` again at the latest, in loop seconds; the budget may wake the watch before."""
        return min(self._ask_at.values(), default=_FOREVER)

    @property
    def late_by(self) -> float:
        """For how many seconds the read has been due that has been due for longest of those that are next; or 0."""
        heads = [head[-1] for head in map(self._head, (self._due, self._later)) if head is not None]
        first = min(self._queued, key=self._key_of, default=None)
        waiting = [*heads, *(tracker for tracker in (first, self._arrival) if tracker is not None)]
        return max((tracker.late_by for tracker in waiting), default=0.0)

    @staticmethod
    def _head(heap: list[_Entry]) -> _Entry | None:
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
