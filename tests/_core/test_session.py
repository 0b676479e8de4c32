"""A reading as a value, and statuses, including those that are not known yet."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime

import attrs
import cattrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import at, reading

from hpp_async import (
    FINAL,
    OUTCOME,
    ConfigurationError,
    Customer,
    ManualIdentification,
    Session,
    SessionStatus,
    UnknownStatus,
)
from hpp_async._core.session import is_status, status_of

words = st.text(min_size=1, max_size=64).filter(is_status)
unknown_words = words.filter(lambda word: word not in SessionStatus.__members__)

NEW = ["AWAITING_3DS", "completed", "COMPLETE", "CANCELED", "TIMEOUT", " COMPLETED", "Å"]


# -- statuses -----------------------------------------------------------------------------------------------------


def test_the_stop_sets_are_those_of_the_tracking_page() -> None:
    assert {"COMPLETED", "CANCELLED", "DISABLED"} == FINAL
    assert {"COMPLETED", "CANCELLED", "DISABLED", "FAILED", "ERROR"} == OUTCOME


@pytest.mark.parametrize("status", SessionStatus)
def test_a_known_status_is_recognized_and_final_where_the_provider_says_so(status: SessionStatus) -> None:
    assert status_of(str(status)) is status_of(status) is status
    assert status.is_recognized
    assert status.is_final is (status in FINAL)


@pytest.mark.parametrize("word", NEW)
def test_an_unknown_status_survives_as_it_came_and_ends_nothing(word: str) -> None:
    status = status_of(word)

    assert (type(status), str(status), type(str(status))) == (UnknownStatus, word, str)
    assert (status.is_recognized, status.is_final, status in OUTCOME) == (False, False, False)


@given(words, words)
def test_statuses_are_equal_where_their_texts_are(one: str, other: str) -> None:
    """They work as keys beside plain strings, whether this version knows them or not."""
    assert (status_of(one) == status_of(other)) is (one == other)
    assert status_of(one) == one
    assert hash(status_of(one)) == hash(one)
    assert {status_of(one): 1}[one] == 1  # type: ignore[index]  # a plain string finds it


def test_an_unknown_status_shows_what_it_is() -> None:
    assert repr(UnknownStatus("SETTLED")) == "UnknownStatus('SETTLED')"


@given(unknown_words)
def test_unknown_statuses_survive_pickle_and_copy(word: str) -> None:
    """Workers send them to other processes, which may never have seen the status."""
    status = UnknownStatus(word)
    for twin in (pickle.loads(pickle.dumps(status)), copy.copy(status), copy.deepcopy(status)):
        assert (twin, type(twin)) == (status, UnknownStatus)
    assert json.loads(json.dumps({status: status})) == {word: word}
    assert json.loads(json.dumps([status])) == cattrs.unstructure([status]) == [word]


def test_a_pickled_unknown_status_is_loaded_as_known_where_it_is_known() -> None:
    rebuild, (word,) = UnknownStatus("SETTLED").__reduce__()

    assert rebuild(word) == "SETTLED"
    assert rebuild("COMPLETED") is SessionStatus.COMPLETED


def test_the_enum_of_known_statuses_is_closed() -> None:
    with pytest.raises(ValueError, match="is not a valid SessionStatus"):
        SessionStatus("NEW")


def test_a_known_status_cannot_be_made_into_an_unknown_one() -> None:
    with pytest.raises(ConfigurationError, match=r"status=WAITING is known: give SessionStatus\.WAITING"):
        UnknownStatus("WAITING")


@pytest.mark.parametrize("value", [None, 5, b"WAITING", ["WAITING"], 1.5, "", "A\nB", "A" * 65, "A" * 999])
def test_a_reading_with_something_that_cannot_be_a_status_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^status=.{1,150}: give a SessionStatus, or up to 64 printable"):
        Session(status=value)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("given", ["WAITING", SessionStatus.WAITING, "NEW", UnknownStatus("NEW")])
def test_a_text_that_is_given_as_the_status_of_a_reading_is_converted(given: str) -> None:
    session = Session(status=given)

    assert type(session.status) is (SessionStatus if given == "WAITING" else UnknownStatus)
    assert session == attrs.evolve(session) == attrs.evolve(session, status=str(given))


@pytest.mark.parametrize("text", ["", " ", "\t", "A\nB", "A\x00", "A\ud800", "A" * 65, "A\u2028"])
def test_text_that_could_forge_a_log_line_cannot_be_a_status(text: str) -> None:
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


def test_a_session_survives_pickle_and_copy_with_all_its_fields() -> None:
    session = secret_session()

    for twin in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session)):
        assert twin == session
        assert twin.raw == session.raw
        assert hash(twin) == hash(session)


def everything_in(session: Session) -> Session:
    return attrs.evolve(session, raw={"authorization_token": "tok-Marker"})


@pytest.mark.parametrize("session", [secret_session(), everything_in(secret_session())], ids=["decoded", "by hand"])
def test_no_function_that_copies_fields_copies_tokens_or_personal_data(session: Session) -> None:
    shown = f"{attrs.asdict(session)} {attrs.astuple(session)} {cattrs.unstructure(session)}"

    assert "Marker" not in shown
    assert "1987" not in shown
    assert "ord-1" in shown


PLAIN = {
    "session_id": "0d6c1f52-hist-4b1e",
    "status": "COMPLETED",
    "updated_at": "2026-03-02T09:00:00.000Z",
    "expires_at": "2026-03-02T11:30:00.000Z",
    "order_id": "ord-1",
    "klarna_reference": "REF1",
    "has_authorization_token": True,
    "correlation_id": "corr-1",
    "read_at": "2026-03-02T09:00:00.000Z",
}
PERSON = {
    "date_of_birth": "1987-01-02",
    "family_name": "Nordqvist-Marker",
    "given_name": "Pelle-Marker",
    "national_identification_number": "870102-Marker",
    "title": "Dr-Marker",
}
SECRETS = {
    "authorization_token": "tok-Marker",
    "customer": PERSON,
    "manual_identification": {
        "challenge": "A7-Marker",
        "customer": PERSON,
        "customer_obfuscated": PERSON,
        "expires_at": "2026-03-02T09:01:00.000Z",
    },
}


def test_a_reading_becomes_plain_data_without_its_secrets() -> None:
    data = secret_session().to_dict()

    assert json.loads(json.dumps(data)) == data == PLAIN
    assert {type(value) for value in data.values()} == {str, bool}


def test_a_reading_shows_its_secrets_where_they_are_asked_for() -> None:
    data = secret_session().to_dict(show_secrets=True)

    assert json.loads(json.dumps(data)) == data == PLAIN | SECRETS


def test_a_reading_with_only_a_status_becomes_plain_data() -> None:
    data = Session(status="NEW").to_dict(show_secrets=True)

    assert data == dict.fromkeys(PLAIN | SECRETS) | {"status": "NEW", "has_authorization_token": False}


def test_raw_does_not_count_for_equality() -> None:
    assert reading(raw={"new": 1}) == reading(raw={"new": 2})


def test_raw_can_be_given_and_replaced() -> None:
    session = reading(raw={"new": 1})

    assert session.raw == {"new": 1}
    assert attrs.evolve(session, order_id="ord-1").raw == {"new": 1}
    assert attrs.evolve(session, raw={"new": 2}).raw == {"new": 2}


def test_only_the_status_is_required() -> None:
    session = Session(status=SessionStatus.WAITING)
    others = {field.name for field in attrs.fields(Session)} - {"status", "_raw"}

    assert {getattr(session, name.removeprefix("_")) for name in others if name != "is_locally_dated"} == {None}
    assert not session.is_locally_dated
    assert session.raw == {}


@pytest.mark.parametrize("value", [secret_session(), Customer(), ManualIdentification()], ids=type)
def test_values_that_were_observed_are_frozen(value: object) -> None:
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
def test_age_and_expires_in_are_measured_by_the_providers_clock(
    session: Session, expires_in: float | None, age: float | None
) -> None:
    assert (session.expires_in, session.age) == (expires_in, age)


def test_the_earliest_and_the_latest_date_can_be_measured() -> None:
    session = attrs.evolve(
        reading(),
        updated_at=datetime.min.replace(tzinfo=UTC),
        read_at=at(0.0),
        expires_at=datetime.max.replace(tzinfo=UTC),
    )

    assert session.age is not None
    assert session.expires_in is not None
    assert session.age > 0 < session.expires_in
