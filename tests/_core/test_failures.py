"""What the failures of a wait mean, and when to read again."""

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
    refused,
    transient_errors,
    unauthorized,
)

from hpp_async import HPPError
from hpp_async._core.failures import Failures, Meaning


def failed(*errors: HPPError, now: float = 0.0) -> tuple[Failures, list[Meaning]]:
    failures = Failures(errors[0])
    return failures, [failures.note(error, now) for error in errors]


# -- what they mean ---------------------------------------------------------------------------------------------------


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


def test_refused_credentials_are_believed_at_once() -> None:
    assert failed(unauthorized())[1] == [Meaning.BELIEVED]


# -- how long an outage lasts -----------------------------------------------------------------------------------------


def test_an_outage_lasts_from_its_first_failure() -> None:
    failures = Failures(broken())
    for now in (10.0, 30.0, 50.0):
        failures.note(broken(), now)

    assert failures.lasted(55.0) == 45.0
    assert failures.ends_at(600.0) == 610.0


def test_a_404_ends_an_outage_and_its_back_off() -> None:
    failures = Failures(broken())
    failures.note(broken(), 0.0)
    failures.back_off(0.0, inf)
    failures.note(missing(), 10.0)

    assert (failures.outage_since, failures.lasted(20.0), failures.ends_at(600.0)) == (None, 0.0, inf)
    failures.note(broken(), 20.0)
    assert failures.outage_since == 20.0
    assert failures.back_off(0.0, inf) == 2.0


def test_idle_time_does_not_count_as_outage() -> None:
    failures = failed(broken(), now=10.0)[0]
    failures.resumed(20.0, 1_000.0)

    assert failures.lasted(1_005.0) == 15.0


def test_idle_time_without_an_outage_is_none_either() -> None:
    failures = failed(missing())[0]
    failures.resumed(20.0, 1_000.0)

    assert failures.outage_since is None


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
    """Half of the doubled delay at least, the schedule's own at most, and a hint of at most 300 s in any case."""
    failures = Failures(errors[0][0])
    for number, (error, draw) in enumerate(errors):
        failures.note(error, 0.0)
        delay = failures.back_off(draw, longest)
        hint = min(getattr(error, "retry_after", None) or 0.0, 300.0)
        doubled = 2.0 * 2 ** min(number, 5)
        assert max(hint, min(longest, doubled / 2)) <= delay <= max(hint, min(longest, doubled))
