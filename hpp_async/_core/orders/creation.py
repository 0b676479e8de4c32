"""Whether a session can be created so: the payment session, the endpoint, the URLs and the mode must fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from hpp_async._core.endpoint import Target, endpoint_of
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.orders.answers import PaymentSession
from hpp_async._core.orders.checks import Model, is_json, plain, refusal
from hpp_async._core.orders.options import Options, PlaceOrderMode
from hpp_async._core.orders.order import PurchaseOrder
from hpp_async._core.orders.urls import MerchantURLs, OrderURLs, Placeholder, is_plain_http

PAYMENT_SESSIONS: Final = "/payments/v1/sessions"
CHECKOUT_ORDERS: Final = "/checkout/v3/orders"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_PATH: Final = re.compile(rf".*({PAYMENT_SESSIONS}|{CHECKOUT_ORDERS})/[A-Za-z0-9_-]{{1,255}}", re.ASCII)


@attrs.frozen(kw_only=True, repr=False)
class Creation(Model):
    """
    A request for a session of the payment page, checked as a whole.

    Attributes:
        payment_session_url: of a payment session, or of a checkout order.
    """

    payment_session_url: str
    merchant_urls: MerchantURLs | None = None
    options: Options | None = None
    profile_id: str | None = None
    extra: Mapping[str, object] = attrs.field(factory=dict[str, object], converter=plain)

    @property
    def is_checkout(self) -> bool:
        """Whether it is for a checkout order, which is placed without a payment session and without a token."""
        return PAYMENT_SESSIONS not in self.payment_session_url

    def check(self, target: Target) -> None:
        """
        Check that *target* has what it asks for.

        Raises:
            ConfigurationError: naming the field and what to give.
        """
        _check_type("merchant_urls", self.merchant_urls, MerchantURLs, "MerchantURLs(…)")
        _check_type("options", self.options, Options, "Options(…)")
        _check_type("profile_id", self.profile_id, str, "text")
        if self.extra:
            self._check_extra()
        if self.merchant_urls is not None:
            _check_callbacks(target, self.merchant_urls, "status_update")
        if self.is_checkout:
            self._check_checkout()
        else:
            self._check_mode()

    def _check_extra(self) -> None:
        if not isinstance(self.extra, dict) or not is_json(self.extra):
            raise ConfigurationError("extra: give a mapping from names to what JSON has")
        for name in self.extra:
            for field, kind in (("options", Options), ("merchant_urls", MerchantURLs)):
                if name in attrs.fields_dict(kind):
                    raise ConfigurationError(
                        f"extra has {name}, which is ignored there: it belongs into {field}, so give "
                        f"{field}={kind.__name__}({name}=…)"
                    )
            if name in attrs.fields_dict(Creation):
                raise ConfigurationError(f"extra has {name}: give the argument of that name")

    def _check_mode(self) -> None:
        mode = None if self.options is None else self.options.place_order_mode
        if mode is None and self.profile_id is not None:
            return  # the profile may have a mode
        is_placed = mode in (PlaceOrderMode.PLACE_ORDER, PlaceOrderMode.CAPTURE_ORDER)
        never = Placeholder.AUTHORIZATION_TOKEN if is_placed else Placeholder.ORDER_ID
        other = Placeholder.ORDER_ID if is_placed else Placeholder.AUTHORIZATION_TOKEN
        self._refuse(
            never,
            f"with place_order_mode {mode or PlaceOrderMode.NONE} it is never replaced: take {other}, or another mode",
        )

    def _check_checkout(self) -> None:
        self._refuse(Placeholder.AUTHORIZATION_TOKEN, f"a checkout order has no token: take {Placeholder.ORDER_ID}")
        for name in ("place_order_mode", "payment_method_category", "payment_method_categories"):
            if self.options is not None and getattr(self.options, name) not in (None, ()):
                raise refusal(self.options, name, "the provider ignores it for a checkout order: leave it out")

    def _refuse(self, placeholder: Placeholder, why: str) -> None:
        for name, url in ({} if self.merchant_urls is None else self.merchant_urls.given).items():
            if placeholder in url:
                raise ConfigurationError(f"MerchantURLs.{name}: it has {placeholder}, and {why}")


def _check_type(name: str, given: object, kind: type[object], fix: str) -> None:
    if given is not None and not isinstance(given, kind):
        raise ConfigurationError(f"{name} is a {type(given).__name__}: give {fix}")


def any_payment_session_url(target: Target) -> str:
    """Return the URL that a payment session of *target* might have, or a checkout order if it has those instead."""
    is_kustom = target.member is not None and target.member.is_kustom
    return f"{target.base_url}{CHECKOUT_ORDERS if is_kustom else PAYMENT_SESSIONS}/any"


def payment_session_url(payment_session: PaymentSession | str, target: Target) -> str:
    """
    Return the URL of *payment_session*, which may be its id, or the URL of a checkout order.

    Raises:
        ConfigurationError: it is neither, or of another region or environment than *target*.
    """
    given: object = payment_session
    if isinstance(given, PaymentSession):
        url = given.session_url
    elif isinstance(given, str):
        if _ID.fullmatch(given):
            _refuse_kustom(target, "a payment session", "give the URL of a checkout order")
            return f"{target.base_url}{PAYMENT_SESSIONS}/{given}"
        url = given
    else:
        raise ConfigurationError(
            f"payment_session is a {type(given).__name__}: give what create_payment_session returned, its id or its URL"
        )
    ours = f"{target.base_url}{PAYMENT_SESSIONS}/"
    if (
        url.startswith(ours)
        and _ID.fullmatch(url, len(ours))
        and (target.member is None or not target.member.is_kustom)
    ):
        return url  # the usual case, and a cheap one
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not _PATH.fullmatch(parts.path) or parts.query or parts.fragment:
        raise ConfigurationError(
            f"payment_session: give its id, or a URL such as {target.base_url}{PAYMENT_SESSIONS}/<session_id>"
        )
    member = endpoint_of(url)
    if member is not target.member and (target.member is not None or member is None):
        raise ConfigurationError(
            f"the payment session is of {'another host' if member is None else member.name}, and the endpoint of this "
            f"client is {target.base_url if target.member is None else target.member.name}: create both with one client"
        )
    if member is None and not target.is_origin_of(url):
        raise ConfigurationError(
            f"the payment session is of another host, and the endpoint of this client is {target.base_url}: create "
            "both with one client"
        )
    if PAYMENT_SESSIONS in parts.path:
        _refuse_kustom(target, "a payment session", "give the URL of a checkout order")
    return url


def payment_session_id(payment_session: PaymentSession | str, target: Target) -> str:
    """
    Return the id of *payment_session*, which *target* can read.

    Raises:
        ConfigurationError: it is no payment session, or of another region or environment than *target*.
    """
    url = payment_session_url(payment_session, target)
    if PAYMENT_SESSIONS not in url:
        raise ConfigurationError("payment_session: it is a checkout order, which has an API of its own")
    return url.rpartition("/")[2]


def check_order(order: PurchaseOrder, target: Target) -> None:
    """
    Check that *target* takes *order*.

    Raises:
        ConfigurationError: it is no order, *target* has no payment sessions, or it cannot call the order's URLs.
    """
    given: object = order
    if not isinstance(given, PurchaseOrder):
        raise ConfigurationError(f"order is a {type(given).__name__}: give a PurchaseOrder")
    _refuse_kustom(target, "a payment session, nor an order to place", "create a checkout order with its own API")
    if order.merchant_urls is not None:
        _check_callbacks(target, order.merchant_urls, "notification", "push", "authorization")


def _refuse_kustom(target: Target, what: str, fix: str) -> None:
    if target.member is not None and target.member.is_kustom:
        raise ConfigurationError(f"Kustom does not have {what}: {fix}, or take an endpoint of Klarna's")


def _check_callbacks(target: Target, urls: MerchantURLs | OrderURLs, *names: str) -> None:
    for name in names:
        url: str | None = getattr(urls, name)
        if url is not None and is_plain_http(url) and not target.is_loopback:
            raise refusal(urls, name, "it is an http URL of this machine, which the provider cannot call: give https")
