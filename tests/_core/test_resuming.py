"""A wait that goes on from its token reads and ends as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from typing import Any, Final, cast

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.histories import (
    OPEN,
    SESSION_ID,
    Life,
    Trouble,
    broken,
    missing,
    no_answer,
    reading,
    unauthorized,
)
from support.restarts import Chain, Machine, Stop

from hpp_async import FINAL, Expired, OutageError, PollSchedule, Session, is_newer
from hpp_async._core.actions import Fail, Read, Sleep
from hpp_async._core.expiry import EXPIRY_GRACE
from hpp_async._core.memory import Calendar, Failing, Memory
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position
from hpp_async._core.resuming import next_read
from hpp_async._core.session import status_of
from hpp_async._core.settings import Settings

pure = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])

LEFT: Final = Life(changes=((0.0, "WAITING"), (5.0, "IN_PROGRESS")), lifetime=47 * 3600.0)
"""The consumer opens the page, and leaves."""

SETTINGS: Final = Settings(stop_on=FINAL, longest_read=45.0)


def undated(reading: Session) -> Session:
    return attrs.evolve(reading, updated_at=None)


def parks_after_ten(left: float) -> float | None:
    """End the process in the middle of every delay of more than 10 seconds."""
    return left / 2 if left > 10.0 else None


@pytest.mark.parametrize("edit", [lambda reading: reading, undated], ids=["dated", "undated"])
def test_an_abandoned_session_costs_no_more_reads_where_each_long_delay_is_cut_in_two(
    edit: Callable[[Session], Session],
) -> None:
    alone = Chain(life=LEFT, settings=SETTINGS, edit=edit)
    chain = Chain(life=LEFT, settings=SETTINGS, edit=edit, parks=parks_after_ten)

    assert type(alone.run()) is type(chain.run())
    assert len(chain.asked_at) == pytest.approx(len(alone.asked_at), rel=0.01)


# -- any life, any restarts -------------------------------------------------------------------------------------------

moments = st.floats(0.0, 1500.0)
stops = st.lists(st.builds(Stop, at=moments, away=st.just(0.0)), max_size=12).map(
    lambda found: sorted(found, key=lambda stop: stop.at)
)
lives = st.builds(
    Life,
    changes=st.lists(st.tuples(moments, st.sampled_from([*OPEN, "FAILED", "COMPLETED", "CANCELLED"])), max_size=4).map(
        lambda found: ((0.0, "WAITING"), *sorted(found))
    ),
    lifetime=st.sampled_from([60.0, 300.0, 1500.0]),
)
troubles = st.lists(
    st.builds(
        Trouble,
        start=moments,
        length=st.sampled_from([1.0, 30.0, 300.0, 900.0]),
        error=st.sampled_from([no_answer(), broken(), broken(retry_after=90.0), missing("NOT_FOUND"), unauthorized()]),
    ),
    max_size=3,
)
clocks = st.builds(Machine, zero=st.sampled_from([0.0, -7.5, 123_456.75]), skew=st.just(0.0))
edits = st.sampled_from(
    [
        lambda reading: reading,
        undated,
        lambda reading: attrs.evolve(reading, expires_at=None),
        lambda reading: attrs.evolve(undated(reading), expires_at=None),
    ]
)


@pure
@given(
    lives,
    stops,
    troubles,
    edits,
    st.lists(clocks, min_size=1, max_size=12),
    st.sampled_from([0.0, -7200.0, 7200.0]),
    st.sampled_from([0.0, 0.3, 7.0]),
    st.integers(0, 99),
)
def test_a_wait_that_is_stopped_and_goes_on_reads_as_one_that_was_not(
    life: Life,
    stops: Sequence[Stop],
    troubles: Sequence[Trouble],
    edit: Callable[[Session], Session],
    machines: Sequence[Machine],
    skew: float,
    latency: float,
    seed: int,
) -> None:
    """In any life, with faults, with dates missing, and where this machine's calendar is two hours wrong."""
    # Of two waits that differ by the fraction of a second, one could settle the expiry just before an outage begins.
    assume(not any(-1.0 <= trouble.start - life.lifetime - EXPIRY_GRACE < 3.0 + latency for trouble in troubles))
    where = [attrs.evolve(machine, skew=skew) for machine in machines]
    same = Chain(life=life, settings=SETTINGS, troubles=troubles, edit=edit, latency=latency, seed=seed)
    chain = attrs.evolve(same, stops=stops, machines=where)

    alone, resumed = same.run(), chain.run()
    assert type(resumed) is type(alone)
    assert chain.seen == same.seen
    # An expiry is settled by readings or 404s of one process, so after a restart it takes up to three more.
    assert abs(len(chain.asked_at) - len(same.asked_at)) <= 3 + 0.01 * len(same.asked_at)
    assert all(is_newer(later, earlier) for earlier, later in pairwise(chain.tokens))


@pure
@given(
    st.floats(60.0, 4000.0),
    st.floats(0.0, 4000.0),
    st.sampled_from([0.0, -7200.0, 7200.0]),
    st.sampled_from([0.0, -7200.0, 7200.0]),
)
def test_a_clock_that_changes_costs_at_most_one_interval(at: float, away: float, before: float, after: float) -> None:
    """The machine that goes on has another calendar than the one before; both may be two hours wrong."""
    chain = Chain(
        life=LEFT,
        settings=SETTINGS,
        stops=[Stop(at=at, away=away)],
        machines=[Machine(skew=before), Machine(zero=5.0, skew=after)],
    )
    chain.run()

    back = at + away
    first, second = [asked_at for asked_at in chain.asked_at if asked_at > at][:2]
    assert back <= first <= back + 2.0 + 0.01 * back
    assert second - first >= 0.89 * (2.0 + 0.01 * (first - 5.0))


def test_an_outage_goes_on_over_restarts_and_time_away_does_not_count() -> None:
    outage = Trouble(start=100.0, length=10_000.0, error=no_answer())
    restarts = [Stop(at=float(at), away=7.0) for at in range(103, 10_000, 20)]
    chain = Chain(life=LEFT, settings=SETTINGS, stops=restarts, troubles=[outage])
    alone = Chain(life=LEFT, settings=SETTINGS, troubles=[outage])

    assert isinstance(alone.run(), OutageError)
    assert isinstance(chain.run(), OutageError)
    assert alone.now < chain.now < 2.0 * alone.now


def test_a_session_that_cannot_be_read_from_the_beginning_ends_in_an_outage_over_restarts() -> None:
    outage = Trouble(start=0.0, length=10_000.0, error=no_answer())
    restarts = [Stop(at=float(at)) for at in range(3, 10_000, 20)]
    chain = Chain(life=LEFT, settings=SETTINGS, stops=restarts, troubles=[outage])
    alone = attrs.evolve(chain, stops=[])

    assert (type(alone.run()), type(chain.run())) == (OutageError, OutageError)
    assert len(chain.asked_at) == pytest.approx(len(alone.asked_at), abs=1)


# -- one restart ------------------------------------------------------------------------------------------------------

NOW: Final = 1_772_442_000.0
CALENDAR: Final = Calendar(local=NOW - 100.0)
"""It is NOW when the loop's clock shows 100 seconds."""


def since(memory: Memory | None, status: str | None = "IN_PROGRESS") -> Position:
    return Position(
        session_id=SESSION_ID,
        status=None if status is None else status_of(status),
        updated_at=None,
        expires_at=None,
        sequence=2,
        memory=memory,
    )


def resumed(memory: Memory | None, *, status: str | None = "IN_PROGRESS", spread: float = 0.0, **more: Any) -> Poller:
    poller = Poller(SESSION_ID, Settings(**more), since=since(memory, status))
    poller.start(100.0, CALENDAR, spread=spread)
    return poller


def remembered(poller: Poller, calendar: Calendar = CALENDAR) -> Memory | None:
    token = poller.token(calendar)
    assert token is not None
    return Position.of(token, session_id=SESSION_ID).memory


def due(poller: Poller) -> float:
    """Return in how many seconds the next read is due."""
    action = poller.next_action(100.0)
    assert isinstance(action, Sleep | Read)
    return (action.until if isinstance(action, Sleep) else action.due) - 100.0


def key(poller: Poller, at: float = 100.0) -> float:
    """Return the key of the next read, which is due *at* that time, in the budget's queue."""
    action = poller.next_action(at)
    assert isinstance(action, Read)
    return action.key - 100.0


COLD: Final = Memory(at=NOW - 60.0, delay=90.0, age=9000.0)
OLD: Final = Memory(at=NOW - 20_000.0, delay=2.0, age=10_800.0)
"""After a crash: the token of the last transition, which was hours ago."""


def test_a_read_is_due_when_it_was_due() -> None:
    assert due(resumed(COLD)) == pytest.approx(30.0)


def test_a_read_is_due_by_the_schedule_of_the_wait_that_goes_on() -> None:
    memory = attrs.evolve(COLD, at=NOW - 1.0)

    assert due(resumed(memory, schedule=PollSchedule.every(5.0))) == pytest.approx(4.0)


def test_a_read_after_a_failure_is_due_after_the_hint_of_the_server() -> None:
    memory = Memory(at=NOW - 1.0, delay=300.0, failing=Failing(lasted=5.0, backoffs=1))

    assert due(resumed(memory, schedule=PollSchedule.every(5.0))) == pytest.approx(299.0)


@pytest.mark.parametrize("returned", [-1.0, float("nan"), "soon", None])
def test_a_schedule_that_fails_does_not_fail_at_the_start(returned: Any) -> None:
    class Broken:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return cast("float", returned)

    assert due(resumed(COLD, schedule=Broken())) == pytest.approx(30.0)


def test_a_broken_token_cannot_put_a_read_off_for_years() -> None:
    assert due(resumed(Memory(at=NOW, delay=1e9, failing=Failing()), status=None)) == pytest.approx(300.0)


def test_a_read_for_which_no_delay_was_decided_is_due_at_once() -> None:
    assert due(resumed(Memory(at=NOW - 1.0))) == -inf
    assert due(resumed(None)) == -inf


def test_a_read_is_due_at_the_timeout_at_the_latest() -> None:
    assert due(resumed(COLD, timeout=20.0)) == pytest.approx(20.0)


def test_of_two_overdue_reads_that_with_the_shorter_delay_goes_first() -> None:
    on_the_page = resumed(Memory(at=NOW - 3.0, delay=2.0, age=30.0))
    cold = resumed(Memory(at=NOW - 400.0, delay=300.0, age=40_000.0))

    assert due(on_the_page) == due(cold) == 0.0
    assert key(on_the_page) < key(cold) < 0.0


def test_a_read_that_becomes_due_later_goes_before_cold_ones_that_are_overdue() -> None:
    on_the_page = resumed(Memory(at=NOW - 0.1, delay=2.0, age=30.0))
    cold = resumed(Memory(at=NOW - 400.0, delay=300.0, age=40_000.0))

    assert due(on_the_page) == pytest.approx(1.9)
    assert on_the_page.is_ahead
    assert key(on_the_page, at=102.0) < key(cold)


def test_a_cold_read_that_becomes_due_later_keeps_its_place() -> None:
    assert not resumed(COLD).is_ahead


@pure
@given(
    at=st.floats(-4000.0, 0.0),
    delay=st.floats(0.0, 900.0),
    own=st.none() | st.floats(0.0, 900.0),
    spread=st.floats(0.0, 1.0, exclude_max=True),
)
def test_no_read_after_a_restart_is_early_and_the_one_on_the_page_goes_first(
    at: float, delay: float, own: float | None, spread: float
) -> None:
    began_at, due, key = next_read(at, delay, now=0.0, own=own, spread=spread)

    assert due >= 0.0
    assert due >= at + delay
    assert began_at in (at, 0.0)
    assert key <= due
    page = next_read(-0.5, 2.0, now=0.0, own=2.5, spread=spread)
    assert page == (-0.5, 1.5, 1.5 - 20 / 3.5)
    if (own if own is not None else delay) >= 10.0:
        assert key > page[2]


def test_the_read_of_a_cold_session_with_an_old_token_is_put_somewhere_into_its_delay() -> None:
    assert due(resumed(OLD)) == 0.0
    assert due(resumed(OLD, spread=0.5)) == pytest.approx(150.0)
    assert due(resumed(attrs.evolve(OLD, failing=Failing()), spread=0.5)) == 0.0


def test_a_read_that_was_put_somewhere_stays_there_over_the_next_restart() -> None:
    first = resumed(OLD, spread=0.5)
    again = Poller(SESSION_ID, since=since(remembered(first)))
    again.start(40.0, Calendar(local=NOW), spread=0.9)

    action = again.next_action(40.0)
    assert isinstance(action, Sleep)
    assert action.until == pytest.approx(150.0)


def test_a_consumer_on_the_page_is_read_at_once_however_old_the_token() -> None:
    assert due(resumed(Memory(at=NOW - 300.0, delay=2.5, age=50.0), spread=0.9)) == 0.0


def test_sessions_that_are_read_at_once_because_their_tokens_are_old_come_apart() -> None:
    # They would be read together again and again, and the budget would be idle in between.
    poller = resumed(Memory(at=NOW - 300.0, delay=5.0), spread=0.9, schedule=PollSchedule.every(5.0))
    delays = list[float]()
    for now in (100.0, 102.0):
        poller.received(reading("IN_PROGRESS", updated=0.0, read=now), now, 0.25)
        delays.append(due(poller) + 100.0 - now)

    assert delays == pytest.approx([1.25, 5.0])


def test_sessions_come_apart_whose_last_reads_were_in_the_future_by_a_wrong_calendar() -> None:
    every = PollSchedule.every(5.0)
    ahead = Memory(at=NOW + 7200.0, delay=5.0)  # by the calendar of this machine, which is two hours behind

    assert due(resumed(ahead, schedule=every, spread=0.25)) == pytest.approx(1.25)
    assert due(resumed(ahead, schedule=every)) == pytest.approx(5.0)
    assert due(resumed(attrs.evolve(ahead, at=NOW + 1.0), schedule=every, spread=0.25)) == pytest.approx(5.0)


def test_a_wait_that_has_read_nothing_yet_remembers_what_it_was_given() -> None:
    memory = attrs.evolve(COLD, skew=-7200.0, unknown_for=9000.0, was_open=True, late_readings=1)
    poller = Poller(SESSION_ID, since=since(memory))
    calendar = Calendar(local=NOW - 100.0 - 7200.0)  # a machine that is two hours behind

    assert remembered(poller, calendar) == memory  # not started
    poller.start(100.0, calendar)
    assert remembered(poller, calendar) == memory


def test_the_token_before_a_transition_that_was_not_handed_over_has_the_read_that_was_due() -> None:
    poller = resumed(COLD)
    before = poller.token(CALENDAR)
    poller.received(reading("FAILED", updated=None), 130.0, 0.5, calendar=CALENDAR)

    assert poller.token(CALENDAR) == before
    poller.emitted()
    assert remembered(poller) == Memory(at=NOW + 30.0, age=9090.0, unknown_for=0.0)


def test_a_wait_that_has_timed_out_remembers_the_next_read() -> None:
    poller = resumed(COLD, timeout=20.0)
    poller.received(reading(updated=None, read=None), 120.0, 0.0, calendar=CALENDAR)

    assert isinstance(poller.next_action(120.0), Fail)
    assert remembered(poller) == Memory(at=NOW + 20.0, delay=92.8, age=9080.0, unknown_for=0.0)


def test_an_outage_that_outlasts_a_wait_with_a_timeout_is_remembered() -> None:
    poller = resumed(COLD, timeout=20.0)
    poller.failed(no_answer(), 120.0, 0.0)

    assert isinstance(poller.next_action(120.0), Fail)
    assert remembered(poller) == Memory(at=NOW + 20.0, delay=2.0, age=9080.0, failing=Failing(lasted=0.0, backoffs=1))


def test_who_goes_on_after_an_outage_begins_a_new_one() -> None:
    poller = resumed(Memory(at=NOW - 60.0, delay=30.0, failing=Failing(lasted=590.0, backoffs=9)))
    poller.failed(no_answer(), 100.0, 0.0)

    assert isinstance(poller.next_action(100.0), Fail)
    assert remembered(poller) == Memory(at=NOW, age=60.0)


def test_two_late_readings_settle_an_expiry_also_with_a_restart_between_them() -> None:
    poller = resumed(Memory(at=NOW - 2.0, delay=2.0, was_open=True, late_readings=1))
    poller.received(reading(expires=0.0, read=6.0), 100.0, 0.5, calendar=CALENDAR)

    assert isinstance(poller.outcome, Expired)


def test_one_late_reading_after_a_restart_does_not() -> None:
    poller = resumed(Memory(at=NOW - 2.0, delay=2.0, was_open=True))
    poller.received(reading(expires=0.0, read=6.0), 100.0, 0.5, calendar=CALENDAR)

    assert poller.outcome is None


def test_a_session_that_was_never_seen_is_remembered_by_its_failures_only() -> None:
    poller = Poller(SESSION_ID)
    poller.start(100.0, CALENDAR)
    assert poller.token(CALENDAR) is None
    poller.failed(broken(), 100.0, 0.0)

    assert remembered(poller) == Memory(at=NOW, delay=2.0, failing=Failing(lasted=0.0, backoffs=1))
    assert Poller(SESSION_ID, since=Position.of(str(poller.token(CALENDAR)), session_id=SESSION_ID)).latest is None


# -- calendars --------------------------------------------------------------------------------------------------------


def test_a_calendar_that_is_wrong_as_before_tells_the_time_to_the_millisecond() -> None:
    memory = Memory(at=NOW, skew=7200.5)
    same = Calendar(local=NOW + 7200.5 - 10.0, provider=NOW - 10.9)

    assert same.loop_time(memory) == pytest.approx(10.0)
    assert Calendar(local=same.local).loop_time(memory) == pytest.approx(10.0)


def test_where_the_calendar_is_wrong_in_another_way_the_providers_clock_counts() -> None:
    memory = Memory(at=NOW, skew=7200.5)

    assert Calendar(local=NOW - 10.0, provider=NOW - 10.9).loop_time(memory) == pytest.approx(10.9)
