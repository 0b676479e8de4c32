"""The Payments API: payment sessions, their authorizations, and the orders that are placed with these."""

from __future__ import annotations

import json

import attrs
import pytest
from support.carts import CART, SHOE
from support.merchants import (
    COMPLETED,
    CONSUMED,
    EXPIRED,
    HPP,
    PAYMENTS,
    UNKNOWN,
    UNKNOWN_TOKEN,
    Shop,
    basic,
    said,
    shop_of_nobody,
)

from hpp_async._provider.payments import FraudStatus
from hpp_async.testing import Script, cancels, pays


@pytest.fixture
def shop() -> Shop:
    return shop_of_nobody()


# -- payment sessions --------------------------------------------------------------------------------------------------


def test_a_payment_session_is_created_and_read(shop: Shop) -> None:
    customer = {"title": "Ms", "national_identification_number": "19870815-84932"}
    session_id = shop.payment_session(auto_capture=True, customer=customer)

    reading = json.loads(shop.ask("GET", f"{PAYMENTS}/{session_id}").body)

    assert reading.pop("client_token")
    assert [category["identifier"] for category in reading.pop("payment_method_categories")] == [
        "pay_now",
        "pay_later",
        "pay_over_time",
    ]
    assert reading == CART | {
        "customer": {"title": "Ms"},
        "expires_at": "2026-01-17T12:00:00.000Z",
        "status": "incomplete",
    }


def test_an_update_changes_the_fields_that_it_has(shop: Shop) -> None:
    session_id = shop.payment_session()
    cheaper = SHOE | {"quantity": 1, "total_amount": 1500, "total_tax_amount": 300}

    wrong = shop.ask("POST", f"{PAYMENTS}/{session_id}", {"order_lines": [cheaper]})
    right = shop.ask(
        "POST", f"{PAYMENTS}/{session_id}", {"order_lines": [cheaper], "order_amount": 1500, "order_tax_amount": 300}
    )

    assert said(wrong) == (400, "BAD_VALUE", "Bad value: order_amount")
    assert (right.status_code, right.body) == (204, b"")
    assert json.loads(shop.ask("GET", f"{PAYMENTS}/{session_id}").body)["order_amount"] == 1500


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        ([], "body"),
        ({}, "purchase_country"),
        (CART | {"order_amount": 1}, "order_amount"),
        (CART | {"order_lines": [SHOE | {"total_amount": 1}]}, "order_lines[0].total_amount"),
    ],
)
def test_a_wrong_cart_is_refused_with_the_name_of_the_field(shop: Shop, body: object, field: str) -> None:
    assert said(shop.ask("POST", PAYMENTS, body)) == (400, "BAD_VALUE", f"Bad value: {field}")


def test_an_update_that_is_no_object_is_refused(shop: Shop) -> None:
    path = f"{PAYMENTS}/{shop.payment_session()}"

    assert said(shop.ask("POST", path, [])) == (400, "BAD_VALUE", "Bad value: body")


def test_a_payment_session_is_gone_after_48_hours_and_for_other_merchants(shop: Shop) -> None:
    path = f"{PAYMENTS}/{shop.payment_session()}"
    other = attrs.evolve(shop, authorization=basic("PK2_a"))

    assert said(other.ask("GET", path)) == UNKNOWN
    assert said(shop.ask("GET", f"{PAYMENTS}/1")) == UNKNOWN
    shop.later(48 * 3600)
    assert said(shop.ask("GET", path)) == UNKNOWN
    assert said(shop.ask("POST", path, CART)) == UNKNOWN


# -- hosting one -------------------------------------------------------------------------------------------------------


def test_an_hpp_session_expires_47_hours_after_its_payment_session_was_created(shop: Shop) -> None:
    payment_session = shop.payment_session()
    shop.later(46 * 3600)

    created = json.loads(shop.host(payment_session).body)
    shop.later(3600)

    assert created["expires_at"] == "2026-01-17T11:00:00.000Z"
    assert said(shop.host(payment_session)) == EXPIRED


def test_a_scripted_lifetime_may_be_shorter(shop: Shop) -> None:
    shop.provider.consumer = Script(lifetime=30)

    created = json.loads(shop.host(shop.payment_session()).body)

    assert created["expires_at"] == "2026-01-15T12:00:30.000Z"


def test_a_payment_session_that_does_not_exist_cannot_be_hosted(shop: Shop) -> None:
    other = attrs.evolve(shop, authorization=basic("PK2_a"))

    assert said(shop.host("0b1d9815-165e-42e2-8867-35bc03789e00")) == EXPIRED
    assert said(other.host(shop.payment_session())) == UNKNOWN


@pytest.mark.parametrize(
    "url",
    [
        "https://api.klarna.com/payments/v1/sessions/0b1d9815-165e-42e2-8867-35bc03789e00",
        "https://api.playground.klarna.com/payments/v1/sessions/1",
        "https://api.playground.klarna.com/checkout/v3/orders/0b1d9815-165e-42e2-8867-35bc03789e00",
    ],
)
def test_a_payment_session_that_nobody_can_know_is_hosted_without_a_cart(shop: Shop, url: str) -> None:
    session = json.loads(shop.ask("POST", HPP, {"payment_session_url": url}).body)["session_id"]
    shop.provider.act(session, pays)

    assert shop.provider.payments.cart_of(shop.provider.life(session)) is None
    placed = shop.place(shop.read(session).get("authorization_token", ""), CART | {"purchase_currency": "EUR"})
    assert placed.status_code == (404 if "checkout" in url else 200)


def test_the_cart_and_the_ways_to_pay_are_known_for_an_hpp_session(shop: Shop) -> None:
    payment_session = shop.payment_session()
    lives = [
        shop.provider.life(session)
        for session in (
            shop.session(payment_session),
            shop.session(payment_session, payment_method_category="KLARNA"),
            shop.session(payment_session, payment_method_categories=["PAY_NOW", "PAY_LATER"]),
        )
    ]

    cart = shop.provider.payments.cart_of(lives[0])

    assert cart is not None
    assert cart.order_lines[0].name == SHOE["name"]
    assert [life.categories for life in lives] == [(), ("KLARNA",), ("PAY_NOW", "PAY_LATER")]


# -- orders ------------------------------------------------------------------------------------------------------------


def test_an_order_is_placed_with_the_token(shop: Shop) -> None:
    payment_session = shop.payment_session()
    token = shop.paid(payment_session)
    urls = {"confirmation": "https://shop.example/{session.id}/{order.id}"}

    answer = shop.place(token, CART | {"merchant_urls": urls, "auto_capture": True})

    order = json.loads(answer.body)
    assert answer.status_code == 200
    assert order == {
        "order_id": order["order_id"],
        "fraud_status": "ACCEPTED",
        "authorized_payment_method": {"type": "invoice"},
        "redirect_url": f"https://shop.example/{payment_session}/{order['order_id']}",
    }


@pytest.mark.parametrize("fraud_status", ["ACCEPTED", "PENDING", "REJECTED"])
def test_an_order_that_is_placed_need_not_be_accepted(shop: Shop, fraud_status: FraudStatus) -> None:
    shop.provider.payments.fraud_status = fraud_status

    assert json.loads(shop.place(shop.paid(shop.payment_session())).body)["fraud_status"] == fraud_status


def test_a_repeat_with_the_same_body_gets_the_same_order_for_ever(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    first = shop.place(token)
    shop.later(3601)

    again = shop.place(token, json.dumps(CART, indent=4, sort_keys=True).encode())

    assert (again.status_code, again.body) == (200, first.body)


def test_a_repeat_gets_the_first_answer_even_if_that_was_an_error(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    wrong = [b"{", CART | {"order_amount": 1}]
    first = [shop.place(token, body) for body in wrong]
    placed = shop.place(token)

    again = [shop.place(token, body) for body in wrong]

    assert [said(answer)[2] for answer in first] == ["Bad value: body", "Bad value: order_amount"]
    assert placed.status_code == 200
    assert [said(answer) for answer in again] == [said(answer) for answer in first]


def test_another_cart_than_the_one_authorized_is_refused(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())

    answer = shop.place(token, CART | {"purchase_currency": "EUR", "order_tax_amount": None})

    assert said(answer) == (409, "BAD_VALUE", "Not matching fields: [purchase_currency, order_tax_amount]")
    assert shop.place(token).status_code == 200


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"purchase_currency": "EUR"}, (409, "BAD_VALUE", "Not matching fields: [purchase_currency]")),
        ({"auto_capture": True}, CONSUMED),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_used_token_places_no_second_order(
    shop: Shop, changes: dict[str, object], answer: tuple[int, str, str], is_known: bool
) -> None:
    token = shop.paid(shop.payment_session() if is_known else "1")
    shop.place(token)

    assert said(shop.place(token, CART | changes)) == answer
    assert said(shop.release(token)) == CONSUMED


def test_a_token_lives_for_an_hour(shop: Shop) -> None:
    tokens = [shop.paid(shop.payment_session()) for _ in range(3)]
    shop.later(3599)
    codes = [shop.place(tokens[0]).status_code]
    shop.later(1)

    assert codes == [200]
    assert said(shop.place(tokens[1])) == UNKNOWN_TOKEN
    assert said(shop.release(tokens[2])) == UNKNOWN_TOKEN


def test_a_newer_token_invalidates_the_older_one(shop: Shop) -> None:
    payment_session = shop.payment_session()
    sessions = [shop.session(payment_session) for _ in range(2)]
    tokens: list[str] = []
    for session in reversed(sessions):
        shop.later(1)
        shop.provider.act(session, pays)
        tokens.append(shop.read(session)["authorization_token"])
    reading = json.loads(shop.ask("GET", f"{PAYMENTS}/{payment_session}").body)

    assert reading["authorization_token"] == tokens[1]
    assert said(shop.place(tokens[0])) == UNKNOWN_TOKEN
    assert shop.place(tokens[1]).status_code == 200
    assert said(shop.place(tokens[0])) == COMPLETED


def test_a_token_that_was_released_is_gone(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())

    released = shop.release(token)

    assert (released.status_code, released.body) == (204, b"")
    assert said(shop.place(token)) == UNKNOWN_TOKEN
    assert said(shop.release(token)) == UNKNOWN_TOKEN


def test_only_its_own_merchant_can_use_a_token(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    other = attrs.evolve(shop, authorization=basic("PK2_a"))

    assert said(other.place(token)) == UNKNOWN_TOKEN
    assert said(other.release(token)) == UNKNOWN_TOKEN
    assert said(shop.place("nobody's")) == UNKNOWN_TOKEN


def test_without_a_payment_nothing_can_be_placed(shop: Shop) -> None:
    session = shop.session(shop.payment_session())
    shop.provider.act(session, cancels)

    assert said(shop.place("")) == UNKNOWN  # no such path
    assert shop.provider.life(session).token(shop.provider.now()) is None


@pytest.mark.parametrize("mode", ["NONE", "PLACE_ORDER", "CAPTURE_ORDER"])
def test_after_an_order_the_payment_session_is_complete(shop: Shop, mode: str) -> None:
    payment_session = shop.payment_session()
    session = shop.session(payment_session, place_order_mode=mode)
    shop.provider.act(session, pays)
    reading = shop.read(session)
    if mode == "NONE":
        shop.place(reading["authorization_token"])
    path = f"{PAYMENTS}/{payment_session}"

    assert ("order_id" in reading and "klarna_reference" in reading) == (mode != "NONE")
    assert shop.provider.payments.order_of(shop.provider.life(session), shop.provider.now())
    complete = json.loads(shop.ask("GET", path).body)
    assert complete["status"] == "complete"
    assert "authorization_token" not in complete
    assert said(shop.ask("POST", path, CART)) == COMPLETED
    assert said(shop.host(payment_session)) == COMPLETED


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PAYMENTS, "POST"),
        ("DELETE", f"{PAYMENTS}/1", "GET, POST"),
        ("GET", "/payments/v1/authorizations/1", "DELETE"),
        ("GET", "/payments/v1/authorizations/1/order", "POST"),
        ("GET", "/payments/v1/authorizations/1/customer-token", "POST"),
    ],
)
def test_a_405_names_the_allowed_methods(shop: Shop, method: str, path: str, allowed: str) -> None:
    answer = shop.ask(method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_nothing_of_a_cart_or_a_token_is_in_a_repr(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    shop.place(token)

    shown = repr(shop.provider) + repr(list(shop.provider.payments.sessions.values()))

    assert token not in shown
    assert SHOE["name"] not in shown
