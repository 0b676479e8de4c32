"""What holds for any history of readings, failures, notifications and delays: P1–P10 of the design."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime
from math import inf

import attrs
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from support.histories import (
    DAY,
    OPEN,
    SESSION_ID,
    Driver,
    Heard,
    Hinted,
    Life,
    Missed,
    Step,
    Trouble,
    World,
    at,
    broken,
    draws,
    ending,
    histories,
    limited,
    missing,
    no_answer,
    not_a_reading,
    reading,
    transient_errors,
)

from hpp_async import (
    FINAL,
    OUTCOME,
    Completed,
    Expired,
    ExpiryUnknownError,
    HPPError,
    OutageError,
    Outcome,
    PollSchedule,
    ReadError,
    Session,
    SessionStatus,
    SessionVanishedError,
    WaitTimeoutError,
)
from hpp_async._core.actions import Fail, Read, Sleep
from hpp_async._core.expiry import EXPIRY_GRACE, UNKNOWN_FOR
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position, date_of
from hpp_async._core.session import AnyStatus, status_of
from hpp_async._core.settings import Settings

pure = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])

stops = st.sampled_from([OUTCOME, FINAL, frozenset[AnyStatus](), frozenset({SessionStatus.BACK})])
timeouts = st.none() | st.floats(0.0, DAY)
sinces = st.none() | st.builds(
    Position,
    session_id=st.just(SESSION_ID),
    status=st.sampled_from(OPEN).map(status_of),
    updated_at=st.none() | st.floats(-DAY, 0.0).map(at),
    expires_at=st.none() | st.floats(-DAY, 3 * DAY).map(at),
    sequence=st.integers(1, 9),
)


@attrs.frozen
class Start:
    """What a wait begins with; any number of pollers can be made of it."""

    settings: Settings = attrs.field(factory=Settings)
    since: Position | None = None

    def poller(self) -> Poller:
        return Poller(SESSION_ID, self.settings, since=self.since)


starts = st.builds(Start, st.builds(Settings, stop_on=stops, timeout=timeouts), sinces)


def belief(poller: Poller) -> object:
    return poller.latest, poller.transitions, poller.outcome, poller.token()


# -- asking -----------------------------------------------------------------------------------------------------------


@pure
@given(starts, histories(), st.integers(2, 4))
def test_asking_twice_is_asking_once(start: Start, history: list[Step], asks: int) -> None:
    """A driver that is interrupted before its report asks again, and gets the same answer."""
    twin, once = Driver(start.poller(), asks=asks), Driver(start.poller())

    assert twin.play(history) == once.play(history) or isinstance(ending(twin.ask()), HPPError)
    assert belief(twin.poller) == belief(once.poller)
    assert twin.emitted == once.emitted


@pure
@given(starts, histories())
def test_transitions_that_are_emitted_late_are_the_same(start: Start, history: list[Step]) -> None:
    """A caller that takes its transitions only at the end gets the same ones as one that takes each at once."""
    late, prompt = Driver(start.poller()), Driver(start.poller())
    late.poller.next_action(0.0)
    for step in history:
        late.tell(step)
    late.ask()
    prompt.play(history)

    assert late.emitted == prompt.emitted
    assert belief(late.poller) == belief(prompt.poller)


# -- what is believed -------------------------------------------------------------------------------------------------


@pure
@given(starts, histories())
def test_p1_neighbouring_transitions_differ(start: Start, history: list[Step]) -> None:
    """Each transition begins with the status of the one before it, ends with another, and has the next sequence."""
    driver = Driver(start.poller())
    driver.play(history)

    status = None if start.since is None else start.since.status
    sequence = 0 if start.since is None else start.since.sequence
    assert tuple(driver.emitted) == driver.poller.transitions
    for number, transition in enumerate(driver.emitted, 1):
        assert transition.previous == status != transition.status == transition.session.status
        assert transition.sequence == sequence + number
        status = transition.status


@pure
@given(starts, histories())
def test_p2_believed_dates_never_decrease(start: Start, history: list[Step]) -> None:
    """``updated_at`` of the believed readings never decreases, except with a final status, which nothing can follow."""
    driver = Driver(start.poller())
    newest = None if start.since is None else start.since.updated_at
    for step in [None, *history]:
        driver.play([] if step is None else [step])
        latest = driver.poller.latest
        date = None if latest is None else date_of(latest)
        if latest is None or date is None:
            continue
        assert newest is None or date >= newest or latest.status.is_final
        newest = date if newest is None else max(newest, date)


@pure
@given(starts, histories())
def test_p3_at_most_one_transition_is_last_and_nothing_follows_it(start: Start, history: list[Step]) -> None:
    """At most one transition has ``is_last``: the last one, whose reading ended the wait."""
    driver = Driver(start.poller())
    result = ending(driver.play(history))

    assert [transition for transition in driver.emitted[:-1] if transition.is_last] == []
    if driver.emitted and driver.emitted[-1].is_last:
        assert isinstance(result, Outcome)
        assert result.session == driver.emitted[-1].session


@pure
@given(starts, histories())
def test_p6_repeating_a_reading_changes_nothing(start: Start, history: list[Step]) -> None:
    """A reading that is repeated changes nothing that is believed. (It may settle an expiry.)"""
    driver = Driver(poller := start.poller())
    driver.play(history)
    latest = poller.latest
    before = belief(poller)
    driver.play([] if latest is None else [Heard(latest), Heard(latest)])

    assert belief(poller) == before or isinstance(poller.outcome, Expired)
    assert poller.latest == latest


@pure
@given(starts, histories(), st.data())
def test_p7_a_stale_reading_changes_nothing(start: Start, history: list[Step], data: st.DataObject) -> None:
    """Neither the status nor the date of a stale reading is believed. (It may settle an expiry.)"""
    driver = Driver(poller := start.poller())
    driver.play(history)
    newest = _newest(start, history)
    if newest is None:
        return
    before = poller.latest, poller.transitions
    status = data.draw(st.sampled_from([*OPEN, "FAILED", "ERROR"]))
    stale = reading(status, updated=newest - data.draw(st.floats(1.0, DAY)), read=newest)
    driver.play([Heard(stale)])

    assert (poller.latest, poller.transitions) == before


@pure
@given(
    histories(expires=False, failures=transient_errors),
    st.lists(st.tuples(st.integers(0, 14), st.sampled_from([*OPEN, "FAILED", "ERROR"]), st.floats(1.0, DAY))),
)
def test_p7_stale_readings_anywhere_lead_to_the_same_end(
    history: list[Step], stale: list[tuple[int, str, float]]
) -> None:
    """With stale readings added anywhere, the same is believed as without them, and the wait ends in the same way."""
    plain = Driver(Poller(SESSION_ID, Settings(outage_tolerance=inf)))
    strewn = Driver(Poller(SESSION_ID, Settings(outage_tolerance=inf)))
    told: list[Step] = []
    for number, step in enumerate(history):
        strewn.play([step])
        told.append(step)
        if strewn.now >= UNKNOWN_FOR:
            break  # any reading ends the wait now, because no reading tells the expiry
        newest = _newest(Start(), told)
        for place, status, older in stale:
            if place == number and newest is not None:
                strewn.play([Heard(reading(status, updated=newest - older, read=newest))])
    plain.play(told)

    assert belief(strewn.poller) == belief(plain.poller)


def _newest(start: Start, history: list[Step]) -> float | None:
    """Return the newest date that is believed, in seconds; ``None`` where there is none."""
    reference = Reference(start)
    for step in history:
        if isinstance(step, Heard):
            reference.hear(step.reading)
    return None if reference.newest is None else (reference.newest - at(0)).total_seconds()


@pure
@given(starts, histories(), st.lists(st.tuples(transient_errors, draws), min_size=1, max_size=5))
def test_p10_a_transient_failure_changes_nothing_that_is_believed(
    start: Start, history: list[Step], failures: list[tuple[HPPError, float]]
) -> None:
    """A transient failure changes neither status nor transitions nor outcome nor token."""
    driver = Driver(poller := start.poller())
    driver.play(history)
    before = belief(poller)
    for error, draw in failures:
        driver.play([Missed(error, after=1.0, draw=draw)])

    assert belief(poller) == before


@pure
@given(histories(failures=transient_errors), st.floats(0.0, 1.0))
def test_p10_histories_with_and_without_transient_failures_believe_the_same(history: list[Step], share: float) -> None:
    """What is believed at the end does not depend on how many reads failed in between."""
    chance = random.Random(share)
    kept = [step for step in history if not isinstance(step, Missed) or chance.random() < share]
    lost = sum(step.after for step in history) - sum(step.after for step in kept)
    with_failures = Driver(Poller(SESSION_ID, Settings(outage_tolerance=inf)))
    without = Driver(Poller(SESSION_ID, Settings(outage_tolerance=inf)))
    with_failures.play(history)
    _play_without(without, history, set(map(id, kept)))

    assert lost >= 0
    assert belief(with_failures.poller) == belief(without.poller)


def _play_without(driver: Driver, history: list[Step], kept: set[int]) -> None:
    """Leave out the steps that are not *kept*, and let their time pass all the same."""
    for step in history:
        if id(step) in kept:
            driver.play([step])
        else:
            driver.now += step.after


# -- how a wait ends --------------------------------------------------------------------------------------------------


class Reference:
    """The rules by which a reading is believed, written once more, from the design and not from the code."""

    def __init__(self, start: Start) -> None:
        since = start.since
        self.newest: datetime | None = None if since is None else since.updated_at
        self.expires_at: datetime | None = None if since is None else since.expires_at
        self.estimates: list[tuple[float, float]] = []
        self.heard = 0
        self.is_over = False

    def hear(self, heard: Session, now: float = 0.0) -> bool:
        """Return whether *heard* is believed."""
        self.heard += 1
        broken = heard.updated_at and heard.expires_at and (heard.updated_at - heard.expires_at).total_seconds() > DAY
        said = None if broken else heard.expires_at
        expires_at = said or self.expires_at
        if expires_at is not None and heard.read_at is not None:
            self.estimates.append((now + (expires_at - heard.read_at).total_seconds(), now))
        is_believed = self._is_believed(heard)
        if is_believed and said is not None:
            self.expires_at = said
        return is_believed

    def _is_believed(self, heard: Session) -> bool:
        ahead = heard.updated_at is not None and heard.read_at is not None and heard.updated_at > heard.read_at
        far = ahead and (heard.age or 0.0) < -DAY
        date = None if far else heard.updated_at
        if heard.status in FINAL:
            self.is_over = True
        elif self.is_over or (date is not None and self.newest is not None and date < self.newest):
            return False
        if date is not None and (self.newest is None or date > self.newest):
            self.newest = date
        return True


@pure
@given(starts, histories())
@example(  # only one reading ever spoke of the expiry, and that by a clock which was days ahead
    Start(),
    [Heard(reading(expires=None)), Heard(reading(expires=DAY, read=3 * DAY), after=2.0)],
)
def test_p4_a_wait_ends_with_an_outcome_only_by_a_stop_status_or_by_the_expiry(
    start: Start, history: list[Step]
) -> None:
    """A believed reading in the stop set ends the wait at once. Otherwise only the expiry ends it with an outcome."""
    driver, reference = Driver(start.poller()), Reference(start)
    driver.ask()
    for step in history:
        result = ending(driver.play([step]))
        if isinstance(step, Heard):
            heard = step.reading
            if reference.hear(heard, driver.now) and (heard.status in FINAL or heard.status in start.settings.stop_on):
                assert isinstance(result, Outcome)
                assert (result.session, isinstance(result, Expired)) == (heard, False)
                return
        if isinstance(result, Expired):
            assert isinstance(step, Heard) is result.confirmed
            _assert_that_the_expiry_was_settled(result, reference, driver.now)
            return
        assert not isinstance(result, Outcome)
        if result is not None:
            return


def _assert_that_the_expiry_was_settled(result: Expired, reference: Reference, now: float) -> None:
    """All of the last five estimates have passed; one reading was from before the expiry, or five are from after it."""
    estimates = [expires_at for expires_at, _ in reference.estimates]
    before = [heard_at for expires_at, heard_at in reference.estimates if heard_at < expires_at]
    if result.confirmed:
        assert now >= max(estimates[-5:]) + EXPIRY_GRACE - 1.0
        assert (before and len(estimates) >= 2) or reference.heard >= 5
    elif estimates:
        assert now >= max(estimates[-5:])
    else:
        assert reference.expires_at is not None


@pure
@given(
    st.lists(st.tuples(st.floats(-3 * DAY, 3 * DAY), st.booleans()), min_size=1, max_size=8), st.floats(60.0, 47 * 3600)
)
@example([(3 * DAY, False), (-3 * DAY, True)], 3600.0)
def test_p4_a_wrong_clock_between_right_ones_never_makes_a_session_expire(
    answers: list[tuple[float, bool]], lifetime: float
) -> None:
    """If every other answer has the right ``Date``, the wait does not end before the expiry."""
    driver = Driver(Poller(SESSION_ID))
    driver.ask()
    for skew, has_expiry in answers:
        if driver.now + 2.0 >= lifetime:
            return
        wrong = reading(expires=lifetime if has_expiry else None, read=driver.now + skew)
        driver.play([Heard(wrong), Heard(reading(expires=lifetime, read=driver.now), after=1.0)])

    assert driver.poller.outcome is None


# -- sleeping ---------------------------------------------------------------------------------------------------------


@pure
@given(starts, histories())
def test_p5_every_sleep_ends_by_schedule_expiry_and_timeout(start: Start, history: list[Step]) -> None:
    """No sleep is longer than the schedule's longest delay (or a hint), and none goes past expiry and timeout."""
    driver = Driver(poller := start.poller())
    driver.ask()
    for step in history:
        told_at = driver.now + step.after
        action = driver.play([step])
        if not isinstance(action, Sleep):
            continue
        hint = step.error.retry_after if isinstance(step, Missed) and isinstance(step.error, ReadError) else None
        longest = PollSchedule().active.maximum
        assert action.until <= told_at + max(longest, min(hint or 0.0, 300.0)) or isinstance(step, Hinted)
        assert start.settings.timeout is None or action.until <= start.settings.timeout
        assert poller.expires_at is None or not told_at < poller.expires_at + EXPIRY_GRACE < action.until


@pure
@given(st.sampled_from(OPEN), st.floats(0.0, 2 * DAY), draws)
def test_p5_after_a_reading_the_delay_is_the_schedules(status: str, age: float, draw: float) -> None:
    """The delay is what the schedule says for the age of the status by the provider's clock, jitter included."""
    schedule = PollSchedule()
    poller = Poller(SESSION_ID)
    poller.next_action(0.0)
    for now in (100.0, 200.0):
        poller.received(reading(status, updated=-age, read=now), now, draw)

    expected = schedule.delay(reading(status), age=200.0 + age, draw=draw)
    while not isinstance(action := poller.next_action(200.0), Sleep):
        poller.emitted()
    assert abs(action.until - 200.0 - expected) < 1e-6


@pure
@given(starts, histories(), st.floats(0.0, 3600.0), st.sampled_from([limited, broken, no_answer]))
def test_p5_no_read_is_due_before_the_end_of_a_hint(
    start: Start, history: list[Step], hint: float, kind: object
) -> None:
    """Until the hint of a server has passed, only expiry, timeout or the end of the tolerance makes a read due."""
    driver = Driver(poller := start.poller())
    driver.play(history)
    told_at = driver.now
    action = driver.play([Missed(limited(hint))])
    if not isinstance(action, Sleep | Read):
        return

    due = action.until if isinstance(action, Sleep) else told_at
    ceilings = [told_at + min(hint, 300.0)]
    ceilings += [] if start.settings.timeout is None else [start.settings.timeout]
    ceilings += [] if poller.expires_at is None else [poller.expires_at + EXPIRY_GRACE]
    assert due >= min(ceiling for ceiling in ceilings if ceiling > told_at or ceiling == ceilings[0]) or _tolerates(
        poller, due
    )


def _tolerates(poller: Poller, due: float) -> bool:
    """Tell whether *due* is the read at the end of the outage tolerance."""
    return poller.failing_since is not None and due >= poller.failing_since + poller.settings.outage_tolerance


# -- a provider with a true timeline ----------------------------------------------------------------------------------


@st.composite
def lives(draw: st.DrawFn, last: tuple[str, ...] = ("COMPLETED", "CANCELLED", "DISABLED")) -> Life:
    gaps = st.one_of(st.floats(1.0, 120.0), st.floats(1.0, 4 * 3600.0))
    moment, changes = 0.0, [(0.0, "WAITING")]
    for status in (*draw(st.lists(st.sampled_from(OPEN), max_size=4)), draw(st.sampled_from(last))):
        moment += draw(gaps)
        changes.append((moment, status))
    return Life(tuple(changes), lifetime=moment + draw(st.floats(1.0, DAY)))


troubles = st.builds(
    Trouble,
    start=st.floats(1.0, DAY),
    length=st.floats(0.0, 500.0),
    error=st.one_of(
        st.builds(no_answer),
        st.builds(not_a_reading),
        st.builds(broken),
        st.builds(limited, st.none() | st.floats(0.0, 400.0)),
    ),
)
worlds = st.builds(
    World,
    life=lives(),
    poller=st.builds(Poller, st.just(SESSION_ID), st.builds(Settings, stop_on=st.sampled_from([OUTCOME, FINAL]))),
    troubles=st.lists(troubles, max_size=2),
    hints=st.lists(st.floats(0.0, DAY), max_size=6),
    glitches=st.booleans(),
    latency=st.sampled_from([0.0, 0.2, 5.0]),
    lag=st.sampled_from([0.0, 0.0, 3.0]),
    seed=st.integers(0, 999),
)


def longest_outage(troubles: Iterable[Trouble]) -> float:
    """Return how long an outage can last: there may be no read for up to 300 seconds between two troubles."""
    spans = sorted((trouble.start, trouble.start + trouble.length) for trouble in troubles)
    is_one = len(spans) == 2 and spans[1][0] - spans[0][1] <= 300.0
    return (
        max(end for _, end in spans) - spans[0][0]
        if is_one
        else max((end - start for start, end in spans), default=0.0)
    )


@settings(pure, max_examples=60)
@given(worlds)
def test_p8_an_outcome_that_can_be_read_is_reported(world: World) -> None:
    """
    It is reported whatever fails around it: outages within the tolerance, 429s, single 404s, replicas that lag.

    It is reported as it is, and no later than the schedule's delay and the length of the failures allow.
    """
    happened, status = world.life.changes[-1]
    assume(longest_outage(world.troubles) < 600.0)
    outcome = world.run()

    in_the_way = sum(trouble.length for trouble in world.troubles) + 300.0 * len(world.troubles)
    longest = max(delay.at(world.now) for delay in (PollSchedule().waiting, PollSchedule().active))
    promised = longest + in_the_way + 4 * (world.latency + 3.0)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.session.updated_at) == (status, at(happened))
    assert world.now <= happened + promised


@settings(pure, max_examples=60)
@given(lives(last=("FAILED", "ERROR")), st.booleans(), st.integers(0, 99))
def test_p8_a_status_that_is_not_final_is_reported_only_where_it_stops_the_wait(
    life: Life, is_enough: bool, seed: int
) -> None:
    """FAILED and ERROR end a wait that stops on them. Any other wait goes on until the expiry is settled."""
    poller = Poller(SESSION_ID, Settings(stop_on=OUTCOME if is_enough else FINAL))
    world = World(life, poller, seed=seed)
    outcome = world.run()

    assert isinstance(outcome, Outcome)
    assert outcome.status == life.changes[-1][1]
    assert isinstance(outcome, Expired) is not is_enough
    assert is_enough or world.now >= life.lifetime + EXPIRY_GRACE - 1.0


@settings(pure, max_examples=60)
@given(st.floats(0.0, 3 * DAY), st.lists(troubles, max_size=1), st.integers(0, 99))
def test_p8_a_wait_that_times_out_makes_a_last_read(timeout: float, around: list[Trouble], seed: int) -> None:
    """A wait that times out makes its last read at its timeout, and ends there."""
    poller = Poller(SESSION_ID, Settings(timeout=timeout))
    world = World(Life(lifetime=5 * DAY), poller, troubles=around, seed=seed)
    result = world.run()

    assert isinstance(result, WaitTimeoutError)
    assert world.asked_at[-1] == world.now == timeout


# -- the number of reads ----------------------------------------------------------------------------------------------


def reads_by(schedule: PollSchedule, life: Life) -> int:
    """
    Return how many reads *schedule* makes in *life* if each delay is as short as it can be.

    A ``Date`` has whole seconds, so an age may be taken for one second less than it is.
    """
    ends = [change[0] for change in life.changes[1:]] + [life.lifetime + EXPIRY_GRACE]
    count = 0
    for (began, status), end in zip(life.changes, ends, strict=True):
        moment = began
        while moment < end:
            count += 1
            moment += schedule.delay(reading(status), age=max(0.0, moment - began - 1.0), draw=1.0)
    return count


@settings(pure, max_examples=25)
@given(worlds)
def test_p9_the_number_of_reads_is_bounded_by_the_schedule(world: World) -> None:
    """
    In the life of a session there are no more reads than the schedule makes, and these:

    one for the first delay, which is drawn from its whole length; two for each change (a replica may lag); two for each
    failure, as the read after it comes early; one for each notification; and those that settle the expiry.
    """
    world.run()

    extra = 1 + 2 * len(world.life.changes) + 2 * world.failures + len(world.hints) + 6
    assert world.reads <= reads_by(PollSchedule(), world.life) + extra


def test_p9_a_session_that_nobody_pays_costs_no_more_reads_than_the_schedule_says() -> None:
    """A session whose page is left open for 48 hours costs about 750 reads."""
    life = Life(((0.0, "WAITING"), (30.0, "IN_PROGRESS")), lifetime=2 * DAY)
    world = World(life, Poller(SESSION_ID))
    outcome = world.run()

    assert isinstance(outcome, Expired)
    assert outcome.confirmed
    assert 700 <= world.reads <= 900


@pure
@given(
    st.sampled_from([no_answer(), broken(), limited(), limited(0.0), limited(60.0), not_a_reading()]),
    st.floats(0.0, 50_000.0),
    st.integers(0, 99),
    st.integers(1, 3),
)
@example(limited(60.0), 40.0, 0, 2)  # expiry in the middle of the outage
@example(broken(), 40.0, 0, 2)
@example(broken(), 40_000.0, 7, 1)  # the first reading's delay is drawn whole; those of failures are not
def test_p9_an_outage_costs_few_reads(error: HPPError, start: float, seed: int, readings: int) -> None:
    """
    In an outage the reads keep to the back-off, or to the schedule where its delay is shorter.

    There are no bursts, not even around the expiry.
    """
    life = Life(((0.0, "IN_PROGRESS"),), lifetime=start + 100.0)
    poller = Poller(SESSION_ID)
    for number in range(readings):
        poller.received(life.reading(start), start, number / readings)
    world = World(life, poller, troubles=[Trouble(0.0, inf, error)], seed=seed)
    world.now = start
    result = world.run()

    gaps = [later - earlier for earlier, later in zip(world.asked_at, world.asked_at[1:], strict=False)]
    floor = 60.0 if isinstance(error, ReadError) and error.retry_after == 60.0 else 0.9
    short = [gap for gap in gaps if gap < floor - 1e-6]
    assert isinstance(result, OutageError)
    assert len(short) <= 2, "one read at the expiry, one at the end of the tolerance"
    assert world.reads <= 600.0 / 1.8 + 3


@settings(pure, max_examples=40)
@given(st.lists(st.floats(0.0, 30.0), max_size=10), st.integers(0, 99))
def test_p9_a_missing_session_is_read_three_times(hints: list[float], seed: int) -> None:
    """A 404 on a session that was seen is settled by two confirmation reads, whatever notifications come in between."""
    life = Life(((0.0, "IN_PROGRESS"),))
    poller = Poller(SESSION_ID)
    poller.received(life.reading(0.0), 0.0, 0.5)
    world = World(life, poller, troubles=[Trouble(0.0, inf, missing())], hints=hints, seed=seed)
    result = world.run()

    assert isinstance(result, SessionVanishedError)
    assert world.reads == 3


@settings(pure, max_examples=40)
@given(
    st.sampled_from([None, -50 * 365 * DAY]),
    st.sampled_from(OPEN),
    st.lists(st.tuples(transient_errors, st.integers(0, 400)), max_size=4),
    st.integers(0, 99),
)
def test_every_wait_ends_even_where_no_reading_tells_the_expiry(
    expires: float | None, status: str, failures: list[tuple[HPPError, int]], seed: int
) -> None:
    """It ends 72 hours after the session was first seen, with no more reads than the schedule makes until then."""
    chance, trouble = random.Random(seed), {number: error for error, number in failures}
    driver = Driver(Poller(SESSION_ID))
    while not isinstance(action := driver.ask(), Fail):
        if isinstance(action, Sleep):
            driver.now = action.until
            continue
        error = trouble.get(driver.poller.reads)
        seen = reading(status, expires=expires, read=driver.now)
        driver.tell(Heard(seen, draw=chance.random()) if error is None else Missed(error, draw=chance.random()))

    assert isinstance(action.error, ExpiryUnknownError)
    assert UNKNOWN_FOR <= driver.now <= UNKNOWN_FOR + 300.0
    assert driver.poller.reads <= 1_000


def test_completed_is_found_in_hundreds_of_worlds() -> None:
    """As P8, with more worlds and fewer kinds of trouble: every payment is reported."""
    for seed in range(300):
        chance = random.Random(seed)
        paid = chance.uniform(1.0, 1000.0)
        life = Life(((0.0, "WAITING"), (paid / 2, "IN_PROGRESS"), (paid, "COMPLETED")))
        trouble = Trouble(chance.uniform(1.0, paid), 300.0, chance.choice([broken(), limited(1.0), no_answer()]))
        world = World(life, Poller(SESSION_ID), troubles=[trouble], glitches=True, lag=5.0, seed=seed)

        assert isinstance(world.run(), Completed)
