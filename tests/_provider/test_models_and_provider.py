"""
The library's carts and the provider's checks of them, held against each other: each computes the sums for itself.

`test_carts.py` and `_core/test_order_sums.py` hold each of the two against fractions.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.merchants import PAYMENTS, shop_of_nobody

from hpp_async import ConfigurationError, LineType, OrderLine, PurchaseOrder
from hpp_async._http.payloads import order_body, payment_session_body
from hpp_async._provider.carts import Cart, first_fault
from hpp_async._provider.requests import parsed

HIGHEST: Final = 200_000_000
RARELY: Final = st.sampled_from([0] * 18 + [-1, 1])
"""How far a sum is off that must be right."""


@st.composite
def fields_of_lines(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a line, each sum of which is given or left out, and right or off by a little."""
    quantity = draw(st.sampled_from([0, 1, 1, 2, 3]) | st.integers(0, 10_000))
    most = HIGHEST // max(quantity, 1)
    unit_price = draw(st.integers(0, 1000) | st.integers(-1000, most) | st.integers(-most - 1, most + 1))
    rate = draw(st.none() | st.sampled_from([0, 600, 1200, 2000, 2500, 10_000]) | st.integers(0, 10_001))
    discount = draw(st.just(0) | st.integers(0, max(0, quantity * unit_price)) | st.integers(-1, 1000))
    total = quantity * unit_price - discount
    fields: dict[str, Any] = {
        "name": "x",
        "quantity": quantity,
        "unit_price": unit_price,
        "tax_rate": rate,
        "total_discount_amount": discount,
    }
    if draw(st.booleans()):
        fields["total_amount"] = total + draw(RARELY)
    if draw(st.booleans()):
        # Rounded down, it may be off by -1 only where it was not rounded at all, and by 2 never.
        fields["total_tax_amount"] = total * (rate or 0) // (10_000 + (rate or 0)) + draw(st.integers(-1, 2))
    if rate is None and draw(st.booleans()):
        fields["type"] = LineType.SALES_TAX
    return fields


@st.composite
def fields_of_carts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a cart, of which order_amount is given or left out."""
    lines = draw(st.lists(fields_of_lines(), min_size=1, max_size=3))
    fields: dict[str, Any] = {"purchase_country": "SE", "purchase_currency": "SEK", "order_lines": lines}
    amount = sum(line["quantity"] * line["unit_price"] - line["total_discount_amount"] for line in lines)
    if draw(st.booleans()):
        fields["order_amount"] = amount + draw(RARELY)
    return fields


def order_of(fields: dict[str, Any]) -> PurchaseOrder:
    made: dict[str, Any] = {**fields, "order_lines": [OrderLine(**line) for line in fields["order_lines"]]}
    return PurchaseOrder(**made)


def test_a_cart_that_the_models_accept_is_accepted_and_can_be_ordered() -> None:
    accepted = Counter[str]()

    @given(fields_of_carts())
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    def check(fields: dict[str, Any]) -> None:
        try:
            order = order_of(fields)
        except ConfigurationError:
            return
        is_given = any("total_tax_amount" in line and line["tax_rate"] for line in fields["order_lines"])
        accepted["with a tax that is given" if is_given else "with a tax that is computed"] += 1

        shop = shop_of_nobody()
        made = shop.ask("POST", PAYMENTS, payment_session_body(order)())
        assert made.status_code == 200, made.body
        token = shop.paid(json.loads(made.body)["session_id"])
        placed = shop.place(token, order_body(order, auto_capture=True)())
        assert placed.status_code == 200, placed.body

    check()

    assert min(accepted["with a tax that is given"], accepted["with a tax that is computed"]) > 10


def test_a_cart_that_the_models_refuse_for_its_sums_would_be_refused() -> None:
    """Hold sums that are all given against both: the models refuse nothing that would be taken."""
    accepted = Counter[bool]()

    @given(fields_of_carts())
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    def check(fields: dict[str, Any]) -> None:
        lines = [_all_given(line) for line in fields["order_lines"]]
        amount = sum(line["total_amount"] for line in lines)
        fields = fields | {"order_lines": lines, "order_amount": fields.get("order_amount", amount)}
        try:
            order_of(fields)
        except ConfigurationError:
            is_accepted = False
        else:
            is_accepted = True
        accepted[is_accepted] += 1

        tax = sum(line["total_amount" if "type" in line else "total_tax_amount"] for line in lines)
        cart = parsed(json.loads(json.dumps(fields | {"order_tax_amount": tax})), Cart)
        assert (first_fault(cart) is None) is is_accepted

    check()

    assert min(accepted[True], accepted[False]) > 10


def _all_given(line: dict[str, Any]) -> dict[str, Any]:
    """Return *line* with the sums that it leaves out; the tax is rounded down."""
    total = line["quantity"] * line["unit_price"] - line["total_discount_amount"]
    rate = line["tax_rate"] or 0
    return {"total_amount": total, "total_tax_amount": total * rate // (10_000 + rate)} | line


@pytest.mark.parametrize(("tax", "is_accepted"), [(1, False), (2, True), (3, True), (4, False)])
def test_a_tax_is_off_by_at_most_one_before_it_is_rounded(tax: int, is_accepted: bool) -> None:
    """The tax in 12 is 2.4: not 2 with 1 on either side."""
    line: dict[str, Any] = {"name": "x", "quantity": 1, "unit_price": 12, "tax_rate": 2500, "total_tax_amount": tax}
    cart = {
        "purchase_country": "SE",
        "purchase_currency": "SEK",
        "order_amount": 12,
        "order_lines": [line | {"total_amount": 12}],
    }

    assert (first_fault(parsed(cart, Cart)) is None) is is_accepted
    if is_accepted:
        assert OrderLine(**line).total_tax_amount == tax
        return
    with pytest.raises(ConfigurationError, match=r"OrderLine\.total_tax_amount"):
        OrderLine(**line)
