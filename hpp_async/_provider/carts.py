"""
Carts as merchants send them to the Payments API, and the checks that the provider makes of their sums.

The rules are those of the provider's OpenAPI file (``session_create``, ``order_line``). They are written down here a
second time, apart from the library's own models, so that each can be held against the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from hpp_async._provider.plain import Whole

Intent = Literal["buy", "tokenize", "buy_and_tokenize"]
Channel = Literal["ECOMMERCE", "IN_STORE", "TELESALES"]
_Table = dict[str, Any]


@attrs.frozen(kw_only=True)
class CartLine:
    """One line of a cart; amounts are in minor units, with tax."""

    name: str
    quantity: Whole
    unit_price: Whole
    total_amount: Whole
    tax_rate: Whole | None = None
    total_discount_amount: Whole | None = None
    total_tax_amount: Whole | None = None
    type: str | None = None
    reference: str | None = None
    quantity_unit: str | None = None
    image_url: str | None = None
    product_url: str | None = None
    merchant_data: str | None = None
    product_identifiers: _Table | None = None
    subscription: _Table | None = None


@attrs.frozen(kw_only=True)
class Cart:
    """What a payment session is for, and what an order is placed with."""

    purchase_country: str
    purchase_currency: str
    order_amount: Whole
    order_lines: list[CartLine]
    order_tax_amount: Whole | None = None
    locale: str | None = None
    intent: Intent | None = None
    acquiring_channel: Channel | None = None
    auto_capture: bool | None = None
    merchant_reference1: str | None = None
    merchant_reference2: str | None = None
    merchant_data: str | None = None
    merchant_urls: _Table | None = None
    options: _Table | None = None
    design: str | None = None
    custom_payment_method_ids: list[str] | None = None
    customer: _Table | None = None
    billing_address: _Table | None = None
    shipping_address: _Table | None = None
    attachment: _Table | None = None


FIELDS: Final = tuple(attrs.fields_dict(Cart))
"""The fields of a cart that are stored, and shown by a read of the payment session."""


def first_fault(cart: Cart) -> str | None:
    """Return the path of the first field of *cart* that breaks a constraint; ``None`` if none does."""
    return next(_faults(cart), None)


_LONGEST: Final = {"merchant_reference1": 255, "merchant_reference2": 255, "merchant_data": 6000}
_LONGEST_OF_LINE: Final = {
    "name": 255,
    "reference": 255,
    "quantity_unit": 8,
    "image_url": 1024,
    "product_url": 1024,
    "merchant_data": 1024,
}
_NOT_EMPTY: Final = ("name", "quantity_unit")
_HIGHEST: Final = 200_000_000
_HUNDRED_PERCENT: Final = 10_000  # rates are in hundredths of a percent
COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
LOCALE: Final = re.compile(r"[A-Za-z]{2}(-[A-Za-z]{2})*")


def _faults(cart: Cart) -> Iterator[str]:
    if not COUNTRY.fullmatch(cart.purchase_country):
        yield "purchase_country"
    if not CURRENCY.fullmatch(cart.purchase_currency):
        yield "purchase_currency"
    if cart.locale is not None and not LOCALE.fullmatch(cart.locale):
        yield "locale"
    for name, longest in _LONGEST.items():
        if len(getattr(cart, name) or "") > longest:
            yield name
    if not 1 <= len(cart.order_lines) <= 1000:
        yield "order_lines"
    for number, line in enumerate(cart.order_lines):
        yield from (f"order_lines[{number}].{name}" for name in _faults_of_line(line))
    if cart.order_amount < 0 or cart.order_amount != sum(line.total_amount for line in cart.order_lines):
        yield "order_amount"
    if cart.order_tax_amount is not None and not cart.order_tax_amount == _tax(cart) >= 0:
        yield "order_tax_amount"


def _faults_of_line(line: CartLine) -> Iterator[str]:
    for name, longest in _LONGEST_OF_LINE.items():
        text: str | None = getattr(line, name)
        if text is not None and (len(text) > longest or (not text and name in _NOT_EMPTY)):
            yield name
    discount, rate = line.total_discount_amount or 0, line.tax_rate or 0
    if line.quantity < 0:
        yield "quantity"
    if line.unit_price > _HIGHEST:
        yield "unit_price"
    if discount < 0:
        yield "total_discount_amount"
    if not 0 <= rate <= _HUNDRED_PERCENT:
        yield "tax_rate"
    if line.total_amount > _HIGHEST or line.total_amount != line.quantity * line.unit_price - discount:
        yield "total_amount"
    # The tax may differ by 1 from total_amount − total_amount × 10000 / (10000 + tax_rate); times the divisor, so that
    # no rounding comes in between.
    divisor = _HUNDRED_PERCENT + rate
    tax = line.total_tax_amount
    if tax is not None and abs(tax * divisor - line.total_amount * rate) > divisor:
        yield "total_tax_amount"


def _tax(cart: Cart) -> int:
    """Return the tax of all lines; where tax is a line of its own, as in the US, it is the amount of that line."""
    return sum(
        line.total_amount if line.type == "sales_tax" else line.total_tax_amount or 0 for line in cart.order_lines
    )


# -- whether an order is the one that was authorized -------------------------------------------------------------------

_MATCHED: Final = ("purchase_country", "purchase_currency", "order_amount", "order_tax_amount", "order_lines")
_MATCHED_OF_LINE: Final = (
    "name",
    "quantity",
    "unit_price",
    "total_amount",
    "tax_rate",
    "total_discount_amount",
    "total_tax_amount",
    "reference",
)


def not_matching(cart: Cart, authorized: Cart) -> list[str]:
    """Return the fields in which *cart* differs from the one that was authorized."""
    return [name for name in _MATCHED if _compared(cart, name) != _compared(authorized, name)]


def _compared(cart: Cart, name: str) -> object:
    """Return the value of a field so that values that mean the same are equal."""
    match name:
        case "order_lines":
            return [[getattr(line, part) or 0 for part in _MATCHED_OF_LINE] for line in cart.order_lines]
        case "purchase_country" | "purchase_currency":
            return str(getattr(cart, name)).upper()
        case _:
            return getattr(cart, name) or 0


def stored(request: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of *request* that are stored; those that are null are as if they were absent."""
    return {name: request[name] for name in FIELDS if request.get(name) is not None}
