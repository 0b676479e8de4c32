"""One call to the provider: sent, dated by the provider's clock, counted in the budget, and checked for success."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import RateLimitedError
from hpp_async._core.hidden import Hidden
from hpp_async._core.provider_clock import Dated, ProviderClock
from hpp_async._core.token_bucket import Quota
from hpp_async._http.codec import correlation_id_of
from hpp_async._http.errors import Subject, response_error, transport_error
from hpp_async._http.exchange import Answer, Exchange
from hpp_async._http.reasons import NoAnswer
from hpp_async._http.retry import Pace
from hpp_async._http.secret_url import SecretURL
from hpp_async._loop import Clock

_KEY: Final = "Klarna-Idempotency-Key"
_NUMBER: Final = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")


@attrs.frozen(kw_only=True, eq=False)
class Success:
    """A 2xx answer, the provider's time at which it was made, and the correlation id that the provider gave it."""

    answer: Answer
    dated: Dated
    correlation_id: str | None


@attrs.frozen(kw_only=True, eq=False)
class Post:
    """
    A request that makes something, or has it sent.

    Attributes:
        key: the idempotency key. Whether the provider heeds it is not documented for these calls: nothing relies on it.
        body: JSON; a cart, or how the consumer can be reached.
    """

    url: str | SecretURL = attrs.field(repr=False)
    body: Hidden[bytes]
    key: str
    subject: Subject


class Calls:
    """Sends calls to one endpoint: each once, without retries."""

    def __init__(self, exchange: Exchange, *, target: Target, clock: Clock, provider_clock: ProviderClock) -> None:
        self._exchange = exchange
        self._target = target
        self._clock = clock
        self._provider_clock = provider_clock

    async def call(self, method: str, session_id: str, pace: Pace) -> Success:
        """
        Send one request without a body to the session's URL, and return the answer if it is a success.

        *pace* gets what the answer says of the quota. A cancelled call cancels its request.

        Raises:
            TransportError: no answer came, or not in time.
            ResponseError: the answer is not 2xx; see its subclasses.
            ClientClosedError: the client, or the lent httpx client, was closed.
        """
        asked_at = self._clock.now()
        answer = await self._exchange.ask(method, self._target.url(session_id))
        if isinstance(answer, NoAnswer):
            raise transport_error(Subject.session(session_id), answer) from answer.cause
        return self._success(answer, asked_at, pace, session_id)

    async def post(self, post: Post, pace: Pace) -> Success:
        """
        Send *post*, and return its success.

        Raises:
            TransportError, ResponseError, ClientClosedError: as `call` does.
        """
        asked_at = self._clock.now()
        answer = await self._exchange.ask("POST", post.url, body=post.body, headers={_KEY: post.key})
        if isinstance(answer, NoAnswer):
            raise transport_error(post.subject, answer) from answer.cause
        return self._success(answer, asked_at, pace, post.subject)

    async def get(self, url: str, subject: Subject, pace: Pace) -> Success:
        """
        Read what is at *url*, which is no session of the payment page.

        Raises:
            TransportError, ResponseError, ClientClosedError: as `call` does.
        """
        asked_at = self._clock.now()
        answer = await self._exchange.ask("GET", url)
        if isinstance(answer, NoAnswer):
            raise transport_error(subject, answer) from answer.cause
        return self._success(answer, asked_at, pace, subject)

    def _success(self, answer: Answer, asked_at: float, pace: Pace, subject: Subject | str) -> Success:
        now = self._clock.now()
        dated = self._provider_clock.read(answer.header(b"date"), now=now, today=self._clock.today(), asked_at=asked_at)
        correlation_id = correlation_id_of(answer.header(b"klarna-correlation-id"))
        if answer.is_success:
            pace.answered(_quota_in(answer), now, answer.status_code)
            return Success(answer=answer, dated=dated, correlation_id=correlation_id)
        if isinstance(subject, str):  # of a read that succeeds, nobody needs more than the id
            subject = Subject.session(subject)
        error = response_error(subject, answer, dated=dated, correlation_id=correlation_id)
        if isinstance(error, RateLimitedError):
            pace.refused(error.retry_after, now)
        raise error

    def trust(self, success: Success) -> None:
        """Let the ``Date`` of *success* count for the provider's clock: only for an answer that is a reading."""
        self._provider_clock.trust(success.dated)


def _quota_in(answer: Answer) -> Quota:
    headers = answer.headers
    return _quota(
        headers.get(b"x-ratelimit-limit"), headers.get(b"x-ratelimit-remaining"), headers.get(b"x-ratelimit-reset")
    )


@lru_cache(maxsize=512)  # the values recur: the provider counts down from 50 or 200 in every second
def _quota(limit: bytes | None, remaining: bytes | None, reset: bytes | None) -> Quota:
    return Quota(limit=_number(limit), remaining=_number(remaining), reset=_number(reset))


def _number(header: bytes | None) -> float | None:
    """Return the number that a header begins with (``40, 40;w=1``), at most nine digits of it; ``None`` without one."""
    found = None if header is None else _NUMBER.match(header)
    return None if found is None else float(found[0])
