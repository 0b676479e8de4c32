"""The sums of a cart: computed as the provider computes them, and refused where they are given and wrong."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.orders import SALES_TAX, line, order

from hpp_async import ConfigurationError, LineType, OrderLine

amounts = st.integers(-200_000_000, 200_000_000)
rates = st.none() | st.integers(0, 10_000)


@st.composite
def lines(draw: st.DrawFn) -> OrderLine:
    """Draw any line that the provider may be sent: prices, discounts, gift cards, taxes as lines of their own."""
    quantity = draw(st.integers(0, 50))
    unit_price = draw(st.integers(-200_000_000 // max(quantity, 1), 200_000_000 // max(quantity, 1)))
    is_tax = draw(st.booleans())
    return OrderLine(
        name="x",
        quantity=quantity,
        unit_price=unit_price,
        tax_rate=None if is_tax else draw(rates),
        total_discount_amount=draw(st.integers(0, 1_000_000)),
        type=LineType.SALES_TAX if is_tax else None,
    )


def accepts_line(sent: OrderLine) -> bool:
    """Check a line as the Payments API describes it: in fractions, which round nothing."""
    total = Fraction(sent.quantity) * sent.unit_price - sent.total_discount_amount
    rate = Fraction(sent.tax_rate or 0)
    tax = total - total * 10_000 / (10_000 + rate)
    return sent.total_amount == total and abs((sent.total_tax_amount or 0) - tax) <= 1


@given(lines())
def test_any_line_has_sums_that_the_provider_accepts(one: OrderLine) -> None:
    assert accepts_line(one)
    assert (one.total_tax_amount is None) is (one.tax_rate is None)


@given(st.lists(lines(), min_size=1, max_size=8))
def test_any_order_has_the_sums_of_its_lines(several: list[OrderLine]) -> None:
    total = sum(one.quantity * one.unit_price - one.total_discount_amount for one in several)
    taxes = sum(one.total_amount if one.type == "sales_tax" else one.total_tax_amount or 0 for one in several)
    if total < 0 or taxes < 0:
        with pytest.raises(ConfigurationError, match="at least 0"):
            order(*several)
        return
    made = order(*several)

    assert (made.order_amount, made.order_tax_amount or 0) == (total, taxes)
    assert order(*several, order_amount=total, order_tax_amount=made.order_tax_amount) == made


@given(lines(), st.integers(-1000, 1000).filter(bool))
def test_a_total_that_is_off_is_refused(one: OrderLine, off: int) -> None:
    fields: dict[str, Any] = {"quantity": one.quantity, "unit_price": one.unit_price, "tax_rate": one.tax_rate}
    with pytest.raises(ConfigurationError, match=r"OrderLine\.total_amount: "):
        OrderLine(
            name="x", **fields, total_discount_amount=one.total_discount_amount, total_amount=one.total_amount + off
        )


@given(lines(), st.integers(-2, 2) | st.integers(-1000, 1000))
def test_a_tax_may_be_off_by_one_from_what_it_is_before_it_is_rounded(one: OrderLine, off: int) -> None:
    tax = (one.total_tax_amount or 0) + off
    rate = Fraction(one.tax_rate or 0)
    is_right = abs(tax - (one.total_amount - one.total_amount * 10_000 / (10_000 + rate))) <= 1

    def make() -> OrderLine:
        return OrderLine(
            name="x",
            quantity=one.quantity,
            unit_price=one.unit_price,
            tax_rate=one.tax_rate,
            total_discount_amount=one.total_discount_amount,
            total_tax_amount=tax,
        )

    if is_right:
        assert make().total_tax_amount == tax
        return
    with pytest.raises(ConfigurationError, match=r"OrderLine\.total_tax_amount: .*leave it out"):
        make()


@pytest.mark.parametrize(
    ("fields", "total", "tax"),
    [
        ({}, 3998, 800),
        ({"tax_rate": None}, 3998, None),
        ({"tax_rate": 0}, 3998, 0),
        ({"total_discount_amount": 500}, 3498, 700),
        ({"quantity": 0}, 0, 0),
        # tax handling page
        ({"quantity": 1, "unit_price": 59_500, "tax_rate": 2000}, 59_500, 9917),
        ({"quantity": 1, "unit_price": 2900, "tax_rate": 2000}, 2900, 483),
        ({"quantity": 1, "unit_price": -1000, "type": LineType.DISCOUNT}, -1000, -200),
        ({"quantity": 1, "unit_price": 200_000_000, "tax_rate": 10_000}, 200_000_000, 100_000_000),
    ],
)
def test_sums_of_one_line(fields: dict[str, Any], total: int, tax: int | None) -> None:
    one = line(**fields)

    assert (one.total_amount, one.total_tax_amount) == (total, tax)


def test_tax_in_the_us_is_a_line_of_its_own() -> None:
    made = order(line(quantity=1, unit_price=20_000, tax_rate=None), line(**SALES_TAX))

    assert (made.order_amount, made.order_tax_amount) == (21_000, 1000)  # tax handling page


def test_an_order_without_a_word_of_tax_says_nothing_of_it() -> None:
    assert order(line(tax_rate=None)).order_tax_amount is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"order_amount": 3999}, r"PurchaseOrder\.order_amount: it is not the sum"),
        ({"order_tax_amount": 799}, r"PurchaseOrder\.order_tax_amount: it is not the sum"),
        ({"order_tax_amount": None}, r"PurchaseOrder\.order_tax_amount: it is not the sum"),
    ],
)
def test_sums_of_an_order_that_are_off_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        order(**fields)


def test_an_order_is_never_negative() -> None:
    with pytest.raises(ConfigurationError, match=r"PurchaseOrder\.order_amount: .*at least 0"):
        order(line(unit_price=-1))


@pytest.mark.parametrize("value", [19.99, 1999.0, Decimal(1999), "1999", True, None, Fraction(1999)])
@pytest.mark.parametrize("field", ["unit_price", "total_discount_amount", "total_amount"])
def test_money_is_a_whole_number_of_minor_units(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        line(**{field: value})

    said = f"OrderLine.{field}: give a whole number of minor units (1999 for 19.99), as an int; its type is "
    assert str(caught.value) == said + type(value).__name__


@pytest.mark.parametrize("value", [1.0, Decimal(1), "1", True])
@pytest.mark.parametrize("field", ["total_tax_amount", "tax_rate", "quantity"])
def test_so_are_taxes_rates_and_quantities(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"OrderLine\.{field}: give .* as an int; its type is"):
        line(**{field: value})
    with pytest.raises(ConfigurationError, match=r"PurchaseOrder\.order_"):
        order(order_amount=value)
    with pytest.raises(ConfigurationError, match=r"PurchaseOrder\.order_tax_amount"):
        order(order_tax_amount=value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"quantity": -1}, r"quantity: give a whole number, at least 0"),
        ({"tax_rate": -1}, r"tax_rate: give hundredths of a per cent \(2500 for 25 %\), at least 0"),
        ({"tax_rate": 10_001}, r"tax_rate: .*at most 10000"),
        ({"total_discount_amount": -1}, r"total_discount_amount: .*at least 0"),
        ({"unit_price": 200_000_001}, r"unit_price: .*at most 200000000"),
        ({"unit_price": 150_000_000}, r"total_amount: .*at most 200000000"),
    ],
)
def test_what_the_provider_would_not_take_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        line(**fields)
