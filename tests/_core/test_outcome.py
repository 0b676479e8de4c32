"""Which outcome each status gives, and what each outcome says."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any, assert_never

import attrs
import cattrs
import pytest
from support.histories import START, at, reading

from hpp_async import (
    AnyOutcome,
    Authorization,
    Cancelled,
    Completed,
    Disabled,
    Errored,
    Expired,
    Failed,
    HPPError,
    OutageError,
    Outcome,
    PlacedOrder,
    Session,
    SessionStatus,
    Stopped,
    Transition,
    WatchEvent,
)
from hpp_async._core.history import History
from hpp_async._core.outcome import outcome_of


def outcome(status: str, **fields: Any) -> AnyOutcome:
    return outcome_of(reading(status, **fields), ())


@pytest.mark.parametrize(
    ("status", "kind", "is_final"),
    [
        ("COMPLETED", Completed, True),
        ("FAILED", Failed, False),
        ("CANCELLED", Cancelled, True),
        ("ERROR", Errored, False),
        ("DISABLED", Disabled, True),
        ("BACK", Stopped, False),
        ("AWAITING_3DS", Stopped, False),
        ("completed", Stopped, False),
    ],
)
def test_each_status_has_its_outcome(status: str, kind: type[Outcome], is_final: bool) -> None:
    decided = outcome(status)

    assert type(decided) is kind
    assert (decided.status, decided.is_final) == (status, is_final)


def test_the_base_class_of_outcomes_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="instantiate one of them"):
        Outcome(session=reading())


def test_expired_is_an_outcome_like_the_others() -> None:
    expired = Expired(session=reading(), confirmed=True)

    assert isinstance(expired, Outcome)
    assert isinstance(expired, AnyOutcome)


TOKEN = {"authorization_token": "tok-1"}
ORDER = {"order_id": "ord-1", "klarna_reference": "REF1"}


@pytest.mark.parametrize(
    ("fields", "payment"),
    [
        (TOKEN, Authorization(token="tok-1", expires_at=at(3630.0))),
        (ORDER, PlacedOrder(order_id="ord-1", klarna_reference="REF1")),
        (TOKEN | ORDER, PlacedOrder(order_id="ord-1", klarna_reference="REF1")),
        ({"order_id": "ord-1"}, PlacedOrder(order_id="ord-1")),
        ({"klarna_reference": "REF1"}, None),
        ({}, None),
    ],
    ids=["token", "order", "both", "order without reference", "reference alone", "neither"],
)
def test_completed_has_the_payment_to_book(fields: dict[str, str], payment: PlacedOrder | Authorization | None) -> None:
    paid = outcome("COMPLETED", updated=30.0, **fields)

    assert isinstance(paid, Completed)
    assert paid.payment == payment
    assert paid.needs_attention is (payment is None)


@pytest.mark.parametrize("fields", [TOKEN, ORDER, {}], ids=["token", "order", "neither"])
def test_a_payment_can_be_matched_by_its_class(fields: dict[str, str]) -> None:
    match outcome("COMPLETED", **fields):
        case Completed(payment=PlacedOrder(order_id=order_id)):
            assert fields["order_id"] == order_id
        case Completed(payment=Authorization(token=token)):
            assert fields["authorization_token"] == token
        case Completed():
            assert not fields
        case Failed() | Cancelled() | Errored() | Disabled() | Expired() | Stopped():
            raise AssertionError
        case _ as never:
            assert_never(never)


@pytest.mark.parametrize("updated_at", [None, datetime(9999, 12, 31, 23, 30, tzinfo=UTC)], ids=["none", "the last"])
def test_without_a_usable_date_the_expiry_of_an_authorization_is_not_known(updated_at: datetime | None) -> None:
    session = reading("COMPLETED", authorization_token="tok-1")
    paid = outcome_of(attrs.evolve(session, updated_at=updated_at), ())

    assert isinstance(paid, Completed)
    assert paid.payment == Authorization(token="tok-1", expires_at=None)


def test_no_copy_and_no_repr_of_an_authorization_shows_its_token() -> None:
    authorization = Authorization(token="tok-1", expires_at=None)

    assert "tok-1" not in f"{authorization} {attrs.asdict(authorization)} {attrs.astuple(authorization)}"
    assert pickle.loads(pickle.dumps(authorization)) == copy.deepcopy(authorization) == authorization
    assert hash(copy.deepcopy(authorization)) == hash(authorization)
    assert authorization != Authorization(token="tok-2")


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "ERROR", "DISABLED", "BACK"])
def test_other_outcomes_need_no_attention(status: str) -> None:
    assert not outcome(status).needs_attention


@pytest.mark.parametrize(
    ("session", "needs_attention"),
    [
        (reading("WAITING"), False),
        (reading("FAILED"), False),
        (reading("completed"), True),
        (reading("AWAITING_3DS"), True),
        (reading("COMPLETED"), True),
        (reading("IN_PROGRESS", order_id="ord-1"), True),
        (reading("IN_PROGRESS", authorization_token="tok-1"), True),
    ],
    ids=["waiting", "failed", "odd spelling", "unknown", "known as completed", "with order", "with token"],
)
def test_an_expired_session_that_may_have_been_paid_needs_attention(session: Session, needs_attention: bool) -> None:
    expired = Expired(session=session, confirmed=True)

    assert (expired.is_final, expired.needs_attention) == (True, needs_attention)


def test_an_expired_session_keeps_the_last_status_that_was_seen() -> None:
    assert Expired(session=reading("IN_PROGRESS"), confirmed=False).status == SessionStatus.IN_PROGRESS


@pytest.mark.parametrize(
    "decided",
    [
        outcome("COMPLETED", authorization_token="tok-secret"),
        outcome("FAILED"),
        outcome("CANCELLED"),
        outcome("ERROR"),
        outcome("DISABLED"),
        outcome("SOMETHING_NEW"),
        Expired(session=reading("WAITING"), confirmed=True),
    ],
    ids=lambda decided: type(decided).__name__,
)
def test_outcomes_are_frozen_and_survive_pickle_and_copy(decided: Outcome) -> None:
    for twin in (pickle.loads(pickle.dumps(decided)), copy.deepcopy(decided)):
        assert twin == decided
        assert type(twin) is type(decided)
        assert hash(twin) == hash(decided)
    assert "tok-secret" not in repr(decided)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decided.session = reading()  # type: ignore[misc]  # that is the point


def test_an_outcome_has_the_transitions_that_led_to_it() -> None:
    paid = reading("COMPLETED", updated=5.0)
    decided = outcome_of(paid, seen(reading("WAITING"), paid).transitions)

    assert [transition.status for transition in decided.transitions] == ["WAITING", "COMPLETED"]
    assert decided.session.updated_at == at(5.0) > START


# -- as text, and as plain data -----------------------------------------------------------------------------------


def seen(*readings: Session) -> History:
    history = History(session_id="session")
    for number, session in enumerate(readings, 1):
        history.observe(session, is_last=number == len(readings))
    return history


SECRET = reading("COMPLETED", updated=5.0, authorization_token="tok-Marker", raw={"new": "Marker"})


def test_an_outcome_and_its_transitions_have_a_repr_of_one_line_each() -> None:
    transitions = seen(reading("WAITING"), SECRET).transitions

    assert repr(outcome_of(SECRET, transitions)) == "<Completed session 0d6c1f52-hist-4b1e: COMPLETED, 2 transitions>"
    assert repr(outcome("COMPLETED")) == (
        "<Completed session 0d6c1f52-hist-4b1e: COMPLETED, 0 transitions, needs attention>"
    )
    assert repr(Expired(session=reading("NEW"), confirmed=True, transitions=transitions[:1])) == (
        "<Expired session 0d6c1f52-hist-4b1e: NEW, 1 transition, needs attention>"
    )
    assert [repr(transition) for transition in transitions] == [
        "<Transition 1 of session 0d6c1f52-hist-4b1e: None -> WAITING>",
        "<Transition 2 of session 0d6c1f52-hist-4b1e: WAITING -> COMPLETED, the last>",
    ]


def test_an_outcome_becomes_plain_data_without_its_secrets() -> None:
    paid = outcome_of(SECRET, seen(SECRET).transitions)
    data = paid.to_dict()

    assert json.loads(json.dumps(data)) == data
    assert data == SECRET.to_dict() | {
        "type": "outcome",
        "outcome": "Completed",
        "is_final": True,
        "needs_attention": False,
        "confirmed": None,
    }
    assert paid.to_dict(show_secrets=True)["authorization_token"] == "tok-Marker"


def test_the_plain_data_of_an_expiry_say_whether_it_is_confirmed() -> None:
    assert Expired(session=reading(), confirmed=False).to_dict()["confirmed"] is False


def test_a_transition_becomes_plain_data_without_its_secrets() -> None:
    first, second = seen(reading("WAITING"), SECRET).transitions
    data = second.to_dict()

    assert json.loads(json.dumps(data)) == data
    assert data == SECRET.to_dict() | {
        "type": "transition",
        "previous": "WAITING",
        "sequence": 2,
        "is_last": True,
        "token": second.token,
    }
    assert first.to_dict()["previous"] is None
    assert second.to_dict(show_secrets=True)["authorization_token"] == "tok-Marker"


NEWS = [
    seen(SECRET).transitions[0],
    outcome_of(SECRET, seen(SECRET).transitions),
    OutageError("out", session_id="session"),
]


@pytest.mark.parametrize("news", NEWS, ids=lambda news: type(news).__name__)
def test_an_event_has_a_short_repr_and_becomes_plain_data_without_its_secrets(
    news: Transition | AnyOutcome | HPPError,
) -> None:
    event = WatchEvent(session_id="session", token="hpp1:…", news=news)
    data = event.to_dict()

    assert json.loads(json.dumps(data)) == data
    assert data == {
        "session_id": "session",
        "token": "hpp1:…",
        "is_last": not isinstance(news, Transition),
        "news": news.to_dict(),
    }
    assert len(repr(event)) < 160
    assert "Marker" not in f"{event} {data} {attrs.asdict(event)} {attrs.astuple(event)} {cattrs.unstructure(event)}"
    assert ("tok-Marker" in f"{event.to_dict(show_secrets=True)}") is not isinstance(news, HPPError)


def test_an_error_becomes_plain_data() -> None:
    assert OutageError("out", session_id="session").to_dict() == {
        "type": "error",
        "error": "OutageError",
        "message": "out",
    }
