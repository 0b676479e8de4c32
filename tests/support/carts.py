"""A cart as a merchant sends it, with all its sums right."""

from __future__ import annotations

from typing import Any, Final

SHOE: Final[dict[str, Any]] = {
    "name": "Running shoe",
    "quantity": 2,
    "unit_price": 2500,
    "tax_rate": 2500,
    "total_discount_amount": 1000,
    "total_amount": 4000,
    "total_tax_amount": 800,
}
CART: Final[dict[str, Any]] = {
    "purchase_country": "SE",
    "purchase_currency": "SEK",
    "locale": "sv-SE",
    "order_amount": 4000,
    "order_tax_amount": 800,
    "order_lines": [SHOE],
}
