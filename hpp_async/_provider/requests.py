"""What the provider takes as requests (``SessionCreationRequestV1``, ``DistributionRequestV1`` in its OpenAPI file)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, cast

import attrs

# -- what may stand in one: text, one of some words, a whole number, a list, an object ---------------------------------


class BadValueError(ValueError):
    """The request breaks a constraint; the argument is the field's path."""


@attrs.frozen
class Text:
    """Text, in which *pattern* is found."""

    pattern: str = ""

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if not isinstance(value, str) or re.search(self.pattern, value) is None:
            raise BadValueError(path)


@attrs.frozen
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if value not in self.words:
            raise BadValueError(path)


@attrs.frozen
class Whole:
    """A whole number of 64 bits."""

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValueError(path)
        if value != value // 1 or not -(2**63) <= value < 2**63:
            raise BadValueError(path)


@attrs.frozen
class Many:
    """A list of things of one kind; its path is that of the list."""

    of: Shape

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if not isinstance(value, list):
            raise BadValueError(path)
        for item in cast("list[object]", value):
            self.of.check(item, path)


@attrs.frozen
class Fields:
    """An object; what is not required may be null, and keys that nobody knows are ignored."""

    of: Mapping[str, Shape]
    required: tuple[str, ...] = ()

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with the path of the first field that breaks a constraint."""
        if not isinstance(value, dict):
            raise BadValueError(path or "body")
        fields = cast("dict[str, object]", value)
        for name, shape in self.of.items():
            field = fields.get(name)
            if field is not None or name in self.required:
                shape.check(field, f"{path}.{name}" if path else name)


Shape = Text | Choice | Whole | Many | Fields

# -- the requests ------------------------------------------------------------------------------------------------------

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
ACCESS_IDS: Final = ("klarna:09f4a78d-d096-47d4-a0f6-abcf680c70fe", "467521087419", "278352")
NEEDED: Final = {"sms": ("phone", "phone_country"), "email": ("email",), "token": ("access_id",)}
"""What each method of distribution needs to know of the consumer."""

_TEXT: Final = Text()
_OPTIONS: Final[dict[str, Shape]] = {
    **{name: Choice(words) for name, words in CHOICES.items()},
    "payment_method_categories": Many(Choice(CATEGORIES)),
    "background_images": Many(Fields({"url": _TEXT, "width": Whole()})),
    "logo_url": _TEXT,
    "page_title": _TEXT,
}
CREATION: Final = Fields(
    {
        "payment_session_url": Text("://"),
        "profile_id": _TEXT,
        "merchant_urls": Fields(dict.fromkeys(MERCHANT_URLS, _TEXT)),
        "options": Fields(_OPTIONS),
    },
    required=("payment_session_url",),
)
_CONTACT: Final[dict[str, Shape]] = {
    "access_id": Choice(ACCESS_IDS),
    "email": _TEXT,
    "phone": _TEXT,
    "phone_country": _TEXT,
}
DISTRIBUTION: Final = Fields(
    {
        "contact_information": Fields(_CONTACT),
        "method": Choice(tuple(NEEDED)),
        "template": Choice(("INSTORE_PURCHASE",)),
    },
    required=("contact_information", "method"),
)


@attrs.frozen(kw_only=True)
class Creation:
    """What of a request shapes the life of the session."""

    place_order_mode: str
    merchant_urls: Mapping[str, str]
    page_title: str | None

    @classmethod
    def parse(cls, body: bytes) -> Creation:
        """
        Read the request in *body*; keys that the OpenAPI file does not have are ignored.

        Raises:
            BadValueError: naming the first field that breaks a constraint.
        """
        request = _parsed(body, CREATION)
        urls = cast("dict[str, str | None]", request.get("merchant_urls") or {})
        options = cast("dict[str, object]", request.get("options") or {})
        mode = str(options.get("place_order_mode") or "NONE")
        if "/checkout/" in str(request["payment_session_url"]):
            mode = "PLACE_ORDER"  # read page: a session for a Klarna Checkout order ends with an order
        return cls(
            place_order_mode=mode,
            merchant_urls={name: url for name in MERCHANT_URLS if (url := urls.get(name)) is not None},
            page_title=cast("str | None", options.get("page_title")),
        )


def parse_distribution(body: bytes) -> str:
    """
    Read the request in *body*; return the method by which the consumer gets the link.

    Raises:
        BadValueError: naming the first field that breaks a constraint, or that the method needs.
    """
    request = _parsed(body, DISTRIBUTION)
    method = str(request["method"])
    contact = cast("dict[str, object]", request["contact_information"])
    for name in NEEDED[method]:
        if not contact.get(name):
            raise BadValueError(f"contact_information.{name}")
    return method


def _parsed(body: bytes, shape: Fields) -> dict[str, object]:
    try:
        request: object = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadValueError("body") from None
    shape.check(request, "")
    return cast("dict[str, object]", request)


def _refuse(constant: str) -> object:
    raise ValueError(constant)  # NaN and Infinity are no JSON
