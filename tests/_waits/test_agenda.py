"""Which sessions of a watch have turns in the budget's queue."""

from __future__ import annotations

from math import inf

import pytest

from hpp_async import ReadBudget
from hpp_async._core.budget import Budget, Kind
from hpp_async._loop import Sleeper
from hpp_async._waits.agenda import Agenda, PlacedTracker
from hpp_async._waits.events import Observers
from hpp_async._waits.turns import Claim, Turns
from hpp_async.testing import VirtualClock


class Waiting(PlacedTracker):
    """A tracker whose next read is of this kind, has this key, and must not be queued before *later*."""

    def __init__(self, name: str, kind: Kind, key: float = inf, later: float = -inf) -> None:
        self.name = name
        self.place = 0
        self.next = kind, key, later

    def next_read(self) -> tuple[Kind, float, float]:
        return self.next


@pytest.fixture
def agenda() -> Agenda:
    clock = VirtualClock()
    turns = Turns(Budget(ReadBudget(1)), clock=clock, draw=lambda: 0.5, observers=Observers(()))
    return Agenda(lambda woken: turns.claim(Sleeper(clock), woken=woken))


def queued(agenda: Agenda, most: int) -> set[str]:
    """Return the names of the trackers that have turns."""
    agenda.queue(most, lambda: -inf)
    return {tracker.name for tracker in agenda._queued if isinstance(tracker, Waiting)}  # nothing public shows it


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_reads_that_are_due_first_have_turns(agenda: Agenda, most: int) -> None:
    for name, key in zip("edcba", (5.0, 4.0, 3.0, 2.0, 1.0), strict=True):
        agenda.place(Waiting(name, Kind.DUE, key))

    assert queued(agenda, most) == set("abcde"[:most])


def test_a_read_that_is_due_earlier_takes_the_turn_of_the_last(agenda: Agenda) -> None:
    agenda.place(Waiting("last", Kind.DUE, 10.0))
    before = queued(agenda, 1)
    agenda.place(Waiting("first", Kind.DUE, 5.0))

    assert (before, queued(agenda, 1)) == ({"last"}, {"first"})


def test_the_first_new_arrival_has_a_turn_beside_reads_that_take_turns_from_each_other(agenda: Agenda) -> None:
    agenda.place(Waiting("last", Kind.DUE, 10.0))
    queued(agenda, 1)
    agenda.place(Waiting("first", Kind.DUE, 5.0))
    for name in ("new", "newer"):
        agenda.place(Waiting(name, Kind.NEW))

    assert queued(agenda, 1) == {"first", "new"}


def test_the_first_new_arrival_stays_the_first_over_any_number_of_steps(agenda: Agenda) -> None:
    agenda.place(Waiting("scheduled", Kind.DUE, 10.0))
    for name in ("new", "newer"):
        agenda.place(Waiting(name, Kind.NEW))
    steps: list[set[str]] = []
    for _ in range(3):
        steps.append(queued(agenda, 1))
        agenda.leave()

    assert steps == [{"scheduled", "new"}] * 3


def test_a_new_arrival_that_must_be_read_later_now_lets_the_others_go_first(agenda: Agenda) -> None:
    waiting = [Waiting(name, Kind.NEW) for name in "abc"]
    for tracker in waiting:
        agenda.place(tracker)
    assert queued(agenda, 1) == {"a"}
    waiting[0].next = Kind.DUE, inf, 3.0
    agenda.leave()

    assert queued(agenda, 1) == {"b"}


@pytest.mark.parametrize("is_schedule_next", [True, False])
def test_the_line_that_is_next_gets_a_token_that_is_there_already(agenda: Agenda, is_schedule_next: bool) -> None:
    for kind in (Kind.NEW, Kind.DUE):
        agenda.place(Waiting(kind.name, kind, -1.0 if kind is Kind.DUE else inf))
    agenda.queue(1, lambda: -inf, is_schedule_next=is_schedule_next)
    turn = agenda.next_open(lambda: 0.0)

    assert turn is not None
    assert isinstance(turn[0], Waiting)
    assert turn[0].name == ("DUE" if is_schedule_next else "NEW")


def test_a_new_arrival_that_got_a_token_as_a_read_of_the_schedule_keeps_it(agenda: Agenda) -> None:
    early = Waiting("early", Kind.NEW, -2.0)
    for tracker in (early, Waiting("due", Kind.DUE, -1.0), Waiting("new", Kind.NEW)):
        agenda.place(tracker)

    assert queued(agenda, 2) == {"early", "due"}
    turn = agenda.next_open(lambda: 0.0)
    assert turn is not None
    assert turn[0] is early
    agenda.asked(early)
    assert queued(agenda, 2) == {"due", "new"}


def test_only_the_first_of_many_turns_is_asked_until_it_is_gone(
    agenda: Agenda, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Claim] = []
    opens_at = Claim.opens_at

    def counted(claim: Claim) -> float:
        asked.append(claim)
        return opens_at(claim)

    monkeypatch.setattr(Claim, "opens_at", counted)
    trackers = [Waiting(str(number), Kind.DUE, float(number)) for number in range(1, 100)]
    for tracker in trackers:
        agenda.place(tracker)
    queued(agenda, 100)

    assert agenda.next_open(lambda: 0.0) is None
    assert (agenda.opens_at, len(asked)) == (1.0, 1)
    agenda.discard(trackers[0])
    assert agenda.next_open(lambda: 0.0) is None
    assert (agenda.opens_at, len(asked)) == (2.0, 2)


def test_a_read_that_must_not_be_queued_before_a_time_has_a_turn_from_then_on(agenda: Agenda) -> None:
    later, cold = Waiting("later", Kind.DUE, -5.0, later=3.0), Waiting("cold", Kind.DUE, -1.0)
    for tracker in (later, cold):
        agenda.place(tracker)

    assert (agenda.place_due(2.9), queued(agenda, 1)) == (3.0, {"cold"})
    later.next = Kind.DUE, -5.0, -inf
    assert (agenda.place_due(3.0), queued(agenda, 1)) == (inf, {"later"})


def test_a_read_that_was_brought_forward_is_not_placed_again(agenda: Agenda) -> None:
    tracker = Waiting("notified", Kind.DUE, later=3.0)
    agenda.place(tracker)
    tracker.next = Kind.NEW, inf, -inf
    agenda.place(tracker)
    agenda.asked(tracker)

    assert agenda.place_due(3.0) == inf
    assert not agenda.is_waiting(tracker)
