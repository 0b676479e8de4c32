"""The provider's own check of a cart: every sum that is right is accepted, and every one that is wrong is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.carts import CART, SHOE

from hpp_async._provider.carts import Cart, CartLine, first_fault, not_matching, stored
from hpp_async._provider.requests import BadValueError, parsed


def fault(**changes: object) -> str | None:
    return first_fault(parsed(CART | changes, Cart))


def fault_of_line(**changes: object) -> str | None:
    return fault(order_lines=[SHOE | changes])


def test_a_cart_with_the_right_sums_is_accepted() -> None:
    assert first_fault(parsed(CART, Cart)) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"purchase_country": "SWE"}, "purchase_country"),
        ({"purchase_currency": "kr"}, "purchase_currency"),
        ({"locale": "sv_SE"}, "locale"),
        ({"merchant_reference1": "x" * 256}, "merchant_reference1"),
        ({"order_lines": []}, "order_lines"),
        ({"order_lines": [SHOE] * 1001}, "order_lines"),
        ({"order_amount": 3999}, "order_amount"),
        ({"order_lines": [SHOE | {"unit_price": -1, "total_amount": -1002, "total_tax_amount": 0}]}, "order_lines[0]"),
        ({"order_tax_amount": 801}, "order_tax_amount"),
        ({"order_tax_amount": -800}, "order_tax_amount"),
    ],
)
def test_a_wrong_field_of_the_cart_is_named(changes: dict[str, object], field: str) -> None:
    assert str(fault(**changes)).startswith(field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"reference": "x" * 256}, "reference"),
        ({"quantity_unit": ""}, "quantity_unit"),
        ({"quantity": -2}, "quantity"),
        ({"unit_price": 200_000_001}, "unit_price"),
        ({"total_discount_amount": -1}, "total_discount_amount"),
        ({"tax_rate": -1}, "tax_rate"),
        ({"tax_rate": 10_001}, "tax_rate"),
        ({"total_amount": 4001}, "total_amount"),
        ({"quantity": 100_001, "total_amount": 250_001_500}, "total_amount"),
        ({"total_tax_amount": 802}, "total_tax_amount"),
        ({"total_tax_amount": 798}, "total_tax_amount"),
        ({"tax_rate": None}, "total_tax_amount"),
    ],
)
def test_a_wrong_field_of_a_line_is_named(changes: dict[str, object], field: str) -> None:
    assert fault_of_line(**changes) == f"order_lines[0].{field}"


@pytest.mark.parametrize("changes", [{"reference": ""}, {"total_tax_amount": None}, {"type": None}])
def test_what_a_line_may_leave_out_is_not_missed(changes: dict[str, object]) -> None:
    assert fault(order_lines=[SHOE | changes], order_tax_amount=None) is None


@pytest.mark.parametrize("off", [-1, 1])
def test_the_tax_of_a_line_may_be_rounded_either_way(off: int) -> None:
    line = SHOE | {"total_tax_amount": 800 + off}

    assert fault(order_lines=[line], order_tax_amount=800 + off) is None


def test_where_tax_is_a_line_of_its_own_its_amount_is_the_tax() -> None:
    goods = {"name": "Shoe", "quantity": 1, "unit_price": 4000, "total_amount": 4000}
    tax = {"name": "Tax", "type": "sales_tax", "quantity": 1, "unit_price": 330, "total_amount": 330}

    assert fault(order_lines=[goods, tax], order_amount=4330, order_tax_amount=330) is None
    assert fault(order_lines=[goods, tax], order_amount=4330, order_tax_amount=0) == "order_tax_amount"


@st.composite
def lines(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a line whose sums are right by fractions, which the checks themselves do not use."""
    quantity = draw(st.integers(0, 1000))
    unit_price = draw(st.integers(-200_000, 200_000))
    discount = draw(st.integers(0, max(0, quantity * unit_price)))
    rate = draw(st.integers(0, 10_000))
    total = quantity * unit_price - discount
    tax = total - Fraction(total * 10_000, 10_000 + rate)
    return {
        "name": draw(st.text(min_size=1, max_size=255)),
        "quantity": quantity,
        "unit_price": unit_price,
        "total_discount_amount": discount,
        "total_amount": total,
        "tax_rate": rate,
        "total_tax_amount": draw(st.sampled_from([tax.__floor__(), tax.__ceil__()])),
    }


@st.composite
def carts(draw: st.DrawFn) -> dict[str, Any]:
    drawn = draw(st.lists(lines(), min_size=1, max_size=8))
    amount, tax = (sum(line[name] for line in drawn) for name in ("total_amount", "total_tax_amount"))
    # A discount cannot be more than what it is taken off.
    more = max(0, -amount, -10 * tax)
    filler = {"name": "Gift", "quantity": 1, "unit_price": more, "total_amount": more, "tax_rate": 10_000}
    filler["total_tax_amount"] = more // 2
    amount, tax = amount + more, tax + more // 2
    return CART | {
        "order_lines": [*drawn, filler],
        "order_amount": amount,
        "order_tax_amount": tax if tax >= 0 else None,
    }


@given(carts())
def test_every_cart_with_the_right_sums_is_accepted(cart: dict[str, Any]) -> None:
    highest = max(line[name] for line in cart["order_lines"] for name in ("total_amount", "unit_price"))

    assert (first_fault(parsed(cart, Cart)) is not None) == (highest > 200_000_000)


@given(carts(), st.data())
def test_no_cart_with_a_wrong_sum_is_accepted(cart: dict[str, Any], data: st.DataObject) -> None:
    by = data.draw(st.integers(-100, 100).filter(bool))
    name = data.draw(st.sampled_from(["order_amount", "total_amount", "total_discount_amount", "quantity"]))
    if name == "order_amount":
        cart[name] += by
    else:
        line = data.draw(st.sampled_from(cart["order_lines"]))
        if name == "quantity" and not line["unit_price"]:
            return
        line[name] = (line.get(name) or 0) + by

    assert first_fault(parsed(cart, Cart)) is not None


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, []),
        ({"purchase_country": "se", "locale": "en-SE", "merchant_reference1": "1"}, []),
        ({"order_tax_amount": None}, ["order_tax_amount"]),
        ({"order_amount": 1, "purchase_currency": "EUR"}, ["purchase_currency", "order_amount"]),
        ({"order_lines": [SHOE, SHOE]}, ["order_lines"]),
        ({"order_lines": [SHOE | {"quantity": 1}]}, ["order_lines"]),
        ({"order_lines": [SHOE | {"image_url": "https://shop.example/shoe.png"}]}, []),
    ],
)
def test_an_order_is_compared_with_what_was_authorized(changes: dict[str, object], different: list[str]) -> None:
    assert not_matching(parsed(CART | changes, Cart), parsed(CART, Cart)) == different


def test_zero_and_nothing_are_the_same_amount() -> None:
    line = CartLine(name="Gift", quantity=0, unit_price=0, total_amount=0)  # type: ignore[arg-type]  # plain numbers
    free = Cart(purchase_country="SE", purchase_currency="SEK", order_amount=0, order_lines=[line])  # type: ignore[arg-type]  # plain numbers
    same = parsed(
        {
            "purchase_country": "SE",
            "purchase_currency": "SEK",
            "order_amount": 0,
            "order_tax_amount": 0,
            "order_lines": [
                {"name": "Gift", "quantity": 0, "unit_price": 0, "total_amount": 0, "total_discount_amount": 0}
            ],
        },
        Cart,
    )

    assert not_matching(same, free) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"order_amount": 19.99}, "order_amount"),
        ({"order_amount": "4000"}, "order_amount"),
        ({"order_lines": [SHOE | {"quantity": True}]}, "order_lines[0].quantity"),
        ({"intent": "rent"}, "intent"),
        ({"customer": "Ada"}, "customer"),
    ],
)
def test_a_field_of_another_type_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(BadValueError) as refusal:
        parsed(CART | changes, Cart)

    assert str(refusal.value) == field


def test_only_known_fields_are_stored() -> None:
    assert stored(CART | {"status": "complete", "client_token": "x", "design": None}) == CART
