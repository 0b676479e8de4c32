"""The poller, rule by rule: when the next read is due, and how a wait ends."""

from __future__ import annotations

from math import inf

import attrs
import pytest
from support.histories import (
    DAY,
    SESSION_ID,
    Driver,
    Heard,
    Hinted,
    Missed,
    Step,
    at,
    broken,
    ending,
    limited,
    missing,
    no_answer,
    not_a_reading,
    reading,
    refused,
    unauthorized,
)

from hpp_async import (
    FINAL,
    OUTCOME,
    AuthenticationError,
    Completed,
    ConfigurationError,
    Delay,
    Disabled,
    Errored,
    Expired,
    ExpiryUnknownError,
    Failed,
    HPPError,
    OutageError,
    PollSchedule,
    Session,
    SessionNotFoundError,
    SessionStatus,
    SessionVanishedError,
    Transition,
    WaitTimeoutError,
)
from hpp_async._core.actions import Emit, Fail, Finish, Read, Sleep
from hpp_async._core.expiry import EXPIRY_GRACE
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position
from hpp_async._core.schedule import Schedule
from hpp_async._core.settings import Settings

EVERY_10_S = PollSchedule.every(10.0)
HOUR = 3600.0
NEVER_READ = float("-inf")


def poller(
    *,
    schedule: Schedule = EVERY_10_S,
    timeout: float | None = None,
    patience: float = inf,
    longest_read: float = inf,
    outage_tolerance: float = 600.0,
    since: Session | str | None = None,
    stop_on: frozenset[SessionStatus] = OUTCOME,
) -> Poller:
    settings = Settings(
        schedule=schedule,
        stop_on=stop_on,
        timeout=timeout,
        patience=patience,
        longest_read=longest_read,
        outage_tolerance=outage_tolerance,
    )
    machine = Poller(SESSION_ID, settings, since=None if since is None else Position.of(since, session_id=SESSION_ID))
    machine.next_action(0.0)
    return machine


def failure(action: object) -> HPPError:
    assert isinstance(action, Fail)
    return action.error


# -- asking and reporting -------------------------------------------------------------------------------------------


def test_a_wait_begins_with_a_read_for_which_a_young_answer_will_do() -> None:
    assert poller(schedule=PollSchedule()).next_action(100.0) == Read(100.0 - 1.8, due=NEVER_READ)


def test_a_timeout_and_an_expiry_in_the_future_refuse_no_young_answer() -> None:
    driver = Driver(poller(timeout=500.0))
    driver.play([Heard(reading(expires=400.0))])
    driver.now = 10.0

    assert driver.ask() == Read(fresh_from=0.0, due=10.0, until=500.0)


def test_with_a_custom_schedule_no_older_answer_will_do() -> None:
    class Slow:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return 60.0

    machine = poller(schedule=Slow())
    first = machine.next_action(5.0)
    Driver(machine, 5.0).play([Heard(reading())])

    assert (first, machine.next_action(5.0)) == (Read(5.0, due=NEVER_READ), Sleep(65.0))


def test_the_first_sighting_is_emitted_before_anything_else() -> None:
    machine = poller()
    seen = reading("WAITING")
    machine.received(seen, 1.0, 0.5)

    transition = Transition(
        previous=None,
        status=SessionStatus.WAITING,
        session=seen,
        sequence=1,
        is_last=False,
        token=f"hpp2:n1:{int(at(0).timestamp())}000000:-:{SESSION_ID}:WAITING",
    )
    assert machine.next_action(1.0) == machine.next_action(1.0) == Emit(transition)
    machine.emitted()
    assert machine.next_action(1.0) == Sleep(11.0)
    assert machine.token() == transition.token


def test_the_token_is_that_of_the_last_transition_that_was_emitted() -> None:
    machine = poller()
    machine.received(reading("WAITING"), 1.0, 0.5)
    machine.received(reading("IN_PROGRESS", updated=5.0), 6.0, 0.5)
    tokens = [machine.token()]
    for transition in machine.transitions:
        machine.emitted()
        tokens.append(machine.token())
        assert tokens[-1] == transition.token

    assert tokens[0] is None
    assert [token and token.rpartition(":")[2] for token in tokens[1:]] == ["WAITING", "IN_PROGRESS"]


def test_a_resumed_wait_has_its_token_before_anything_was_read() -> None:
    since = reading("WAITING")
    machine = poller(since=since)

    assert machine.token() == Position.of(since, session_id=SESSION_ID).token
    assert machine.latest is None


def test_a_resumed_wait_keeps_its_token_until_a_transition_was_emitted() -> None:
    since = reading("WAITING")
    machine = poller(since=since)
    machine.received(reading("IN_PROGRESS", updated=9.0), 10.0, 0.5)

    assert isinstance(machine.next_action(10.0), Emit)
    assert machine.token() == Position.of(since, session_id=SESSION_ID).token


def test_failed_reads_are_counted_too() -> None:
    machine = poller()
    Driver(machine).play([Heard(reading()), Missed(broken()), Heard(reading()), Hinted()])

    assert machine.reads == 3
    assert machine.failing_since is None


def test_the_outcome_is_known_before_its_transition_was_emitted() -> None:
    machine = poller()
    before = machine.outcome
    machine.received(reading("FAILED"), 1.0, 0.5)

    assert before is None
    assert isinstance(machine.next_action(1.0), Emit)
    assert machine.outcome == Failed(session=reading("FAILED"), transitions=machine.transitions)


def test_a_wait_that_is_over_ignores_all_reports() -> None:
    driver = Driver(poller())
    over = driver.play([Heard(reading("COMPLETED"))])
    after = driver.play([Heard(reading("FAILED", updated=9.0)), Missed(unauthorized()), Hinted()])

    assert after == over
    assert driver.poller.reads == 1


# -- when the next read is due --------------------------------------------------------------------------------------


def test_the_delay_grows_with_the_age_of_the_status_by_the_providers_clock() -> None:
    driver = Driver(poller(schedule=PollSchedule(jitter=0.0)), now=77_000.0)
    sleeps = []
    for age in (0.0, 100.0, 1000.0, 90_000.0):
        action = driver.play([Heard(reading("IN_PROGRESS", updated=0.0, read=age))])
        assert isinstance(action, Sleep)
        sleeps.append(action.until - 77_000.0)

    assert sleeps == pytest.approx([2.0, 3.0, 12.0, 900.0])


def test_the_first_delay_of_an_old_session_is_drawn_from_its_whole_length() -> None:
    old = reading("IN_PROGRESS", updated=0.0, read=10_000.0)
    first = Driver(poller(schedule=PollSchedule(jitter=0.0))).play([Heard(old, draw=0.25)])
    second = Driver(poller(schedule=PollSchedule(jitter=0.0))).play([Heard(old), Heard(old, draw=0.25)])

    assert first == Sleep(0.25 * 102.0)
    assert second == Sleep(102.0)


def test_the_first_delay_of_a_young_session_is_jittered_only() -> None:
    young = reading("IN_PROGRESS", updated=0.0, read=1.0)

    assert Driver(poller(schedule=PollSchedule(jitter=0.0))).play([Heard(young, draw=0.25)]) == Sleep(2.01)


def test_without_a_usable_date_age_counts_from_the_first_reading_with_the_status() -> None:
    undated = reading("IN_PROGRESS", updated=None)
    driver = Driver(poller(schedule=PollSchedule(jitter=0.0)))
    history = [Heard(undated), Heard(undated, after=50.0), Heard(reading("BACK", updated=None), after=50.0)]
    ages = []
    for step in history:
        action = driver.play([step])
        assert isinstance(action, Sleep)
        ages.append((action.until - driver.now - 2.0) * 100)

    assert ages == pytest.approx([0.0, 50.0, 0.0])


def test_a_date_in_the_future_gives_no_negative_age() -> None:
    ahead = reading("IN_PROGRESS", updated=60.0, read=0.0)

    assert Driver(poller(schedule=PollSchedule(jitter=0.0))).play([Heard(ahead)]) == Sleep(2.0)


def test_an_age_that_was_negative_does_not_shorten_the_one_that_follows() -> None:
    ahead, undated = reading("IN_PROGRESS", updated=60.0), reading("IN_PROGRESS", updated=60.0, read=None)
    action = Driver(poller(schedule=PollSchedule(jitter=0.0))).play([Heard(ahead), Heard(undated, after=50.0)])

    assert action == Sleep(50.0 + 2.5)


def test_a_confirmation_read_comes_no_later_than_the_schedule_says() -> None:
    often = PollSchedule.every(0.5)
    notified = Driver(poller(schedule=often)).play([Heard(reading()), Hinted(), Heard(reading())])
    suspected = Driver(poller(schedule=often)).play(
        [Heard(reading(expires=DAY)), Heard(reading(expires=DAY, read=3 * DAY))]
    )

    assert (notified, suspected) == (Sleep(0.5), Sleep(0.5))


def test_a_notification_makes_a_read_due_that_begins_after_it() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), Hinted(after=4.0)])

    assert driver.ask() == Read(4.0, due=4.0, key=10.0)
    driver.now = 5.0
    assert driver.ask() == Read(4.0, due=4.0, key=10.0)


def test_a_notification_while_a_read_is_due_already_only_refuses_older_answers() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), Hinted(after=15.0)])

    assert driver.ask() == Read(15.0, due=10.0)


def test_a_notification_after_which_nothing_had_changed_leads_to_a_confirmation_read() -> None:
    driver = Driver(poller())
    slept = driver.play([Heard(reading()), Hinted(after=4.0), Heard(reading())])

    assert slept == Sleep(6.0), "the replica may be behind the callback"
    assert driver.play([Heard(reading(), after=2.0)]) == Sleep(16.0)


def test_a_read_that_began_long_after_a_notification_needs_no_confirmation_read() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), Hinted(after=4.0)])
    driver.now = 30.0
    driver.poller.received(reading(), 30.0, 0.5, asked_at=6.0)

    assert driver.ask() == Sleep(40.0), "the driver was away, and the read was made for somebody else"


def test_a_notification_after_which_something_had_changed_needs_no_confirmation_read() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), Hinted(after=4.0), Missed(broken())])
    driver.now = 20.0

    assert driver.play([Heard(reading("BACK", updated=3.0, read=20.0))]) == Sleep(30.0)


@pytest.mark.parametrize("delay", [-1.0, inf, float("nan"), "5", None, True])
def test_a_schedule_that_returns_no_delay_is_refused_once_and_by_name(delay: object) -> None:
    class Nonsense:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return delay  # type: ignore[return-value]  # that is the point

    driver = Driver(poller(schedule=Nonsense()))
    with pytest.raises(ConfigurationError, match=r"Nonsense\.delay\(\) returned .*: return the seconds") as refused:
        driver.tell(Heard(reading()))
    again = failure(driver.play([Hinted(after=60.0)]))

    assert again is refused.value, "no other read is spent on it"
    assert driver.poller.reads == 1
    assert [transition.status for transition in driver.emitted] == ["IN_PROGRESS"]


def test_a_delay_that_is_refused_after_a_failure_ends_the_wait_too() -> None:
    class Once:
        delays = iter([5.0, -1.0])

        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return next(self.delays)

    driver = Driver(poller(schedule=Once()))
    driver.play([Heard(reading())])
    with pytest.raises(ConfigurationError):
        driver.tell(Missed(broken(), after=5.0))

    assert isinstance(failure(driver.ask()), ConfigurationError)


def test_an_outcome_is_returned_whatever_the_schedule_would_return() -> None:
    class Never:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            raise AssertionError

    assert isinstance(Driver(poller(schedule=Never())).play([Heard(reading("COMPLETED"))]), Finish)


@pytest.mark.parametrize("delay", [0, 0.0])
def test_a_schedule_may_ask_for_the_next_read_at_once(delay: float) -> None:
    class Hasty:
        def delay(self, session: Session, *, age: float, draw: float) -> float:
            return delay

    assert Driver(poller(schedule=Hasty())).play([Heard(reading())]) == Read(0.0, due=0.0)


# -- failures -------------------------------------------------------------------------------------------------------


def test_failures_back_off_up_to_a_minute_while_nothing_is_known() -> None:
    driver = Driver(poller(outage_tolerance=inf))
    delays = []
    for _ in range(8):
        action = driver.play([Missed(no_answer(), draw=0.0)])
        assert isinstance(action, Sleep)
        delays.append(action.until - driver.now)

    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]


def test_the_back_off_is_jittered_down_to_half() -> None:
    assert Driver(poller()).play([Missed(no_answer(), draw=0.5)]) == Sleep(1.5)


def test_a_failure_never_delays_longer_than_the_schedule() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), *[Missed(broken(), draw=0.0)] * 6])

    assert driver.ask() == Sleep(10.0)


def test_a_reading_starts_the_back_off_over() -> None:
    driver = Driver(poller(schedule=PollSchedule.every(60.0)))
    driver.play([*[Missed(broken(), draw=0.0)] * 5, Heard(reading()), Missed(broken(), draw=0.0)])

    assert driver.ask() == Sleep(2.0)


@pytest.mark.parametrize(
    ("hint", "delay"), [(None, 2.0), (0.0, 2.0), (45.0, 45.0), (300.0, 300.0), (1e9, 300.0)], ids=str
)
def test_the_hint_of_a_server_is_the_least_delay_up_to_five_minutes(hint: float | None, delay: float) -> None:
    driver = Driver(poller())
    driver.play([Heard(reading())])

    assert driver.play([Missed(limited(hint), draw=0.0)]) == Sleep(delay)


def test_a_hint_does_not_delay_the_reads_at_expiry_and_timeout() -> None:
    expiring = Driver(poller())
    expiring.play([Heard(reading(expires=30.0)), Missed(limited(300.0))])
    ending = Driver(poller(timeout=20.0))
    ending.play([Heard(reading()), Missed(limited(300.0))])

    assert (expiring.ask(), ending.ask()) == (Sleep(30.0 + EXPIRY_GRACE), Sleep(20.0))


def test_a_hint_is_heeded_after_the_expiry_too() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=30.0)), Missed(limited(60.0), after=40.0)])

    assert driver.ask() == Sleep(100.0)


def test_an_outage_has_no_more_reads_around_the_expiry() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=30.0)), *[Missed(broken(), after=40.0, draw=0.0)] * 4])

    assert driver.ask() == Sleep(160.0 + 10.0)


def test_an_endless_outage_does_not_overflow() -> None:
    driver = Driver(poller(outage_tolerance=inf))
    driver.play([Missed(broken(), after=64.0)] * 3000)

    assert isinstance(driver.ask(), Sleep)


# -- how a session ends is a value ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("COMPLETED", Completed),
        ("FAILED", Failed),
        ("ERROR", Errored),
        ("DISABLED", Disabled),
    ],
)
def test_a_status_in_the_stop_set_ends_the_wait_with_its_outcome(
    status: str, kind: type[Completed | Failed | Errored | Disabled]
) -> None:
    driver = Driver(poller())
    seen = reading(status)
    action = driver.play([Heard(seen)])

    assert action == Finish(kind(session=seen, transitions=tuple(driver.emitted)))
    assert [transition.is_last for transition in driver.emitted] == [True]


def test_failed_does_not_end_a_wait_that_stops_at_final_statuses_only() -> None:
    driver = Driver(poller(stop_on=FINAL))
    failed = driver.play([Heard(reading("FAILED"))])
    paid = driver.play([Heard(reading("COMPLETED", updated=60.0), after=10.0)])

    assert isinstance(failed, Sleep)
    assert isinstance(paid, Finish)
    assert [transition.status for transition in paid.outcome.transitions] == ["FAILED", "COMPLETED"]


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED", "DISABLED"])
def test_a_final_status_ends_the_wait_whatever_the_stop_set_and_its_date(status: str) -> None:
    driver = Driver(poller(stop_on=frozenset()))
    driver.play([Heard(reading("IN_PROGRESS", updated=50.0))])

    assert isinstance(driver.play([Heard(reading(status, updated=1.0))]), Finish)


def test_a_stale_failed_does_not_end_the_wait() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading("IN_PROGRESS", updated=50.0, read=60.0))])

    assert isinstance(driver.play([Heard(reading("FAILED", updated=49.0, read=60.0))]), Sleep)


def test_an_outcome_that_since_knows_ends_the_wait_without_a_transition() -> None:
    driver = Driver(poller(since=reading("FAILED")))
    action = driver.play([Heard(reading("FAILED"))])

    assert action == Finish(Failed(session=reading("FAILED"), transitions=()))
    assert driver.emitted == []


def test_an_unknown_status_is_emitted_and_does_not_end_the_wait() -> None:
    driver = Driver(poller())
    action = driver.play([Heard(reading("AWAITING_3DS"))])

    assert isinstance(action, Sleep)
    assert [transition.status for transition in driver.emitted] == ["AWAITING_3DS"]


# -- expiry ---------------------------------------------------------------------------------------------------------


def test_after_the_expiry_one_more_read_is_made_and_then_the_session_has_expired() -> None:
    driver = Driver(poller(schedule=PollSchedule.every(HOUR)))
    open_still = reading("WAITING", expires=100.0)
    last_sleep = driver.play([Heard(open_still)])
    driver.now = 105.0
    due = driver.ask()
    late = reading("WAITING", expires=100.0, read=105.0)
    action = driver.play([Heard(late)])

    assert last_sleep == Sleep(100.0 + EXPIRY_GRACE)
    assert due == Read(105.0, due=105.0), "no answer from before the expiry will do"
    assert action == Finish(Expired(session=late, transitions=driver.poller.transitions, confirmed=True))


def test_an_outcome_in_the_read_after_the_expiry_counts() -> None:
    driver = Driver(poller())
    action = driver.play([Heard(reading(expires=100.0)), Heard(reading("COMPLETED", updated=99.0), after=105.0)])

    assert isinstance(action, Finish)
    assert isinstance(action.outcome, Completed)


def test_a_change_in_the_read_after_the_expiry_is_the_last_transition() -> None:
    driver = Driver(poller(stop_on=FINAL))
    late = reading("FAILED", updated=99.0, expires=100.0, read=105.0)
    action = driver.play([Heard(reading(expires=100.0)), Heard(late, after=105.0)])

    assert isinstance(action, Finish)
    assert action.outcome == Expired(session=late, transitions=tuple(driver.emitted), confirmed=True)
    assert [transition.is_last for transition in driver.emitted] == [False, True]


def test_a_session_without_a_reading_from_before_its_expiry_expires_after_five_reads() -> None:
    driver = Driver(poller())
    old = reading("WAITING", expires=-9 * HOUR)
    actions = [driver.play([Heard(old, after=2.0)]) for _ in range(5)]

    assert actions[:4] == [Sleep(4.0), Sleep(6.0), Sleep(8.0), Sleep(10.0)]
    assert isinstance(actions[4], Finish)


def test_a_local_clock_that_is_days_wrong_changes_nothing() -> None:
    driver = Driver(poller(), now=5 * DAY)

    assert isinstance(driver.play([Heard(reading(expires=DAY)), Heard(reading(expires=DAY), after=10.0)]), Sleep)


@pytest.mark.parametrize("skew", [3 * DAY, -3 * DAY])
def test_one_answer_with_a_wrong_date_does_not_expire_a_session(skew: float) -> None:
    driver = Driver(poller())
    right, wrong = reading(expires=DAY), reading(expires=DAY, read=skew)

    assert isinstance(driver.play([Heard(right), Heard(wrong), Heard(right)]), Sleep)
    assert isinstance(driver.play([Heard(wrong), Heard(right)]), Sleep)


def test_a_reading_without_an_expiry_uses_the_last_one_that_was_believed() -> None:
    silent, wrong = reading(expires=None), reading(expires=DAY, read=3 * DAY)
    driver = Driver(poller())
    doubted = driver.play([Heard(silent), Heard(wrong)])
    settled = driver.play([Heard(silent, after=2.0)])

    assert doubted == Sleep(2.0)
    assert settled == Sleep(12.0)


def test_a_wrong_clock_by_which_the_expiry_was_too_late_is_overruled_after_five_reads() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=100.0, read=-3 * DAY))])
    actions = []
    for number in range(5):
        driver.now = 105.0 + 2.0 * number
        actions.append(driver.play([Heard(reading(expires=100.0, read=driver.now))]))

    assert actions[:4] == [Sleep(107.0), Sleep(109.0), Sleep(111.0), Sleep(113.0)]
    assert isinstance(actions[4], Finish)


def test_an_expiry_long_before_the_last_change_is_a_broken_date() -> None:
    driver = Driver(poller())
    broken = reading("IN_PROGRESS", updated=0.0, expires=-50 * 365 * DAY)
    actions = [driver.play([Heard(broken, after=10.0)]) for _ in range(6)]

    assert [type(action) for action in actions] == [Sleep] * 6


def test_an_expiry_that_moves_to_a_later_time_is_followed() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=100.0)), Heard(reading(expires=900.0, read=90.0), after=90.0)])

    assert isinstance(driver.play([Heard(reading(expires=900.0, read=200.0), after=110.0)]), Sleep)
    assert driver.poller.expires_at == 900.0


def test_late_readings_do_not_count_any_more_after_the_expiry_has_moved() -> None:
    driver = Driver(poller())
    stale = reading("BACK", updated=-50.0, expires=100.0, read=106.0)
    driver.play([Heard(reading(expires=100.0)), *[Heard(stale, after=53.0)] * 5])
    driver.play([Heard(reading(updated=200.0, expires=900.0, read=210.0))])
    driver.now = 910.0
    once_more = driver.play([Heard(attrs.evolve(stale, read_at=at(910.0), expires_at=at(900.0)))])

    assert isinstance(once_more, Sleep)


def test_stale_readings_settle_the_expiry_only_as_five_in_a_row() -> None:
    driver = Driver(poller())
    believed = reading(updated=50.0, expires=100.0)
    stale = reading("BACK", updated=10.0, expires=100.0, read=110.0)
    actions = [driver.play([Heard(believed)])]
    actions += [driver.play([Heard(stale, after=after)]) for after in (110.0, 2.0, 2.0, 2.0, 2.0)]

    assert actions[1:5] == [Sleep(112.0), Sleep(114.0), Sleep(116.0), Sleep(118.0)]
    assert actions[5] == Finish(Expired(session=believed, transitions=driver.poller.transitions, confirmed=True))


# -- 404 ------------------------------------------------------------------------------------------------------------


def test_a_404_on_a_session_that_was_never_seen_ends_the_wait_at_once() -> None:
    error = missing("NOT_FOUND")

    assert failure(Driver(poller()).play([Missed(error)])) is error
    assert isinstance(error, SessionNotFoundError)


def test_a_404_that_speaks_of_completion_means_that_the_session_was_probably_paid() -> None:
    error = missing("SESSION_COMPLETED")
    never_seen = failure(Driver(poller()).play([Missed(error)]))
    seen = failure(Driver(poller()).play([Heard(reading()), Missed(error)]))

    for vanished in (never_seen, seen):
        assert isinstance(vanished, SessionVanishedError)
        assert "probably paid" in str(vanished)
        assert vanished.__cause__ is vanished.last_error is error


def test_a_404_after_expiry_is_an_expiry_that_no_reading_confirms() -> None:
    driver = Driver(poller())
    seen = reading(expires=100.0)
    action = driver.play([Heard(seen), Missed(missing(), after=100.0)])

    assert action == Finish(Expired(session=seen, transitions=driver.poller.transitions, confirmed=False))


def test_a_404_dated_before_the_expiry_is_no_expiry_whatever_a_single_reading_said() -> None:
    # Found by simulation: the only reading had a Date two hours ahead.
    driver = Driver(poller())
    action = driver.play([Heard(reading(expires=HOUR, read=2 * HOUR)), Missed(missing(read=2.0), after=2.0)])

    assert isinstance(action, Sleep)


def test_a_404_before_the_expiry_takes_two_confirmation_reads() -> None:
    driver = Driver(poller())
    actions = [driver.play([Heard(reading(expires=HOUR)), Missed(missing(), after=50.0)])]
    actions += [driver.play([Missed(missing(), after=2.0)]) for _ in range(2)]
    vanished = failure(actions[2])

    assert actions[:2] == [Sleep(52.0), Sleep(54.0)]
    assert isinstance(vanished, SessionVanishedError)
    assert vanished.latest == driver.poller.latest
    assert vanished.token == driver.poller.token()
    assert "Its last status was IN_PROGRESS" in str(vanished)


def test_a_reading_between_404s_starts_their_count_over() -> None:
    driver = Driver(poller())
    lost = Missed(missing(), after=2.0)

    assert isinstance(driver.play([Heard(reading()), lost, lost, Heard(reading()), lost, lost]), Sleep)


def test_other_failures_between_404s_neither_count_nor_clear_them() -> None:
    driver = Driver(poller())
    lost = Missed(missing(), after=2.0)
    history: list[Step] = [Heard(reading()), lost, Missed(broken()), lost, Missed(no_answer())]

    assert isinstance(driver.play(history), Sleep)
    assert isinstance(failure(driver.play([lost])), SessionVanishedError)


def test_a_session_that_since_knows_counts_as_seen() -> None:
    driver = Driver(poller(since=reading()))

    assert driver.play([Missed(missing())]) == Sleep(2.0)


@pytest.mark.parametrize("dates", [(100.0, 100.0, 100.0), (300.0, 101.0, 9999.0), (None, 100.0, None)])
def test_after_a_restart_three_404s_dated_after_the_expiry_in_since_are_an_expiry(
    dates: tuple[float | None, ...],
) -> None:
    since = reading("WAITING", expires=100.0)
    driver = Driver(poller(since=since))
    actions = [driver.play([Missed(missing(read=date))]) for date in dates]

    assert actions[:2] == [Sleep(2.0), Sleep(2.0)]
    assert ending(actions[2]) == Expired(session=attrs.evolve(since, read_at=None), transitions=(), confirmed=False)


@pytest.mark.parametrize("expires", [100.0, None])
@pytest.mark.parametrize("dates", [(99.0, 7300.0, 7301.0), (7300.0, 7301.0, 99.0), (None, None, None)])
def test_after_a_restart_404s_that_are_not_all_dated_after_the_expiry_are_no_expiry(
    dates: tuple[float | None, ...], expires: float | None
) -> None:
    driver = Driver(poller(since=reading("WAITING", expires=expires)))
    actions = [driver.play([Missed(missing(read=date))]) for date in dates]

    assert isinstance(ending(actions[2]), SessionVanishedError)


def test_a_session_that_since_knows_as_paid_vanishes_and_does_not_expire() -> None:
    driver = Driver(poller(since=reading("COMPLETED", expires=100.0)))
    actions = [driver.play([Missed(missing(read=200.0))]) for _ in range(3)]
    error = failure(actions[-1])

    assert isinstance(actions[0], Sleep)
    assert isinstance(actions[1], Sleep)
    assert isinstance(error, SessionVanishedError)
    assert "Its last status was COMPLETED" in str(error)


def test_an_answer_that_came_while_the_process_was_frozen_settles_no_expiry() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=100.0))])
    driver.now = 7_200.0
    driver.poller.received(reading(expires=100.0, read=7_200.0), 7_200.0, 0.5, asked_at=10.0)
    doubtful = driver.ask()
    driver.poller.received(reading(expires=100.0, read=7_202.0), 7_202.5, 0.5, asked_at=7_202.0)

    assert doubtful == Sleep(7_202.0), "its Date may be a wrong clock's"
    assert isinstance(ending(driver.ask()), Expired)


def test_a_404_that_came_while_the_process_was_frozen_settles_no_expiry() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading(expires=100.0))])
    driver.now = 7_200.0
    driver.poller.failed(missing(read=7_200.0), 7_200.0, 0.5, asked_at=10.0)

    assert driver.ask() == Sleep(7_202.0)


def test_no_expiry_and_no_timeout_ends_a_wait_that_has_a_later_reading_at_hand() -> None:
    driver = Driver(poller(timeout=60.0))
    driver.play([Heard(reading(expires=100.0))])
    driver.now = 300.0
    driver.poller.received(reading(expires=100.0, read=200.0), 200.0, 0.5, is_followed=True)
    driver.poller.received(reading("COMPLETED", expires=9_000.0, read=210.0), 210.0, 0.5)

    assert isinstance(ending(driver.ask()), Completed)


# -- timeout --------------------------------------------------------------------------------------------------------


def test_a_timeout_takes_one_last_read_and_its_error_says_what_was_seen() -> None:
    driver = Driver(poller(timeout=25.0))
    driver.play([Heard(reading(correlation_id="corr-1")), Heard(reading(correlation_id="corr-2"), after=20.0)])
    last_sleep = driver.ask()
    driver.now = 25.0
    due = driver.ask()
    error = failure(driver.play([Heard(reading(correlation_id="corr-3"))]))

    assert (last_sleep, due) == (Sleep(25.0), Read(25.0, due=25.0, is_urgent=True))
    assert isinstance(error, WaitTimeoutError)
    assert str(error) == (
        f"session {SESSION_ID} is still IN_PROGRESS after 25 s. It may still be paid: disable it, or wait again with "
        "since=token"
    )
    assert (error.reads, error.last_error, error.correlation_id) == (3, None, "corr-3")


def test_a_last_read_without_an_answer_ends_with_the_patience_for_it() -> None:
    driver = Driver(poller(timeout=25.0, patience=10.0))
    driver.play([Heard(reading()), Heard(reading(), after=20.0)])
    asked = []
    for driver.now in (25.0, 34.9):
        asked.append(driver.ask())
    driver.now = 35.0

    assert asked == [Read(25.0, due=25.0, is_urgent=True, until=35.0)] * 2
    assert isinstance(driver.ask(), Fail)
    assert isinstance(failure(driver.ask()), WaitTimeoutError)


def test_idle_time_is_not_taken_from_the_patience_for_the_last_read() -> None:
    machine = poller(timeout=25.0, patience=10.0)
    first = machine.next_action(30.0)
    machine.resumed(32.0, 1000.0)
    again = machine.next_action(1000.0)

    assert isinstance(first, Read)
    assert isinstance(again, Read)
    assert (first.until, again.until) == (40.0, 1008.0)


@pytest.mark.parametrize("step", [Heard(reading()), Missed(broken())], ids=["a reading", "a failure"])
def test_a_read_that_began_before_the_timeout_is_not_the_last_read(step: Heard | Missed) -> None:
    machine = poller(timeout=25.0)
    driver = Driver(machine)
    driver.play([Heard(reading())])
    if isinstance(step, Heard):
        machine.received(step.reading, 26.0, 0.5, asked_at=24.0)
    else:
        machine.failed(step.error, 26.0, 0.5, asked_at=24.0)
    driver.now = 26.0

    assert driver.ask() == Read(25.0, due=25.0, is_urgent=True)


def test_a_last_read_that_fails_at_the_end_of_the_outage_tolerance_is_a_timeout() -> None:
    driver = Driver(poller(timeout=25.0, outage_tolerance=0.0))

    assert isinstance(failure(driver.play([Heard(reading()), Missed(broken(), after=25.0)])), WaitTimeoutError)


def test_a_poller_that_forgets_keeps_only_the_transitions_that_were_not_emitted() -> None:
    machine = Poller(SESSION_ID, Settings(schedule=EVERY_10_S, forgets=True))
    machine.received(reading("WAITING"), 1.0, 0.5)
    machine.received(reading("IN_PROGRESS", updated=5.0), 6.0, 0.5)
    kept = [[transition.status for transition in machine.transitions]]
    while isinstance(machine.next_action(6.0), Emit):
        machine.emitted()
        kept.append([transition.status for transition in machine.transitions])

    assert kept == [["WAITING", "IN_PROGRESS"], ["IN_PROGRESS"], []]
    assert (machine.token() or "").endswith(":IN_PROGRESS")


def test_an_outcome_in_the_last_read_after_the_timeout_counts() -> None:
    assert isinstance(Driver(poller(timeout=25.0)).play([Heard(reading("FAILED"), after=25.0)]), Finish)


def test_a_timeout_counts_from_the_first_time_the_driver_asks() -> None:
    machine = Poller(SESSION_ID, Settings(schedule=EVERY_10_S, timeout=5.0))
    driver = Driver(machine, now=1000.0)
    driver.play([Heard(reading())])

    assert driver.ask() == Sleep(1005.0)


def test_a_timeout_of_zero_is_one_read() -> None:
    driver = Driver(poller(timeout=0.0))

    assert isinstance(failure(driver.play([Heard(reading())])), WaitTimeoutError)
    assert driver.poller.reads == 1


@pytest.mark.parametrize("error", [broken(), missing(), limited(99.0), refused()], ids=repr)
def test_a_last_read_that_fails_ends_the_wait_all_the_same(error: HPPError) -> None:
    driver = Driver(poller(timeout=25.0))
    timed_out = failure(driver.play([Heard(reading()), Missed(error, after=25.0)]))

    assert isinstance(timed_out, WaitTimeoutError)
    assert timed_out.last_error is timed_out.__cause__ is error


def test_a_timeout_without_any_reading_says_so() -> None:
    error = failure(Driver(poller(timeout=5.0)).play([Missed(no_answer()), Missed(no_answer(), after=5.0)]))

    assert isinstance(error, WaitTimeoutError)
    assert "was never read after 5 s" in str(error)
    assert (error.latest, error.token, error.reads) == (None, None, 2)


# -- how it cannot be found out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [no_answer(), not_a_reading(), broken(), limited(), refused(409)], ids=repr)
def test_an_outage_ends_the_wait_after_its_tolerance_and_not_before(error: HPPError) -> None:
    driver = Driver(poller(outage_tolerance=60.0))
    driver.play([Heard(reading())])
    while isinstance(action := driver.play([Missed(error)]), Sleep):
        driver.now = action.until
    outage = failure(action)

    assert driver.now == 60.0
    assert isinstance(outage, OutageError)
    assert outage.last_error is outage.__cause__ is error
    assert "could not be read for 60 s" in str(outage)
    assert (outage.session_id, outage.reads, outage.latest) == (SESSION_ID, driver.poller.reads, reading())


def test_any_reading_ends_an_outage() -> None:
    driver = Driver(poller(outage_tolerance=60.0))
    history: list[Step] = [Missed(broken()), Heard(reading(), after=59.0), Missed(broken(), after=59.0)]
    action = driver.play(history)

    assert isinstance(action, Sleep)
    assert driver.poller.failing_since == 118.0


def test_a_404_is_an_answer_and_ends_an_outage() -> None:
    driver = Driver(poller(outage_tolerance=60.0))
    driver.play([Heard(reading()), Missed(broken()), Missed(missing(), after=59.0)])

    assert driver.poller.failing_since is None
    assert isinstance(driver.play([Missed(broken(), after=59.0)]), Sleep)


def test_rounding_does_not_delay_the_end_of_the_tolerance() -> None:
    driver = Driver(poller(outage_tolerance=600.0), now=472.21600000000007)
    for _ in range(400):
        action = driver.play([Missed(no_answer(), draw=0.3)])
        if isinstance(action, Fail):
            break
        assert isinstance(action, Sleep)
        assert action.until > driver.now
        driver.now = action.until

    assert isinstance(driver.ask(), Fail)


def test_credentials_that_are_refused_at_first_contact_end_the_wait_at_once() -> None:
    error = unauthorized()
    action = Driver(poller()).play([Missed(error)])

    assert failure(action) is error
    assert isinstance(error, AuthenticationError)


@pytest.mark.parametrize("since", [None, reading()], ids=["read before", "known from since"])
def test_credentials_that_are_refused_later_take_two_confirmation_reads(since: Session | None) -> None:
    driver = Driver(poller(since=since))
    driver.play([Heard(reading())] if since is None else [])
    errors = [unauthorized(), unauthorized(), unauthorized()]
    actions = [driver.play([Missed(error, after=2.0)]) for error in errors]

    assert actions[:2] == [Sleep(4.0), Sleep(6.0)]
    assert failure(actions[2]) is errors[2]


def test_a_session_that_another_wait_of_the_client_has_read_is_no_first_contact() -> None:
    machine = poller()
    machine.failed(unauthorized(), 0.0, 0.5, was_read=True)

    assert machine.next_action(0.0) == Sleep(2.0)


def test_a_single_403_is_forgotten_with_the_next_reading() -> None:
    driver = Driver(poller())
    blip = Missed(unauthorized(), after=2.0)

    assert isinstance(driver.play([Heard(reading()), blip, blip, Heard(reading()), blip, blip]), Sleep)


def test_refused_credentials_do_not_outlast_the_timeout() -> None:
    driver = Driver(poller(timeout=25.0))
    error = failure(driver.play([Heard(reading()), Missed(unauthorized(), after=25.0)]))

    assert isinstance(error, WaitTimeoutError)
    assert isinstance(error.last_error, AuthenticationError)


# -- frozen time ----------------------------------------------------------------------------------------------------


def test_a_process_that_was_frozen_between_two_failures_has_no_outage() -> None:
    driver = Driver(poller(outage_tolerance=60.0))
    driver.play([Heard(reading()), Missed(broken())])
    driver.now = 7_200.0
    driver.ask()
    after = driver.play([Missed(broken())])

    assert isinstance(after, Sleep)
    assert driver.poller.failing_since == pytest.approx(7_200.0 - 1.5)


def test_a_process_that_was_frozen_during_a_read_has_no_outage_beyond_the_longest_read() -> None:
    driver = Driver(poller(outage_tolerance=60.0, longest_read=30.0))
    driver.play([Heard(reading()), Missed(broken())])
    driver.poller.failed(no_answer(), 7_200.0, 0.5, asked_at=1.5)

    assert isinstance(driver.poller.next_action(7_200.0), Emit | Sleep)
    assert driver.poller.failing_since == pytest.approx(7_200.0 - 31.5)


def test_time_for_which_the_budget_holds_reads_back_counts_as_outage() -> None:
    driver = Driver(poller(outage_tolerance=60.0))
    driver.play([Heard(reading()), Missed(broken())])
    driver.poller.failed(broken(), 100.0, 0.5, asked_at=100.0, held=98.5)

    assert isinstance(failure(driver.ask()), OutageError)


# -- an expiry that no reading tells --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unreadable",
    [
        reading("WAITING"),
        reading("WAITING", expires=-50 * 365 * DAY),
        reading("WAITING", expires=100.0, read=None),
        reading("WAITING", expires=100.0, read=3 * DAY, is_locally_dated=True),
    ],
    ids=["none", "broken", "no date", "dated by this machine's calendar"],
)
def test_a_session_whose_expiry_no_reading_tells_ends_after_72_hours(unreadable: Session) -> None:
    driver = Driver(poller(schedule=PollSchedule.every(9 * HOUR)), now=1_000.0)
    actions = [driver.play([Heard(unreadable)])]
    while isinstance(action := actions[-1], Sleep):
        driver.now = action.until
        actions.append(driver.play([Heard(unreadable)]))
    error = failure(actions[-1])

    assert driver.now == 1_000.0 + 72 * HOUR
    assert isinstance(error, ExpiryUnknownError)
    assert "is still WAITING 72 hours after it was first seen" in str(error)
    assert error.token is not None


def test_the_read_after_72_hours_may_show_the_outcome() -> None:
    action = Driver(poller()).play([Heard(reading()), Heard(reading("COMPLETED"), after=72 * HOUR)])

    assert isinstance(action, Finish)


def test_a_restart_does_not_start_the_72_hours_over() -> None:
    driver = Driver(poller(since=reading("WAITING", updated=0.0)))
    before = driver.play([Heard(reading("WAITING", read=71.9 * HOUR))])
    after = driver.play([Heard(reading("WAITING", read=72.1 * HOUR), after=0.2 * HOUR)])

    assert isinstance(before, Sleep)
    assert isinstance(failure(after), ExpiryUnknownError)


def test_an_expiry_that_a_later_reading_tells_replaces_the_72_hours() -> None:
    driver = Driver(poller())
    driver.play([Heard(reading()), Heard(reading(expires=100 * HOUR, read=71 * HOUR), after=71 * HOUR)])

    assert isinstance(driver.play([Heard(reading(expires=100 * HOUR, read=99 * HOUR), after=28 * HOUR)]), Sleep)


def test_this_machines_calendar_alone_never_ends_a_session() -> None:
    driver = Driver(poller())
    ahead = Heard(reading("WAITING", expires=100.0, read=3 * DAY, is_locally_dated=True), after=10.0)

    assert isinstance(driver.play([ahead] * 20), Sleep)


def test_the_defaults_are_what_the_documents_say() -> None:
    assert Settings().outage_tolerance == 600.0
    assert Settings().schedule == PollSchedule(
        waiting=Delay(initial=10.0, growth=1.0, power=0.5, maximum=900.0),
        active=Delay(initial=2.0, growth=0.01, maximum=900.0),
        jitter=0.1,
    )
