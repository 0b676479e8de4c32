"""Which error is raised for an answer."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from hpp_async import (
    AuthenticationError,
    NotProcessedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
)
from hpp_async._core.provider_clock import Dated
from hpp_async._http.connections import Connection
from hpp_async._http.errors import Subject, response_error
from hpp_async._http.exchange import Answer

DATED = Dated(datetime(2026, 1, 15, 12, tzinfo=UTC))
CLIENT = httpx.AsyncClient()


def error_of(status_code: int, headers: dict[bytes, bytes] | None = None, body: bytes | None = b"") -> ResponseError:
    connection = Connection(CLIENT, CLIENT.send)
    answer = Answer(status_code=status_code, headers=headers or {}, body=body, connection=connection)
    return response_error(Subject.session("session"), answer, dated=DATED, correlation_id="of-header")


@pytest.mark.parametrize(
    ("status_code", "kind", "is_transient"),
    [
        (302, ResponseError, False),
        (400, ResponseError, False),
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (404, SessionNotFoundError, False),
        (408, NotProcessedError, True),
        (421, NotProcessedError, True),
        (425, NotProcessedError, True),
        (429, RateLimitedError, True),
        (500, ServerError, True),
        (503, ServerError, True),
        (599, ServerError, True),
    ],
)
def test_a_status_has_its_error(status_code: int, kind: type[ResponseError], is_transient: bool) -> None:
    error = error_of(status_code)

    assert type(error) is kind
    assert (error.status_code, error.is_transient, error.correlation_id) == (status_code, is_transient, "of-header")


def test_a_correlation_id_in_the_body_goes_first() -> None:
    error = error_of(400, body=b'{"error_code": "BAD_VALUE", "correlation_id": "of-body"}')

    assert (error.error_code, error.correlation_id) == ("BAD_VALUE", "of-body")
    assert str(error).endswith("(correlation id of-body)")


@pytest.mark.parametrize(
    ("status_code", "headers", "retry_after"),
    [
        (503, {b"retry-after": b"3"}, 3.0),
        (425, {b"retry-after": b"0.5"}, 0.5),
        (503, {b"retry-after": b"soon"}, None),
        (503, {b"retry-after": b"-1"}, None),
        (503, {b"retry-after": b"inf"}, None),
        (503, {b"x-ratelimit-reset": b"1"}, None),
        (429, {b"x-ratelimit-reset": b"1", b"retry-after": b"3"}, 3.0),
        (429, {b"x-ratelimit-reset": b"4", b"retry-after": b"3"}, 4.0),
        (
            503,
            {b"date": b"Thu, 15 Jan 2026 12:00:00 GMT", b"retry-after": b"Thu, 15 Jan 2026 12:00:07 GMT"},
            7.0,
        ),
    ],
)
def test_an_answer_says_when_to_try_again(
    status_code: int, headers: dict[bytes, bytes], retry_after: float | None
) -> None:
    assert error_of(status_code, headers).retry_after == retry_after
