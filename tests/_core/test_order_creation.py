"""What fits together: payment session and endpoint, URLs and mode, token and order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.histories import reading
from support.orders import HOST, SECRET, callbacks, order

from hpp_async import (
    Authorization,
    Cancelled,
    Completed,
    ConfigurationError,
    Endpoint,
    MerchantURLs,
    Options,
    OrderRefusedError,
    OrderURLs,
    PaymentCategory,
    PaymentSession,
    Placeholder,
    ResponseError,
)
from hpp_async._core.endpoint import Target
from hpp_async._core.orders.creation import Creation, check_order, payment_session_id, payment_session_url
from hpp_async._core.orders.placing import NothingToPlace, authorization_in, refused_order

PLAYGROUND = Target.of(Endpoint.EU_PLAYGROUND)
KUSTOM = Target.of(Endpoint.KUSTOM_PLAYGROUND)
SIMULATOR = Target.of("http://127.0.0.1:8088")
GATEWAY = Target.of("https://gateway.shop.example/klarna")
KP = f"{HOST}/payments/v1/sessions/kp-1"
ORDER = "https://api.playground.kustom.co/checkout/v3/orders/o-1"
KLARNA = PaymentCategory.KLARNA
SUCCESS = "https://shop.example/paid?x="

# -- which payment session -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "given", "url"),
    [
        (PLAYGROUND, "kp-1", KP),
        (PLAYGROUND, KP, KP),
        (PLAYGROUND, PaymentSession(session_id="kp-1", session_url=KP), KP),
        (PLAYGROUND, f"{HOST}/checkout/v3/orders/o-1", f"{HOST}/checkout/v3/orders/o-1"),
        (KUSTOM, ORDER, ORDER),
        (SIMULATOR, "kp-1", "http://127.0.0.1:8088/payments/v1/sessions/kp-1"),
        (SIMULATOR, KP, KP),
        (GATEWAY, "kp-1", "https://gateway.shop.example/klarna/payments/v1/sessions/kp-1"),
        (GATEWAY, KP, KP),
    ],
)
def test_a_payment_session_is_its_url_or_its_id(target: Target, given: PaymentSession | str, url: str) -> None:
    assert payment_session_url(given, target) == url


@pytest.mark.parametrize("given", ["kp-1", KP, PaymentSession(session_id="kp-1", session_url=KP)])
def test_a_payment_session_is_read_by_its_id(given: PaymentSession | str) -> None:
    assert payment_session_id(given, PLAYGROUND) == "kp-1"


@pytest.mark.parametrize(
    ("target", "given", "said"),
    [
        (KUSTOM, "kp-1", "Kustom does not have a payment session"),
        (KUSTOM, ORDER, "payment_session: it is a checkout order, which has an API of its own"),
        (PLAYGROUND, "https://api.klarna.com/payments/v1/sessions/kp-1", "is of EU_LIVE"),
    ],
)
def test_a_payment_session_that_cannot_be_read_is_refused(target: Target, given: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        payment_session_id(given, target)


@pytest.mark.parametrize(
    ("target", "given", "said"),
    [
        (
            PLAYGROUND,
            "https://api-na.playground.klarna.com/payments/v1/sessions/kp-1",
            "the payment session is of NA_PLAYGROUND, and the endpoint of this client is EU_PLAYGROUND: create both",
        ),
        (PLAYGROUND, "https://api.klarna.com/payments/v1/sessions/kp-1", "is of EU_LIVE, and the endpoint of this"),
        (PLAYGROUND, ORDER, "is of KUSTOM_PLAYGROUND"),
        (PLAYGROUND, "https://elsewhere.example/payments/v1/sessions/kp-1", "is of another host"),
        (PLAYGROUND, "http://api.playground.klarna.com/payments/v1/sessions/kp-1", "is of another host"),
        (SIMULATOR, "http://127.0.0.1:8089/payments/v1/sessions/kp-1", "is of another host"),
        (PLAYGROUND, f"{HOST}/hpp/v1/sessions/hpp-1", "payment_session: give its id, or a URL such as https://"),
        (PLAYGROUND, f"{KP}?x=1", "payment_session: give its id"),
        (PLAYGROUND, f"{KP}/../x", "payment_session: give its id"),
        (PLAYGROUND, "https://[::1", "payment_session: give its id"),
        (PLAYGROUND, "", "payment_session: give its id"),
        (PLAYGROUND, None, "payment_session is a NoneType: give what create_payment_session returned"),
        (
            KUSTOM,
            "kp-1",
            "Kustom does not have a payment session: give the URL of a checkout order, or take an endpoint",
        ),
        (
            KUSTOM,
            "https://api.playground.kustom.co/payments/v1/sessions/kp-1",
            "Kustom does not have a payment session",
        ),
        (KUSTOM, KP, "is of EU_PLAYGROUND, and the endpoint of this client is KUSTOM_PLAYGROUND"),
    ],
)
def test_of_another_region_it_is_refused(target: Target, given: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        payment_session_url(given, target)

    assert said in str(caught.value)


# -- which placeholders --------------------------------------------------------------------------------------------


def check(
    target: Target = PLAYGROUND,
    *,
    url: str = KP,
    mode: str | None = None,
    success: Placeholder | None = None,
    **more: Any,
) -> None:
    options = None if mode is None else Options(place_order_mode=mode)  # type: ignore[arg-type]  # a member's text
    urls = None if success is None else MerchantURLs(success=SUCCESS + success)
    fields: dict[str, Any] = {"payment_session_url": url, "options": options, "merchant_urls": urls}
    Creation(**(fields | more)).check(target)


@pytest.mark.parametrize(
    ("mode", "placeholder"),
    [
        (None, Placeholder.AUTHORIZATION_TOKEN),
        ("NONE", Placeholder.AUTHORIZATION_TOKEN),
        ("PLACE_ORDER", Placeholder.ORDER_ID),
        ("CAPTURE_ORDER", Placeholder.ORDER_ID),
        *((mode, Placeholder.SESSION_ID) for mode in (None, "NONE", "PLACE_ORDER", "CAPTURE_ORDER")),
    ],
)
def test_a_placeholder_that_the_mode_fills_is_taken(mode: str | None, placeholder: Placeholder) -> None:
    check(mode=mode, success=placeholder)


@pytest.mark.parametrize(
    ("mode", "placeholder", "said"),
    [
        (
            None,
            Placeholder.ORDER_ID,
            "with place_order_mode NONE it is never replaced: take {{authorization_token}}, or",
        ),
        ("NONE", Placeholder.ORDER_ID, "with place_order_mode NONE it is never replaced"),
        (
            "PLACE_ORDER",
            Placeholder.AUTHORIZATION_TOKEN,
            "with place_order_mode PLACE_ORDER it is never replaced: take ",
        ),
        ("CAPTURE_ORDER", Placeholder.AUTHORIZATION_TOKEN, "take {{order_id}}, or another mode"),
    ],
)
def test_a_placeholder_that_the_mode_never_fills_is_refused(
    mode: str | None, placeholder: Placeholder, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(mode=mode, success=placeholder)

    assert str(caught.value).startswith(f"MerchantURLs.success: it has {placeholder}, and ")
    assert said in str(caught.value)


def test_the_mode_may_be_in_a_profile() -> None:
    check(success=Placeholder.ORDER_ID, profile_id="87ab3565-5e06-4006-9ada-8eedc6926703")
    with pytest.raises(ConfigurationError, match="is never replaced"):
        check(mode="NONE", success=Placeholder.ORDER_ID, profile_id="87ab3565-5e06-4006-9ada-8eedc6926703")


def test_a_checkout_order_has_an_order_from_the_beginning() -> None:
    check(KUSTOM, url=ORDER, success=Placeholder.ORDER_ID)
    check(KUSTOM, url=ORDER, options=Options(page_title="Complete your purchase"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"success": Placeholder.AUTHORIZATION_TOKEN}, "a checkout order has no token: take {{order_id}}"),
        ({"mode": "PLACE_ORDER"}, "Options.place_order_mode: the provider ignores it for a checkout order"),
        ({"options": Options(payment_method_category=KLARNA)}, "Options.payment_method_category: the provider"),
        ({"options": Options(payment_method_categories=[KLARNA])}, "Options.payment_method_categories: the provider"),
    ],
)
def test_and_neither_a_token_nor_a_mode_nor_categories(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(KUSTOM, url=ORDER, **more)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"merchant_urls": {"success": "x"}}, "merchant_urls is a dict: give MerchantURLs(…)"),
        ({"options": {"place_order_mode": "NONE"}}, "options is a dict: give Options(…)"),
        ({"profile_id": 7}, "profile_id is a int: give text"),
        (
            {"extra": {"place_order_mode": "PLACE_ORDER"}},
            "it belongs into options, so give options=Options(place_order_m",
        ),
        ({"extra": {"success": "x"}}, "it belongs into merchant_urls, so give merchant_urls=MerchantURLs(success=…)"),
        ({"extra": {"options": {}}}, "extra has options: give the argument of that name"),
        ({"extra": {"x": object()}}, "extra: give a mapping from names to what JSON has"),
        ({"extra": "x"}, "extra: give a mapping from names to what JSON has"),
    ],
)
def test_what_is_at_the_wrong_place_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(**more)

    assert said in str(caught.value)


def test_extra_is_taken() -> None:
    check(extra={"new_field": [1]})


# -- callbacks -----------------------------------------------------------------------------------------------------

ON_LOOPBACK = f"http://localhost:8000/{SECRET}"


def test_a_simulator_can_call_this_machine_and_the_provider_cannot() -> None:
    check(SIMULATOR, url="http://127.0.0.1:8088/payments/v1/sessions/kp-1", merchant_urls=callbacks(ON_LOOPBACK))
    check_order(order(merchant_urls=OrderURLs(notification=ON_LOOPBACK)), SIMULATOR)
    with pytest.raises(ConfigurationError, match=r"MerchantURLs\.status_update: it is an http URL of this machine"):
        check(merchant_urls=callbacks(ON_LOOPBACK))
    with pytest.raises(ConfigurationError, match=r"OrderURLs\.notification: it is an http URL of this machine"):
        check_order(order(merchant_urls=OrderURLs(notification=ON_LOOPBACK)), PLAYGROUND)


def test_an_order_is_for_klarna() -> None:
    check_order(order(), PLAYGROUND)
    with pytest.raises(ConfigurationError, match="Kustom does not have a payment session, nor an order to place"):
        check_order(order(), KUSTOM)
    with pytest.raises(ConfigurationError, match="order is a dict: give a PurchaseOrder"):
        check_order({}, PLAYGROUND)  # type: ignore[arg-type]  # it is refused


# -- what an order is placed with ----------------------------------------------------------------------------------

AUTHORIZED = Completed(session=reading("COMPLETED", authorization_token="tok-1"))


def test_a_token_is_found_wherever_it_is() -> None:
    payment = AUTHORIZED.payment
    assert isinstance(payment, Authorization)

    assert authorization_in(AUTHORIZED) == (payment, AUTHORIZED.session.session_id)
    assert authorization_in(payment) == (payment, None)
    assert authorization_in("tok-1") == (Authorization(token="tok-1"), None)


@pytest.mark.parametrize(
    ("payment", "said"),
    [
        (Completed(session=reading("COMPLETED", order_id="o-1")), "the provider has placed the order already: book"),
        (
            Completed(session=reading("COMPLETED")),
            "neither an order nor a token, and needs attention: ask the provider",
        ),
        (
            Cancelled(session=reading("CANCELLED")),
            "the outcome is Cancelled, and only what was Completed can be placed",
        ),
        (reading("COMPLETED", authorization_token="tok-1"), "it is a Session: give a Completed, an Authorization or"),
        ("", "characters that no token has: was it copied whole?"),
        ("..", "characters that no token has"),
        ("tok/../1", "characters that no token has"),
        ("tok 1", "characters that no token has"),
        (Authorization(token="tok\n"), "characters that no token has"),
        (None, "it is a NoneType: give a Completed"),
    ],
)
def test_nothing_to_place_is_said_so(payment: object, said: str) -> None:
    found = authorization_in(payment)

    assert isinstance(found, NothingToPlace)
    assert said in found.why


NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def answer(status_code: int, error_code: str | None = None) -> ResponseError:
    return ResponseError(
        "",
        session_id="hpp-1",
        status_code=status_code,
        error_code=error_code,
        error_messages=("Not matching fields: order_amount",),
        correlation_id="corr-1",
        read_at=NOW,
    )


@pytest.mark.parametrize(
    ("error", "expires_at", "reason", "said"),
    [
        (
            answer(404, "NOT_FOUND"),
            NOW,
            "expired",
            "has expired, as it lives 60 minutes. Read the payment session",
        ),
        (
            answer(404, "NOT_FOUND"),
            LATER,
            "superseded",
            "a newer one replaced it. Read the session, and place the order",
        ),
        (
            answer(404),
            None,
            "lapsed",
            "or it is of another region, environment or merchant. Read the session: if it has",
        ),
        (
            answer(404, "SESSION_COMPLETED"),
            LATER,
            "used",
            "already, with this authorization token or another one of the payment session. Look for",
        ),
        (
            answer(403, "INVALID_OPERATION"),
            LATER,
            "used",
            "order: 403 INVALID_OPERATION: an order was placed already, with this authorization token or another",
        ),
        (answer(403, "REJECTED"), LATER, "rejected", "the provider does not approve the payment: ask the consumer"),
        (answer(409, "BAD_VALUE"), LATER, "mismatch", "place that very order; error_messages names the fields"),
    ],
)
def test_a_refusal_says_which_and_what_to_do(
    error: ResponseError, expires_at: datetime | None, reason: str, said: str
) -> None:
    refused = refused_order(error, expires_at=expires_at, now=NOW)

    assert isinstance(refused, OrderRefusedError)
    assert (refused.reason, refused.status_code, refused.error_code) == (reason, error.status_code, error.error_code)
    assert (refused.session_id, refused.correlation_id, refused.read_at) == ("hpp-1", "corr-1", NOW)
    assert refused.error_messages == ("Not matching fields: order_amount",)
    assert said in str(refused)
    assert str(refused).endswith("(correlation id corr-1)")
    assert "order_amount" not in str(refused)
    assert not refused.is_transient


@pytest.mark.parametrize(
    "error", [answer(400, "BAD_VALUE"), answer(401), answer(403), answer(403, "MERCHANT_INACTIVE")]
)
def test_other_answers_say_nothing_of_the_order(error: ResponseError) -> None:
    assert refused_order(error, expires_at=NOW, now=NOW) is None


def test_a_refusal_may_have_no_correlation_id() -> None:
    error = ResponseError("", session_id=None, status_code=409)
    refused = refused_order(error, expires_at=None, now=NOW)

    assert str(refused).startswith("order: 409: the order is not the one")
    assert "correlation" not in str(refused)
