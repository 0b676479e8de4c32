"""Which readings are believed, what is a transition, and resume tokens."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from typing import Any

import attrs
import pytest
from support.histories import DAY, SESSION_ID, at, reading

from hpp_async import ConfigurationError, Session, Transition
from hpp_async._core.history import History
from hpp_async._core.position import Position, date_of, expiry_of


def history(*readings: Session, since: Position | None = None) -> History:
    seen = History(session_id=SESSION_ID, since=since)
    for heard in readings:
        seen.observe(heard, is_last=False)
    return seen


def statuses(seen: History) -> list[str]:
    return [str(transition.status) for transition in seen.transitions]


# -- what is believed ---------------------------------------------------------------------------------------------


def test_the_first_sighting_is_a_transition_from_none() -> None:
    seen = history(reading("WAITING"))

    assert [(t.previous, t.status, t.sequence) for t in seen.transitions] == [(None, "WAITING", 1)]


def test_a_newer_reading_with_the_same_status_is_believed_but_is_no_transition() -> None:
    touched = reading("WAITING", updated=30.0)
    seen = history(reading("WAITING"), touched)

    assert statuses(seen) == ["WAITING"]
    assert seen.latest is touched


def test_an_older_reading_is_stale_and_changes_nothing() -> None:
    seen = history(reading("IN_PROGRESS", updated=60.0, expires=900.0, read=70.0))
    before = attrs.evolve(seen), seen.latest, seen.position
    seen.observe(reading("FAILED", updated=59.0, expires=100.0, read=71.0), is_last=False)

    assert (seen.latest, seen.position) == before[1:]
    assert statuses(seen) == ["IN_PROGRESS"]


def test_a_reading_with_the_same_date_is_not_stale() -> None:
    assert statuses(history(reading("WAITING", updated=5.0), reading("IN_PROGRESS", updated=5.0))) == [
        "WAITING",
        "IN_PROGRESS",
    ]


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED", "DISABLED"])
def test_a_final_status_is_believed_whatever_its_date(status: str) -> None:
    assert statuses(history(reading("FAILED", updated=60.0), reading(status, updated=1.0))) == ["FAILED", status]


def test_the_old_date_of_a_final_status_does_not_replace_a_newer_date() -> None:
    seen = history(reading("FAILED", updated=60.0), reading("COMPLETED", updated=1.0))

    assert seen.position is not None
    assert seen.position.updated_at == at(60.0)


def test_after_a_final_status_only_a_final_one_is_believed() -> None:
    seen = history(reading("COMPLETED", updated=1.0), reading("FAILED", updated=60.0), reading("WAITING", updated=None))

    assert statuses(seen) == ["COMPLETED"]


def test_a_reading_without_a_date_counts_as_newest_and_leaves_the_date_as_it_is() -> None:
    seen = history(
        reading("IN_PROGRESS", updated=60.0, read=60.0),
        reading("BACK", updated=None),
        reading("WAITING", updated=59.0, read=61.0),
    )

    assert statuses(seen) == ["IN_PROGRESS", "BACK"]
    assert seen.position is not None
    assert seen.position.updated_at == at(60.0)


def test_a_date_of_next_year_does_not_make_every_later_reading_stale() -> None:
    broken = reading("IN_PROGRESS", updated=300 * DAY, read=10.0)
    seen = history(broken, reading("FAILED", updated=20.0, read=30.0))

    assert date_of(broken) is None
    assert statuses(seen) == ["IN_PROGRESS", "FAILED"]


@pytest.mark.parametrize(
    ("updated", "read", "expected"),
    [(0.0, 9.0, 0.0), (DAY, 0.0, DAY), (DAY + 1, 0.0, None), (9 * DAY, None, 9 * DAY), (None, 0.0, None)],
)
def test_a_date_is_usable_up_to_a_day_ahead_of_the_providers_clock(
    updated: float | None, read: float | None, expected: float | None
) -> None:
    assert date_of(reading(updated=updated, read=read)) == (None if expected is None else at(expected))


@pytest.mark.parametrize(("after", "is_usable"), [(86_400.0, True), (86_400.5, False)])
def test_an_expiry_is_usable_up_to_a_day_before_the_last_change(after: float, is_usable: bool) -> None:
    seen = reading(updated=after, expires=0.0)

    assert expiry_of(seen) == (at(0.0) if is_usable else None)


def test_the_last_expiry_that_was_believed_is_kept_where_a_reading_has_none() -> None:
    seen = history(reading(expires=100.0), reading(expires=200.0), reading(expires=None))

    assert seen.expires_at == at(200.0)


def test_nothing_is_known_of_a_session_that_was_never_seen() -> None:
    seen = history()

    assert (seen.is_seen, seen.position, seen.expires_at, seen.latest) == (False, None, None, None)
    with pytest.raises(AssertionError, match="never seen"):
        _ = seen.known


# -- since --------------------------------------------------------------------------------------------------------


def test_after_since_transitions_are_not_repeated_and_the_count_goes_on() -> None:
    token = history(reading("WAITING"), reading("IN_PROGRESS", updated=9.0)).transitions[-1].token
    since = Position.of(token, session_id=SESSION_ID)
    seen = history(
        reading("WAITING"), reading("IN_PROGRESS", updated=9.0), reading("FAILED", updated=20.0), since=since
    )

    assert [(t.previous, t.status, t.sequence) for t in seen.transitions] == [("IN_PROGRESS", "FAILED", 3)]


def test_a_reading_passed_as_since_counts_as_undated_where_its_date_is_absurd() -> None:
    absurd = reading("IN_PROGRESS", updated=4000 * DAY)
    since = Position.of(absurd, session_id=SESSION_ID)

    assert since.updated_at is None
    assert statuses(history(reading("FAILED", updated=9.0), since=since)) == ["FAILED"]


@pytest.mark.parametrize("name", ["updated_at", "expires_at"])
def test_a_since_with_a_naive_date_is_refused_by_name(name: str) -> None:
    dates: dict[str, Any] = {name: datetime(2026, 3, 2, 9)}  # noqa: DTZ001  # that is the point
    naive = attrs.evolve(reading(), **dates)

    with pytest.raises(ConfigurationError, match=rf"since\.{name} has no time zone"):
        Position.of(naive, session_id=SESSION_ID)


def test_the_position_of_since_is_known_until_the_first_reading() -> None:
    since = Position.of(reading("WAITING", updated=5.0, expires=90.0), session_id=SESSION_ID)
    seen = history(since=since)
    read = reading("WAITING", updated=6.0)

    assert (seen.is_seen, seen.known) == (True, reading("WAITING", updated=5.0, expires=90.0, read=None))
    seen.observe(read, is_last=False)
    assert seen.known is read


def test_a_reading_without_an_id_can_be_passed_as_since_for_any_session() -> None:
    since = Position.of(attrs.evolve(reading(), session_id=None), session_id=SESSION_ID)

    assert since.session_id == SESSION_ID


# -- transitions --------------------------------------------------------------------------------------------------


def a_transition() -> Transition:
    seen = history(reading("IN_PROGRESS"), reading("COMPLETED", updated=9.0, authorization_token="tok-secret"))
    return seen.transitions[-1]


def test_a_transition_survives_pickle_and_copy() -> None:
    transition = a_transition()

    for twin in (pickle.loads(pickle.dumps(transition)), copy.deepcopy(transition), copy.copy(transition)):
        assert twin == transition
        assert hash(twin) == hash(transition)


def test_a_transition_is_frozen_and_shows_no_secret() -> None:
    transition = a_transition()

    assert "tok-secret" not in repr(transition)
    assert "tok-secret" not in transition.token
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        transition.sequence = 2  # type: ignore[misc]  # that is the point
