"""Answers over HTTP: good answers, errors in each of their forms, and answers that faults have changed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final, assert_never

import attrs

from hpp_async._provider.faults import (
    Answered,
    Dateless,
    FaultKind,
    Foreign,
    Garbled,
    Missing,
    Scarce,
    Skewed,
    Throttled,
    Undated,
)
from hpp_async._provider.words import Envelope, Hint


@attrs.frozen(kw_only=True)
class Answer:
    """An answer over HTTP."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes = b""


def headers_at(moment: datetime) -> dict[str, str]:
    """Return the headers that every answer of the provider has, with a new correlation id."""
    return {
        "Date": http_date(moment),
        "Klarna-Correlation-Id": str(uuid.uuid4()),
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
    }


def http_date(moment: datetime) -> str:
    """Return *moment* in the format of HTTP headers."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def respond(status_code: int, headers: Mapping[str, str], body: Mapping[str, object] | None = None) -> Answer:
    """Return an answer with *body* as JSON, or without a body."""
    if body is None:
        return Answer(status_code=status_code, headers=headers)
    headers = {**headers, "Content-Type": "application/json;charset=utf-8"}
    return Answer(status_code=status_code, headers=headers, body=json.dumps(body).encode())


# -- errors ------------------------------------------------------------------------------------------------------------

CODES: Final = {
    401: "UNAUTHORIZED",
    403: "INVALID_OPERATION",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
}
_TYPES: Final = {401: "ACCESS_ERROR", 403: "ACCESS_ERROR", 404: "RESOURCE_NOT_FOUND", 429: "ACCESS_ERROR"}


def error(
    status_code: int,
    headers: Mapping[str, str],
    *,
    code: str | None = None,
    message: str | None = None,
    envelope: Envelope = Envelope.LEGACY,
) -> Answer:
    """Return an error in *envelope*; the default *code* is the one that goes with *status_code*."""
    if code is None:
        code = CODES.get(status_code, "TEMPORARILY_UNAVAILABLE" if status_code >= 500 else "BAD_VALUE")
    correlation_id = headers["Klarna-Correlation-Id"]
    reason = _reason(status_code)
    match envelope:
        case Envelope.LEGACY:
            messages = [] if message is None else [message]
            body = {"error_code": code, "error_messages": messages, "correlation_id": correlation_id}
            return respond(status_code, headers, body)
        case Envelope.NETWORK:
            kind = _TYPES.get(status_code, "TECHNICAL_ERROR" if status_code >= 500 else "INPUT_ERROR")
            network = {"error_id": correlation_id, "error_type": kind, "error_code": code}
            return respond(status_code, headers, {**network, "error_message": message or reason})
        case Envelope.HTML:
            title = f"{status_code} {reason}"
            page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
            return _by_gateway(status_code, headers, "text/html", page)
        case Envelope.TEXT:
            return _by_gateway(status_code, headers, "text/plain", "upstream connect error or disconnect")
        case Envelope.EMPTY:
            return Answer(status_code=status_code, headers=headers)
        case _:
            assert_never(envelope)


def _by_gateway(status_code: int, headers: Mapping[str, str], kind: str, body: str) -> Answer:
    """Return an answer of a gateway in front of the provider; a gateway knows no correlation id of the provider's."""
    known = {name: value for name, value in headers.items() if name != "Klarna-Correlation-Id"}
    return Answer(status_code=status_code, headers={**known, "Content-Type": kind}, body=body.encode())


def _reason(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "Unknown"


# -- faults ------------------------------------------------------------------------------------------------------------


def error_of(kind: Answered | Throttled | Missing, moment: datetime) -> Answer:
    """Return the error that a fault of this *kind* answers with instead of the provider."""
    headers = headers_at(moment)
    match kind:
        case Answered(status_code, more, envelope, code):
            answer = error(status_code, headers, code=code, envelope=envelope)
            has_body = status_code not in (204, 304)  # in HTTP, these have no body
            return attrs.evolve(answer, headers={**answer.headers, **dict(more)}, body=answer.body if has_body else b"")
        case Throttled(seconds, hint, envelope):
            answer = error(429, headers, message="Too many requests", envelope=envelope)
            return attrs.evolve(answer, headers={**answer.headers, **_hint_headers(hint, seconds, moment)})
        case Missing(error_code):
            return error(404, headers, code=error_code, message="Invalid session id")
        case _:
            assert_never(kind)


def _hint_headers(hint: Hint, seconds: float, moment: datetime) -> dict[str, str]:
    """Return the headers in which a 429 asks for a pause of *seconds*."""
    reset = {
        "X-Ratelimit-Limit": "50, 50;w=1",
        "X-Ratelimit-Remaining": "0",
        "X-Ratelimit-Reset": f"{seconds:g}",
    }
    match hint:
        case Hint.RESET:
            return reset
        case Hint.RETRY_AFTER:
            return {"Retry-After": f"{seconds:g}"}
        case Hint.RETRY_AFTER_DATE:
            return {"Retry-After": http_date(moment + timedelta(seconds=seconds))}
        case Hint.BOTH:
            return {**reset, "Retry-After": f"{2 * seconds:g}"}
        case Hint.ODD:
            passed = http_date(moment - timedelta(days=1))
            return {**reset, "X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "-1", "Retry-After": passed}
        case Hint.NONE:
            return {}
        case _:
            assert_never(hint)


def damaged(answer: Answer, kind: FaultKind, moment: datetime) -> Answer:
    """Return *answer* as a fault of this *kind* changes it; faults of the connection leave it unchanged."""
    match kind:
        case Garbled(body) if answer.status_code == 200:
            return attrs.evolve(answer, body=body)
        case Foreign() if answer.status_code == 200:
            return _with_fields(answer, session_id="another-session")
        case Undated() if answer.status_code == 200:
            return _with_fields(answer, updated_at=None, expires_at=None)
        case Dateless():
            return attrs.evolve(answer, headers={name: text for name, text in answer.headers.items() if name != "Date"})
        case Skewed(by):
            return _with_headers(answer, {"Date": http_date(moment + timedelta(seconds=by))})
        case Scarce(limit, remaining, reset):
            return _with_headers(
                answer,
                {
                    "X-Ratelimit-Limit": f"{limit}, {limit};w=1",
                    "X-Ratelimit-Remaining": str(remaining),
                    "X-Ratelimit-Reset": f"{reset:g}",
                },
            )
        case _:
            return answer


def _with_headers(answer: Answer, headers: dict[str, str]) -> Answer:
    return attrs.evolve(answer, headers={**answer.headers, **headers})


def _with_fields(answer: Answer, **fields: object) -> Answer:
    body: dict[str, Any] = json.loads(answer.body)
    body |= fields
    known = {name: value for name, value in body.items() if value is not None}
    return attrs.evolve(answer, body=json.dumps(known).encode())
