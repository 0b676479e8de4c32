"""What is bought: one value that makes the payment session and places the order, so that the two always match."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, cast

import attrs

from hpp_async._core.orders.checks import (
    Extra,
    Model,
    a,
    amount,
    as_tuple,
    country,
    discreet,
    each,
    fits,
    matching,
    one_of,
    optional,
    plain,
    refusal,
    text,
)
from hpp_async._core.orders.lines import OrderLine
from hpp_async._core.orders.people import Address, OrderCustomer
from hpp_async._core.orders.urls import OrderURLs

_MOST_LINES: Final = 1000

SESSION_ONLY: Final = ("acquiring_channel", "attachment", "design", "intent", "options")
"""Fields of a `PurchaseOrder` that a payment session has, and the order that is placed does not."""


class Intent(StrEnum):
    """What a payment session is for."""

    BUY = "buy"
    TOKENIZE = "tokenize"
    BUY_AND_TOKENIZE = "buy_and_tokenize"


class AcquiringChannel(StrEnum):
    """Where the consumer buys; without it the provider takes ``ECOMMERCE``."""

    ECOMMERCE = "ECOMMERCE"
    IN_STORE = "IN_STORE"
    TELESALES = "TELESALES"


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Attachment(Model):
    """
    Extra merchant data: *body* is JSON, as text.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    body: str = attrs.field(validator=text(at_least=1))
    content_type: str = attrs.field(default="application/vnd.klarna.internal.emd-v2+json", validator=text(at_least=1))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


_color = matching(r"#[A-Fa-f0-9]{6}", "give a colour such as '#FF9900'")


@discreet
@attrs.frozen(kw_only=True, repr=False)
class WidgetOptions(Model):
    """
    How the provider's widget looks.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    color_border: str | None = attrs.field(default=None, validator=optional(_color))
    color_border_selected: str | None = attrs.field(default=None, validator=optional(_color))
    color_details: str | None = attrs.field(default=None, validator=optional(_color))
    color_text: str | None = attrs.field(default=None, validator=optional(_color))
    radius_border: str | None = attrs.field(default=None, validator=optional(text()))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


# One converter for each type: type checkers do not see through a generic one.
def _lines(lines: Iterable[OrderLine]) -> tuple[OrderLine, ...]:
    return as_tuple(lines)


def _ids(ids: Iterable[str]) -> tuple[str, ...]:
    return as_tuple(ids)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class PurchaseOrder(Model):
    """
    What is bought, by whom, and for how much. Money is in minor units (1999 for 19.99), and always an ``int``.

    Keep it, or make it again the same, until the order is placed: `HPPClient.place_order` takes the order that
    `HPPClient.create_payment_session` took, and the provider refuses any other.

    Attributes:
        purchase_country: as ISO 3166 has it, such as ``SE``.
        purchase_currency: as ISO 4217 has it, such as ``SEK``.
        order_lines: at least one.
        order_amount: the sum of the lines' ``total_amount``; computed, and checked where it is given.
        order_tax_amount: the sum of the lines' taxes, or of the `LineType.SALES_TAX` lines; computed, and checked where
            it is given. ``None`` where no line speaks of tax.
        locale: language and region of the consumer, such as ``sv-SE``.
        merchant_reference1: the shop's number of the order.
        merchant_reference2: another reference, which is in the settlement files.
        merchant_data: for the merchant's own use; the provider passes it through.
        merchant_urls: not those of the payment page, which are `MerchantURLs`.
        custom_payment_method_ids: promotion codes that were agreed with the provider.
        intent, acquiring_channel, attachment, design, options: of the payment session alone.
        extra: whatever else the provider takes, by its names there. It goes into both bodies.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    purchase_country: str = attrs.field(validator=country)
    purchase_currency: str = attrs.field(
        validator=matching(r"[A-Za-z]{3}", "give three letters, as ISO 4217 has them, such as 'SEK'")
    )
    order_lines: tuple[OrderLine, ...] = attrs.field(
        converter=_lines, validator=each(a(OrderLine), at_least=1, at_most=_MOST_LINES, what="OrderLines")
    )
    order_amount: int = attrs.field(
        default=attrs.Factory(lambda order: order._sum(), takes_self=True), validator=amount(at_least=0)
    )
    order_tax_amount: int | None = attrs.field(
        default=attrs.Factory(lambda order: order._taxes(), takes_self=True), validator=optional(amount(at_least=0))
    )
    locale: str | None = attrs.field(
        default=None,
        validator=optional(matching(r"[A-Za-z]{2}(-[A-Za-z]{2})*", "give language and region, such as 'sv-SE'")),
    )
    merchant_reference1: str | None = attrs.field(default=None, validator=optional(text(at_most=255)))
    merchant_reference2: str | None = attrs.field(default=None, validator=optional(text(at_most=255)))
    merchant_data: str | None = attrs.field(default=None, validator=optional(text(at_most=6000)))
    customer: OrderCustomer | None = attrs.field(default=None, validator=optional(a(OrderCustomer)))
    billing_address: Address | None = attrs.field(default=None, validator=optional(a(Address)))
    shipping_address: Address | None = attrs.field(default=None, validator=optional(a(Address)))
    merchant_urls: OrderURLs | None = attrs.field(default=None, validator=optional(a(OrderURLs)))
    custom_payment_method_ids: tuple[str, ...] = attrs.field(
        default=(), converter=_ids, validator=each(text(at_least=1), what="ids")
    )
    intent: Intent | None = attrs.field(default=None, validator=optional(one_of(Intent)))
    acquiring_channel: AcquiringChannel | None = attrs.field(default=None, validator=optional(one_of(AcquiringChannel)))
    attachment: Attachment | None = attrs.field(default=None, validator=optional(a(Attachment)))
    design: str | None = attrs.field(default=None, validator=optional(text()))
    options: WidgetOptions | None = attrs.field(default=None, validator=optional(a(WidgetOptions)))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)

    def __attrs_post_init__(self) -> None:
        if self.order_amount != self._sum():
            raise refusal(
                self, "order_amount", "it is not the sum of the lines' total_amount: leave it out, and it is computed"
            )
        if (self.order_tax_amount or 0) != (self._taxes() or 0):
            raise refusal(
                self,
                "order_tax_amount",
                "it is not the sum of the lines' total_tax_amount and of the lines of the type sales_tax: leave it "
                "out, and it is computed",
            )

    def _lines(self) -> tuple[OrderLine, ...]:
        # Whatever else is among them is refused as soon as all fields are there; `repr` shows a half-made one, too.
        lines: object = getattr(self, "order_lines", ())
        members = cast("tuple[object, ...]", lines) if isinstance(lines, tuple) else ()
        return tuple(line for line in members if isinstance(line, OrderLine))

    def _sum(self) -> int:
        return sum(line.total_amount for line in self._lines())

    def _taxes(self) -> int | None:
        taxes = [line.total_amount if line.is_sales_tax else line.total_tax_amount for line in self._lines()]
        known = [tax for tax in taxes if tax is not None]
        return sum(known) if known else None

    def __repr__(self) -> str:
        lines = len(self._lines())
        return f"<PurchaseOrder of {lines} line{'' if lines == 1 else 's'}>"
