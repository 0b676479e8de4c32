"""The bodies that are sent, and what is made of the answers."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.orders import CREATED, HOST, PAYMENT_SESSION, PLACED, callbacks, line, order

from hpp_async import (
    AcquiringChannel,
    Address,
    AssetURLs,
    Attachment,
    AuthorizedPaymentMethod,
    BackgroundImage,
    CreatedSession,
    Distribution,
    DistributionModule,
    Email,
    Endpoint,
    Intent,
    LineType,
    Options,
    OrderCustomer,
    OrderURLs,
    PaymentMethodCategory,
    PaymentSession,
    PlacedOrder,
    PlaceOrderMode,
    ProductIdentifiers,
    Sms,
    TokenAccess,
    TwoWaySms,
    WidgetOptions,
)
from hpp_async._core.endpoint import Target
from hpp_async._core.hidden import Hidden
from hpp_async._core.orders.creation import Creation
from hpp_async._http import payloads
from hpp_async._http.codec import UnreadableError
from hpp_async._http.created import (
    decode_created_session,
    decode_order,
    decode_payment_session,
    decode_read_payment_session,
)

TARGET = Target.of(Endpoint.EU_PLAYGROUND)


def _dumps_without_orjson() -> Callable[[object], bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        dumps: Callable[[object], bytes] = runpy.run_path(str(payloads.__file__))["_dumps"]
    return dumps


WRITERS = {"installed": payloads._dumps, "json": _dumps_without_orjson()}


@pytest.fixture(params=WRITERS, autouse=True)
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpp_async._http.payloads._dumps", WRITERS[request.param])


def read(body: Hidden[bytes]) -> Any:
    assert "Running" not in repr(body)
    return json.loads(body())


FULL = order(
    line(
        type=LineType.PHYSICAL,
        reference="19-402",
        product_identifiers=ProductIdentifiers(brand="shoe-brand"),
        extra={"new_of_line": 1},
    ),
    locale="sv-SE",
    intent=Intent.BUY,
    acquiring_channel=AcquiringChannel.ECOMMERCE,
    customer=OrderCustomer(date_of_birth="1978-12-31"),
    billing_address=Address(given_name="Åsa", country="SE"),
    merchant_reference1="ON4711",
    merchant_urls=OrderURLs(push="https://shop.example/push/{order.id}"),
    custom_payment_method_ids=["promo"],
    attachment=Attachment(body="{}"),
    design="dark",
    options=WidgetOptions(color_text="#FF9900"),
    extra={"new_of_order": {"a": [1]}},
)
CART = {
    "purchase_country": "SE",
    "purchase_currency": "SEK",
    "order_lines": [
        {
            "name": "Running shoe",
            "quantity": 2,
            "unit_price": 1999,
            "tax_rate": 2500,
            "total_discount_amount": 0,
            "total_amount": 3998,
            "total_tax_amount": 800,
            "type": "physical",
            "reference": "19-402",
            "product_identifiers": {"brand": "shoe-brand"},
            "new_of_line": 1,
        }
    ],
    "order_amount": 3998,
    "order_tax_amount": 800,
    "locale": "sv-SE",
    "merchant_reference1": "ON4711",
    "customer": {"date_of_birth": "1978-12-31"},
    "billing_address": {"given_name": "Åsa", "country": "SE"},
    "merchant_urls": {"push": "https://shop.example/push/{order.id}"},
    "custom_payment_method_ids": ["promo"],
    "new_of_order": {"a": [1]},
}


def test_a_payment_session_is_created_with_all_that_was_given() -> None:
    assert read(payloads.payment_session_body(FULL)) == CART | {
        "intent": "buy",
        "acquiring_channel": "ECOMMERCE",
        "attachment": {"body": "{}", "content_type": "application/vnd.klarna.internal.emd-v2+json"},
        "design": "dark",
        "options": {"color_text": "#FF9900"},
    }


@pytest.mark.parametrize(
    ("auto_capture", "more"), [(None, {}), (True, {"auto_capture": True}), (False, {"auto_capture": False})]
)
def test_an_order_is_placed_with_the_same_cart(auto_capture: bool | None, more: dict[str, bool]) -> None:
    assert read(payloads.order_body(FULL, auto_capture=auto_capture)) == CART | more


def test_what_was_not_given_is_not_sent() -> None:
    assert read(payloads.payment_session_body(order(line(tax_rate=None)))) == {
        "purchase_country": "SE",
        "purchase_currency": "SEK",
        "order_lines": [
            {
                "name": "Running shoe",
                "quantity": 2,
                "unit_price": 1999,
                "total_discount_amount": 0,
                "total_amount": 3998,
            }
        ],
        "order_amount": 3998,
    }


def test_a_member_may_be_given_as_its_text() -> None:
    assert read(payloads.payment_session_body(order(line(type="digital"))))["order_lines"][0]["type"] == "digital"


@given(st.text().filter(lambda text: 0 < len(text) < 256 and text.isprintable()), st.integers(0, 1000))
def test_a_body_is_the_same_every_time(name: str, price: int) -> None:
    def body() -> bytes:
        return payloads.order_body(order(line(name=name, unit_price=price)), auto_capture=True)()

    assert body() == body()
    assert json.loads(body())["order_lines"][0]["name"] == name


def test_both_writers_write_the_same_bytes() -> None:
    data = read(payloads.payment_session_body(FULL))

    assert len({write(data) for write in WRITERS.values()}) == 1


def test_the_mode_goes_into_the_options() -> None:
    creation = Creation(
        payment_session_url=f"{HOST}/payments/v1/sessions/kp-1",
        merchant_urls=callbacks("https://shop.example/0b1d9815-165e-42e2-8867-35bc03789e00"),
        options=Options(
            place_order_mode=PlaceOrderMode.PLACE_ORDER,
            background_images=[BackgroundImage(url="https://shop.example/b.png", width=800)],
            extra={"new_of_options": True},
        ),
        profile_id="87ab3565",
        extra={"new_of_session": 1},
    )

    assert read(payloads.session_body(creation)) == {
        "payment_session_url": f"{HOST}/payments/v1/sessions/kp-1",
        "merchant_urls": {"status_update": "https://shop.example/0b1d9815-165e-42e2-8867-35bc03789e00"},
        "options": {
            "place_order_mode": "PLACE_ORDER",
            "background_images": [{"url": "https://shop.example/b.png", "width": 800}],
            "new_of_options": True,
        },
        "profile_id": "87ab3565",
        "new_of_session": 1,
    }


@pytest.mark.parametrize(
    ("distribution", "body"),
    [
        (Email(email="a@example.com"), {"method": "email", "contact_information": {"email": "a@example.com"}}),
        (
            Sms(phone="07000212345", phone_country="SE", template="INSTORE_PURCHASE"),
            {
                "method": "sms",
                "contact_information": {"phone": "07000212345", "phone_country": "SE"},
                "template": "INSTORE_PURCHASE",
            },
        ),
        (
            TwoWaySms(phone="07000212345", phone_country="SE", extra={"new": 1}),
            {
                "method": "two_way_sms",
                "contact_information": {"phone": "07000212345", "phone_country": "SE"},
                "new": 1,
            },
        ),
        (TokenAccess(access_id="278352"), {"method": "token", "contact_information": {"access_id": "278352"}}),
    ],
)
def test_a_link_goes_where_the_consumer_can_be_reached(distribution: Distribution, body: dict[str, Any]) -> None:
    assert read(payloads.distribution_body(distribution)) == body


# -- answers -------------------------------------------------------------------------------------------------------


def encoded(body: object) -> bytes:
    return json.dumps(body).encode()


def test_a_payment_session_is_read() -> None:
    session = decode_payment_session(encoded(PAYMENT_SESSION), target=TARGET, correlation_id="corr")

    assert session == PaymentSession(
        session_id="kp-1",
        session_url=f"{HOST}/payments/v1/sessions/kp-1",
        client_token="client-token",
        payment_method_categories=(
            PaymentMethodCategory(
                identifier="klarna",
                name="Pay with Klarna",
                asset_urls=AssetURLs(standard="https://x.example/k.svg"),
            ),
        ),
        correlation_id="corr",
    )
    assert (session.client_token, session.raw) == ("client-token", PAYMENT_SESSION)
    assert "client-token" not in f"{session!r} {session.to_dict()}"
    assert session.to_dict(show_secrets=True)["client_token"] == "client-token"
    assert json.loads(json.dumps(session.to_dict()))["payment_method_categories"][0]["identifier"] == "klarna"


READ: Final[dict[str, Any]] = {
    "status": "incomplete",
    "authorization_token": "tok-1",
    "client_token": "client-token",
    "expires_at": "2026-01-17T12:00:00.000Z",
    "order_lines": [{"name": "Running shoe"}],
}
KP: Final = f"{HOST}/payments/v1/sessions/kp-1"


def test_a_payment_session_is_read_again() -> None:
    session = decode_read_payment_session(encoded(READ), session_url=KP, correlation_id="corr")

    assert session == PaymentSession(
        session_id="kp-1",
        session_url=KP,
        client_token="client-token",
        status="incomplete",
        authorization_token="tok-1",
        expires_at=datetime(2026, 1, 17, 12, tzinfo=UTC),
        correlation_id="corr",
    )
    assert (session.is_complete, session.authorization_token, session.raw) == (False, "tok-1", READ)
    shown = f"{session!r} {session.to_dict()} {attrs.asdict(session)}"
    assert [secret for secret in ("tok-1", "client-token", "shoe") if secret in shown] == []
    assert session.to_dict()["expires_at"] == READ["expires_at"]
    assert session.to_dict(show_secrets=True)["authorization_token"] == "tok-1"


@pytest.mark.parametrize(
    ("status", "is_complete"), [("complete", True), ("incomplete", False), ("COMPLETE", None), ("new", None)]
)
def test_whether_an_order_was_placed_is_known_where_the_status_says_so(status: str, is_complete: bool | None) -> None:
    session = decode_read_payment_session(encoded({"status": status}), session_url=KP, correlation_id=None)

    assert (session.status, session.is_complete) == (status, is_complete)
    assert PaymentSession(session_id="kp-1", session_url=KP).is_complete is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"status": 7}', b'{"status": ""}', b'{"status": "a\\n"}'])
def test_a_payment_session_without_a_status_is_no_reading(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode_read_payment_session(body, session_url=KP, correlation_id=None)


def test_a_session_is_read() -> None:
    session = decode_created_session(encoded(CREATED), target=TARGET, correlation_id="corr")

    module = DistributionModule(token="module-token", standalone_url="https://pay.example/d", generation_url="g")
    expires_at = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)
    fields: dict[str, Any] = CREATED | {
        "expires_at": expires_at,
        "distribution_module": module,
        "correlation_id": "corr",
    }
    assert session == CreatedSession(**fields)
    assert (session.raw, module.token) == (CREATED, "module-token")
    shown = f"{session!r} {session.distribution_module!r}"
    assert [secret for secret in ("module-token", "2OCkffK") if secret in shown] == []
    assert "module-token" not in str(session.to_dict())
    assert json.loads(json.dumps(session.to_dict())) == {
        name: value for name, value in CREATED.items() if name != "distribution_module"
    } | {"correlation_id": "corr"}
    assert hash(session) == hash(decode_created_session(encoded(CREATED), target=TARGET, correlation_id="corr"))


def test_an_order_is_read() -> None:
    placed = decode_order(encoded(PLACED), correlation_id="corr")

    assert placed == PlacedOrder(
        order_id="ord-1",
        fraud_status="ACCEPTED",
        redirect_url="https://credit.example/redirect",
        authorized_payment_method=AuthorizedPaymentMethod(type="invoice", number_of_days=30),
        correlation_id="corr",
    )
    assert placed.is_accepted


@pytest.mark.parametrize(
    ("fraud_status", "is_accepted"),
    [("ACCEPTED", True), ("PENDING", False), ("REJECTED", False), ("NEW", False), (None, None)],
)
def test_an_order_that_was_placed_is_not_always_accepted(fraud_status: str | None, is_accepted: bool | None) -> None:
    placed = decode_order(encoded({"order_id": "ord-1", "fraud_status": fraud_status}), correlation_id=None)

    assert (placed.fraud_status, placed.is_accepted) == (fraud_status, is_accepted)


def test_what_is_missing_or_broken_is_absent() -> None:
    broken: dict[str, Any] = dict.fromkeys([*PAYMENT_SESSION, *CREATED, *PLACED], 7)
    bare = broken | {"session_id": "s-1", "order_id": "o-1"}

    assert decode_payment_session(encoded(bare), target=TARGET, correlation_id=None) == PaymentSession(
        session_id="s-1", session_url=f"{HOST}/payments/v1/sessions/s-1"
    )
    assert decode_created_session(encoded(bare), target=TARGET, correlation_id=None) == CreatedSession(
        session_id="s-1", session_url=f"{HOST}/hpp/v1/sessions/s-1"
    )
    assert decode_order(encoded(bare), correlation_id=None) == PlacedOrder(order_id="o-1")
    category = decode_payment_session(
        encoded({"session_id": "s-1", "payment_method_categories": ["x", {"asset_urls": 7}]}),
        target=TARGET,
        correlation_id=None,
    ).payment_method_categories
    assert category == (PaymentMethodCategory(),)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("invoice", AuthorizedPaymentMethod(type="invoice")),
        ({"type": "card", "number_of_installments": True}, AuthorizedPaymentMethod(type="card")),
        ([], None),
    ],
)
def test_a_payment_method_is_a_word_or_a_mapping(method: object, expected: AuthorizedPaymentMethod | None) -> None:
    placed = decode_order(encoded({"order_id": "o-1", "authorized_payment_method": method}), correlation_id=None)

    assert placed.authorized_payment_method == expected


def test_the_id_of_a_session_may_be_in_its_url_alone() -> None:
    url = f"{HOST}/hpp/v1/sessions/hpp-1"

    assert (
        decode_created_session(encoded({"session_url": url}), target=TARGET, correlation_id=None).session_id == "hpp-1"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        encoded({"session_id": "../x", "order_id": "a b"}),
        encoded({"session_id": "", "order_id": ""}),
        encoded({"session_id": "x" * 256, "order_id": "x" * 256}),
        encoded({"session_url": "https://elsewhere.example/hpp/v1/sessions/hpp-1"}),
    ],
)
def test_an_answer_without_a_usable_id_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode_payment_session(body, target=TARGET, correlation_id=None)
    with pytest.raises(UnreadableError):
        decode_created_session(body, target=TARGET, correlation_id=None)
    with pytest.raises(UnreadableError):
        decode_order(body, correlation_id=None)
