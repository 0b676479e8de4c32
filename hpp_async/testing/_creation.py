"""What the provider takes as a request for a session (``SessionCreationRequestV1`` in its OpenAPI file)."""

from __future__ import annotations

import json
from typing import Final, cast

import attrs

CATEGORIES: Final = (
    "DIRECT_DEBIT",
    "DIRECT_BANK_TRANSFER",
    "PAY_NOW",
    "PAY_LATER",
    "PAY_OVER_TIME",
    "KLARNA",
)
CHOICES: Final = {
    "payment_method_category": CATEGORIES,
    "place_order_mode": ("PLACE_ORDER", "CAPTURE_ORDER", "NONE"),
    "purchase_type": ("BUY", "RENT", "BOOK", "SUBSCRIBE", "DOWNLOAD", "ORDER", "CONTINUE"),
    "show_subtotal_detail": ("HIDE",),
}
"""The options that are one of a few words."""

MERCHANT_URLS: Final = ("back", "cancel", "error", "failure", "status_update", "success")


class BadValueError(ValueError):
    """The request breaks a constraint; the argument is the field's path."""


@attrs.frozen(kw_only=True)
class Creation:
    """What of a request shapes the life of the session."""

    place_order_mode: str

    @classmethod
    def parse(cls, body: bytes) -> Creation:
        """
        Read the request in *body*; keys that the OpenAPI file does not have are ignored.

        Raises:
            BadValueError: naming the first field that breaks a constraint.
        """
        try:
            request: object = json.loads(body)
        except (ValueError, RecursionError):
            raise BadValueError("body") from None
        if not isinstance(request, dict):
            raise BadValueError("body")
        fields = cast("dict[str, object]", request)

        url = fields.get("payment_session_url")
        if not isinstance(url, str) or "://" not in url:
            raise BadValueError("payment_session_url")
        if not isinstance(fields.get("profile_id"), str | None):
            raise BadValueError("profile_id")
        merchant_urls = _object(fields, "merchant_urls")
        for name in MERCHANT_URLS:
            if not isinstance(merchant_urls.get(name), str | None):
                raise BadValueError(f"merchant_urls.{name}")
        options = _object(fields, "options")
        for name, choices in CHOICES.items():
            if options.get(name) not in (None, *choices):
                raise BadValueError(f"options.{name}")
        categories = options.get("payment_method_categories")
        if categories is not None and not _are_categories(categories):
            raise BadValueError("options.payment_method_categories")

        if "/checkout/" in url:  # read page: a session for a Klarna Checkout order ends with an order
            return cls(place_order_mode="PLACE_ORDER")
        return cls(place_order_mode=str(options.get("place_order_mode") or "NONE"))


def _object(fields: dict[str, object], name: str) -> dict[str, object]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadValueError(name)
    return cast("dict[str, object]", value)


def _are_categories(value: object) -> bool:
    return isinstance(value, list) and all(category in CATEGORIES for category in cast("list[object]", value))
