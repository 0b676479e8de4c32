"""The requests of merchants: their operations, and their bodies."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Final, Literal, TypeVar, cast

import attrs

from hpp_async._provider.plain import URL, PlainDataError, Whole, read
from hpp_async._provider.words import Operation

_Body = TypeVar("_Body")

# -- operations --------------------------------------------------------------------------------------------------------

SESSIONS: Final = "/hpp/v1/sessions"
PAGES: Final = "/hpp/payments"
PAYMENT_SESSIONS: Final = "/payments/v1/sessions"
_AUTHORIZATIONS: Final = "/payments/v1/authorizations"
_OPERATIONS: Final = (
    (re.compile(SESSIONS), {"POST": Operation.CREATE}),
    (re.compile(rf"{SESSIONS}/([^/]+)"), {"GET": Operation.READ, "DELETE": Operation.DISABLE}),
    (re.compile(rf"{SESSIONS}/([^/]+)/distribution"), {"POST": Operation.DISTRIBUTE}),
    (re.compile(PAYMENT_SESSIONS), {"POST": Operation.CREATE_PAYMENT_SESSION}),
    (
        re.compile(rf"{PAYMENT_SESSIONS}/([^/]+)"),
        {"GET": Operation.READ_PAYMENT_SESSION, "POST": Operation.UPDATE_PAYMENT_SESSION},
    ),
    (re.compile(rf"{_AUTHORIZATIONS}/([^/]+)"), {"DELETE": Operation.CANCEL_AUTHORIZATION}),
    (re.compile(rf"{_AUTHORIZATIONS}/([^/]+)/order"), {"POST": Operation.PLACE_ORDER}),
    (re.compile(rf"{_AUTHORIZATIONS}/([^/]+)/customer-token"), {"POST": Operation.CREATE_CUSTOMER_TOKEN}),
)
ABOUT_SESSIONS: Final = frozenset({Operation.CREATE, Operation.READ, Operation.DISTRIBUTE, Operation.DISABLE})
"""The operations of the Hosted Payment Page; the others are those of the Payments API."""


def operation_of(method: str, path: str) -> tuple[Operation | None, str | None, tuple[str, ...]]:
    """
    Return the operation, the id in *path*, and the methods that *path* has: none if there is no such path.

    The id is that of an HPP session or a payment session, or an authorization token.
    """
    for pattern, operations in _OPERATIONS:
        found = pattern.fullmatch(path)
        if found is not None:
            session_id = found[1] if pattern.groups else None
            return operations.get(method), session_id, tuple(operations)
    return None, None, ()


def page_path(session_id: str) -> str:
    """Return the path of the session's payment page; as at the provider, its last part is not the session's id."""
    return f"{PAGES}/{uuid.uuid5(uuid.NAMESPACE_URL, session_id).hex[:7]}"


# -- bodies (``SessionCreationRequestV1`` and ``DistributionRequestV1`` in the provider's OpenAPI file) ----------------

Category = Literal["DIRECT_DEBIT", "DIRECT_BANK_TRANSFER", "PAY_NOW", "PAY_LATER", "PAY_OVER_TIME", "KLARNA"]
PlaceOrderMode = Literal["PLACE_ORDER", "CAPTURE_ORDER", "NONE"]
PurchaseType = Literal["BUY", "RENT", "BOOK", "SUBSCRIBE", "DOWNLOAD", "ORDER", "CONTINUE"]
AccessId = Literal["klarna:09f4a78d-d096-47d4-a0f6-abcf680c70fe", "467521087419", "278352"]


class BadValueError(ValueError):
    """A field of the request breaks a constraint; the argument is the path of the first such field."""


@attrs.frozen(kw_only=True)
class BackgroundImage:
    """A picture behind the payment page."""

    url: str | None = None
    width: Whole | None = None


@attrs.frozen(kw_only=True)
class Options:
    """How the payment page looks, and what happens when the session is completed."""

    payment_method_category: Category | None = None
    place_order_mode: PlaceOrderMode | None = None
    purchase_type: PurchaseType | None = None
    show_subtotal_detail: Literal["HIDE"] | None = None
    payment_method_categories: list[Category] | None = None
    background_images: list[BackgroundImage] | None = None
    logo_url: str | None = None
    page_title: str | None = None


@attrs.frozen(kw_only=True)
class MerchantURLs:
    """Where the consumer and the callbacks are sent."""

    back: str | None = None
    cancel: str | None = None
    error: str | None = None
    failure: str | None = None
    status_update: str | None = None
    success: str | None = None


@attrs.frozen(kw_only=True)
class Creation:
    """A request to create a session."""

    payment_session_url: URL
    profile_id: str | None = None
    merchant_urls: MerchantURLs | None = None
    options: Options | None = None

    @classmethod
    def parse(cls, body: bytes) -> Creation:
        """
        Read the request in *body*.

        Raises:
            BadValueError: naming the first field that breaks a constraint.
        """
        request = parsed(as_json(body), cls)
        options = request.options or Options()
        if options.payment_method_category is not None and options.payment_method_categories is not None:
            raise BadValueError("options.payment_method_category")
        return request

    @property
    def categories(self) -> tuple[str, ...]:
        """The ways to pay that are to be offered; all of them, if there are none."""
        options = self.options or Options()
        if options.payment_method_category is not None:
            return (options.payment_method_category,)
        return tuple(options.payment_method_categories or ())

    @property
    def mode(self) -> str:
        """The order mode that applies."""
        if "/checkout/" in self.payment_session_url:
            return "PLACE_ORDER"  # read page: a session for a Klarna Checkout order ends with an order
        mode = None if self.options is None else self.options.place_order_mode
        return mode or "NONE"

    @property
    def urls(self) -> Mapping[str, str]:
        """The merchant's URLs by their names; those that were not given are left out."""
        urls = attrs.asdict(self.merchant_urls or MerchantURLs())
        return {name: url for name, url in urls.items() if url is not None}

    @property
    def page_title(self) -> str | None:
        """The title that the merchant wants for the payment page."""
        return None if self.options is None else self.options.page_title


@attrs.frozen(kw_only=True)
class ContactInformation:
    """How the consumer can be reached."""

    access_id: AccessId | None = None
    email: str | None = None
    phone: str | None = None
    phone_country: str | None = None


@attrs.frozen(kw_only=True)
class Distribution:
    """A request to send the consumer the link to the payment page."""

    contact_information: ContactInformation
    method: Literal["sms", "two_way_sms", "email", "token"]
    template: Literal["INSTORE_PURCHASE"] | None = None

    @classmethod
    def parse(cls, body: bytes) -> Distribution:
        """
        Read the request in *body*.

        Raises:
            BadValueError: naming the first field that breaks a constraint, or that is missing for the method.
        """
        request = parsed(as_json(body), cls)
        for name in NEEDED[request.method]:
            if not getattr(request.contact_information, name):
                raise BadValueError(f"contact_information.{name}")
        return request


NEEDED: Final = {
    "sms": ("phone", "phone_country"),
    "two_way_sms": ("phone", "phone_country"),
    "email": ("email",),
    "token": ("access_id",),
}
"""The contact information that each method of distribution needs."""


def as_json(body: bytes) -> object:
    """
    Return *body*, JSON, as plain data.

    Raises:
        BadValueError: it is not JSON.
    """
    try:
        return cast("object", json.loads(body, parse_constant=_refuse))
    except (ValueError, RecursionError):
        raise BadValueError("body") from None


def parsed(request: object, kind: type[_Body]) -> _Body:
    """
    Return *request*, plain data, as a *kind*; optional fields may be null, and unknown ones are ignored.

    Raises:
        BadValueError: naming the first field that breaks a constraint.
    """
    try:
        return read(request, kind, ignores_unknown_keys=True)
    except PlainDataError as refusal:
        raise BadValueError(refusal.key or "body") from None


def _refuse(constant: str) -> object:
    raise ValueError(constant)  # NaN and Infinity are no JSON
