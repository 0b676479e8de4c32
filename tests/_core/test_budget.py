"""The shared budget: first as arithmetic, then with thousands of waits of the real client in virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
import pickle
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from math import inf, nan
from statistics import mean
from typing import Any, Final

import anyio
import attrs
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpp_async import (
    AuthenticationError,
    BudgetPaused,
    ClientClosedError,
    Completed,
    ConfigurationError,
    Endpoint,
    Event,
    HPPClient,
    OutcomeWait,
    PollSchedule,
    ReadBudget,
    ServerError,
    Slept,
    Watch,
)
from hpp_async._core.budget import Budget, Kind, Turn
from hpp_async._core.token_bucket import Quota, TokenBucket
from hpp_async.testing import Answered, ScriptedProvider, VirtualClock

RATE: Final = 20.0
ATTEMPTS: Final = (Kind.NEW_AGAIN, Kind.DUE_AGAIN)


# -- readers that do what the budget says, and nothing else ---------------------------------------------------------


@attrs.define(eq=False)
class Reader:
    """Makes *reads* reads, each due *delay* seconds after the one before; gives up a turn after *patience* seconds."""

    delay: float
    reads: int = 1_000_000
    starts_at: float = 0.0
    patience: float = inf
    kind: Kind = Kind.DUE
    admitted: list[float] = attrs.field(init=False, factory=list[float])
    lateness: float = attrs.field(init=False, default=0.0)
    turn: Turn | None = attrs.field(init=False, default=None)

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.admitted)]


@attrs.define
class Street:
    """Readers that share one budget. As on an event loop, a reader that is neither woken nor timed waits for ever."""

    limits: ReadBudget
    service: float = 0.05
    budget: Budget = attrs.field(init=False)
    jitter: float = attrs.field(init=False, default=0.0)
    late: float = 0.0
    """Seconds by which timers fire late at most, as on a real event loop."""
    together: float = 0.0
    """Reads end at multiples of this many seconds, several at one moment: a timer or a closed connection ended them."""
    step: float = 0.0
    """How many seconds a reader takes each time it asks: meanwhile there are tokens for others, on a busy machine."""
    freezes: dict[float, float] = attrs.field(factory=dict[float, float])
    """For how many seconds nothing happens, by when that begins: the machine is suspended, or the loop blocked."""
    now: float = attrs.field(init=False, default=0.0)
    admissions: list[float] = attrs.field(init=False, factory=list[float])
    in_flight: int = attrs.field(init=False, default=0)
    most_in_flight: int = attrs.field(init=False, default=0)
    _chance: random.Random = attrs.field(init=False, factory=lambda: random.Random(20_261_123))
    _events: list[tuple[float, int, Callable[[], object]]] = attrs.field(init=False, factory=list)
    _order: itertools.count[int] = attrs.field(init=False, factory=itertools.count)

    def __attrs_post_init__(self) -> None:
        self.budget = Budget(self.limits)

    def at(self, moment: float, call: Callable[[], object]) -> None:
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), call))

    def add(self, *readers: Reader) -> None:
        for reader in readers:
            self.at(reader.starts_at, lambda reader=reader: self._queue(reader, reader.starts_at))  # type: ignore[misc]

    def crowd(self, delays: Sequence[float], demand: float) -> list[Reader]:
        """Add as many readers of each delay as need *demand* times the budget's rate, with their starts spread."""
        self.jitter = 0.1
        copies = round(demand * self.limits.reads_per_second * 0.95 / sum(1 / delay for delay in delays))
        crowd = [Reader(delay, starts_at=self._chance.uniform(0, delay)) for delay in delays for _ in range(copies)]
        self.add(*crowd)
        return crowd

    def run(self, until: float = inf) -> None:
        while self._events and self._events[0][0] <= until:
            moment, _, call = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            for begin in [begin for begin in self.freezes if begin <= self.now]:
                self.now = max(self.now, begin + self.freezes.pop(begin))
            call()

    def _queue(self, reader: Reader, due: float) -> None:
        def wake() -> None:
            self.at(self.now, lambda: self._ask(reader, turn))

        key = due - reader.lateness if reader.kind is Kind.DUE else inf
        turn = reader.turn = self.budget.queue(reader.kind, key, self.now, wake)
        if reader.patience < inf:
            self.at(self.now + reader.patience, lambda: self._give_up(reader, turn))
        self._ask(reader, turn)

    def _give_up(self, reader: Reader, turn: Turn) -> None:
        if reader.turn is turn:
            reader.turn = None
            self.budget.leave(turn)

    def _ask(self, reader: Reader, turn: Turn) -> None:
        if reader.turn is not turn:
            return
        self.now += self.step
        if not self.budget.admit(turn, self.now):
            again_at = inf if self.budget.is_behind(turn) else self.budget.opens_at(turn, self.now)
            if again_at < inf:
                self.at(self._fires_at(again_at), lambda: self._ask(reader, turn))
            return
        reader.turn = None
        reader.admitted.append(self.now)
        self.admissions.append(self.now)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        ends_at = self.now + self.service
        if self.together:
            ends_at = math.ceil(ends_at / self.together) * self.together
        self.at(ends_at, lambda: self._finish(reader))

    def _finish(self, reader: Reader) -> None:
        self.in_flight -= 1
        self.budget.release(self.now)
        reader.lateness = self.budget.lateness(self.now)
        due = self.now + reader.delay * (1 - self.jitter * self._chance.random())
        if len(reader.admitted) < reader.reads:
            self.at(self._fires_at(due), lambda: self._queue(reader, due))

    def _fires_at(self, moment: float) -> float:
        return moment + self.late * self._chance.random() if self.late else moment


def street(rate: float = RATE, max_in_flight: int = 10, service: float = 0.05) -> Street:
    return Street(ReadBudget(rate, max_in_flight), service)


def most_within(moments: Sequence[float], window: float) -> int:
    """Return the largest number of *moments* that any *window* of seconds holds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most


@attrs.frozen
class Trouble:
    """What an answer at some moment says: a 429 with this hint, or a quota."""

    at: float
    says: Quota | float | None

    def tell(self, budget: Budget, now: float) -> None:
        if isinstance(self.says, Quota):
            budget.answered(self.says, now)
        else:
            budget.refused(self.says, now)


hints = st.one_of(st.none(), st.floats(-5.0, 5.0), st.sampled_from([nan, inf, -inf, 1e9]))
counts = st.one_of(st.none(), st.floats(0.0, 100.0))
readers = st.builds(
    Reader,
    delay=st.floats(0.1, 60.0),
    reads=st.integers(1, 5),
    starts_at=st.floats(0.0, 20.0),
    patience=st.one_of(st.just(inf), st.floats(0.0, 5.0)),
)
troubles = st.builds(
    Trouble,
    at=st.floats(0.0, 60.0),
    says=st.one_of(hints, st.builds(Quota, limit=counts, remaining=counts, reset=hints)),
)


# -- the rate -------------------------------------------------------------------------------------------------------


def test_reads_that_waited_while_the_process_was_frozen_go_out_one_by_one() -> None:
    here = street(rate=1.0)
    here.budget.refused(20.0, 0.0)
    waiting = [Reader(delay=inf, reads=1) for _ in range(5)]
    here.add(*waiting)
    here.freezes = {1.0: 7200.0}
    here.at(1.0, lambda: None)
    here.run()

    assert [round(moment, 3) for moment in here.admissions] == [7201.0, 7202.0, 7203.0, 7204.0, 7205.0]


@settings(max_examples=100)
@given(
    st.lists(readers, max_size=30),
    st.lists(troubles, max_size=5),
    st.floats(0.5, 100.0),
    st.integers(1, 20),
    st.floats(0.0, 2.0),
    st.one_of(st.just(0.0), st.floats(0.5, 20.0)),
    st.sampled_from([0.0, 0.001, 0.1]),
    st.dictionaries(st.floats(0.0, 60.0), st.floats(0.0, 300.0), max_size=2),
)
def test_every_read_is_admitted_and_no_window_has_more_reads_than_its_share(
    crowd: list[Reader],
    troubles: list[Trouble],
    rate: float,
    max_in_flight: int,
    service: float,
    together: float,
    step: float,
    freezes: dict[float, float],
) -> None:
    here = street(rate, max_in_flight, service)
    here.together, here.step, here.freezes = together, step, dict(freezes)
    here.add(*crowd)
    for trouble in troubles:
        here.at(trouble.at, lambda trouble=trouble: trouble.tell(here.budget, here.now))  # type: ignore[misc]
    here.run()

    assert all(len(reader.admitted) == reader.reads for reader in crowd if reader.patience == inf)
    assert all(reader.turn is None for reader in crowd)
    # After a freeze the reads that became due during it make up for it, in no second more than the rate.
    for window, saved in ((1.0, 0.0),) if freezes else ((0.1, rate / 5), (1.0, 0.0), (7.0, rate / 5)):
        assert most_within(here.admissions, window) <= rate * window + saved + 1 + 1e-6
    assert here.most_in_flight <= max_in_flight


operations = st.lists(
    st.tuples(
        st.sampled_from(["queue", "queue", "leave", "admit", "admit", "release", "refusal", "quota"]),
        st.integers(0, 5),
        st.floats(0.0, 1.0),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(operations)
def test_every_turn_is_admitted_after_any_interleaving(steps: list[tuple[str, int, float]]) -> None:
    budget = Budget(ReadBudget(RATE, max_in_flight=2))
    waiting: list[Turn] = []
    now, in_flight, woken = 0.0, 0, []
    for name, number, after in steps:
        now += after * 0.1
        match name:
            case "queue":
                kind = [Kind.URGENT, Kind.NEW, Kind.DUE][number % 3]
                key = inf if kind is Kind.NEW and number % 2 else now - after * 3 + number
                waiting.append(budget.queue(kind, key, now, lambda: woken.append(1)))
            case "leave" if waiting:
                budget.leave(waiting[number % len(waiting)])
                budget.leave(waiting.pop(number % len(waiting)))  # twice is once
            case "admit" if waiting:
                turn = waiting[number % len(waiting)]
                if budget.admit(turn, now):
                    waiting.remove(turn)
                    in_flight += 1
            case "release" if in_flight:
                budget.release(now)
                in_flight -= 1
            case "refusal":
                budget.refused(after, now)
            case _:
                budget.answered(Quota(limit=40, remaining=number * 4, reset=after), now)
        assert in_flight <= 2

    while waiting:
        opening = {turn: inf if budget.is_behind(turn) else budget.opens_at(turn, now) for turn in waiting}
        if in_flight == 2:
            assert set(opening.values()) == {inf}
            budget.release(now)
            in_flight -= 1
            continue
        turn = min(opening, key=lambda turn: opening[turn])
        now = max(now, opening[turn])
        if budget.admit(turn, now):
            waiting.remove(turn)
            in_flight += 1


steps_beside_each_other = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "again", "leave", "release", "refusal", "quota"]),
        st.integers(0, 5),
        st.floats(0.0, 1.0),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(steps_beside_each_other)
@example([("ask", 0, 0.0), ("ask", 5, 0.0), ("ask", 1, 0.0), ("ask", 3, 0.0), ("ask", 0, 1.0)])
def test_the_queue_would_also_admit_each_read_that_is_admitted_at_once(steps: list[tuple[str, int, float]]) -> None:
    hasty, queued = Budget(ReadBudget(RATE, max_in_flight=2)), Budget(ReadBudget(RATE, max_in_flight=2))
    waiting: list[tuple[Turn, Turn]] = []
    now, in_flight = 0.0, 0
    for name, number, after in steps:
        now += after * 0.1
        match name:
            case "ask":
                kind = list(Kind)[number % 5]
                key = queued.virtual(now) + after - 0.5 if kind is Kind.DUE or number == 5 else inf
                is_admitted = hasty.admit_at_once(kind, key, now)
                theirs = queued.queue(kind, key, now, lambda: None)
                if is_admitted:
                    assert queued.admit(theirs, now)
                    in_flight += kind not in ATTEMPTS
                else:
                    waiting.append((hasty.queue(kind, key, now, lambda: None), theirs))
            case "again" if waiting:
                ours, theirs = waiting[number % len(waiting)]
                is_admitted = hasty.admit(ours, now)
                assert queued.admit(theirs, now) is is_admitted
                if is_admitted:
                    waiting.remove((ours, theirs))
                    in_flight += ours.kind not in ATTEMPTS
            case "leave" if waiting:
                ours, theirs = waiting.pop(number % len(waiting))
                hasty.leave(ours)
                queued.leave(theirs)
            case "release" if in_flight:
                in_flight -= 1
                hasty.release(now)
                queued.release(now)
            case "refusal":
                assert hasty.refused(after, now) == queued.refused(after, now)
            case _:
                quota = Quota(limit=40, remaining=number * 4, reset=after)
                assert hasty.answered(quota, now) == queued.answered(quota, now)
        assert hasty.virtual(now) == pytest.approx(queued.virtual(now))


@pytest.mark.parametrize(("first", "then"), [(Kind.NEW, Kind.DUE), (Kind.DUE, Kind.NEW)])
def test_a_read_that_is_admitted_at_once_counts_when_new_arrivals_and_the_schedule_take_turns(
    first: Kind, then: Kind
) -> None:
    budget = Budget(ReadBudget(1.0))
    keys = {Kind.NEW: inf, Kind.DUE: 0.0}
    assert budget.admit_at_once(first, keys[first], 0.0)
    waiting = {kind: budget.queue(kind, key, 0.0, lambda: None) for kind, key in keys.items()}

    assert not budget.admit(waiting[first], 1.0)
    assert budget.admit(waiting[then], 1.0)


def test_every_turn_in_the_queue_is_woken_when_the_client_closes() -> None:
    budget = Budget(ReadBudget(RATE, max_in_flight=1))
    woken: list[str] = []
    budget.queue(Kind.NEW, inf, 0.0, lambda: woken.append("granted"))
    budget.virtual(0.0)
    budget.queue(Kind.NEW, inf, 0.0, lambda: woken.append("new"))
    budget.queue(Kind.DUE, 9.0, 0.0, lambda: woken.append("due"))
    woken.clear()

    budget.wake_all()

    assert sorted(woken) == ["due", "granted", "new"]


def test_the_end_of_a_read_wakes_one_of_many_that_only_wait_for_a_place() -> None:
    budget = Budget(ReadBudget(1_000_000.0, max_in_flight=1))
    woken: list[int] = []
    turns = [budget.queue(Kind.NEW, inf, 0.0, partial(woken.append, number)) for number in range(100)]
    budget.virtual(1.0)
    assert budget.admit(turns[0], 1.0)
    woken.clear()

    budget.release(2.0)

    assert woken == [1]


def test_as_many_reads_go_out_as_end_at_one_moment() -> None:
    here = Street(ReadBudget(1000.0, max_in_flight=4), 0.5, together=1.0, step=0.01)
    crowd = [Reader(0.0, reads=1, kind=Kind.NEW) for _ in range(12)]
    here.add(*crowd)
    here.run()

    assert Counter(map(round, here.admissions)) == {0: 4, 1: 4, 2: 4}


def test_a_turn_is_woken_when_it_is_behind_no_other_one() -> None:
    budget = Budget(ReadBudget(RATE))
    budget.refused(1.0, 0.0)  # nothing can be granted while they queue
    woken: list[str] = []
    first, second = (budget.queue(Kind.DUE, 0.0, 0.0, partial(woken.append, name)) for name in ("first", "second"))
    were_behind = [budget.is_behind(turn) for turn in (first, second)]
    assert budget.admit(first, budget.opens_at(first, 0.0))

    assert were_behind == [False, True]
    assert woken == ["second"]
    assert not budget.is_behind(second)


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_another_attempt_of_a_read_in_flight_is_counted_and_needs_no_place(kind: Kind) -> None:
    budget = Budget(ReadBudget(RATE, max_in_flight=1))
    assert budget.admit(budget.queue(Kind.DUE, 0.0, 0.0, lambda: None), 0.0)
    due = budget.queue(Kind.DUE, 0.0, 0.0, lambda: None)
    again = budget.queue(kind, inf, 0.0, lambda: None)

    assert budget.opens_at(again, 0.0) == pytest.approx(0.05)
    assert budget.opens_at(due, 0.0) == inf
    assert budget.admit(again, 0.05)
    assert budget.opens_at(due, 0.05) == inf
    budget.release(0.05)
    assert budget.opens_at(due, 0.05) == pytest.approx(0.1)


# -- the order ------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-100.0, 0.0), max_size=30))
def test_turns_are_admitted_by_virtual_due_time(keys: list[float]) -> None:
    budget = Budget(ReadBudget(RATE))
    budget.refused(1.0, 0.0)  # nothing can be granted while they queue
    waiting = [budget.queue(Kind.DUE, key, 0.0, lambda: None) for key in keys]
    order, now = [], 0.0
    while waiting:
        [(head, now)] = [(turn, at) for turn in waiting if (at := budget.opens_at(turn, now)) < inf]
        assert budget.admit(head, now)
        budget.release(now)
        waiting.remove(head)
        order.append(head.key)

    assert order == sorted(keys)


def test_a_turn_opens_when_its_read_is_due_whenever_that_is_asked() -> None:
    budget = Budget(ReadBudget(RATE))
    turn = budget.queue(Kind.DUE, 10.0, 0.0, lambda: None)

    assert budget.opens_at(turn, 5.0) == 10.0


def test_equal_turns_are_admitted_in_the_order_of_arrival() -> None:
    here = street()
    crowd = [Reader(1.0, reads=1) for _ in range(50)]
    here.add(*crowd)
    here.run()

    assert [reader.admitted for reader in crowd] == [[moment] for moment in here.admissions]


@pytest.mark.parametrize("overload", [1.5, 5.0, 20.0])
def test_a_short_budget_stretches_every_delay_by_the_same_factor(overload: float) -> None:
    here = street()
    crowd = here.crowd([2.0, 2.0, 2.0, 5.0, 10.0, 30.0], overload)
    here.run(until=60.0 + 120.0 * overload)

    stretches: dict[float, list[float]] = {2.0: [], 5.0: [], 10.0: [], 30.0: []}
    for reader in crowd:
        stretches[reader.delay] += [gap / reader.delay for gap in reader.gaps[1:]]
    overall = mean(itertools.chain(*stretches.values()))
    assert [mean(each) / overall for each in stretches.values()] == pytest.approx([1.0] * 4, abs=0.05)
    assert max(itertools.chain(*stretches.values())) < 1.25 * overall


@given(st.lists(readers, max_size=30), st.floats(0.0, 3.0), st.booleans())
def test_late_timers_do_not_hold_the_virtual_clock_where_the_budget_suffices(
    crowd: list[Reader], late: float, is_paused: bool
) -> None:
    here = Street(ReadBudget(10_000, max_in_flight=1000), late=late)
    here.add(*crowd)
    if is_paused:  # from here on the virtual clock is behind, and reads queue before they are due by it
        here.at(10.0, lambda: here.budget.refused(1.0, here.now))
    here.run(until=12.0)
    lateness = here.budget.lateness(12.0)
    here.run()

    assert lateness <= 1.0
    assert here.budget.lateness(max(12.0, here.now)) == pytest.approx(lateness)


@pytest.mark.parametrize("late", [0.0, 0.002, 0.02])
def test_the_stretch_is_the_same_for_all_where_timers_fire_late(late: float) -> None:
    here = street(rate=100.0, service=0.01)
    here.late = late
    crowd = here.crowd([2.0, 5.0, 10.0, 30.0], demand=5.0)
    here.run(until=600.0)

    stretches: dict[float, list[float]] = {2.0: [], 5.0: [], 10.0: [], 30.0: []}
    for reader in crowd:
        stretches[reader.delay] += [gap / reader.delay for gap in reader.gaps[1:]]
    overall = mean(itertools.chain(*stretches.values()))
    assert [mean(each) / overall for each in stretches.values()] == pytest.approx([1.0] * 4, abs=0.05)
    assert most_within(here.admissions, 1.0) <= 101


arrivals = st.lists(
    st.builds(
        Reader,
        delay=st.floats(0.2, 5.0),
        starts_at=st.floats(0.0, 60.0),
        kind=st.sampled_from([Kind.URGENT, Kind.NEW]),
    ),
    max_size=60,
)


@settings(max_examples=50)
@given(arrivals, st.lists(st.floats(1.0, 40.0), min_size=1, max_size=25), st.floats(5.0, 50.0), st.floats(0.0, 0.02))
def test_new_arrivals_leave_half_of_the_rate_to_the_schedule(
    crowd: list[Reader], delays: list[float], rate: float, late: float
) -> None:
    """Whatever arrives, each read of the schedule comes within twice the delay that it has without the arrivals."""

    def gaps(arriving: list[Reader]) -> list[tuple[float, float]]:
        here = Street(ReadBudget(rate), 0.0, late=late)
        scheduled = [Reader(delay, starts_at=number * 0.1) for number, delay in enumerate(delays)]
        here.add(*scheduled, *arriving)
        here.run(until=100.0)
        return [(reader.delay, max(reader.gaps, default=inf)) for reader in scheduled]

    demand = sum(1 / delay for delay in delays) / rate
    for delay, longest in gaps(crowd):
        assert longest <= 2 * max(1.0, demand) * delay + (2 + len(delays)) * 2 / rate + 2 * late


def test_a_read_of_the_schedule_is_not_starved_by_a_crowd_that_keeps_asking() -> None:
    here = street(rate=10.0)
    patient = Reader(2.0)
    here.add(patient, *(Reader(1.9, starts_at=number / 20, kind=Kind.NEW) for number in range(200)))
    here.run(until=600.0)

    assert max(patient.gaps) <= 2.0 + 0.3


def test_an_overloaded_budget_is_used_up() -> None:
    here = street()
    here.crowd([2.0, 5.0, 30.0], demand=6.0)
    here.run(until=140.0)

    assert sum(moment > 40.0 for moment in here.admissions) == pytest.approx(RATE * 100, rel=0.01)


@pytest.mark.parametrize("rate", [12.5, 50.0, 200.0])
def test_a_budget_that_suffices_stretches_no_delay_when_some_reads_are_due_at_once(rate: float) -> None:
    here = street(rate, service=0.0)
    here.crowd([2.0, 5.0, 10.0, 30.0, 100.0], demand=0.5)
    here.run(until=400.0)

    assert here.budget.lateness(here.now) < 400.0 * 0.02


def test_saved_tokens_are_used_at_once_and_made_up_for_within_the_second() -> None:
    here = street(rate=50.0, max_in_flight=1000)
    here.add(*(Reader(1.0, reads=1, starts_at=30.0) for _ in range(100)))
    here.run()

    assert here.admissions == pytest.approx(
        [30.0] * 10 + [30.0 + number / 50 for number in range(1, 41)] + [31.0 + number / 50 for number in range(50)]
    )


def test_saved_tokens_that_are_left_are_not_used_at_once_where_a_window_ends() -> None:
    here = street(rate=40.0, max_in_flight=100)
    at_once, meanwhile = [30.0] * 4, [30.02 + number * 0.026 for number in range(36)]
    here.add(*(Reader(1.0, reads=1, starts_at=moment) for moment in [*at_once, *meanwhile, *[30.99] * 10]))
    here.run()

    assert most_within(here.admissions, 1.0) <= 41


def test_no_more_tokens_are_saved_up_than_reads_may_be_in_flight() -> None:
    here = street(rate=50.0, max_in_flight=3, service=0.0)
    here.add(*(Reader(1.0, reads=1, starts_at=30.0) for _ in range(5)))
    here.run()

    assert here.admissions == pytest.approx([30.0] * 3 + [30.02, 30.04])


def test_tokens_saved_up_before_a_pause_are_not_used_at_once_after_it() -> None:
    here = street(rate=50.0)
    here.at(30.0, lambda: here.budget.refused(5.0, here.now))
    here.add(*(Reader(1.0, reads=1, starts_at=31.0) for _ in range(3)))
    here.run()

    assert here.admissions == pytest.approx([35.0, 35.04, 35.08], abs=0.001)


def test_a_token_that_had_come_before_a_pause_is_there_after_it() -> None:
    budget = Budget(ReadBudget(RATE))
    for _ in range(4):  # all that was saved up
        assert budget.admit(budget.queue(Kind.DUE, 0.0, 0.0, lambda: None), 0.0)
    until = budget.refused(0.0, 0.2)

    assert budget.opens_at(budget.queue(Kind.DUE, 0.0, until, lambda: None), until) == until


def test_a_bucket_remembers_no_more_reads_than_those_of_the_last_second() -> None:
    def size_after(reads: int) -> int:
        bucket = TokenBucket(ReadBudget(RATE))
        for number in range(reads):
            bucket.reserve(number / RATE)
            bucket.spend(number / RATE)
        return len(pickle.dumps(bucket))

    assert size_after(10_000) < size_after(100) + 100


def test_no_read_starves_while_new_ones_keep_arriving() -> None:
    here = street()
    patient = Reader(60.0, reads=2)
    here.add(patient, *(Reader(2.0, reads=3, starts_at=number / 10) for number in range(4000)))
    here.run(until=400.0)

    assert [60.0 <= gap < 60.0 * 2.5 for gap in patient.gaps] == [True]


def test_there_is_no_burst_after_a_pause() -> None:
    here = street()
    crowd = here.crowd([10.0], demand=0.3)
    here.run(until=40.0)
    here.budget.refused(30.0, here.now)
    here.run(until=200.0)

    before, after = ([moment for moment in here.admissions if (moment > 50.0) is late] for late in (False, True))
    assert most_within(after, 5.0) <= most_within(before, 5.0) * 1.2
    assert all(9.0 <= gap <= 10.0 * 1.2 + 30.0 for reader in crowd for gap in reader.gaps)


def test_a_turn_that_is_given_up_goes_to_the_next_in_the_queue() -> None:
    here = street(rate=1.0)
    leaving, staying = Reader(1.0, reads=1, patience=0.5), Reader(1.0, reads=1, starts_at=0.1)
    here.add(Reader(1.0, reads=1), leaving, staying)
    here.run()

    assert leaving.admitted == []
    assert staying.admitted == [1.0]


def test_a_token_that_was_granted_and_is_given_back_goes_to_the_next() -> None:
    budget = Budget(ReadBudget(RATE))
    for _ in range(4):  # all that was saved up
        assert budget.admit(budget.queue(Kind.DUE, 0.0, 0.0, lambda: None), 0.0)
    leaving, staying = (budget.queue(Kind.DUE, 0.0, 0.0, lambda: None) for _ in range(2))
    assert budget.opens_at(leaving, 0.05) == 0.05
    budget.leave(leaving)

    assert budget.admit(staying, 0.05)


def test_reads_whose_event_loop_is_gone_are_not_in_flight_any_more() -> None:
    budget = Budget(ReadBudget(RATE, max_in_flight=1))
    assert budget.admit(budget.queue(Kind.NEW, inf, 0.0, lambda: None), 0.0)
    budget.forget()

    assert budget.admit(budget.queue(Kind.NEW, inf, 1.0, lambda: None), 1.0)


def test_new_arrivals_come_in_the_order_of_arrival() -> None:
    budget = Budget(ReadBudget(RATE))
    budget.refused(1.0, 0.0)  # nothing can be granted while they queue
    first, second = (budget.queue(Kind.NEW, inf, 0.0, lambda: None) for _ in range(2))

    assert budget.opens_at(second, 0.0) == inf
    assert budget.admit(first, 1.0)


@given(st.lists(st.integers(0, 4)))
def test_new_arrivals_come_in_the_order_of_arrival_however_often_they_give_their_turns_back(steps: list[int]) -> None:
    budget, order = Budget(ReadBudget(1000.0)), list[int]()
    budget.refused(1.0, 0.0)  # nothing can be granted while they queue
    turns = [budget.queue(Kind.NEW, inf, 0.0, lambda: None) for _ in range(5)]
    for index in steps:
        budget.leave(turns[index])
        turns[index] = budget.queue(Kind.NEW, inf, 0.0, lambda: None, number=turns[index].number)
    for millisecond in range(20):  # tokens come more slowly
        waiting = [turn for turn in reversed(turns) if not turn.is_over]
        order += [turns.index(turn) for turn in waiting if budget.admit(turn, 1.0 + millisecond / 1000)]

    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [Kind.URGENT, Kind.NEW])
def test_a_new_arrival_that_the_schedule_makes_due_waits_in_both_lines(kind: Kind) -> None:
    budget = Budget(ReadBudget(1.0))
    crowd = [budget.queue(kind, inf, 0.0, lambda: None) for _ in range(20)]
    assert budget.admit(crowd[0], 0.0)
    notified = budget.queue(kind, 2.5, 0.0, lambda: None)

    assert not budget.admit(notified, 2.0)
    assert budget.opens_at(notified, 2.0) == pytest.approx(3.0)
    assert budget.admit(notified, 3.0)
    assert [turn for turn in crowd[1:] if turn.is_granted] == crowd[1:3]


def test_a_new_arrival_that_was_admitted_leaves_nothing_in_the_line_of_the_schedule() -> None:
    budget = Budget(ReadBudget(1.0))
    notified = budget.queue(Kind.NEW, 100.0, 0.0, lambda: None)
    assert budget.admit(notified, 0.0)
    budget.release(0.0)

    assert budget.lateness(500.0) == 0.0
    assert budget.admit(budget.queue(Kind.DUE, 500.0, 500.0, lambda: None), 500.0)


# -- what the answers say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "pause"), [(None, 1.0), (0.0, 0.05), (-3.0, 0.05), (nan, 0.05), (7.0, 7.0), (1e9, 60.0), (inf, 60.0)]
)
def test_the_pause_after_a_429_has_bounds(hint: float | None, pause: float) -> None:
    budget = Budget(ReadBudget(RATE))

    assert budget.refused(hint, 100.0) == pytest.approx(100.0 + pause)
    assert budget.opens_at(budget.queue(Kind.DUE, 100.0, 100.0, lambda: None), 100.0) == pytest.approx(100.0 + pause)


def test_a_429_without_a_hint_backs_off_until_an_answer_is_good() -> None:
    budget, now, pauses = Budget(ReadBudget(RATE)), 0.0, []
    for number in range(9):
        if number == 8:
            budget.answered(Quota(), now)
        until = budget.refused(None, now)
        pauses.append(until - now)
        now = until

    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 1])


def test_a_shorter_hint_ends_no_pause() -> None:
    budget = Budget(ReadBudget(RATE))
    budget.refused(30.0, 0.0)

    assert budget.refused(2.0, 1.0) == 30.0
    assert budget.answered(Quota(limit=40, remaining=0, reset=1), 2.0) == 30.0


def rates_after(*refusals: float) -> list[float]:
    """Return the number of admissions in each second after the last pause; each 429 at *refusals* pauses for 1 s."""
    here = street(100.0)
    here.crowd([1.0, 2.0], demand=3.0)
    for moment in refusals:
        here.at(moment, lambda: here.budget.refused(1.0, here.now))
    here.run(until=60.0)
    opened_at = max(refusals) + 1.0
    return [sum(s <= moment - opened_at < s + 1 for moment in here.admissions) for s in range(45)]


def test_the_rate_halves_once_per_pause() -> None:
    once, together, twice = rates_after(5.0), rates_after(5.0, 5.2, 5.4), rates_after(5.0, 6.1)

    assert once[0] == pytest.approx(51, abs=2)
    assert together[0] == pytest.approx(51, abs=2)
    assert twice[0] == pytest.approx(26, abs=2)


def test_the_rate_climbs_back_over_a_minute() -> None:
    after = rates_after(5.0)

    assert [after[15], after[31], after[44]] == pytest.approx([76, 100, 100], abs=3)


def test_now_and_then_a_429_halves_the_whole_rate_each_time() -> None:
    def tokens_come_after(refusals: int) -> float:
        budget, now = Budget(ReadBudget(RATE)), 0.0
        for number in range(refusals):
            now = budget.refused(1.0, number * 600.0)
        assert budget.admit(budget.queue(Kind.DUE, now, now, lambda: None), now)
        return budget.opens_at(budget.queue(Kind.DUE, now, now, lambda: None), now) - now

    assert tokens_come_after(1) == pytest.approx(2 / RATE)
    assert tokens_come_after(6) == pytest.approx(2 / RATE)


def test_a_lower_rate_saves_up_fewer_tokens() -> None:
    here = street(rate=50.0)
    for number in range(5):
        here.at(number * 2.0, lambda: here.budget.refused(1.0, here.now))
    here.add(*(Reader(1.0, reads=1, starts_at=12.0) for _ in range(4)))
    here.run()

    assert min(later - earlier for earlier, later in itertools.pairwise(here.admissions)) > 0.1


def test_the_rate_never_falls_below_a_sixty_fourth() -> None:
    budget, now = Budget(ReadBudget(64.0)), 0.0
    for _ in range(50):
        now = budget.refused(0.05, now)
    assert budget.admit(budget.queue(Kind.DUE, now, now, lambda: None), now)

    assert budget.opens_at(budget.queue(Kind.DUE, now, now, lambda: None), now) == pytest.approx(now + 1.0)


@pytest.mark.parametrize(
    ("quota", "pause"),
    [
        (Quota(limit=40, remaining=9, reset=1), 1.0),
        (Quota(limit=40, remaining=0, reset=0), 0.05),
        (Quota(limit=40, remaining=0), 1.0),
        (Quota(limit=40, remaining=9, reset=86_400), 60.0),
        (Quota(limit=40, remaining=10, reset=1), None),
        (Quota(limit=40), None),
        (Quota(remaining=0, reset=1), None),
        (Quota(limit=0, remaining=0, reset=5), None),
        (Quota(), None),
    ],
)
def test_reads_stop_while_the_merchants_quota_runs_low(quota: Quota, pause: float | None) -> None:
    budget = Budget(ReadBudget(RATE))
    until = budget.answered(quota, 10.0)

    assert until == (None if pause is None else pytest.approx(10.0 + pause))
    assert budget.opens_at(budget.queue(Kind.DUE, 10.0, 10.0, lambda: None), 10.0) == (until or 10.0)


@pytest.mark.parametrize(
    "arguments",
    [
        (0,),
        (0.00099,),
        (-1,),
        (nan,),
        (inf,),
        ("5",),
        (True,),
        (None,),
        (timedelta(seconds=5),),
        (5, 0),
        (5, True),
        (5, 1.5),
    ],
)
def test_a_budget_of_something_else_than_numbers_of_reads_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match="ReadBudget"):
        ReadBudget(*arguments)


def test_a_budget_may_be_as_small_as_one_read_in_a_thousand_seconds() -> None:
    assert ReadBudget(0.001).reads_per_second == 0.001


# -- the real client ------------------------------------------------------------------------------------------------


class Noting(ScriptedProvider):
    """A provider that notes when each request came."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.asked: list[tuple[float, str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((self.clock.now(), request.method, request.url.path.rpartition("/")[2]))
        return await super().handle_async_request(request)

    @property
    def moments(self) -> list[float]:
        return [moment for moment, _, _ in self.asked]


@pytest.fixture
def provider(clock: VirtualClock) -> Noting:
    return Noting(clock)


@attrs.define
class Crowd:
    """Waits that run at the same time until they end, or until *scope* is cancelled."""

    waits: list[OutcomeWait]
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    endings: list[object] = attrs.field(factory=list[object])

    async def run(self) -> None:
        with anyio.fail_after(60), self.scope:
            async with anyio.create_task_group() as tasks:
                for wait in self.waits:
                    tasks.start_soon(self._follow, wait)

    async def _follow(self, wait: OutcomeWait) -> None:
        try:
            self.endings.append(await wait)
        except ClientClosedError as error:
            self.endings.append(error)


def crowd_of(client: HPPClient, provider: ScriptedProvider, number: int) -> Crowd:
    return Crowd([client.wait_for_outcome(provider.add()) for _ in range(number)])


@pytest.mark.anyio
async def test_reads_of_waits_that_start_together_are_spread_and_their_delays_reported(
    provider: Noting, clock: VirtualClock
) -> None:
    number, rate, sessions = 1000, 50, set[str]()
    slept: list[Slept] = []
    client = provider.client(
        budget=ReadBudget(rate), observers=[lambda event: slept.append(event) if isinstance(event, Slept) else None]
    )
    crowd = crowd_of(client, provider, number)
    age = 12 * 3600.0  # the schedule makes little due of old sessions, and leaves the rest of the rate to first reads
    await clock.sleep(age)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.run)
        await clock.sleep(number / rate * 1.1)  # SCHEDULE.md, bar 4
        sessions = {session for _, _, session in provider.asked}
        await clock.sleep(20.0)
        crowd.scope.cancel()

    assert len(sessions) == number
    assert most_within(provider.moments, 1.0) <= rate + 1
    longest = PollSchedule().waiting.at(age + number / rate * 1.1 + 20.0)  # the age of the oldest here
    assert all(0.0 < event.seconds - event.late_by <= longest for event in slept)
    read_at = {session: [moment for moment, _, path in provider.asked if path == session] for session in sessions}
    gaps = {session: itertools.pairwise(moments) for session, moments in read_at.items()}
    for event in slept:
        earlier, later = next(gaps[event.session_id])
        assert event.seconds == pytest.approx(later - earlier)


@pytest.mark.anyio
async def test_a_429_pauses_all_reads_of_the_client(provider: Noting, clock: VirtualClock) -> None:
    events: list[Event] = []
    client = provider.client(observers=[events.append])
    crowd = crowd_of(client, provider, 20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.run)
        await clock.sleep(5.0)
        provider.answer_next(httpx.Response(429, headers={"Retry-After": "30"}))
        await clock.sleep(60.0)
        crowd.scope.cancel()

    [paused] = [event for event in events if isinstance(event, BudgetPaused)]
    assert paused.is_refused
    assert paused.seconds == pytest.approx(30.0)
    refused_at = min(moment for moment in provider.moments if moment > 5.0)
    assert not [moment for moment in provider.moments if refused_at < moment < refused_at + 30.0]
    assert len([moment for moment in provider.moments if moment > refused_at + 30.0]) >= 20


@pytest.mark.anyio
async def test_reads_pause_while_captures_need_the_quota(provider: Noting, clock: VirtualClock) -> None:
    events: list[Event] = []
    client = provider.client(observers=[events.append])
    low = {"X-Ratelimit-Limit": "40, 40;w=1", "X-Ratelimit-Remaining": "3", "X-Ratelimit-Reset": "2"}
    provider.answer_next(httpx.Response(200, headers=low, json={"status": "WAITING"}))
    await client.read_session(provider.add())
    await client.read_session(provider.add())

    assert provider.moments == pytest.approx([0.0, 2.0])
    assert BudgetPaused(seconds=2.0, added=2.0, is_refused=False) in events


@pytest.mark.anyio
async def test_waits_on_one_session_cost_the_turns_of_one(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(1))
    session = provider.add()
    others = crowd_of(client, provider, 3)
    same = Crowd([client.wait_for_outcome(session) for _ in range(50)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(same.run)
        tasks.start_soon(others.run)
        await clock.sleep(60.0)
        same.scope.cancel()
        others.scope.cancel()

    reads = [sum(path == session_id for _, _, path in provider.asked) for session_id in provider.model.sessions]
    assert max(reads) <= min(reads) + 2


@pytest.mark.anyio
async def test_when_the_first_wait_leaves_the_others_on_its_session_notice_nothing(
    provider: Noting, clock: VirtualClock
) -> None:
    client = provider.client(budget=ReadBudget(0.5))
    ahead = crowd_of(client, provider, 1)
    session = provider.add([(0, "COMPLETED")])
    first = Crowd([client.wait_for_outcome(session)])
    others = Crowd([client.wait_for_outcome(session) for _ in range(3)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ahead.run)
        await clock.sleep(0.1)
        tasks.start_soon(first.run)
        await clock.sleep(0.1)
        tasks.start_soon(others.run)
        await clock.sleep(0.1)
        first.scope.cancel()
        await clock.sleep(3.0)
        ahead.scope.cancel()

    assert [type(ending) for ending in others.endings] == [Completed] * 3
    assert provider.moments[:2] == [0.0, 2.0]


@pytest.mark.anyio
@pytest.mark.parametrize("is_watched", [False, True], ids=["waits", "watch"])
async def test_a_read_after_a_callback_goes_before_others_where_the_budget_is_short(
    provider: Noting, clock: VirtualClock, is_watched: bool
) -> None:
    sessions = [provider.add() for _ in range(60)]
    client = provider.client(budget=ReadBudget(1), schedule=PollSchedule.every(10))
    crowd = Crowd([] if is_watched else [client.wait_for_outcome(session) for session in sessions])
    async with client.watch(sessions if is_watched else []) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.run)
        tasks.start_soon(_drain, watch)
        await clock.sleep(150.5)
        called = provider.asked[-30][2]  # overdue by 20 seconds by its schedule, and next in its turn in another 30
        for _ in range(3):
            client.notify(called)
        await clock.sleep(1.0)

        assert provider.asked[-1][2] == called
        crowd.scope.cancel()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("is_watched", [False, True], ids=["wait", "watch"])
async def test_a_callback_delays_no_read_where_a_crowd_of_new_arrivals_waits(
    provider: Noting, clock: VirtualClock, is_watched: bool
) -> None:
    """The read that the callback makes due joins the end of their queue; the schedule's own is due all the same."""
    session, viewed = provider.add(session_id="called"), [provider.add() for _ in range(100)]
    client = provider.client(budget=ReadBudget(1), schedule=PollSchedule.every(5))
    waits = Crowd([] if is_watched else [client.wait_for_outcome(session)])
    async with client.watch([session] if is_watched else []) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(waits.run)
        tasks.start_soon(_drain, watch)
        await clock.sleep(11.0)
        for each in viewed:
            tasks.start_soon(client.read_session, each)
        await clock.sleep(2.0)
        client.notify(session)
        await clock.sleep(60.0)

        moments = [at for at, _, path in provider.asked if path == "called" and at > 11.0]
        assert max(later - earlier for earlier, later in itertools.pairwise([11.0, *moments])) < 12.0
        waits.scope.cancel()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_new_arrivals_that_fail_and_are_repeated_leave_half_of_the_rate_to_the_schedule(
    provider: Noting, clock: VirtualClock
) -> None:
    rate, seconds = 10.0, 240.0
    client = provider.client(budget=ReadBudget(rate), schedule=PollSchedule.every(1))
    followed = [f"followed-{number}" for number in range(150)]
    viewed = [f"viewed-{number}" for number in range(30)]
    for session in (*followed, *viewed):
        provider.add(session_id=session)
    for session in viewed:
        provider.trouble(Answered(503), session=session)

    async def view(session: str) -> None:
        while True:
            with pytest.raises(ServerError):
                await client.read_session(session)

    async with client.watch(followed) as watch, anyio.create_task_group() as tasks:
        for session in viewed:
            tasks.start_soon(view, session)
        tasks.start_soon(_drain, watch)
        await clock.sleep(seconds)
        tasks.cancel_scope.cancel()
    last = Counter(path in followed for at, _, path in provider.asked if at > seconds - 120)

    assert sum(last.values()) == pytest.approx(rate * 120, abs=rate)
    assert last[True] >= 0.45 * sum(last.values())


async def _drain(watch: Watch) -> None:
    async for _ in watch:
        pass


@pytest.mark.anyio
async def test_a_cancelled_wait_gives_its_turn_back(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(1))
    ahead, leaving, staying = (crowd_of(client, provider, number) for number in (1, 5, 5))
    async with anyio.create_task_group() as tasks:
        for crowd in (ahead, leaving, staying):
            tasks.start_soon(crowd.run)
            await clock.sleep(0.1)
        leaving.scope.cancel()
        await clock.sleep(5.5)
        ahead.scope.cancel()
        staying.scope.cancel()

    assert provider.moments == pytest.approx([0, 1, 2, 3, 4, 5])


@pytest.mark.anyio
async def test_closing_the_client_ends_thousands_of_queued_waits(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(10))
    crowd = crowd_of(client, provider, 2000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.run)
        await clock.sleep(3.05)
        await client.aclose()

    assert clock.now() == pytest.approx(3.05)
    assert [type(ending) for ending in crowd.endings] == [ClientClosedError] * 2000
    assert len(provider.asked) == 31


@pytest.mark.anyio
async def test_disabling_a_session_goes_before_the_reads_in_the_queue(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(10))
    crowd = crowd_of(client, provider, 500)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.run)
        await clock.sleep(5.0)
        await client.disable_session(provider.add())
        crowd.scope.cancel()

    assert clock.now() <= 5.1 + 1e-6
    assert provider.asked[-1][1] == "DELETE"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("endpoint", "rate"), [(Endpoint.EU_LIVE, 50), (Endpoint.EU_PLAYGROUND, 12.5), ("https://localhost:8443", 12.5)]
)
async def test_without_a_budget_a_quarter_of_the_endpoints_quota_is_used(
    provider: Noting, endpoint: Endpoint | str, rate: float
) -> None:
    client = HPPClient(auth="key", endpoint=endpoint, http_client=provider.http_client, clock=provider.clock)
    saved = int(rate / 5)
    for number in range(saved + 3):
        with pytest.raises(AuthenticationError):
            await client.read_session(f"{number}")

    assert provider.moments == pytest.approx([0.0] * saved + [1 / rate, 2 / rate, 3 / rate])


def test_a_client_refuses_what_is_not_a_budget() -> None:
    with pytest.raises(ConfigurationError, match=r"budget=50: give a ReadBudget, such as ReadBudget\(50\)"):
        HPPClient(auth="key", endpoint=Endpoint.EU_LIVE, budget=50)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.anyio
async def test_a_read_that_is_queued_ends_when_the_client_is_closed(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(0.1))
    await client.read_session(provider.add())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.aclose)
        with pytest.raises(ClientClosedError):
            await client.read_session(provider.add())

    assert clock.now() == 0.0


@pytest.mark.anyio
async def test_a_read_that_is_cancelled_in_the_queue_gives_its_turn_back(provider: Noting, clock: VirtualClock) -> None:
    client = provider.client(budget=ReadBudget(0.1))
    await client.read_session(provider.add())
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read_in, scope, client, provider.add())
        await clock.sleep(1.0)
        tasks.start_soon(client.read_session, provider.add())
        await clock.sleep(1.0)
        scope.cancel()

    assert provider.moments == [0.0, 10.0]


async def _read_in(scope: anyio.CancelScope, client: HPPClient, session: str) -> None:
    with scope:
        await client.read_session(session)


# -- limits that change ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(0.001, 20.0), (20.0, 5.0), (5.0, 40.0)])
def test_another_rate_holds_from_the_moment_at_which_it_is_set(before: float, after: float) -> None:
    here = street(before, service=0.0)
    here.add(*(Reader(1.0, reads=1) for _ in range(1000)))
    here.at(10.0, lambda: here.budget.set_limits(ReadBudget(after), here.now))
    here.run(until=20.0)

    assert here.budget.limits == ReadBudget(after)
    assert sum(10.0 < moment <= 20.0 for moment in here.admissions) == pytest.approx(after * 10, abs=5)
    assert most_within([moment for moment in here.admissions if moment > 10.0], 1.0) <= after + 1


@pytest.mark.anyio
async def test_a_client_takes_another_budget_while_it_reads(provider: ScriptedProvider, clock: VirtualClock) -> None:
    sessions = [provider.add() for _ in range(10)]
    async with provider.client(budget=ReadBudget(0.001), schedule=PollSchedule.every(60.0)) as client:
        assert client.budget == ReadBudget(0.001)
        client.set_budget(ReadBudget(10.0))
        async with client.watch(sessions) as watch:
            seen = {(await anext(watch)).session_id for _ in sessions}

    assert len(seen) == 10
    assert clock.now() <= 1.5


@pytest.mark.parametrize("session", ["abc", "https://api.playground.klarna.com/hpp/v1/sessions/abc"])
def test_a_client_says_the_id_of_a_session(provider: ScriptedProvider, session: str) -> None:
    assert provider.client().session_id(session) == "abc"
    with pytest.raises(ConfigurationError):
        provider.client().session_id("a/b")
