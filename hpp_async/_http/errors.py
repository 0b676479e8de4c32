"""Makes the error for an answer that is no success, and for no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

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


@attrs.frozen(kw_only=True)
class Subject:
    """
    What a request is about, for its errors.

    Attributes:
        said: how messages begin.
        session_id: the session, if there is one yet.
        advice: what to do about an error code, or else about a status code; those that are missing have the advice for
            a read.
    """

    said: str
    session_id: str | None = None
    advice: Mapping[int | str | None, str] = attrs.field(factory=dict[int | str | None, str])

    @classmethod
    def session(cls, session_id: str) -> Subject:
        """Return the subject of a request for a session."""
        return cls(said=f"session {session_id}", session_id=session_id)


def transport_error(subject: Subject, failure: NoAnswer) -> TransportError:
    """Return the error for *failure*. The caller raises it ``from failure.cause``."""
    return TransportError(
        f"{subject.said}: {failure.message}",
        session_id=subject.session_id,
        reason=failure.reason,
        is_dropped=failure.is_dropped,
    )


def response_error(subject: Subject, answer: Answer, *, dated: Dated, correlation_id: str | None) -> ResponseError:
    """Return the error for *answer*, which is no success. A correlation id in its body goes before *correlation_id*."""
    details = decode_error(answer.body or b"")
    correlation_id = details.correlation_id or correlation_id
    said = f"{answer.status_code} {details.error_code}" if details.error_code else str(answer.status_code)

    kind, advice = _kind_of(answer.status_code)
    advice = subject.advice.get(details.error_code) or subject.advice.get(answer.status_code, advice)
    return kind(
        f"{subject.said}: {said}: {advice}{support(correlation_id)}",
        session_id=subject.session_id,
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
            return AuthenticationError, "check the credentials, their region and environment, and their rights"
        case 404:
            return SessionNotFoundError, "expired, or unknown to this region, environment and merchant"
        case _ if status_code == _LIMITED:
            return RateLimitedError, "the merchant's quota of requests is used up for the moment"
        case 408 | 421 | 425:
            return NotProcessedError, "a gateway did not pass the request on"
        case _ if status_code >= 500:
            return ServerError, "the provider could not answer"
        case _:
            return ResponseError, "an unexpected answer; is there a proxy in between?"


def retry_after(answer: Answer, dated: Dated) -> float | None:
    """
    Return the seconds after which the answer invites another request; ``None`` if it says nothing of that.

    No Retry-After is documented for this API, but gateways send it, as seconds or as a date. The reset of the quota is
    in every answer, and counts as a hint only in a 429. Of two hints the larger counts.
    """
    # The date in Retry-After is by the clock of the machine that sent it, and so is the answer's Date.
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
    """Return the end of a message, with the id by which the provider's support finds the exchange, if there is one."""
    return "" if correlation_id is None else f" (correlation id {correlation_id})"
