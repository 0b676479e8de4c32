"""A cart, and the requests around a wait, for tests."""

from __future__ import annotations

from typing import Any, Final

import httpx

from hpp_async import LineType, MerchantURLs, OrderLine, PurchaseOrder

SECRET: Final = "0b1d9815-165e-42e2-8867-35bc03789e00"
HOST: Final = "https://api.playground.klarna.com"


def line(**fields: Any) -> OrderLine:
    """Return a line of a cart, of 2 × 19.99 with 25 % of tax where *fields* do not say otherwise."""
    defaults: dict[str, Any] = {"name": "Running shoe", "quantity": 2, "unit_price": 1999, "tax_rate": 2500}
    return OrderLine(**(defaults | fields))


def order(*lines: OrderLine, **fields: Any) -> PurchaseOrder:
    """Return an order of *lines*, or of one."""
    defaults: dict[str, Any] = {"purchase_country": "SE", "purchase_currency": "SEK", "order_lines": lines or (line(),)}
    return PurchaseOrder(**(defaults | fields))


def callbacks(url: str = f"https://shop.example/klarna/{SECRET}", **urls: Any) -> MerchantURLs:
    """Return URLs with one for callbacks."""
    return MerchantURLs(status_update=url, **urls)


SALES_TAX: Final[dict[str, Any]] = {
    "name": "Tax",
    "quantity": 1,
    "unit_price": 1000,
    "tax_rate": None,
    "type": LineType.SALES_TAX,
}

PAYMENT_SESSION: Final[dict[str, Any]] = {
    "session_id": "kp-1",
    "client_token": "client-token",
    "payment_method_categories": [
        {"identifier": "klarna", "name": "Pay with Klarna", "asset_urls": {"standard": "https://x.example/k.svg"}}
    ],
}
CREATED: Final[dict[str, Any]] = {
    "session_id": "hpp-1",
    "session_url": f"{HOST}/hpp/v1/sessions/hpp-1",
    "redirect_url": "https://pay.example/2OCkffK",
    "qr_code_url": "https://pay.example/2OCkffK/qr",
    "distribution_url": f"{HOST}/hpp/v1/sessions/hpp-1/distribution",
    "manual_identification_check_url": f"{HOST}/hpp/v1/sessions/hpp-1/manual-id-check",
    "expires_at": "2038-01-19T03:14:07.000Z",
    "distribution_module": {"token": "module-token", "standalone_url": "https://pay.example/d", "generation_url": "g"},
}
PLACED: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "fraud_status": "ACCEPTED",
    "redirect_url": "https://credit.example/redirect",
    "authorized_payment_method": {"type": "invoice", "number_of_days": 30},
}


def payment_session() -> httpx.Response:
    """Return the answer to a payment session that was created."""
    return httpx.Response(200, json=PAYMENT_SESSION, headers={"Klarna-Correlation-Id": "corr-1"})


def created() -> httpx.Response:
    """Return the answer to a session that was created."""
    return httpx.Response(201, json=CREATED, headers={"Klarna-Correlation-Id": "corr-2"})


def placed() -> httpx.Response:
    """Return the answer to an order that was placed."""
    return httpx.Response(200, json=PLACED, headers={"Klarna-Correlation-Id": "corr-3"})


def problem(status_code: int, error_code: str, *messages: str) -> httpx.Response:
    """Return an error as the provider sends it."""
    body = {"error_code": error_code, "error_messages": list(messages), "correlation_id": "corr-4"}
    return httpx.Response(status_code, json=body)
