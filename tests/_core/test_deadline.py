"""The timeout of a wait, and its last read."""

from __future__ import annotations

import pytest

from hpp_async._core.deadline import Deadline


def test_a_deadline_is_over_from_its_time_on() -> None:
    deadline = Deadline(25.0, patience=10.0)

    assert [deadline.is_over(now) for now in (24.9, 25.0, 26.0)] == [False, True, True]


def test_before_the_deadline_a_read_may_take_until_the_deadline() -> None:
    assert Deadline(25.0, patience=10.0).until(7.0) == 25.0


def test_the_last_read_may_take_the_patience_from_when_it_was_first_wanted() -> None:
    deadline = Deadline(25.0, patience=10.0)

    assert [deadline.until(now) for now in (30.0, 34.0, 41.0)] == [40.0, 40.0, 40.0]


@pytest.mark.parametrize(
    ("left_at", "until"),
    [(32.0, 1_008.0), (30.0, 1_010.0), (0.0, 1_010.0)],
    ids=["after the read was wanted", "as it was wanted", "before it was wanted"],
)
def test_idle_time_is_not_taken_from_the_patience(left_at: float, until: float) -> None:
    deadline = Deadline(25.0, patience=10.0)
    deadline.until(30.0)
    deadline.resumed(left_at, 1_000.0)

    assert deadline.until(1_000.0) == until


def test_idle_time_before_the_last_read_changes_nothing() -> None:
    deadline = Deadline(25.0, patience=10.0)
    deadline.resumed(0.0, 20.0)

    assert (deadline.until(20.0), deadline.until(30.0)) == (25.0, 40.0)
