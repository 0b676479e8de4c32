"""What the failed reads of a wait mean, and when to read again."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import (
    broken,
    draws,
    limited,
    missing,
    no_answer,
    not_a_reading,
    not_processed,
    refused,
    transient_errors,
    unauthorized,
)

from hpp_async import HPPError, ReadError
from hpp_async._core.failures import Failures, Meaning


def note(failures: Failures, error: HPPError, now: float) -> Meaning:
    """Note a failure that came as soon as its read began."""
    return failures.note(error, now, asked_at=now, longest=inf)


def failed(*errors: HPPError, now: float = 0.0) -> tuple[Failures, list[Meaning]]:
    failures = Failures(errors[0])
    return failures, [note(failures, error, now) for error in errors]


# -- what a failure means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [no_answer(), not_a_reading(), broken(), limited(), refused(409)], ids=repr)
def test_a_failure_that_says_nothing_of_the_session_is_an_outage(error: HPPError) -> None:
    failures, meanings = failed(error, now=7.0)

    assert meanings == [Meaning.NOTHING]
    assert failures.outage_since == 7.0
    assert failures.last is error


def test_a_404_is_believed_after_two_confirmation_reads() -> None:
    assert failed(missing(), missing(), missing())[1] == [Meaning.DOUBTFUL, Meaning.DOUBTFUL, Meaning.BELIEVED]


def test_an_outage_between_404s_neither_counts_nor_clears_them() -> None:
    meanings = failed(missing(), broken(), missing(), no_answer(), missing())[1]

    assert meanings[4] is Meaning.BELIEVED
    assert meanings[1] is meanings[3] is Meaning.NOTHING


def test_refused_credentials_are_believed_after_two_confirmation_reads() -> None:
    assert failed(unauthorized(), unauthorized(), unauthorized())[1] == [
        Meaning.DOUBTFUL,
        Meaning.DOUBTFUL,
        Meaning.BELIEVED,
    ]


def test_404s_and_refused_credentials_are_counted_separately() -> None:
    meanings = failed(missing(), unauthorized(), missing(), unauthorized(), missing())[1]

    assert meanings == [Meaning.DOUBTFUL] * 4 + [Meaning.BELIEVED]


# -- how long an outage lasts -----------------------------------------------------------------------------------------


def test_an_outage_lasts_from_its_first_failure() -> None:
    failures = Failures(broken())
    for now in (10.0, 30.0, 50.0):
        note(failures, broken(), now)

    assert failures.lasted(55.0) == 45.0
    assert failures.ends_at(600.0) == 610.0


def test_a_404_ends_an_outage_and_its_back_off() -> None:
    failures = Failures(broken())
    note(failures, broken(), 0.0)
    failures.back_off(0.0, inf)
    note(failures, missing(), 10.0)

    assert (failures.outage_since, failures.lasted(20.0), failures.ends_at(600.0)) == (None, 0.0, inf)
    note(failures, broken(), 20.0)
    assert failures.outage_since == 20.0
    assert failures.back_off(0.0, inf) == 2.0


def test_idle_time_does_not_count_as_outage() -> None:
    failures = failed(broken(), now=10.0)[0]
    failures.resumed(20.0, 1_000.0)

    assert failures.lasted(1_005.0) == 15.0


def test_idle_time_begins_no_outage() -> None:
    failures = failed(missing())[0]
    failures.resumed(20.0, 1_000.0)

    assert failures.outage_since is None


# -- frozen time ------------------------------------------------------------------------------------------------------


def frozen(*, asked_at: float, now: float, longest: float = 10.0, held: float = 0.0) -> float:
    """Return how long an outage lasts after failures at 0 s and at *now*, where the second read was planned for 2 s."""
    failures = failed(broken())[0]
    failures.rests_until(2.0)
    failures.note(broken(), now, asked_at=asked_at, longest=longest, held=held)
    return failures.lasted(now)


def test_time_frozen_between_two_reads_is_no_outage() -> None:
    assert frozen(asked_at=3_600.0, now=3_601.0) == 3.0


def test_time_frozen_during_a_read_is_no_outage_beyond_the_longest_read() -> None:
    assert frozen(asked_at=2.0, now=3_600.0) == 12.0


def test_time_for_which_the_budget_held_the_read_back_is_outage() -> None:
    assert frozen(asked_at=100.0, now=101.0, held=98.0) == 101.0


def test_a_read_from_before_the_planned_one_shortens_no_outage() -> None:
    assert frozen(asked_at=1.0, now=5.0) == 5.0


def test_idle_time_is_subtracted_from_an_outage_once() -> None:
    failures = failed(broken())[0]
    failures.rests_until(2.0)
    failures.resumed(5.0, 1_000.0)
    failures.note(broken(), 1_001.0, asked_at=4.0, longest=10.0)

    assert failures.lasted(1_001.0) == 4.0  # 6 without the idle time; and the read began 2 s late


def test_time_frozen_during_a_read_is_no_outage_where_a_step_begins_before_the_failure_is_noted() -> None:
    failures = failed(broken())[0]
    failures.rests_until(2.0)
    failures.resumed(7_200.0, 7_200.5)  # a heartbeat was handed over as soon as the process went on
    failures.note(broken(), 7_201.0, asked_at=2.0, longest=10.0)

    assert failures.lasted(7_201.0) == pytest.approx(12.0)


def test_time_frozen_between_two_reads_is_no_outage_where_a_step_begins_before_the_read() -> None:
    failures = failed(broken())[0]
    failures.rests_until(2.0)
    failures.resumed(7_200.0, 7_200.5)
    failures.note(broken(), 7_202.0, asked_at=7_201.0, longest=10.0)

    assert failures.lasted(7_202.0) == pytest.approx(3.0)


reads = st.tuples(st.floats(0.0, 900.0), st.floats(0.0, 7_200.0), st.floats(0.0, 7_200.0), st.floats(0.0, 100.0))
idle_times = st.tuples(st.floats(0.0, 1.0), st.one_of(st.just(0.0), st.floats(0.001, 10_000.0)))
"""At which share of a gap no step is taken any more, and for how many seconds."""


@given(st.lists(st.tuples(reads, idle_times), min_size=1, max_size=10))
def test_a_gap_adds_at_most_the_planned_delay_and_the_longest_read(
    gaps: list[tuple[tuple[float, float, float, float], tuple[float, float]]],
) -> None:
    """That holds however long the process was frozen or idle, and when; and idle time is never added."""
    failures, now = failed(broken())[0], 0.0
    for (planned, late, took, longest), (share, idle) in gaps:
        before, lasted = now, failures.lasted(now)
        failures.rests_until(now + planned)
        left_at = now + share * (planned + late + took)
        asked_at = now + planned + late
        asked_at += idle if left_at < asked_at else 0.0
        now += planned + late + took + idle
        failures.resumed(left_at, left_at + idle)
        failures.note(broken(), now, asked_at=asked_at, longest=longest)
        added = failures.lasted(now) - lasted
        assert added <= min(planned + longest, now - before - idle) + 1e-6
        assert added >= min(planned, share * (planned + late + took)) - 1e-6


# -- when to read again -----------------------------------------------------------------------------------------------


def test_the_back_off_doubles_up_to_a_minute() -> None:
    failures = failed(broken())[0]

    assert [failures.back_off(0.0, inf) for _ in range(8)] == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]


def test_the_back_off_of_an_endless_outage_does_not_overflow() -> None:
    failures = failed(broken())[0]

    assert {failures.back_off(0.0, inf) for _ in range(3_000)} == {2.0, 4.0, 8.0, 16.0, 32.0, 64.0}


@given(st.lists(st.tuples(transient_errors, draws), min_size=1), st.floats(0.0, 900.0))
def test_the_back_off_is_no_longer_than_the_schedules_delay_but_for_a_hint(
    errors: list[tuple[HPPError, float]], longest: float
) -> None:
    """At least half of the doubled delay and at most the schedule's own, unless a hint (up to 300 s) is longer."""
    failures = Failures(errors[0][0])
    for number, (error, draw) in enumerate(errors):
        note(failures, error, 0.0)
        delay = failures.back_off(draw, longest)
        hint = min(error.retry_after or 0.0, 300.0) if isinstance(error, ReadError) else 0.0
        doubled = 2.0 * 2 ** min(number, 5)
        assert max(hint, min(longest, doubled / 2)) <= delay <= max(hint, min(longest, doubled))


@pytest.mark.parametrize("error", [broken(retry_after=45.0), limited(45.0), not_processed(retry_after=45.0)], ids=repr)
def test_the_hint_of_any_answer_is_heeded(error: HPPError) -> None:
    assert failed(error)[0].back_off(0.0, 10.0) == 45.0


@pytest.mark.parametrize(("hint", "delay"), [(None, 2.0), (0.5, 2.0), (45.0, 45.0), (1e9, 300.0)])
def test_a_confirmation_read_heeds_a_hint_too(hint: float | None, delay: float) -> None:
    assert failed(unauthorized(retry_after=hint))[0].confirm() == delay
