"""Decode what the provider answers when something was created: a payment session, a session, an order."""

from __future__ import annotations

import re
from typing import Any, Final, cast

from hpp_async._core.endpoint import Target, is_session_id
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.orders.answers import (
    AssetURLs,
    AuthorizedPaymentMethod,
    CreatedSession,
    DistributionModule,
    FraudStatus,
    PaymentMethodCategory,
    PaymentSession,
)
from hpp_async._core.orders.creation import PAYMENT_SESSIONS
from hpp_async._core.outcome import PlacedOrder
from hpp_async._core.session import is_status
from hpp_async._http.codec import UnreadableError, json_object, moment_or_none, text_or_none

_ORDER_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)


def decode_payment_session(body: bytes, *, target: Target, correlation_id: str | None) -> PaymentSession:
    """
    Return the payment session that *body* tells of. Every field but the id is lenient: broken is absent.

    Raises:
        UnreadableError: not a JSON object, or no readable id.
    """
    raw = _object(body)
    session_id = text_or_none(raw.get("session_id"))
    if session_id is None or not _ID.fullmatch(session_id):
        raise UnreadableError("no readable session_id")
    return _payment_session(raw, f"{target.base_url}{PAYMENT_SESSIONS}/{session_id}", correlation_id)


def decode_read_payment_session(body: bytes, *, session_url: str, correlation_id: str | None) -> PaymentSession:
    """
    Return the payment session at *session_url* as *body* has it. Every field but the status is lenient.

    Raises:
        UnreadableError: not a JSON object, or no readable status.
    """
    session = _payment_session(_object(body), session_url, correlation_id)
    if session.status is None:
        raise UnreadableError("no readable status")
    return session


def _payment_session(raw: dict[str, object], session_url: str, correlation_id: str | None) -> PaymentSession:
    status = text_or_none(raw.get("status"))
    return PaymentSession(
        session_id=session_url.rpartition("/")[2],
        session_url=session_url,
        client_token=text_or_none(raw.get("client_token")),
        payment_method_categories=tuple(_category(one) for one in _list(raw.get("payment_method_categories"))),
        status=status if is_status(status or "") else None,
        authorization_token=text_or_none(raw.get("authorization_token")),
        expires_at=moment_or_none(raw.get("expires_at")),
        correlation_id=correlation_id,
        raw=raw,
    )


def _category(raw: dict[str, object]) -> PaymentMethodCategory:
    assets = _mapping(raw.get("asset_urls"))
    return PaymentMethodCategory(
        identifier=text_or_none(raw.get("identifier")),
        name=text_or_none(raw.get("name")),
        asset_urls=None
        if assets is None
        else AssetURLs(
            descriptive=text_or_none(assets.get("descriptive")), standard=text_or_none(assets.get("standard"))
        ),
    )


def decode_created_session(body: bytes, *, target: Target, correlation_id: str | None) -> CreatedSession:
    """
    Return the session that *body* tells of. Every field but the id is lenient: broken is absent.

    Raises:
        UnreadableError: not a JSON object, or neither a readable id nor a URL with one.
    """
    raw = _object(body)
    texts = {name: text_or_none(raw.get(name)) for name in _URLS}
    session_id = text_or_none(raw.get("session_id")) or _id_in(texts["session_url"], target)
    if session_id is None or not is_session_id(session_id):
        raise UnreadableError("no readable session_id")
    session_url = texts.pop("session_url") or target.url(session_id)
    module = _mapping(raw.get("distribution_module"))
    return CreatedSession(
        session_id=session_id,
        session_url=session_url,
        **texts,
        expires_at=moment_or_none(raw.get("expires_at")),
        distribution_module=None
        if module is None
        else DistributionModule(
            token=text_or_none(module.get("token")),
            standalone_url=text_or_none(module.get("standalone_url")),
            generation_url=text_or_none(module.get("generation_url")),
        ),
        correlation_id=correlation_id,
        raw=raw,
    )


_URLS: Final = ("session_url", "redirect_url", "qr_code_url", "distribution_url", "manual_identification_check_url")


def _id_in(session_url: str | None, target: Target) -> str | None:
    try:
        return None if session_url is None else target.session_id(session_url)
    except ConfigurationError:
        return None


def decode_order(body: bytes, *, correlation_id: str | None) -> PlacedOrder:
    """
    Return the order that *body* tells of. Every field but the id is lenient: broken is absent.

    Raises:
        UnreadableError: not a JSON object, or no readable id.
    """
    raw = _object(body)
    order_id = text_or_none(raw.get("order_id"))
    if order_id is None or not _ORDER_ID.fullmatch(order_id):
        raise UnreadableError("no readable order_id")
    fraud_status = text_or_none(raw.get("fraud_status"))
    return PlacedOrder(
        order_id=order_id,
        fraud_status=_FRAUD_STATUSES.get(fraud_status or "", fraud_status),
        redirect_url=text_or_none(raw.get("redirect_url")),
        authorized_payment_method=_method(raw.get("authorized_payment_method")),
        correlation_id=correlation_id,
    )


_FRAUD_STATUSES: Final = {str(status): status for status in FraudStatus}


def _method(value: object) -> AuthorizedPaymentMethod | None:
    if isinstance(value, str):  # as the page's example has it; the OpenAPI file has a mapping
        return AuthorizedPaymentMethod(type=value)
    raw = _mapping(value)
    if raw is None:
        return None
    return AuthorizedPaymentMethod(
        type=text_or_none(raw.get("type")),
        number_of_days=_whole(raw.get("number_of_days")),
        number_of_installments=_whole(raw.get("number_of_installments")),
    )


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _object(body: bytes) -> dict[str, object]:
    raw = json_object(body)
    if raw is None:
        raise UnreadableError("not a JSON object")
    return raw


def _mapping(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _list(value: object) -> list[dict[str, Any]]:
    members = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", member) for member in members if isinstance(member, dict)]
