"""Which outcome a session has, and what each one says."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from support.histories import START, at, reading

from hpp_async import Cancelled, Completed, Disabled, Errored, Expired, Failed, Outcome, Session, SessionStatus
from hpp_async._core.history import History
from hpp_async._core.outcome import outcome_of


def outcome(status: str, **fields: Any) -> Outcome:
    return outcome_of(reading(status, **fields), ())


@pytest.mark.parametrize(
    ("status", "kind", "is_final"),
    [
        ("COMPLETED", Completed, True),
        ("FAILED", Failed, False),
        ("CANCELLED", Cancelled, True),
        ("ERROR", Errored, False),
        ("DISABLED", Disabled, True),
        ("BACK", Outcome, False),
        ("AWAITING_3DS", Outcome, False),
        ("completed", Outcome, False),
    ],
)
def test_each_status_has_its_outcome(status: str, kind: type[Outcome], is_final: bool) -> None:
    decided = outcome(status)

    assert type(decided) is kind
    assert (decided.status, decided.is_final) == (status, is_final)


def test_an_outcome_matches_on_its_class() -> None:
    match outcome("COMPLETED", authorization_token="tok-1"):
        case Completed(authorization_token=token):
            assert token == "tok-1"
        case _:
            raise AssertionError


def test_completed_has_what_there_is_to_book_with() -> None:
    token = outcome("COMPLETED", authorization_token="tok-1")
    order = outcome("COMPLETED", order_id="ord-1", klarna_reference="REF1")

    assert isinstance(token, Completed)
    assert isinstance(order, Completed)
    assert (token.authorization_token, token.order_id, token.klarna_reference) == ("tok-1", None, None)
    assert (order.authorization_token, order.order_id, order.klarna_reference) == (None, "ord-1", "REF1")
    assert (token.needs_attention, order.needs_attention) == (False, False)


def test_completed_with_neither_token_nor_order_needs_attention() -> None:
    assert outcome("COMPLETED", klarna_reference="REF1").needs_attention


def test_an_authorization_lives_sixty_minutes_from_its_date() -> None:
    paid = outcome("COMPLETED", authorization_token="tok-1", updated=30.0)

    assert isinstance(paid, Completed)
    assert paid.authorization_expires_at == at(3630.0)


@pytest.mark.parametrize(
    "session",
    [
        reading("COMPLETED", order_id="ord-1"),
        reading("COMPLETED", authorization_token="tok-1", updated=None),
        attrs.evolve(
            reading("COMPLETED", authorization_token="tok-1"), updated_at=datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
        ),
    ],
    ids=["no token", "no date", "the end of time"],
)
def test_without_token_or_usable_date_there_is_no_end_of_an_authorization(session: Session) -> None:
    paid = outcome_of(session, ())

    assert isinstance(paid, Completed)
    assert paid.authorization_expires_at is None


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
def test_an_expiry_that_may_hide_a_payment_needs_attention(session: Session, needs_attention: bool) -> None:
    expired = Expired(session=session, confirmed=True)

    assert (expired.is_final, expired.needs_attention) == (True, needs_attention)


def test_an_expiry_keeps_the_last_status_that_was_seen() -> None:
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
def test_outcomes_are_values_that_can_be_shipped(decided: Outcome) -> None:
    for twin in (pickle.loads(pickle.dumps(decided)), copy.deepcopy(decided)):
        assert twin == decided
        assert type(twin) is type(decided)
        assert hash(twin) == hash(decided)
    assert "tok-secret" not in repr(decided)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decided.session = reading()  # type: ignore[misc]  # that is the point


def test_an_outcome_keeps_the_way_there() -> None:
    seen = History(session_id="session")
    seen.observe(reading("WAITING"), is_last=False)
    seen.observe(reading("COMPLETED", updated=5.0), is_last=True)
    decided = outcome_of(reading("COMPLETED", updated=5.0), tuple(seen.transitions))

    assert [transition.status for transition in decided.transitions] == ["WAITING", "COMPLETED"]
    assert decided.session.updated_at == at(5.0) > START
