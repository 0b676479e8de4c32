"""
A cart in a file, in TOML or JSON.

The names are the provider's, so that a body of the Payments API can be used as it is. The table ``page`` is about the
payment page.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar, cast

import attrs

from hpp_async import (
    Address,
    Attachment,
    BackgroundImage,
    ConfigurationError,
    MerchantURLs,
    Options,
    OrderCustomer,
    OrderLine,
    OrderURLs,
    ProductIdentifiers,
    PurchaseOrder,
    Subscription,
    WidgetOptions,
)

T = TypeVar("T")

_PARTS: Final[Mapping[type[object], Mapping[str, type[object]]]] = {
    PurchaseOrder: {
        "order_lines": OrderLine,
        "customer": OrderCustomer,
        "billing_address": Address,
        "shipping_address": Address,
        "merchant_urls": OrderURLs,
        "attachment": Attachment,
        "options": WidgetOptions,
    },
    OrderLine: {"product_identifiers": ProductIdentifiers, "subscription": Subscription},
    Options: {"background_images": BackgroundImage},
}
"""The fields that are models themselves, or lists of them."""

_PAGE: Final = ("merchant_urls", "options", "profile_id")


@attrs.frozen(repr=False)
class Cart:
    """What a file says: the order, and how its payment page is to be."""

    order: PurchaseOrder
    merchant_urls: MerchantURLs | None = None
    options: Options | None = None
    profile_id: str | None = None


def load(path: Path) -> Cart:
    """
    Read the cart in the file *path*: JSON if its name ends in ``.json``, and TOML otherwise.

    Raises:
        ConfigurationError: the file cannot be read, or the cart is refused; the message names the file and the field.
    """
    parse: Callable[[str], object] = json.loads if path.suffix.lower() == ".json" else tomllib.loads
    try:
        data = parse(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # of both parsers, and of the decoding; neither quotes more than a character
        raise ConfigurationError(f"{path}: {error}") from None
    try:
        return _cart(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _cart(data: object) -> Cart:
    fields = _mapping(data, "the cart")
    page = _mapping(fields.pop("page", {}), "page")
    for name in page:
        if name not in _PAGE:
            raise ConfigurationError(f"page.{name} is not known: there are {', '.join(_PAGE)}")
    urls, options = page.get("merchant_urls"), page.get("options")
    return Cart(
        order=_made(PurchaseOrder, fields, ""),
        merchant_urls=None if urls is None else _made(MerchantURLs, urls, "page.merchant_urls"),
        options=None if options is None else _made(Options, options, "page.options"),
        profile_id=cast("str | None", page.get("profile_id")),  # the client checks it
    )


def _made(model: type[T], data: object, where: str) -> T:
    """Return the *model* whose fields *data* has; *where* is the place of it in the file."""
    fields = _mapping(data, where or "the cart")
    known = attrs.fields_dict(cast("type[attrs.AttrsInstance]", model))
    within = f"{where}." if where else ""
    for name, field in known.items():
        if field.default is attrs.NOTHING and name not in fields:
            raise ConfigurationError(f"{within}{name} is missing")
    for name, value in fields.items():
        if name not in known:
            raise ConfigurationError(
                f"{within}{name} is not known: for other fields of the provider's, take {within}extra"
            )
        part = _PARTS.get(model, {}).get(name)
        if part is not None and isinstance(value, list):
            parts = enumerate(cast("list[object]", value))
            fields[name] = [_made(part, member, f"{within}{name}[{index}]") for index, member in parts]
        elif part is not None and value is not None:
            fields[name] = _made(part, value, f"{within}{name}")
    try:
        return model(**fields)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}" if where else str(error)) from None


def _mapping(data: object, where: str) -> dict[str, object]:
    if not isinstance(data, dict):
        raise ConfigurationError(f"{where} is a {type(data).__name__}: give names with values")
    return dict(cast("dict[str, object]", data))
