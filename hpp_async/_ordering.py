"""The calls around a wait, from the cart to the order: methods of `HPPClient`, in a module of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ConfigurationError, ResponseError
from hpp_async._core.hidden import Hidden
from hpp_async._core.outcome import AnyOutcome, Authorization, Completed, PlacedOrder, outcome_of
from hpp_async._http.calls import Calls
from hpp_async._http.commands import Commands
from hpp_async._waits.creations import Creations
from hpp_async._waits.detached import Detached
from hpp_async._waits.reads import Reads

if TYPE_CHECKING:
    from hpp_async._core.orders.answers import CreatedSession, PaymentSession
    from hpp_async._core.orders.creation import Creation
    from hpp_async._core.orders.distribution import Distribution
    from hpp_async._core.orders.options import Options
    from hpp_async._core.orders.order import PurchaseOrder
    from hpp_async._core.orders.urls import MerchantURLs
    from hpp_async._http.orders import Orders

_COMPLETED_MEANWHILE: Final = 400
"""The status of the answer to a DELETE of a session that was completed before (disable page)."""


def load_ahead() -> None:
    """
    Load what the first call around a wait would load, if the program has loaded the models.

    Else the first call would hold the event loop for that. A program that has no models makes no such calls.
    """
    if "hpp_async._core.orders.order" in sys.modules:
        from hpp_async._http import payloads  # noqa: PLC0415 - see above

        payloads.load_ahead()


class Ordering:
    """
    The calls around a wait; `HPPClient` has them.

    What they are made of is loaded at the first call: who only waits needs none of it.
    """

    _target: Target
    _attempts: int
    _calls: Calls
    _commands: Commands
    _reads: Reads
    _detached: Detached
    _creations: Creations

    async def create_payment_session(self, order: PurchaseOrder) -> PaymentSession:
        """
        Create a payment session for *order*: the first step of a payment. `create_session` is the next one.

        To check the arguments of `create_session` before there is a payment session, call `check_creation`. Transient
        failures are tried again, up to ``attempts`` in all; a payment session that is left over by that harms nobody.
        At most 40 are created per second, 5 in the playground (rate limit page). Cancelling this call abandons the
        answer, not the request: what was created is logged with its id.

        Raises:
            ConfigurationError: *order* is refused, or the endpoint is Kustom's, which has no payment sessions; nothing
                was sent.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds.
            AuthenticationError, ResponseError: at once; ``error_messages`` names the field that the provider refuses.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        from hpp_async._core.orders.creation import check_order  # noqa: PLC0415 - see the class
        from hpp_async._http.payloads import payment_session_body  # noqa: PLC0415 - see the class

        check_order(order, self._target)
        body, orders = payment_session_body(order), self._orders()
        return await self._detached.run(
            lambda turns: orders.create_payment_session(body, turns),
            turns=self._creations.payment_sessions,
            what="payment session",
            said=lambda created: f"payment session {created.session_id} was created",
        )

    async def read_payment_session(self, payment_session: PaymentSession | str) -> PaymentSession:
        """
        Read *payment_session*: ``is_complete`` says whether an order was placed for it, by whatever call or mode.

        So it tells what became of a `place_order` whose answer was lost, also after the token has expired. An order
        that is being placed shows only afterwards: the provider can take a minute. The session can be read for 48 hours
        after it was created. Transient failures are tried again, up to ``attempts`` in all.

        Args:
            payment_session: what `create_payment_session` returned, its id or its URL.

        Raises:
            ConfigurationError: *payment_session* is refused, or the endpoint is Kustom's; nothing was sent.
            SessionNotFoundError: it has expired, or is unknown here. This is no proof that no order was placed.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds.
            AuthenticationError, ResponseError: at once.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        from hpp_async._core.orders.creation import payment_session_id  # noqa: PLC0415 - see the class

        session_id, orders = payment_session_id(payment_session, self._target), self._orders()
        return await self._detached.run(
            lambda turns: orders.read_payment_session(session_id, turns),
            turns=self._reads.turns,
            what=f"payment session {session_id}",
            said=lambda _: f"payment session {session_id} was read",
        )

    def check_creation(
        self,
        *,
        merchant_urls: MerchantURLs | None = None,
        options: Options | None = None,
        profile_id: str | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """
        Check these arguments of `create_session` as it does, before there is a payment session. Nothing is sent.

        Call it before `create_payment_session`: what only `create_session` refuses leaves a payment session behind.

        Raises:
            ConfigurationError: an argument is refused, or a placeholder in a URL would never be replaced.
        """
        from hpp_async._core.orders.creation import any_payment_session_url  # noqa: PLC0415 - see the class

        # As in create_session: an error reporter that prints the locals finds nothing of the cart.
        hidden = Hidden(extra)
        del extra
        self._creation(any_payment_session_url(self._target), merchant_urls, options, profile_id, hidden)

    def _creation(
        self,
        payment_session_url: str,
        merchant_urls: MerchantURLs | None,
        options: Options | None,
        profile_id: str | None,
        extra: Hidden[Mapping[str, object] | None],
    ) -> Creation:
        """Return the checked request for a session."""
        from hpp_async._core.orders.creation import Creation  # noqa: PLC0415 - see the class

        creation = Creation(
            payment_session_url=payment_session_url,
            merchant_urls=merchant_urls,
            options=options,
            profile_id=profile_id,
            extra=extra() or {},
        )
        creation.check(self._target)
        return creation

    async def create_session(
        self,
        payment_session: PaymentSession | str,
        *,
        merchant_urls: MerchantURLs | None = None,
        options: Options | None = None,
        profile_id: str | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> CreatedSession:
        """
        Create a session of the payment page, and return its id and URLs.

        Store the id with the order before the consumer goes to ``redirect_url``, and wait for its outcome: every method
        that takes a session takes what this one returns. Transient failures are tried again, up to ``attempts`` in all;
        nobody knows the URL of a session that is left over by that. At most 40 are created per second, 5 in the
        playground (rate limit page). Cancelling this call abandons the answer, not the request: what was created is
        logged with its id.

        Args:
            payment_session: what `create_payment_session` returned, its id or its URL; or the URL of a checkout order,
                as Kustom has them.
            merchant_urls: where the consumer comes back to, and where the provider calls.
            options: how the page looks, and who places the order.
            profile_id: of options that are stored at the provider.
            extra: whatever else the provider takes, by its names there.

        Raises:
            ConfigurationError: an argument is refused, the payment session is of another region, or a placeholder in a
                URL would never be replaced; nothing was sent.
            SessionNotFoundError: the payment session has expired, or is unknown here.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds.
            AuthenticationError, ResponseError: at once; ``error_messages`` names the field that the provider refuses.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        from hpp_async._core.orders.creation import payment_session_url  # noqa: PLC0415 - see the class
        from hpp_async._http.payloads import session_body  # noqa: PLC0415 - see the class

        # Whatever is refused from here on: an error reporter that prints the locals finds nothing of the cart.
        hidden = Hidden(extra)
        del extra
        url = payment_session_url(payment_session, self._target)
        creation = self._creation(url, merchant_urls, options, profile_id, hidden)
        body, orders = session_body(creation), self._orders()
        return await self._detached.run(
            lambda turns: orders.create_session(body, turns),
            turns=self._creations.sessions,
            what="new session",
            said=lambda created: f"session {created.session_id} was created",
        )

    async def distribute_session(self, session: CreatedSession | str, distribution: Distribution) -> None:
        """
        Have the provider send the consumer the link to the payment page, by e-mail or SMS.

        It is sent once, and never again by itself: after a failure nobody knows whether the message went out, and a
        second one may confuse the consumer. Whether to call again is for a person to decide. Cancelling this call
        abandons the answer, not the request.

        Args:
            session: what `create_session` returned, an id, or a ``session_url`` of this client's endpoint.
            distribution: an `Email`, `Sms`, `TwoWaySms` or `TokenAccess`.

        Raises:
            ConfigurationError: an argument is refused; nothing was sent.
            TransportError, ServerError: the message may have gone out all the same.
            AuthenticationError, SessionNotFoundError, RateLimitedError, ResponseError: it did not.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        from hpp_async._core.orders.distribution import Distribution  # noqa: PLC0415 - see the class
        from hpp_async._http.payloads import distribution_body  # noqa: PLC0415 - see the class

        given: object = distribution
        if not isinstance(given, Distribution):
            raise ConfigurationError(
                f"distribution is a {type(given).__name__}: give an Email, Sms, TwoWaySms or TokenAccess"
            )
        session_id = self._target.session_id(session)
        url = None if isinstance(session, str) else session.distribution_url
        if url is None or not self._target.is_origin_of(url):  # it would receive the credentials
            url = f"{self._target.url(session_id)}/distribution"
        body, orders, where = distribution_body(given), self._orders(), url
        await self._detached.run(
            lambda turns: orders.distribute(session_id, where, body, turns),
            turns=self._reads.turns,
            what=f"link to session {session_id}",
            said=lambda _: f"the link to session {session_id} was sent",
        )

    async def disable_session(self, session: CreatedSession | str) -> AnyOutcome | None:
        """
        Disable the session, so that nobody can pay it any more; return ``None``, or the outcome that it had already.

        This is the documented way to give up on a session (disable page); otherwise it stays payable for up to 47
        hours. If the session was completed meanwhile, the provider refuses the request: then the session is read, and
        its outcome is returned. The page does not say whether it refuses after another outcome: if it does not, this
        returns ``None``. In every wait and watch on the session a read becomes due, even if the request failed.
        Cancelling this call does not cancel a request in flight: its answer is abandoned.

        Raises:
            ConfigurationError: *session* is refused, before anything is sent.
            ResponseError: the provider refuses, and the session has no outcome; `SessionNotFoundError` for a 404.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds. The session may be disabled all the same.
            ClientClosedError: the client was closed, before or meanwhile, or the httpx client that it borrows.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        session_id = self._target.session_id(session)
        try:
            await self._reads.command(session_id, self._commands.disable)
        except ResponseError as error:
            if error.status_code != _COMPLETED_MEANWHILE:
                raise
            reading = await self._reads.read(session_id, is_urgent=True)
            if not reading.status.is_final:
                # A replica answered that is behind, or the 400 has another reason: there is no outcome to return.
                raise
            return outcome_of(reading, ())
        return None

    async def place_order(
        self,
        payment: Completed | Authorization | str,
        order: PurchaseOrder,
        *,
        auto_capture: bool | None = None,
    ) -> PlacedOrder:
        """
        Place *order* with the token of an outcome: what must follow within 60 minutes, with the mode ``NONE``.

        It can be repeated, after a crash too: with the same token and the same order, the provider places one order and
        gives the same answer. So transient failures are tried again, up to ``attempts`` in all, with the same body.
        Cancelling this call abandons the answer, not the request: the order that was placed is logged with its id.

        An order that was placed is not accepted yet: look at ``fraud_status``.

        Args:
            payment: the outcome, its ``payment``, or the authorization token. The token is sent even if it seems to
                have expired: it may have been used in time, by an earlier call.
            order: what the payment session was created for.
            auto_capture: whether the provider takes the money at once. To be repeated the same.

        Raises:
            ConfigurationError: *payment* has nothing to place an order with, *order* is refused, or the endpoint is
                Kustom's; nothing was sent.
            OrderRefusedError: the token has expired, was superseded or used, or the order does not match; ``reason``
                and the message say which, and what to do.
            TransportError, UnexpectedPayloadError, RateLimitedError, NotProcessedError, ServerError: after the last
                attempt, or as soon as an answer asks for more than 5 seconds. The order may have been placed: call
                again with the same arguments, but not for ever. The provider may repeat its first answer to a token,
                even an error. Once the token has expired, `read_payment_session` says whether there is an order.
            AuthenticationError, ResponseError: at once.
            ClientClosedError: the client was closed, before or meanwhile.
        """
        from hpp_async._core.orders.creation import check_order  # noqa: PLC0415 - see the class
        from hpp_async._core.orders.placing import NothingToPlace, authorization_in  # noqa: PLC0415 - see the class
        from hpp_async._http.payloads import order_body  # noqa: PLC0415 - see the class

        found = authorization_in(payment)
        # Whatever is refused from here on: an error reporter that prints the locals finds no token among them.
        del payment
        if isinstance(found, NothingToPlace):
            raise ConfigurationError(f"payment: {found.why}")
        check_order(order, self._target)
        if auto_capture is not None and not isinstance(auto_capture, bool):
            raise ConfigurationError("auto_capture: give True or False, or leave it out")
        authorization, session_id = found
        body, orders = order_body(order, auto_capture=auto_capture), self._orders()
        return await self._detached.run(
            lambda turns: orders.place_order(authorization, session_id, body, turns),
            turns=self._reads.turns,
            what="order",
            said=lambda placed: f"order {placed.order_id} was placed",
        )

    def _orders(self) -> Orders:
        from hpp_async._http.orders import Orders  # noqa: PLC0415 - see the class

        return Orders(self._calls, target=self._target, clock=self._reads.clock, attempts=self._attempts)
