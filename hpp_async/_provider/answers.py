"""What goes back over HTTP: headers, bodies, and every form of an error."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final, assert_never

import attrs


@attrs.frozen(kw_only=True)
class Answer:
    """What goes back over HTTP."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes = b""


class Envelope(StrEnum):
    """The forms in which errors come."""

    LEGACY = "legacy"
    """``{error_code, error_messages, correlation_id}``"""
    NETWORK = "network"
    """The Klarna Network's ``{error_id, error_type, error_code, error_message, doc_url}``"""
    HTML = "html"
    """A gateway's page."""
    TEXT = "text"
    """A proxy's line."""
    EMPTY = "empty"
    """No body."""


class Hint(StrEnum):
    """The forms in which a 429 says how long to stay away."""

    RESET = "reset"
    """``X-Ratelimit-Reset`` in seconds, with ``-Limit`` and ``-Remaining``: the documented one."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    RETRY_AFTER_DATE = "retry-after-date"
    """``Retry-After`` as a date."""
    BOTH = "both"
    """``X-Ratelimit-Reset``, and a ``Retry-After`` of twice that."""
    ODD = "odd"
    """A limit without its window, ``-Remaining: -1``, and a ``Retry-After`` that has passed."""
    NONE = "none"
    """Nothing."""


def headers_at(moment: datetime) -> dict[str, str]:
    """Return what every answer of the provider has, with a correlation id of its own."""
    return {
        "Date": http_date(moment),
        "Klarna-Correlation-Id": str(uuid.uuid4()),
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
    }


def http_date(moment: datetime) -> str:
    """Return *moment* as headers have it."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def respond(status_code: int, headers: Mapping[str, str], body: Mapping[str, object] | None = None) -> Answer:
    """Return an answer with *body* as JSON, or with none."""
    if body is None:
        return Answer(status_code=status_code, headers=headers)
    headers = {**headers, "Content-Type": "application/json;charset=utf-8"}
    return Answer(status_code=status_code, headers=headers, body=json.dumps(body).encode())


def error(
    status_code: int,
    headers: Mapping[str, str],
    *,
    code: str | None = None,
    message: str | None = None,
    envelope: Envelope = Envelope.LEGACY,
) -> Answer:
    """Return an error in the form of *envelope*; without a *code*, with the one that goes with *status_code*."""
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
    """Return an answer of somebody before the provider, who does not know its correlation ids."""
    known = {name: value for name, value in headers.items() if name != "Klarna-Correlation-Id"}
    return Answer(status_code=status_code, headers={**known, "Content-Type": kind}, body=body.encode())


def _reason(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "Unknown"


def hint_headers(hint: Hint, seconds: float, moment: datetime) -> dict[str, str]:
    """Return the headers in which a 429 asks to stay away for *seconds*."""
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


CODES: Final = {
    401: "UNAUTHORIZED",
    403: "INVALID_OPERATION",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
}
_TYPES: Final = {401: "ACCESS_ERROR", 403: "ACCESS_ERROR", 404: "RESOURCE_NOT_FOUND", 429: "ACCESS_ERROR"}
