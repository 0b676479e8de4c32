"""A request for a customer token (``customer_token_creation_request`` in the provider's OpenAPI file)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from hpp_async._provider.carts import COUNTRY, CURRENCY, LOCALE, Cart
from hpp_async._provider.requests import BadValueError, as_json, parsed

_Table = dict[str, Any]


@attrs.frozen(kw_only=True)
class CustomerTokenRequest:
    """What a customer token is for. *intended_use* is in small letters in the examples of the provider's pages."""

    description: str
    intended_use: Literal["SUBSCRIPTION", "subscription"]
    locale: str
    purchase_country: str
    purchase_currency: str
    billing_address: _Table | None = None
    customer: _Table | None = None

    @classmethod
    def parse(cls, body: bytes) -> CustomerTokenRequest:
        """
        Read the request in *body*.

        Raises:
            BadValueError: naming the first field that breaks a constraint.
        """
        request = parsed(as_json(body), cls)
        wrong = next(request._faults(), None)
        if wrong is not None:
            raise BadValueError(wrong)
        return request

    def not_matching(self, authorized: Cart) -> list[str]:
        """Return the fields in which the request differs from what was authorized."""
        names = ("purchase_country", "purchase_currency")
        return [name for name in names if getattr(self, name).upper() != getattr(authorized, name).upper()]

    def _faults(self) -> Iterator[str]:
        if not 1 <= len(self.description) <= 255:
            yield "description"
        if not LOCALE.fullmatch(self.locale):
            yield "locale"
        if not COUNTRY.fullmatch(self.purchase_country):
            yield "purchase_country"
        if not CURRENCY.fullmatch(self.purchase_currency):
            yield "purchase_currency"
