"""
A cart in a file, in TOML or JSON.

The names are the provider's, so that a body of the Payments API can be used as it is. The table ``page`` is about the
payment page.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
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
_ONE_PER_CENT: Final = 100


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
    is_json = path.suffix.lower() == ".json"
    parse: Callable[[str], object] = json.loads if is_json else tomllib.loads
    try:
        data = parse(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # of both parsers, and of the decoding; neither quotes more than a character
        why = "JSON, because its name ends in .json" if is_json else "TOML, because its name does not end in .json"
        raise ConfigurationError(f"{path}: it is read as {why}: {error}") from None
    try:
        return _cart(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def doubts(order: PurchaseOrder, tax_rate: str = "order_lines[{}].tax_rate") -> list[str]:
    """
    Return a remark on each tax rate below 1 %, as 25 is, where 2500 was probably meant.

    It cannot be refused: there are such rates, of 0.9 % in Corsica, or of a line that is a mixture. *tax_rate* is what
    the rate of a line is called, with a place for the line's number.
    """
    rates = [(tax_rate.format(index), line.tax_rate) for index, line in enumerate(order.order_lines)]
    return [
        f"{name} {rate} is {rate / 100:g} %: if you mean {rate} %, give {100 * rate}"
        for name, rate in rates
        if rate is not None and 0 < rate < _ONE_PER_CENT
    ]


def _cart(data: object) -> Cart:
    fields = _mapping(data, "the cart")
    page = _mapping(fields.pop("page", {}), "page")
    for name in page:
        if name not in _PAGE:
            raise ConfigurationError(f"page.{name} is not known{_closest(name, _PAGE)}: there are {', '.join(_PAGE)}")
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
    names = known if where else (*known, "page")
    for name in fields:
        if name not in known:
            raise ConfigurationError(
                f"{within}{name} is not known{_closest(name, names)}: for other fields of the provider's, take "
                f"{within}extra"
            )
    for name, field in known.items():
        if field.default is attrs.NOTHING and name not in fields:
            raise ConfigurationError(f"{within}{name} is missing")
    for name, value in fields.items():
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


def _closest(name: str, known: Iterable[str]) -> str:
    """Return what to say of the name in *known* that was probably meant; nothing if none is close to *name*."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (do you mean {close[0]}?)" if close else ""


def _mapping(data: object, where: str) -> dict[str, object]:
    if not isinstance(data, dict):
        raise ConfigurationError(f"{where} is a {type(data).__name__}: give names with values")
    return dict(cast("dict[str, object]", data))
