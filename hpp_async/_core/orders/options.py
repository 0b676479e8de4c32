"""How the payment page looks, and what happens when the consumer has paid on it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import attrs

from hpp_async._core.orders.checks import (
    Extra,
    Model,
    a,
    as_tuple,
    discreet,
    each,
    fits,
    matching,
    number,
    one_of,
    optional,
    plain,
    refusal,
    text,
)


class PlaceOrderMode(StrEnum):
    """What the provider does when the consumer has paid."""

    NONE = "NONE"
    """It hands out an authorization token, which lives 60 minutes: place the order with it."""
    PLACE_ORDER = "PLACE_ORDER"
    """It places the order."""
    CAPTURE_ORDER = "CAPTURE_ORDER"
    """It places the order, and takes the money at once."""


class PaymentCategory(StrEnum):
    """A way to pay that the payment page may show."""

    DIRECT_DEBIT = "DIRECT_DEBIT"
    DIRECT_BANK_TRANSFER = "DIRECT_BANK_TRANSFER"
    PAY_NOW = "PAY_NOW"
    PAY_LATER = "PAY_LATER"
    PAY_OVER_TIME = "PAY_OVER_TIME"
    KLARNA = "KLARNA"


class PurchaseType(StrEnum):
    """What the button on the payment page says."""

    BUY = "BUY"
    RENT = "RENT"
    BOOK = "BOOK"
    SUBSCRIBE = "SUBSCRIBE"
    DOWNLOAD = "DOWNLOAD"
    ORDER = "ORDER"
    CONTINUE = "CONTINUE"


@discreet
@attrs.frozen(kw_only=True, repr=False)
class BackgroundImage(Model):
    """
    A picture behind the payment page; of several the one whose *width* fits best is shown.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    url: str = attrs.field(validator=text(at_least=1))
    width: int | None = attrs.field(default=None, validator=optional(number("a width in pixels", at_least=1)))
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)


# One converter for each type: type checkers do not see through a generic one.
def _categories(categories: Iterable[PaymentCategory]) -> tuple[PaymentCategory, ...]:
    return as_tuple(categories)


def _images(images: Iterable[BackgroundImage]) -> tuple[BackgroundImage, ...]:
    return as_tuple(images)


@discreet
@attrs.frozen(kw_only=True, repr=False)
class Options(Model):
    """
    How the payment page looks, and what happens when the consumer has paid on it.

    Attributes:
        place_order_mode: the provider takes `PlaceOrderMode.NONE` where it is ``None``.
        payment_method_category: the one way to pay that is shown; not together with *payment_method_categories*.
        payment_method_categories: the ways to pay that are shown; all, where neither of the two is given.
        extra: whatever else the provider takes, by its names there.

    Raises:
        ConfigurationError: a field is refused; the message names it and says what to give.
    """

    place_order_mode: PlaceOrderMode | None = attrs.field(default=None, validator=optional(one_of(PlaceOrderMode)))
    payment_method_category: PaymentCategory | None = attrs.field(
        default=None, validator=optional(one_of(PaymentCategory))
    )
    payment_method_categories: tuple[PaymentCategory, ...] = attrs.field(
        default=(), converter=_categories, validator=each(one_of(PaymentCategory), what="categories")
    )
    purchase_type: PurchaseType | None = attrs.field(default=None, validator=optional(one_of(PurchaseType)))
    page_title: str | None = attrs.field(default=None, validator=optional(text()))
    logo_url: str | None = attrs.field(default=None, validator=optional(text(at_least=1)))
    background_images: tuple[BackgroundImage, ...] = attrs.field(
        default=(), converter=_images, validator=each(a(BackgroundImage), what="BackgroundImages")
    )
    show_subtotal_detail: str | None = attrs.field(
        default=None, validator=optional(matching("HIDE", "give 'HIDE', or leave it out"))
    )
    extra: Extra = attrs.field(factory=dict[str, object], converter=plain, validator=fits)

    def __attrs_post_init__(self) -> None:
        if self.payment_method_category is not None and self.payment_method_categories:
            raise refusal(
                self,
                "payment_method_category",
                "it is given together with payment_method_categories, and the provider refuses that: leave one out",
            )
