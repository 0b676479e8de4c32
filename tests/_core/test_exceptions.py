"""The tree of errors: each can be pickled, and none shows more than its message."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from support.histories import at, reading

import hpp_async
from hpp_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ExpiryUnknownError,
    HPPError,
    NotProcessedError,
    OrderRefusedError,
    OutageError,
    RateLimitedError,
    ReadError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    SessionVanishedError,
    TransportError,
    UnexpectedPayloadError,
    WaitError,
    WaitTimeoutError,
)

LIMITED = RateLimitedError(
    "session id: 429",
    session_id="id",
    status_code=429,
    retry_after=2.5,
    error_code="TOO_MANY_REQUESTS",
    error_messages=("Too many requests",),
    correlation_id="corr-429",
    read_at=at(0.0),
)
ERRORS: list[HPPError] = [
    HPPError("root"),
    ConfigurationError("change this"),
    ClientClosedError("closed"),
    ReadError("read", session_id="id"),
    TransportError("no answer", session_id="id"),
    UnexpectedPayloadError("odd", session_id="id", correlation_id="corr-200", read_at=at(1.0)),
    ResponseError("400", session_id="id", status_code=400, error_code="BAD_VALUE", error_messages=("one", "two")),
    AuthenticationError("401", session_id="id", status_code=401, correlation_id="corr-401"),
    SessionNotFoundError("404", session_id="id", status_code=404),
    LIMITED,
    NotProcessedError("408", session_id="id", status_code=408),
    OrderRefusedError("409", reason="mismatch", session_id=None, status_code=409),
    ServerError("503", session_id="id", status_code=503, read_at=at(2.0), retry_after=30.0),
    WaitError("wait", session_id="id"),
    WaitTimeoutError("late", session_id="id", latest=reading(correlation_id="corr-1"), token="hpp1:…", reads=7),
    SessionVanishedError(
        "gone", session_id="id", last_error=SessionNotFoundError("x", session_id="i", status_code=404)
    ),
    ExpiryUnknownError("72 hours", session_id="id", latest=reading(), reads=300),
    OutageError("out", session_id="id", latest=reading(), reads=3, last_error=LIMITED),
]
every = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def state(error: BaseException | None) -> object:
    """Return the attributes of *error*, and those of errors in it: errors themselves compare by identity."""
    if not isinstance(error, HPPError):
        return error
    asked = {name: state(value) if name == "last_error" else value for name, value in vars(error).items()}
    return type(error), str(error), error.args, error.is_transient, getattr(error, "correlation_id", None), asked


def test_the_tree_of_errors_is_as_the_design_draws_it() -> None:
    tree = {kind: kind.__mro__[1:] for kind in map(type, ERRORS)}
    parents = {kind.__name__: [base.__name__ for base in kind.__bases__] for kind in tree}

    assert parents == {
        "HPPError": ["Exception"],
        "ConfigurationError": ["HPPError", "ValueError"],
        "ClientClosedError": ["HPPError"],
        "ReadError": ["HPPError"],
        "TransportError": ["ReadError"],
        "UnexpectedPayloadError": ["ReadError"],
        "ResponseError": ["ReadError"],
        "AuthenticationError": ["ResponseError"],
        "SessionNotFoundError": ["ResponseError"],
        "RateLimitedError": ["ResponseError"],
        "NotProcessedError": ["ResponseError"],
        "OrderRefusedError": ["ResponseError"],
        "ServerError": ["ResponseError"],
        "WaitError": ["HPPError"],
        "WaitTimeoutError": ["WaitError", "TimeoutError"],
        "SessionVanishedError": ["WaitError"],
        "ExpiryUnknownError": ["WaitError"],
        "OutageError": ["WaitError"],
    }


def test_every_public_error_is_tested_here() -> None:
    public = {name for name in hpp_async.__all__ if name.endswith("Error")}

    assert public == {type(error).__name__ for error in ERRORS}


def test_errors_carry_the_attributes_to_branch_on() -> None:
    outage = ERRORS[-1]

    assert vars(LIMITED) == {
        "session_id": "id",
        "status_code": 429,
        "error_code": "TOO_MANY_REQUESTS",
        "error_messages": ("Too many requests",),
        "retry_after": 2.5,
        "correlation_id": "corr-429",
        "read_at": at(0.0),
    }
    assert vars(outage) == {
        "session_id": "id",
        "latest": reading(),
        "token": None,
        "reads": 3,
        "last_error": LIMITED,
    }
    assert vars(TransportError("dropped", session_id="id", is_dropped=True))["is_dropped"]


def test_attributes_that_are_not_known_are_none() -> None:
    assert vars(ResponseError("400", session_id="id", status_code=400)) == {
        "session_id": "id",
        "status_code": 400,
        "error_code": None,
        "error_messages": (),
        "correlation_id": None,
        "read_at": None,
        "retry_after": None,
    }
    assert vars(WaitError("wait", session_id="id")) == {
        "session_id": "id",
        "latest": None,
        "token": None,
        "reads": 0,
        "last_error": None,
    }
    assert not TransportError("no answer", session_id="id").is_dropped


@every
def test_an_error_survives_pickle_and_copy_with_all_its_attributes(error: HPPError) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert state(pickle.loads(pickle.dumps(error, protocol))) == state(error)
    for twin in (copy.copy(error), copy.deepcopy(error)):
        assert twin is not error
        assert state(twin) == state(error)


@every
def test_notes_survive_pickle_and_copy(error: HPPError) -> None:
    noted = copy.copy(error)
    noted.add_note("seen by the worker in Malmö")

    assert pickle.loads(pickle.dumps(noted)).__notes__ == ["seen by the worker in Malmö"]


@every
def test_str_and_repr_of_an_error_show_its_message_and_nothing_else(error: HPPError) -> None:
    message = str(error.args[0])

    assert str(error) == message
    assert repr(error) == f"{type(error).__name__}({message!r})"
    assert traceback.format_exception_only(error)[0].endswith(f"{type(error).__name__}: {message}\n")


def test_failures_that_another_attempt_may_cure_are_transient() -> None:
    assert {type(error) for error in ERRORS if error.is_transient} == {
        TransportError,
        UnexpectedPayloadError,
        RateLimitedError,
        NotProcessedError,
        ServerError,
    }


def test_a_wait_that_timed_out_is_caught_as_any_timeout() -> None:
    with pytest.raises(TimeoutError) as caught:
        raise WaitTimeoutError("late", session_id="id", reads=3)

    assert isinstance(caught.value, WaitTimeoutError)
    assert (caught.value.errno, caught.value.reads) == (None, 3)


def test_a_refused_argument_is_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="change this"):
        raise ConfigurationError("change this")


@pytest.mark.parametrize(
    ("error", "correlation_id"),
    [
        (WaitError("x", session_id="id"), None),
        (WaitError("x", session_id="id", latest=reading(correlation_id="corr-r")), "corr-r"),
        (WaitError("x", session_id="id", latest=reading(correlation_id="corr-r"), last_error=LIMITED), "corr-429"),
        (WaitError("x", session_id="id", latest=reading(correlation_id="corr-r"), last_error=ERRORS[4]), "corr-r"),
        (WaitError("x", session_id="id", last_error=ClientClosedError("closed")), None),
    ],
)
def test_a_wait_that_failed_knows_the_last_correlation_id(error: WaitError, correlation_id: str | None) -> None:
    assert error.correlation_id == correlation_id


@pytest.mark.parametrize(
    ("code", "speaks"),
    [
        ("SESSION_COMPLETED", True),
        ("session_completed", True),
        ("ALREADY_COMPLETE", True),
        ("NOT_FOUND", False),
        ("SESSION_INCOMPLETE", False),
        (None, False),
        ("", False),
    ],
)
def test_some_404s_speak_of_completion(code: str | None, speaks: bool) -> None:
    error = SessionNotFoundError("404", session_id="id", status_code=404, error_code=code)

    assert error.speaks_of_completion is speaks
