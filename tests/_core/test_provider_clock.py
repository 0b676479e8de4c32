"""The provider's clock: which ``Date`` is believed, and how an answer without one is dated."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpp_async._core.provider_clock import Dated, ProviderClock, parse_date


class Readings:
    """A provider clock for which every answer is a reading."""

    def __init__(self) -> None:
        self.clock = ProviderClock()

    def read(self, header: str | None, *, now: float, today: datetime, asked_at: float | None = None) -> datetime:
        dated = self.clock.read(header, now=now, today=today, asked_at=asked_at)
        self.clock.trust(dated)
        return dated.at


TODAY = datetime(2020, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
AT_NOON = "Thu, 15 Jan 2026 12:00:00 GMT"


# -- the provider's clock -----------------------------------------------------------------------------------------


def test_an_answer_is_dated_by_its_own_date() -> None:
    clock = Readings()

    assert clock.read(AT_NOON, now=100.0, today=TODAY) == NOON
    assert clock.read("Thu, 15 Jan 2026 11:00:00 GMT", now=101.0, today=TODAY) == NOON - timedelta(hours=1)


@pytest.mark.parametrize("header", [None, "", "soon"])
def test_an_answer_without_a_date_is_dated_by_the_last_reading_that_had_one(header: str | None) -> None:
    clock = Readings()
    clock.read(AT_NOON, now=100.0, today=TODAY)

    assert clock.read(header, now=130.5, today=TODAY) == NOON + timedelta(seconds=30.5)


def after(seconds: float) -> str:
    return format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(("known", "overruled"), [(13, False), (14, True), (100, True)])
def test_a_date_that_is_ahead_is_overruled_once_a_quorum_of_readings_is_known(known: int, overruled: bool) -> None:
    clock = Readings()
    for second in range(known):
        clock.read(after(second), now=second, today=TODAY + timedelta(seconds=second))
    read_at = clock.read(after(known + 86_400), now=known, today=TODAY + timedelta(seconds=known))

    assert read_at == NOON + timedelta(seconds=known if overruled else known + 86_400)


class ClockAfter:
    """A provider clock that had one reading a second, each with a ``Date`` that is ahead by the given seconds."""

    def __init__(self, *offsets: float) -> None:
        self.clock, self.now = Readings(), 0
        for offset in offsets:
            self.date(offset)

    def date(self, offset: float | None) -> float:
        """Return by how many seconds the next reading is dated ahead of the right time."""
        today = TODAY + timedelta(seconds=self.now)
        header = None if offset is None else after(self.now + offset)
        read_at = self.clock.read(header, now=float(self.now), today=today)
        ahead = (read_at - NOON).total_seconds() - self.now
        self.now += 1
        return ahead


@pytest.mark.parametrize(("ahead", "dated"), [(5.0, 5.0), (6.0, 0.0)])
def test_clocks_that_differ_by_up_to_five_seconds_agree(ahead: float, dated: float) -> None:
    assert ClockAfter(*[0.0] * 20).date(ahead) == dated


def test_a_date_five_seconds_ahead_of_most_readings_is_kept_even_where_the_last_one_was_behind() -> None:
    assert ClockAfter(*[0.0] * 20, -3.0).date(5.0) == 5.0


def test_clocks_that_drift_slowly_are_followed() -> None:
    assert ClockAfter(*[0.0] * 20, 4.0).date(8.0) == 8.0


@pytest.mark.parametrize(("last", "dated"), [(4.0, 4.0), (-5.0, -5.0), (-6.0, 0.0), (-7200.0, 0.0), (7200.0, 0.0)])
def test_an_answer_without_a_date_is_dated_by_the_last_reading_unless_most_others_disagree(
    last: float, dated: float
) -> None:
    assert ClockAfter(*[0.0] * 20, last).date(None) == dated


def test_where_half_of_the_readings_are_ahead_the_others_are_believed() -> None:
    # Found by a mutation run: an answer without a Date was dated two hours ahead, and sessions expired early.
    assert ClockAfter(*[0.0, 7200.0] * 10).date(None) == 0.0


def test_where_less_than_half_of_the_readings_are_behind_the_others_are_believed() -> None:
    assert ClockAfter(*[-7200.0] * 8, *[0.0] * 12, -7200.0).date(None) == 0.0


def test_exactly_the_last_101_readings_are_remembered() -> None:
    all_of_them = ClockAfter(*[0.0] * 51, *[7200.0] * 50).date(7200.0)
    one_less = ClockAfter(*[0.0] * 50, *[7200.0] * 51).date(7200.0)
    old_ones_are_forgotten = ClockAfter(*[0.0] * 200, *[7200.0] * 101).date(7200.0)

    assert (all_of_them, one_less, old_ones_are_forgotten) == (0.0, 7200.0, 7200.0)


def test_only_readings_are_remembered() -> None:
    clock = Readings()
    clock.read(AT_NOON, now=0.0, today=TODAY)
    for second in range(50):
        clock.clock.read(after(second + 86_400.0), now=second, today=TODAY + timedelta(seconds=second))
    read_at = clock.read(after(50), now=50.0, today=TODAY + timedelta(seconds=50))

    assert read_at == NOON + timedelta(seconds=50)


def test_a_date_that_is_behind_is_never_overruled() -> None:
    clock = Readings()
    for second in range(100):
        clock.read(after(second + 7200), now=second, today=TODAY + timedelta(seconds=second))

    assert clock.read(after(100), now=100, today=TODAY + timedelta(seconds=100)) == NOON + timedelta(seconds=100)


@pytest.mark.parametrize("date", [11.0, None, 7200.0])
def test_a_late_answer_is_dated_by_its_own_date_or_else_to_its_request(date: float | None) -> None:
    clock = Readings()
    for second in range(20):
        clock.read(after(second - 10), now=second - 10.0, today=TODAY + timedelta(seconds=second - 10))
    header = None if date is None else after(date)
    read_at = clock.read(header, now=19.0, asked_at=10.0, today=TODAY + timedelta(seconds=19))

    assert read_at == NOON + timedelta(seconds=11 if date == 11.0 else 10)


@pytest.mark.parametrize("calendar", [7200, -7200], ids=["slept, or was set ahead", "was set back"])
def test_readings_from_before_a_jump_of_this_machines_calendar_overrule_no_date(calendar: int) -> None:
    clock = Readings()
    for second in range(50):
        clock.read(after(second), now=second, today=TODAY + timedelta(seconds=second))
    read_at = clock.read(after(7200), now=50, today=TODAY + timedelta(seconds=calendar))

    assert read_at == NOON + timedelta(seconds=7200)


def test_before_any_date_was_seen_this_machines_calendar_dates_an_answer() -> None:
    dated = ProviderClock().read(None, now=100.0, today=TODAY)

    assert dated == Dated(TODAY, is_local=True)
    assert dated.by_provider is None


def test_an_answer_dated_by_earlier_readings_counts_as_dated_by_the_provider() -> None:
    clock = ProviderClock()
    clock.trust(clock.read(AT_NOON, now=100.0, today=TODAY))

    assert clock.read(None, now=130.0, today=TODAY).by_provider == NOON + timedelta(seconds=30)


def test_a_date_of_the_year_9999_does_not_overflow() -> None:
    clock = Readings()
    last = clock.read("Fri, 31 Dec 9999 23:59:59 GMT", now=0.0, today=TODAY)

    assert clock.read(None, now=3600.0, today=TODAY) == last


# -- HTTP dates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        (AT_NOON, NOON),
        ("Thursday, 15-Jan-26 12:00:00 GMT", NOON),
        ("Thu Jan 15 12:00:00 2026", NOON),
        ("Thu, 15 Jan 2026 12:00:00 -0000", NOON),
        ("Thu, 15 Jan 2026 13:00:00 +0100", NOON),
        ("15 Jan 2026 12:00 GMT", NOON),
        ("Thu, 15 Foo 2026 12:00:00 GMT", None),
        ("Thu, 32 Jan 2026 12:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("2026-01-15T12:00:00Z", None),
        ("0", None),
        ("", None),
    ],
)
def test_http_dates_are_parsed_in_all_forms(header: str, moment: datetime | None) -> None:
    assert parse_date(header) == moment


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of the process can be set on Unix only")
def test_an_http_date_is_parsed_alike_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    parse_date.cache_clear()
    time.tzset()
    try:
        moments = [parse_date("Thu, 15 Jan 2026 12:00:00 -0000"), parse_date(AT_NOON)]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert moments == [NOON, NOON]


@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:+-]{1,12} ?[A-Z+0-9-]{0,6}")
)
@example("Thu, 15 Jan 99999999999 12:00:00 GMT")
@example("0 0 0 0 0")
@example(" , , ,")
def test_any_text_in_a_date_header_is_parsed_or_ignored(header: str) -> None:
    """No text makes the parser raise, and each result is aware and in UTC."""
    moment = parse_date(header)

    assert moment is None or moment.utcoffset() == timedelta(0)
