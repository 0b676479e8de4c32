"""What the provider said, as a value; and statuses, also those that nobody knows yet."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import at, reading

from hpp_async import FINAL, OUTCOME, Customer, ManualIdentification, Session, SessionStatus
from hpp_async._core.session import is_status

words = st.text(min_size=1, max_size=64).filter(is_status)


# -- statuses -----------------------------------------------------------------------------------------------------


def test_the_stop_sets_are_the_tracking_pages() -> None:
    assert {"COMPLETED", "CANCELLED", "DISABLED"} == FINAL
    assert {"COMPLETED", "CANCELLED", "DISABLED", "FAILED", "ERROR"} == OUTCOME


@pytest.mark.parametrize("status", SessionStatus)
def test_a_known_status_is_recognized_and_final_where_the_provider_says_so(status: SessionStatus) -> None:
    assert status.is_recognized
    assert status.is_final is (status in FINAL)


@pytest.mark.parametrize("word", ["AWAITING_3DS", "completed", "COMPLETE", "CANCELED", "TIMEOUT", " COMPLETED", "Å"])
def test_an_unknown_status_survives_as_it_came_and_ends_nothing(word: str) -> None:
    status = SessionStatus(word)

    assert (str(status), status.value, status.name) == (word, word, word)
    assert (status.is_recognized, status.is_final, status in OUTCOME) == (False, False, False)


@given(words, words)
def test_statuses_are_equal_as_their_words_are(one: str, other: str) -> None:
    """So they work as keys beside plain strings, whether this version knows them or not."""
    assert (SessionStatus(one) == SessionStatus(other)) is (one == other)
    assert SessionStatus(one) == one
    assert hash(SessionStatus(one)) == hash(one)
    assert {SessionStatus(one): 1}[one] == 1  # type: ignore[index]  # a plain string finds it


@given(words)
def test_unknown_statuses_survive_pickle_and_copy(word: str) -> None:
    """Workers ship them, also to a process that has never seen the word."""
    status = SessionStatus(word)
    for twin in (pickle.loads(pickle.dumps(status)), copy.copy(status), copy.deepcopy(status)):
        assert (twin, type(twin), twin.value) == (status, SessionStatus, word)


def test_unknown_statuses_are_not_registered() -> None:
    before = list(SessionStatus)
    for number in range(100):
        SessionStatus(f"NEW_{number}")

    assert list(SessionStatus) == before
    assert "NEW_1" not in SessionStatus.__members__
    assert "NEW_1" not in SessionStatus._value2member_map_


@pytest.mark.parametrize("value", [None, 5, b"WAITING", ["WAITING"], 1.5])
def test_what_is_no_text_is_no_status(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid SessionStatus"):
        SessionStatus(value)  # type: ignore[arg-type]  # what a decoder may pass


@pytest.mark.parametrize("text", ["", " ", "\t", "A\nB", "A\x00", "A\ud800", "A" * 65, "A\u2028"])
def test_what_could_forge_a_log_line_cannot_be_a_status(text: str) -> None:
    assert not is_status(text)
    assert is_status("A" * 64)


# -- sessions -----------------------------------------------------------------------------------------------------


def secret_session() -> Session:
    customer = Customer(
        date_of_birth="1987-01-02",
        family_name="Nordqvist-Marker",
        given_name="Pelle-Marker",
        national_identification_number="870102-Marker",
        title="Dr-Marker",
    )
    return reading(
        "COMPLETED",
        expires=9000.0,
        authorization_token="tok-Marker",
        order_id="ord-1",
        klarna_reference="REF1",
        customer=customer,
        manual_identification=ManualIdentification(
            challenge="A7-Marker", customer=customer, customer_obfuscated=customer, expires_at=at(60.0)
        ),
        correlation_id="corr-1",
        raw={"authorization_token": "tok-Marker", "new": "Marker"},
    )


def test_no_repr_shows_tokens_or_personal_data() -> None:
    session = secret_session()
    shown = "".join(map(repr, [session, session.customer, session.manual_identification])) + str(session)

    assert "Marker" not in shown
    assert "1987" not in shown
    assert "ord-1" in shown


def test_a_session_survives_pickle_and_copy_with_all_it_has() -> None:
    session = secret_session()

    for twin in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session)):
        assert twin == session
        assert twin.raw == session.raw
        assert hash(twin) == hash(session)


def test_sessions_are_equal_as_what_was_understood_of_them() -> None:
    assert reading(raw={"new": 1}) == reading(raw={"new": 2})


def test_what_came_can_be_given_and_replaced() -> None:
    session = reading(raw={"new": 1})

    assert session.raw == {"new": 1}
    assert attrs.evolve(session, order_id="ord-1").raw == {"new": 1}
    assert attrs.evolve(session, raw={"new": 2}).raw == {"new": 2}


def test_only_the_status_is_needed() -> None:
    session = Session(status=SessionStatus.WAITING)
    others = {name: value for name, value in attrs.asdict(session).items() if name not in ("status", "_raw")}

    assert set(others.values()) == {None}
    assert session.raw == {}


@pytest.mark.parametrize("value", [secret_session(), Customer(), ManualIdentification()], ids=type)
def test_what_was_observed_is_frozen(value: object) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.expires_at = None  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize(
    ("session", "expires_in", "age"),
    [
        (reading(updated=0.0, expires=100.0, read=40.0), 60.0, 40.0),
        (reading(updated=50.0, expires=30.0, read=40.0), -10.0, -10.0),
        (reading(updated=None, expires=None, read=40.0), None, None),
        (reading(updated=0.0, expires=100.0, read=None), None, None),
    ],
)
def test_distances_are_measured_on_the_providers_clock(
    session: Session, expires_in: float | None, age: float | None
) -> None:
    assert (session.expires_in, session.age) == (expires_in, age)


def test_the_ends_of_time_can_be_measured() -> None:
    session = attrs.evolve(
        reading(),
        updated_at=datetime.min.replace(tzinfo=UTC),
        read_at=at(0.0),
        expires_at=datetime.max.replace(tzinfo=UTC),
    )

    assert session.age is not None
    assert session.expires_in is not None
    assert session.age > 0 < session.expires_in
