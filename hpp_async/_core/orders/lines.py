"""One line of a cart: what is bought, and the sums that the provider checks (Payments API, tax handling page)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from hpp_async._core.orders.checks import (
    Extra,
    Model,
    a,
    amount,
    discreet,
    fits,
    is_whole,
    number,
    one_of,
    optional,
    plain,
    refusal,
    text,
)

_HIGHEST: Final = 200_000_000
"""Minor units that a line may have at most."""

_WHOLE: Final = 10_000
"""100 % in hundredths of a per cent, as tax rates are given."""


class LineType(StrEnum):
    """What a line of a cart is: ``PHYSICAL`` where nothing is said, ``SHIPPING_FEE``, ``DISCOUNT``, and others."""

    PHYSICAL = "physical"
    DISCOUNT = "discount"
    SHIPPING_FEE = "shipping_fee"
    SALES_TAX = "sales_tax"
    DIGITAL = "digital"
    GIFT_CARD = "gift_card"
    STORE_CREDIT = "store_credit"
    SURCHARGE = "surcharge"


class SubscriptionInterval(StrEnum):
    """The unit in which a subscription is renewed."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Subscription(Model):
    """
    A subscription that a line begins: every *interval_count* times *interval*.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    name: str = attrs.field(validator=text(at_least=1, at_most=255))
    interval: SubscriptionInterval = attrs.field(validator=one_of(SubscriptionInterval))
    interval_count: int = attrs.field(validator=number(at_least=1))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class ProductIdentifiers(Model):
    """
    What a product is known by outside of the shop.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    brand: str | None = attrs.field(default=None, validator=optional(text(at_most=70)))
    category_path: str | None = attrs.field(default=None, validator=optional(text(at_most=750)))
    global_trade_item_number: str | None = attrs.field(default=None, validator=optional(text(at_most=50)))
    manufacturer_part_number: str | None = attrs.field(default=None, validator=optional(text(at_most=70)))
    color: str | None = attrs.field(default=None, validator=optional(text(at_most=64)))
    size: str | None = attrs.field(default=None, validator=optional(text(at_most=64)))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class OrderLine(Model):
    """
    One line of a cart. Money is in minor units (1999 for 19.99), tax included, and always an ``int``.

    Attributes:
        quantity: how many; a discount has 1, and a negative *unit_price*.
        unit_price: of one, with its tax and without the discount.
        tax_rate: in hundredths of a per cent: 2500 is 25 %. ``None`` in the US, where tax is a line of its own, of the
            type `LineType.SALES_TAX`.
        total_discount_amount: what is taken off the whole line, tax included.
        total_amount: ``quantity × unit_price − total_discount_amount``; computed, and checked where it is given.
        total_tax_amount: the tax in *total_amount*; computed where there is a *tax_rate*. One that is given may differ
            by 1 from the tax before it is rounded, for shops that round otherwise.
        type: what the line is; the provider takes it as `LineType.PHYSICAL` where it is ``None``.
        reference: the article's number.
        quantity_unit: such as ``pcs`` or ``kg``.
        merchant_data: for the merchant's own use; the provider passes it through.
        extra: whatever else the provider takes, by its names there.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    name: str = attrs.field(validator=text(at_least=1, at_most=255))
    quantity: int = attrs.field(validator=number(at_least=0))
    unit_price: int = attrs.field(validator=amount(at_most=_HIGHEST))
    tax_rate: int | None = attrs.field(
        default=None, validator=optional(number("hundredths of a per cent (2500 for 25 %)", at_most=_WHOLE))
    )
    total_discount_amount: int = attrs.field(default=0, validator=amount(at_least=0))
    total_amount: int = attrs.field(
        default=attrs.Factory(lambda line: line._sum(), takes_self=True), validator=amount(at_most=_HIGHEST)
    )
    total_tax_amount: int | None = attrs.field(
        default=attrs.Factory(lambda line: line._tax(), takes_self=True), validator=optional(amount())
    )
    type: LineType | None = attrs.field(default=None, validator=optional(one_of(LineType)))
    reference: str | None = attrs.field(default=None, validator=optional(text(at_most=255)))
    quantity_unit: str | None = attrs.field(default=None, validator=optional(text(at_least=1, at_most=8)))
    image_url: str | None = attrs.field(default=None, validator=optional(text(at_most=1024)))
    product_url: str | None = attrs.field(default=None, validator=optional(text(at_most=1024)))
    merchant_data: str | None = attrs.field(default=None, validator=optional(text(at_most=1024)))
    product_identifiers: ProductIdentifiers | None = attrs.field(
        default=None, validator=optional(a(ProductIdentifiers))
    )
    subscription: Subscription | None = attrs.field(default=None, validator=optional(a(Subscription)))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)

    def __attrs_post_init__(self) -> None:
        if self.total_amount != self._sum():
            raise refusal(
                self,
                "total_amount",
                "it is not quantity × unit_price − total_discount_amount: leave it out, and it is computed",
            )
        if not self._is_tax(self.total_tax_amount or 0):
            raise refusal(
                self,
                "total_tax_amount",
                "it is not the part of total_amount that tax_rate makes: leave it out, and it is computed",
            )

    @property
    def is_sales_tax(self) -> bool:
        """Whether the line is the tax of the other lines, as in the US."""
        return self.type == LineType.SALES_TAX

    def _sum(self) -> int:
        if not is_whole(self.quantity, self.unit_price, self.total_discount_amount):
            return 0  # they are refused as soon as all fields are there
        return self.quantity * self.unit_price - self.total_discount_amount

    def _is_tax(self, tax: int) -> bool:
        """Tell whether *tax* differs by at most 1 from the tax in the line, which is not rounded for that."""
        rate, divisor = self.tax_rate or 0, _WHOLE + (self.tax_rate or 0)
        return abs(tax * divisor - self.total_amount * rate) <= divisor

    def _tax(self) -> int | None:
        """Return the tax in the line: ``total − total × 10000 / (10000 + rate)``, to the nearest minor unit."""
        if not is_whole(self.tax_rate, self.total_amount):
            return None
        rate, total = self.tax_rate or 0, self.total_amount
        tax = (2 * abs(total) * rate + _WHOLE + rate) // (2 * (_WHOLE + rate))
        return tax if total >= 0 else -tax
