"""Customer tokens: what an authorization can be used for besides an order (generate a customer token page)."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
import pytest
from support.merchants import CONSUMED, UNKNOWN_TOKEN, Shop, basic, said, shop_of_nobody

REQUEST: Final[dict[str, Any]] = {
    "description": "A subscription of shoes",
    "intended_use": "SUBSCRIPTION",
    "locale": "sv-SE",
    "purchase_country": "SE",
    "purchase_currency": "SEK",
}


@pytest.fixture
def shop() -> Shop:
    return shop_of_nobody()


@pytest.mark.parametrize("intent", ["tokenize", "buy_and_tokenize"])
def test_an_authorization_gives_a_customer_token_and_can_still_place_its_order(shop: Shop, intent: str) -> None:
    token = shop.paid(shop.payment_session(intent=intent))

    first, again = (shop.customer_token(token, REQUEST) for _ in range(2))

    made = json.loads(first.body)
    assert (first.status_code, made.keys()) == (200, {"token_id", "payment_method_reference"})
    assert token not in made.values()
    assert again.body == first.body
    assert shop.place(token).status_code == 200


def test_what_is_said_of_the_customer_comes_back_without_what_a_read_hides(shop: Shop) -> None:
    customer = {"date_of_birth": "1978-12-31", "national_identification_number": "19870815-84932"}
    request = REQUEST | {"customer": customer, "billing_address": {"city": "Ankeborg"}, "intended_use": "subscription"}

    made = json.loads(shop.customer_token(shop.paid(shop.payment_session()), request).body)

    assert made["customer"] == {"date_of_birth": "1978-12-31"}
    assert made["billing_address"] == {"city": "Ankeborg"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"description": ""}, "description"),
        ({"description": "x" * 256}, "description"),
        ({"description": None}, "description"),
        ({"intended_use": "ONCE"}, "intended_use"),
        ({"locale": "sv_SE"}, "locale"),
        ({"purchase_country": "SWE"}, "purchase_country"),
        ({"purchase_currency": "kr"}, "purchase_currency"),
        ({"customer": "Ada"}, "customer"),
    ],
)
def test_a_wrong_field_is_named(shop: Shop, changes: dict[str, object], field: str) -> None:
    answer = shop.customer_token(shop.paid(shop.payment_session()), REQUEST | changes)

    assert said(answer) == (400, "BAD_VALUE", f"Bad value: {field}")


def test_a_request_that_is_not_json_is_refused(shop: Shop) -> None:
    assert said(shop.customer_token(shop.paid("1"), b"{"))[2] == "Bad value: body"


def test_another_country_than_the_authorized_one_is_refused(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())

    answer = shop.customer_token(token, REQUEST | {"purchase_country": "DE", "purchase_currency": "sek"})

    assert said(answer) == (409, "BAD_VALUE", "Not matching fields: [purchase_country]")


def test_where_the_cart_is_not_known_nothing_is_compared(shop: Shop) -> None:
    assert shop.customer_token(shop.paid("1"), REQUEST | {"purchase_country": "DE"}).status_code == 200


def test_an_authorization_that_is_used_gives_none(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    shop.place(token)

    assert said(shop.customer_token(token, REQUEST)) == CONSUMED


def test_an_authorization_that_is_gone_gives_none(shop: Shop) -> None:
    released, late, other = (shop.paid(shop.payment_session()) for _ in range(3))
    shop.release(released)

    assert said(shop.customer_token(released, REQUEST)) == UNKNOWN_TOKEN
    assert said(attrs.evolve(shop, authorization=basic("PK2_a")).customer_token(other, REQUEST)) == UNKNOWN_TOKEN
    shop.later(3600)
    assert said(shop.customer_token(late, REQUEST)) == UNKNOWN_TOKEN
