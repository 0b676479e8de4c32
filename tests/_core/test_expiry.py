"""When a session expires, and which readings settle that it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import DAY, at, reading

from hpp_async import Session
from hpp_async._core.expiry import EXPIRY_GRACE, UNKNOWN_FOR, Expiry

HOUR = 3600.0
FOREVER = float("inf")


def observed(*readings: tuple[Session, float], is_believed: bool = True, known: float | None = None) -> list[bool]:
    """Return what one `Expiry` answers to each ``(reading, arrived at)``."""
    expiry = Expiry()
    date = None if known is None else at(known)
    return [expiry.observe(seen, now, known=date, is_believed=is_believed) for seen, now in readings]


def arriving(now: float, *, expires: float | None = 100.0, skew: float = 0.0) -> tuple[Session, float]:
    """Return a reading made at *now* by a clock that is *skew* seconds ahead, and its arrival."""
    return reading(expires=expires, read=now + skew), now


# -- when -------------------------------------------------------------------------------------------------------------


def test_nothing_is_known_before_the_first_reading() -> None:
    expiry = Expiry()

    assert (expiry.at, expiry.deciding_read_at) == (None, None)
    assert expiry.confirm_after(1e9) == FOREVER


def test_the_expiry_is_a_distance_from_the_date_of_the_reading_on_the_loops_clock() -> None:
    expiry = Expiry()
    expiry.observe(reading(expires=100.0, read=40.0), 7_000.0, known=None, is_believed=True)

    assert expiry.at == 7_060.0
    assert expiry.deciding_read_at == 7_060.0 + EXPIRY_GRACE


def test_a_reading_without_a_date_or_an_expiry_gives_no_estimate() -> None:
    expiry = Expiry()
    expiry.observe(reading(expires=100.0, read=None), 0.0, known=None, is_believed=True)
    expiry.observe(reading(expires=None), 0.0, known=None, is_believed=True)
    expiry.observe(reading(expires=100.0, is_locally_dated=True), 0.0, known=None, is_believed=True)

    assert expiry.at is None


def test_a_reading_without_an_expiry_uses_the_last_one_that_was_believed() -> None:
    expiry = Expiry()
    expiry.observe(reading(expires=None, read=10.0), 10.0, known=at(100.0), is_believed=True)

    assert expiry.at == 100.0


@pytest.mark.parametrize(("second", "at_"), [(1.0, 100.0), (-1.0, 100.0), (1.5, 101.5), (-1.5, 100.0), (0.25, 100.0)])
def test_estimates_that_differ_by_no_more_than_the_resolution_of_a_date_are_the_same(second: float, at_: float) -> None:
    expiry = Expiry()
    for moved in (0.0, second):
        expiry.observe(reading(expires=100.0 + moved), 0.0, known=None, is_believed=True)

    assert expiry.at == at_


def test_the_latest_of_the_last_five_estimates_counts() -> None:
    expiry = Expiry()
    expiry.observe(reading(expires=900.0), 0.0, known=None, is_believed=True)
    estimates = []
    for _ in range(5):
        expiry.observe(reading(expires=100.0), 0.0, known=None, is_believed=True)
        estimates.append(expiry.at)

    assert estimates == [900.0, 900.0, 900.0, 900.0, 100.0]


def test_confirmation_reads_begin_as_soon_as_the_newest_reading_says_that_the_expiry_has_passed() -> None:
    expiry = Expiry()
    expiry.observe(reading(expires=DAY), 0.0, known=None, is_believed=True)
    expiry.observe(reading(expires=DAY, read=3 * DAY), 0.0, known=None, is_believed=True)

    assert expiry.confirm_after(0.0) == 2.0
    assert expiry.at == DAY


def test_a_confirmation_read_follows_after_two_seconds_and_later_after_a_tenth_of_how_long_the_doubt_lasts() -> None:
    expiry = Expiry()
    expiry.observe(*arriving(90.0), known=None, is_believed=True)
    before = expiry.confirm_after(90.0)
    expiry.observe(*arriving(200.0, skew=-2 * HOUR), known=None, is_believed=True)
    expiry.observe(*arriving(300.0), known=None, is_believed=True)

    assert before == FOREVER
    assert [expiry.confirm_after(now) for now in (200.0, 220.0, 800.0)] == [2.0, 2.0, 60.0]


def test_a_doubt_of_two_hours_costs_dozens_of_reads_and_not_thousands() -> None:
    expiry, now, reads, is_expired = Expiry(), 0.0, 0, False
    while not is_expired:
        skew = -2 * HOUR if reads % 4 == 0 else 0.0  # never five in a row that agree
        is_expired = expiry.observe(*arriving(now, skew=skew), known=None, is_believed=True)
        now += min(expiry.confirm_after(now), 10.0 if now < 100.0 else 60.0)
        reads += 1

    assert now > 2 * HOUR
    assert reads < 220


# -- whether ----------------------------------------------------------------------------------------------------------


def test_one_reading_before_the_expiry_and_one_after_it_settle_it() -> None:
    assert observed(arriving(0.0), arriving(105.0)) == [False, True]


@pytest.mark.parametrize(("now", "is_expired"), [(103.5, False), (104.0, True)])
def test_a_reading_counts_as_late_from_the_end_of_the_grace_less_the_resolution_of_a_date(
    now: float, is_expired: bool
) -> None:
    assert observed(arriving(0.0), arriving(now)) == [False, is_expired]


def test_a_session_that_was_never_seen_open_takes_a_quorum_of_five() -> None:
    readings = [arriving(1_000.0 + 2.0 * number) for number in range(5)]

    assert observed(*readings) == [False, False, False, False, True]


def test_a_reading_made_exactly_at_the_expiry_is_not_one_from_before_it() -> None:
    assert observed(arriving(100.0), arriving(105.0)) == [False, False]


def test_readings_that_are_not_believed_settle_the_expiry_only_as_five_in_a_row() -> None:
    readings = [arriving(0.0), *(arriving(105.0 + 2.0 * number) for number in range(5))]

    assert observed(*readings, is_believed=False) == [False, False, False, False, False, True]


def test_late_readings_do_not_count_any_more_after_the_expiry_has_moved() -> None:
    expiry = Expiry()
    expiry.observe(*arriving(0.0), known=None, is_believed=True)
    for number in range(4):
        expiry.observe(*arriving(105.0 + number), known=None, is_believed=False)
    moved = expiry.observe(*arriving(110.0, expires=900.0), known=None, is_believed=True)
    stale = [expiry.observe(*arriving(910.0 + n, expires=900.0), known=None, is_believed=False) for n in range(5)]

    assert not moved
    assert stale == [False, False, False, False, True]


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(-3 * DAY, 3 * DAY)), min_size=1, max_size=12))
def test_no_session_expires_before_the_latest_of_the_last_five_estimates(readings: list[tuple[float, float]]) -> None:
    """Whatever the clocks say: as long as one of the last five estimates is later, the session has not expired."""
    expiry, now = Expiry(), 0.0
    estimates: list[float] = []
    for after, skew in readings:
        now += after
        estimates.append(now + HOUR - (now + skew))
        is_expired = expiry.observe(reading(expires=HOUR, read=now + skew), now, known=None, is_believed=True)
        assert not is_expired or now >= max(estimates[-5:]) + EXPIRY_GRACE - 2.0


# -- never known ------------------------------------------------------------------------------------------------------


def test_an_expiry_that_no_reading_tells_is_unknown_after_72_hours() -> None:
    expiry = Expiry()
    expiry.observe(*arriving(100.0, expires=None), known=None, is_believed=True)
    expiry.observe(*arriving(500.0, expires=None), known=None, is_believed=False)

    assert expiry.deciding_read_at == 100.0 + UNKNOWN_FOR
    assert [expiry.is_unknown(now) for now in (99.0 + UNKNOWN_FOR, 100.0 + UNKNOWN_FOR)] == [False, True]


def test_time_for_which_the_session_was_known_before_the_wait_counts() -> None:
    expiry = Expiry()
    expiry.observe(*arriving(100.0, expires=None), known=None, is_believed=True, seen_for=HOUR)

    assert expiry.deciding_read_at == 100.0 - HOUR + UNKNOWN_FOR


def test_a_single_estimate_makes_the_expiry_known() -> None:
    expiry = Expiry()
    expiry.observe(*arriving(0.0, expires=None), known=None, is_believed=True)
    expiry.observe(*arriving(5.0, expires=100 * HOUR), known=None, is_believed=True)
    expiry.observe(*arriving(6.0, expires=None), known=at(100 * HOUR), is_believed=True)

    assert not expiry.is_unknown(80 * HOUR)


# -- a 404 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said_at", [None, 99.0, 101.0])
def test_a_404_after_the_estimated_expiry_is_an_expiry_unless_its_own_date_is_earlier(said_at: float | None) -> None:
    expiry = Expiry()
    expiry.observe(*arriving(0.0), known=None, is_believed=True)
    said = None if said_at is None else at(said_at)

    assert expiry.is_past(100.0, said_at=said, known=at(100.0)) is (said_at != 99.0)


@pytest.mark.parametrize("said_at", [None, 99.0, 101.0, 9 * HOUR])
def test_a_404_before_the_estimated_expiry_is_no_expiry_whatever_its_own_date(said_at: float | None) -> None:
    # Found by a mutation run: three 404s with a Date two hours ahead made an open session Expired.
    expiry = Expiry()
    expiry.observe(*arriving(0.0), known=None, is_believed=True)
    said = None if said_at is None else at(said_at)

    assert not expiry.is_past(99.0, said_at=said, known=at(100.0))


@pytest.mark.parametrize(
    ("said_at", "known", "is_past"),
    [(100.0, 100.0, True), (99.0, 100.0, False), (None, 100.0, False), (100.0, None, False)],
)
def test_a_404_before_any_reading_is_judged_by_the_resume_token_and_its_own_date(
    said_at: float | None, known: float | None, is_past: bool
) -> None:
    said, token = None if said_at is None else at(said_at), None if known is None else at(known)

    assert Expiry().is_past(0.0, said_at=said, known=token) is is_past
