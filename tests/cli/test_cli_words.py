"""Exit codes, and the words for people."""

from __future__ import annotations

from typing import Any, Final

import attrs
import pytest
from support.commands import SESSION

from hpp_async import (
    AnyOutcome,
    AuthenticationError,
    Cancelled,
    Completed,
    ConfigurationError,
    Disabled,
    Errored,
    Expired,
    Failed,
    HPPError,
    OutageError,
    Outcome,
    ReadFailed,
    Session,
    SessionNotFoundError,
    SessionStatus,
    SessionVanishedError,
    Stopped,
    TransportError,
    WaitTimeoutError,
)
from hpp_async.cli._exits import exit_code
from hpp_async.cli._words import advice, duration, reason, stopped


def outcome_of(kind: type[Outcome], **fields: Any) -> Outcome:
    return kind(session=Session(status=SessionStatus.WAITING, **fields))


EXPIRED: Final = Expired(session=Session(status=SessionStatus.WAITING), confirmed=True)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (outcome_of(Completed), 0),
        (RuntimeError(), 1),
        (ConfigurationError(), 2),
        (outcome_of(Failed), 3),
        (outcome_of(Cancelled), 4),
        (outcome_of(Errored), 5),
        (outcome_of(Disabled), 6),
        (EXPIRED, 7),
        (WaitTimeoutError("", session_id=SESSION), 8),
        (SessionVanishedError("", session_id=SESSION), 9),
        (OutageError("", session_id=SESSION), 10),
        (SessionNotFoundError("", session_id=SESSION, status_code=404), 11),
        (AuthenticationError("", session_id=SESSION, status_code=401), 12),
        (TransportError("", session_id=SESSION), 13),
        (HPPError(), 13),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value),
)
def test_every_ending_has_its_code(ending: object, code: int) -> None:
    assert exit_code(ending) == code


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (outcome_of(Completed, authorization_token="a-secret"), "place the order with the authorization token"),
        (outcome_of(Completed, order_id="an-order"), "fulfil the order"),
        (outcome_of(Completed), "ask the provider"),
        (EXPIRED, "can no longer be paid"),
        (attrs.evolve(EXPIRED, confirmed=False), "look for an order"),
        (attrs.evolve(EXPIRED, session=Session(status="SETTLED")), "ask the provider"),
        (outcome_of(Stopped), "still open"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Outcome) else value,
)
def test_every_outcome_has_a_next_step(outcome: AnyOutcome, said: str) -> None:
    assert said in advice(outcome)
    assert "a-secret" not in advice(outcome)


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (WaitTimeoutError("", session_id=SESSION), f"session {SESSION} was not read. It may still be paid."),
        (
            OutageError("", session_id=SESSION, last_error=TransportError("", session_id=SESSION)),
            f"session {SESSION} could not be read (TransportError). It may have been paid meanwhile.",
        ),
    ],
    ids=["a time-out", "an outage"],
)
def test_a_wait_that_stopped_says_so_without_advice_to_python_code(
    ending: OutageError | WaitTimeoutError, said: str
) -> None:
    assert stopped(ending) == said


@pytest.mark.parametrize(
    ("message", "said"), [(f"session {SESSION}: no answer from there", "no answer from there"), ("", "HookError")]
)
def test_the_reason_of_a_failed_read_is_the_errors_sentence_or_its_name(message: str, said: str) -> None:
    failure = ReadFailed(
        session_id=SESSION,
        error="HookError",
        message=message,
        correlation_id=None,
        seconds=1.0,
        attempts=1,
        status_code=None,
        host="",
    )

    assert reason(failure) == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (172_000, "47 h 46 min")],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
