"""`create_session` beside a bare `client.post(url, json=…, auth=…)` of the same body."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import anyio
import httpx

from benchmarks.figures import Figure, in_turns
from benchmarks.provider import AUTH, over_http
from hpp_async import HPPClient, MerchantURLs, Options, Placeholder, PlaceOrderMode, PurchaseType

_SUCCESS: Final = f"https://shop.example/paid?sid={Placeholder.SESSION_ID}"
_STATUS_UPDATE: Final = "https://shop.example/klarna/0b1d9815-165e-42e2-8867-35bc03789e00"
_PAGE_TITLE: Final = "Complete your purchase"


def measure(*, quick: bool) -> Iterator[Figure]:
    with over_http() as base_url:
        yield asyncio.run(_over_http(base_url, *((2, 5) if quick else (200, 25))))


class _Hurried:
    """A clock by which a second passes at each look, so that the budget of creates never holds one back."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def now(self) -> float:
        return float(next(self._seconds))

    def today(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, event: anyio.Event, until: float) -> None:
        await event.wait()


async def _over_http(base_url: str, rounds: int, calls: int) -> Figure:
    """Compare both as they come, each with a client of its own and one kept-alive connection."""
    payment_session = f"{base_url}/payments/v1/sessions/92d97f60-7a78-46a5-8f68-c56fe52dc4af"
    urls = MerchantURLs(success=_SUCCESS, status_update=_STATUS_UPDATE)
    options = Options(
        place_order_mode=PlaceOrderMode.PLACE_ORDER, page_title=_PAGE_TITLE, purchase_type=PurchaseType.BUY
    )
    body = {
        "payment_session_url": payment_session,
        "merchant_urls": {"success": _SUCCESS, "status_update": _STATUS_UPDATE},
        "options": {"place_order_mode": "PLACE_ORDER", "page_title": _PAGE_TITLE, "purchase_type": "BUY"},
    }
    ours = HPPClient(auth=AUTH, endpoint=base_url, clock=_Hurried())
    async with ours, httpx.AsyncClient() as theirs:

        async def bare() -> None:
            response = await theirs.post(f"{base_url}/hpp/v1/sessions", json=body, auth=AUTH)
            response.raise_for_status().json()

        compared = await in_turns(
            lambda: ours.create_session(payment_session, merchant_urls=urls, options=options),
            bare,
            rounds=rounds,
            calls=calls,
        )
    return compared.figure("create_over_http", bar=1.1, scale=1e6, unit="µs")
