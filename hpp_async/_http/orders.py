"""The requests around a wait: a payment session, a session, a link to it, an order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import attrs

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ResponseError, UnexpectedPayloadError
from hpp_async._core.hidden import Hidden
from hpp_async._core.orders.answers import CreatedSession, PaymentSession
from hpp_async._core.orders.creation import PAYMENT_SESSIONS
from hpp_async._core.orders.placing import refused_order
from hpp_async._core.outcome import Authorization, PlacedOrder
from hpp_async._http.calls import Calls, Post, Success
from hpp_async._http.codec import UnreadableError
from hpp_async._http.created import (
    decode_created_session,
    decode_order,
    decode_payment_session,
    decode_read_payment_session,
)
from hpp_async._http.errors import Subject, support
from hpp_async._http.exchange import MAXIMUM_BODY
from hpp_async._http.retry import Pace, with_retries
from hpp_async._http.secret_url import SecretURL
from hpp_async._loop import Clock

T = TypeVar("T")

_BAD_VALUE: Final = "the provider refuses a field; error_messages names it"
_ACCESS: Final = "check credentials, region and environment, and the right to do this"
_ADVICE: Final[Mapping[int | str | None, str]] = {400: _BAD_VALUE, 401: _ACCESS, 403: _ACCESS}
_SESSION_ADVICE: Final = {
    **_ADVICE,
    404: (
        "the payment session has expired, or is unknown to this region, environment and merchant: create another one, "
        "and the session with it"
    ),
    "SESSION_COMPLETED": (
        "the payment session has an order already: look for that order by its reference before anything is sold again"
    ),
}
_LINK_ADVICE: Final = {
    **_ADVICE,
    400: "the provider refuses a field, or the session is disabled; error_messages says which",
}
_ORDER_ADVICE: Final = {
    **_ADVICE,
    403: "check credentials, region and environment, and the right to place orders; or the token was used already",
}


_PAYMENT_SESSION: Final = Subject(said="payment session", advice=_ADVICE)
_NEW_SESSION: Final = Subject(said="new session", advice=_SESSION_ADVICE)


class Orders:
    """The requests around a wait, most with up to *attempts* calls each."""

    def __init__(self, calls: Calls, *, target: Target, clock: Clock, attempts: int) -> None:
        self._calls = calls
        self._target = target
        self._clock = clock
        self._attempts = attempts

    async def create_payment_session(self, body: Hidden[bytes], pace: Pace) -> PaymentSession:
        """
        Create a payment session. It is tried again while that fails transiently: one that is left over harms nobody.

        Raises:
            TransportError, UnexpectedPayloadError, ResponseError, ClientClosedError: as for a read.
        """
        post = self._post(PAYMENT_SESSIONS, body, _PAYMENT_SESSION)
        return await self._made(post, partial(decode_payment_session, target=self._target), pace)

    async def read_payment_session(self, session_id: str, pace: Pace) -> PaymentSession:
        """
        Read a payment session. It is tried again while that fails transiently.

        Raises:
            TransportError, UnexpectedPayloadError, ResponseError, ClientClosedError: as for a read.
        """
        url = f"{self._target.base_url}{PAYMENT_SESSIONS}/{session_id}"
        subject = Subject(said=f"payment session {session_id}", advice=_ADVICE)
        decode = partial(decode_read_payment_session, session_url=url)

        async def attempt() -> PaymentSession:
            return _decoded(await self._calls.get(url, subject, pace), decode, subject)

        return await with_retries(attempt, attempts=self._attempts, pace=pace)

    async def create_session(self, body: Hidden[bytes], pace: Pace) -> CreatedSession:
        """
        Create a session. It is tried again while that fails transiently: nobody knows the URL of one that is left over.

        Raises:
            TransportError, UnexpectedPayloadError, ResponseError, ClientClosedError: as for a read.
        """
        post = self._post("/hpp/v1/sessions", body, _NEW_SESSION)
        return await self._made(post, partial(decode_created_session, target=self._target), pace)

    async def distribute(self, session_id: str, url: str, body: Hidden[bytes], pace: Pace) -> None:
        """
        Have the link sent, with one call: a second one could send it twice.

        Raises:
            TransportError, ResponseError, ClientClosedError: as for a read. After no answer, or a 5xx, the link may
                have been sent all the same.
        """
        subject = Subject(said=f"link to session {session_id}", session_id=session_id, advice=_LINK_ADVICE)
        await self._calls.post(Post(url=url, body=body, key=_random_key(), subject=subject), pace)

    async def place_order(
        self, authorization: Authorization, session_id: str | None, body: Hidden[bytes], pace: Pace
    ) -> PlacedOrder:
        """
        Place the order. It is tried again while that fails transiently, with the same body: one token, one order.

        Raises:
            OrderRefusedError: the token or the order is not taken.
            TransportError, UnexpectedPayloadError, ResponseError, ClientClosedError: as for a read.
        """
        post = Post(
            url=SecretURL(f"{self._target.base_url}/payments/v1/authorizations/{authorization.token}/order"),
            body=body,
            key=_random_key(),
            subject=Subject(said="order", session_id=session_id, advice=_ORDER_ADVICE),
        )
        try:
            return await self._made(post, decode_order, pace)
        except ResponseError as error:
            now = error.read_at or self._clock.today()
            refused = refused_order(error, expires_at=authorization.expires_at, now=now)
            if refused is None:
                raise
        raise refused

    def _post(self, path: str, body: Hidden[bytes], subject: Subject) -> Post:
        return Post(url=f"{self._target.base_url}{path}", body=body, key=_random_key(), subject=subject)

    async def _made(self, post: Post, decode: Callable[..., T], pace: Pace) -> T:
        async def attempt() -> T:
            nonlocal post
            try:
                return _decoded(await self._calls.post(post, pace), decode, post.subject)
            except (ResponseError, UnexpectedPayloadError):
                # Where the provider heeds keys, it repeats its answer to a key, even an error (idempotency page). So
                # another attempt has another key, except after no answer: then the first one may have been done.
                post = attrs.evolve(post, key=_random_key())
                raise

        return await with_retries(attempt, attempts=self._attempts, pace=pace)


def _decoded(success: Success, decode: Callable[..., T], subject: Subject) -> T:
    try:
        if success.answer.body is None:
            raise UnreadableError(f"more than {MAXIMUM_BODY} bytes, or packed in a way that was not asked for")
        return decode(success.answer.body, correlation_id=success.correlation_id)
    except UnreadableError as error:
        success.answer.connection.retire()
        raise UnexpectedPayloadError(
            f"{subject.said}: {success.answer.status_code} with {error}{support(success.correlation_id)}",
            session_id=subject.session_id,
            correlation_id=success.correlation_id,
            read_at=success.dated.by_provider,
        ) from None


def _random_key() -> str:
    """Return a new UUID, of version 4; `uuid.uuid4` takes five times as long."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
