"""How long to wait between reads: the arithmetic, and which parts are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import inf, nan

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import OPEN, draws, reading

from hpp_async import ConfigurationError, Delay, HPPClient, PollSchedule
from hpp_async._core.schedule import seconds

ages = st.floats(0.0, 1e12)


# -- the rule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "age", "delay"),
    [
        ("WAITING", 0.0, 10.0),
        ("WAITING", 100.0, 20.0),
        ("WAITING", 10_000.0, 110.0),
        ("WAITING", 90_000.0, 310.0),
        ("WAITING", 792_100.0, 900.0),
        ("WAITING", 1e9, 900.0),
        ("IN_PROGRESS", 0.0, 2.0),
        ("IN_PROGRESS", 1000.0, 12.0),
        ("IN_PROGRESS", 89_800.0, 900.0),
        ("IN_PROGRESS", 1e9, 900.0),
        ("FAILED", 100.0, 3.0),
        ("SOMETHING_NEW", 100.0, 3.0),
    ],
)
def test_the_default_delay_grows_with_the_root_of_the_age_and_on_the_page_by_a_hundredth(
    status: str, age: float, delay: float
) -> None:
    assert PollSchedule().delay(reading(status), age=age, draw=0.0) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("status", "promise"),
    [("IN_PROGRESS", lambda quiet: 2.0 + quiet / 100), ("WAITING", lambda quiet: 10.0 + quiet**0.5)],
)
@given(data=st.data(), quiet=st.floats(0.0, 172_800.0))
def test_a_change_is_seen_as_soon_as_the_docstring_says(
    status: str, promise: Callable[[float], float], data: st.DataObject, quiet: float
) -> None:
    """That holds wherever the reads fall before the change."""
    last_read = data.draw(st.floats(0.0, quiet))
    draw = data.draw(draws)
    seen = last_read + PollSchedule().delay(reading(status), age=last_read, draw=draw)

    assert seen - quiet <= promise(quiet) + 1e-9


@given(st.sampled_from(OPEN), ages, draws, st.floats(0.0, 0.99))
def test_jitter_only_shortens_and_by_no_more_than_its_share(
    status: str, age: float, draw: float, jitter: float
) -> None:
    """Each delay is drawn from [1 − jitter, 1] of itself, and never below the smallest delay."""
    schedule = PollSchedule(jitter=jitter)
    whole = PollSchedule(jitter=0.0).delay(reading(status), age=age, draw=draw)
    drawn = schedule.delay(reading(status), age=age, draw=draw)

    assert whole * (1.0 - jitter) <= drawn <= whole
    assert drawn >= schedule.smallest_delay


@given(st.sampled_from(OPEN), ages, ages)
def test_an_older_status_is_never_read_more_often(status: str, one: float, other: float) -> None:
    """The delay grows with the age, up to its maximum."""
    younger, older = sorted([one, other])
    delays = [PollSchedule().delay(reading(status), age=age, draw=0.5) for age in (younger, older)]

    assert delays[0] <= delays[1] <= 900.0


@given(st.floats(0.1, 1e3), st.floats(0.0, 1e3), st.floats(0.0, 1.0, exclude_min=True), ages, ages)
def test_any_delay_is_within_its_bounds_and_never_shrinks_with_the_age(
    initial: float, growth: float, power: float, one: float, other: float
) -> None:
    delay = Delay(initial=initial, growth=growth, power=power, maximum=initial + 500.0)
    younger, older = sorted([one, other])

    assert initial <= delay.at(younger) <= delay.at(older) <= initial + 500.0


def test_a_power_below_one_slows_the_growth() -> None:
    straight, bent = (Delay(initial=1.0, growth=0.5, power=power, maximum=inf) for power in (1.0, 0.5))

    assert [straight.at(age) for age in (0.0, 1.0, 100.0)] == [1.0, 1.5, 51.0]
    assert [bent.at(age) for age in (0.0, 1.0, 100.0)] == [1.0, 1.5, 6.0]


def test_without_growth_a_delay_stays_the_same() -> None:
    assert Delay(initial=2.0, maximum=9.0).at(100.0) == 2.0


def test_a_negative_age_counts_as_none() -> None:
    assert Delay(initial=2.0, growth=0.5, maximum=9.0).at(-100.0) == 2.0


def test_every_gives_the_same_delay_for_all_statuses_ages_and_draws() -> None:
    schedule = PollSchedule.every(timedelta(seconds=5))
    delays = {schedule.delay(reading(status), age=age, draw=0.9) for status in OPEN for age in (0.0, 1e6)}

    assert delays == {5.0}
    assert schedule.smallest_delay == 5.0


def test_the_smallest_delay_is_the_shortest_one_with_its_jitter() -> None:
    assert PollSchedule().smallest_delay == pytest.approx(1.8)


def test_the_parts_of_a_delay_may_be_whole_numbers_and_timedeltas() -> None:
    delay = Delay(initial=timedelta(seconds=2), growth=0, power=1, maximum=timedelta(minutes=1))  # type: ignore[arg-type]  # at the door

    assert delay == Delay(initial=2.0, growth=0.0, power=1.0, maximum=60.0)
    assert [type(value) for value in attrs.astuple(delay)] == [float, float, float, float]


def test_a_schedule_is_a_value() -> None:
    assert PollSchedule() == PollSchedule()
    assert len({PollSchedule(), PollSchedule(), PollSchedule.every(1)}) == 2


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("initial", [0, 0.0, -1.0, 0.09, nan, inf, "2", None, True])
def test_an_initial_delay_that_is_not_a_number_of_seconds_is_refused(initial: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Delay\.initial="):
        Delay(initial=initial, maximum=inf)  # type: ignore[arg-type]  # what users may pass


@pytest.mark.parametrize("growth", [-0.01, nan, "1", None, False])
def test_a_growth_that_is_not_a_number_or_negative_is_refused(growth: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Delay\.growth="):
        Delay(initial=1.0, growth=growth, maximum=2.0)  # type: ignore[arg-type]  # what users may pass


@pytest.mark.parametrize("power", [0, -0.5, 1.01, 2, inf, nan, "1", None, True, timedelta(seconds=1)])
def test_a_power_that_does_not_slow_the_growth_is_refused(power: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Delay\.power=.*: give a number above 0 and at most 1$"):
        Delay(initial=1.0, growth=0.1, power=power, maximum=2.0)  # type: ignore[arg-type]  # what users may pass


@pytest.mark.parametrize("maximum", [0.9, nan, "9", None])
def test_a_maximum_below_the_initial_delay_is_refused(maximum: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Delay\.maximum=.* of at least 1$"):
        Delay(initial=1.0, maximum=maximum)  # type: ignore[arg-type]  # what users may pass


@pytest.mark.parametrize("jitter", [1.0, 1, -0.1, nan, "0.1", None, timedelta(seconds=1)])
def test_a_jitter_outside_of_its_range_is_refused(jitter: object) -> None:
    with pytest.raises(ConfigurationError, match=r"PollSchedule\.jitter="):
        PollSchedule(jitter=jitter)  # type: ignore[arg-type]  # what users may pass


def test_a_jitter_of_any_number_type_becomes_a_float() -> None:
    assert PollSchedule(jitter=timedelta(0)).delay(reading(), age=0.0, draw=0.5) == 2.0  # type: ignore[arg-type]  # odd


@pytest.mark.parametrize("name", ["waiting", "active"])
def test_a_part_that_is_not_a_delay_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"PollSchedule\.{name}=5: give a Delay"):
        PollSchedule(**{name: 5})  # type: ignore[arg-type]  # what users may pass


@pytest.mark.parametrize("interval", [0, 0.05, -1, inf, nan, "5", timedelta(0)])
def test_an_interval_that_is_not_a_number_of_seconds_is_refused(interval: object) -> None:
    with pytest.raises(ConfigurationError):
        PollSchedule.every(interval)  # type: ignore[arg-type]  # what users may pass


def test_the_refusal_of_a_short_interval_names_the_argument() -> None:
    with pytest.raises(ConfigurationError, match=r"interval=0\.07: give seconds \(or a timedelta\) of at least 0\.1"):
        PollSchedule.every(0.07)


@pytest.mark.parametrize("value", [0, 1, 2.5, timedelta(seconds=2), inf])
def test_seconds_are_numbers_or_timedeltas(value: float | timedelta) -> None:
    expected = value.total_seconds() if isinstance(value, timedelta) else value

    assert seconds(value, "timeout") == expected
    assert isinstance(seconds(value, "timeout"), float)


@pytest.mark.parametrize("value", [-1, nan, "5", None, True, timedelta(seconds=-1), [1]])
def test_anything_else_than_seconds_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^timeout=.*: give seconds \(or a timedelta\) of at least 0$"):
        seconds(value, "timeout")


def test_the_client_refuses_a_schedule_without_the_method() -> None:
    with pytest.raises(ConfigurationError, match=r"schedule=5 has no delay\("):
        HPPClient(auth=("user", "secret"), endpoint="EU_PLAYGROUND", schedule=5)  # type: ignore[arg-type]  # that is it
