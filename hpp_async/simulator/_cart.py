"""A cart as the payment page shows it: names, quantities and prices, in the currency and the language of the cart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from hpp_async._provider.carts import Cart
from hpp_async._provider.payments import CATEGORIES
from hpp_async.testing import Life, Provider

_NO_MINOR_UNITS: Final = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND"})
_THOUSANDTHS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""The currencies of ISO 4217 that have another number of minor units than a hundred."""

MOST_LINES: Final = 8
"""How many lines of a cart are shown at once: the buttons are below them."""
_WORDS: Final[Mapping[str, str]] = {
    **{identifier.upper(): name for identifier, name in CATEGORIES.items()},
    "DIRECT_DEBIT": "Direct debit",
    "DIRECT_BANK_TRANSFER": "Bank transfer",
    "KLARNA": "Klarna",
}


@attrs.frozen
class ShownLine:
    """A line of a cart, in words."""

    name: str
    quantity: str
    unit_price: str
    total: str
    discount: str | None
    reference: str | None


@attrs.frozen
class ShownCart:
    """A cart in words; *locale* is the language of the names in it, and *tax* is ``None`` where it is not known."""

    lines: list[ShownLine]
    total: str
    tax: str | None
    currency: str
    country: str
    locale: str | None


def shown_cart(provider: Provider, life: Life) -> ShownCart | None:
    """Return what the consumer of the session pays for; ``None`` where that is not known."""
    cart = provider.payments.cart_of(life)
    if cart is None:
        return None
    currency = cart.purchase_currency.upper()
    return ShownCart(
        lines=_lines(cart, currency),
        total=money(cart.order_amount, currency),
        tax=None if cart.order_tax_amount is None else money(cart.order_tax_amount, currency),
        currency=currency,
        country=cart.purchase_country.upper(),
        locale=cart.locale,
    )


def total_of(provider: Provider, life: Life) -> str | None:
    """Return how much the consumer of the session pays; ``None`` where that is not known."""
    cart = provider.payments.cart_of(life)
    return None if cart is None else money(cart.order_amount, cart.purchase_currency.upper())


def ways_to_pay(life: Life) -> list[str]:
    """Return the ways to pay that the merchant wants offered, in words; all that there are, if it does not say."""
    return [_WORDS[category] for category in life.categories] or list(CATEGORIES.values())


def _lines(cart: Cart, currency: str) -> list[ShownLine]:
    return [
        ShownLine(
            name=line.name,
            quantity=f"{line.quantity:.0f} {line.quantity_unit or ''}".strip(),
            unit_price=money(line.unit_price, currency),
            total=money(line.total_amount, currency),
            discount=money(line.total_discount_amount, currency) if line.total_discount_amount else None,
            reference=line.reference,
        )
        for line in cart.order_lines
    ]


def money(amount: int, currency: str) -> str:
    """Return *amount*, in minor units, with its decimals and its currency."""
    digits = 0 if currency in _NO_MINOR_UNITS else 3 if currency in _THOUSANDTHS else 2
    sign, whole = "−" if amount < 0 else "", abs(int(amount))
    major, minor = divmod(whole, 10**digits)
    number = f"{major:,}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{sign}{number}{f'.{minor:0{digits}d}' if digits else ''}\N{NO-BREAK SPACE}{currency}"
