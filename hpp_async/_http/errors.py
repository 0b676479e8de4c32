"""Which error stands for an answer other than the one asked for, or for no answer."""

from __future__ import annotations

from typing import Final

from hpp_async._core.exceptions import (
    AuthenticationError,
    NotProcessedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    TransportError,
)
from hpp_async._core.provider_clock import Dated, parse_date
from hpp_async._http.codec import decode_error
from hpp_async._http.exchange import Answer
from hpp_async._http.reasons import NoAnswer

_LIMITED: Final = 429


def transport_error(session_id: str, failure: NoAnswer) -> TransportError:
    """Return the error for *failure*; raise it from its cause."""
    return TransportError(
        f"session {session_id}: {failure.said}",
        session_id=session_id,
        reason=failure.reason,
        is_dropped=failure.is_dropped,
    )


def response_error(session_id: str, answer: Answer, *, dated: Dated, correlation_id: str | None) -> ResponseError:
    """Return the error that *answer*, which is no success, stands for; a correlation id in its body goes first."""
    details = decode_error(answer.body or b"")
    correlation_id = details.correlation_id or correlation_id
    said = f"{answer.status_code} {details.error_code}" if details.error_code else str(answer.status_code)

    kind, advice = _kind_of(answer.status_code)
    return kind(
        f"session {session_id}: {said}: {advice}{support(correlation_id)}",
        session_id=session_id,
        status_code=answer.status_code,
        error_code=details.error_code,
        error_messages=details.error_messages,
        correlation_id=correlation_id,
        read_at=dated.by_provider,
        retry_after=retry_after(answer, dated),
    )


def _kind_of(status_code: int) -> tuple[type[ResponseError], str]:
    match status_code:
        case 401 | 403:
            return AuthenticationError, "check credentials, region and environment, and the right to read sessions"
        case 404:
            return SessionNotFoundError, "expired, or unknown to this region, environment and merchant"
        case _ if status_code == _LIMITED:
            return RateLimitedError, "the merchant's requests are used up for the moment"
        case 408 | 421 | 425:
            return NotProcessedError, "a gateway did not let the request through"
        case _ if status_code >= 500:
            return ServerError, "the provider could not answer"
        case _:
            return ResponseError, "not an answer to a read; is there a proxy in between?"


def retry_after(answer: Answer, dated: Dated) -> float | None:
    """
    Return the seconds until the provider expects to answer again; ``None`` without a hint.

    No Retry-After is documented for this API; gateways send it, as seconds or as a date. The reset of the quota is a
    hint in a 429 only, and then the larger of the two counts: every other answer has one, too.
    """
    # A date is by the clock of the machine that names it, whatever time it is at the provider.
    said_at = parse_date(answer.header(b"date") or "") or dated.at
    hints: list[float] = []
    for header in (b"x-ratelimit-reset", b"retry-after") if answer.status_code == _LIMITED else (b"retry-after",):
        value = answer.header(header) or ""
        try:
            hints.append(float(value))
        except ValueError:
            date = parse_date(value)
            if date is not None:
                hints.append((date - said_at).total_seconds())
    usable = [hint for hint in hints if 0 <= hint < float("inf")]
    return max(usable, default=None)


def support(correlation_id: str | None) -> str:
    """Return the end of a message that names the exchange to the provider's support."""
    return "" if correlation_id is None else f" (correlation id {correlation_id})"
