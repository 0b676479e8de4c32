"""Make the pictures of docs/simulator.md anew: ``python tests/browser/pictures.py [FOLDER]``."""

from __future__ import annotations

import asyncio
import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chromium import running
from PIL import Image
from playwright.sync_api import Browser

from hpp_async import HPPClient, LineType, OrderLine, PurchaseOrder
from hpp_async._provider.requests import page_path
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Provider, Slow

DOCS: Final = Path(__file__).parents[2] / "docs"
PHONE: Final = {"width": 390, "height": 844}
DESKTOP: Final = {"width": 1000, "height": 600}
CART: Final = PurchaseOrder(
    purchase_country="SE",
    purchase_currency="SEK",
    locale="sv-SE",
    order_lines=[
        OrderLine(name="Löparsko Åre", reference="AD6654412", quantity=2, unit_price=49_900, tax_rate=2500),
        OrderLine(
            name="Vindtät jacka med avtagbar huva, reflexer och fyra fickor",
            quantity=1,
            unit_price=129_900,
            tax_rate=2500,
            total_discount_amount=30_000,
        ),
        OrderLine(name="Frakt", type=LineType.SHIPPING_FEE, quantity=1, unit_price=4900, tax_rate=2500),
    ],
)
PICTURES: Final = {
    "payment": ("payment", PHONE, "light"),
    "payment-dark": ("payment", PHONE, "dark"),
    "payment-desktop": ("payment", DESKTOP, "light"),
    "overview": ("overview", DESKTOP, "light"),
    "overview-dark": ("overview", DESKTOP, "dark"),
    "overview-phone": ("overview", PHONE, "light"),
    "overview-phone-dark": ("overview", PHONE, "dark"),
}
IN_DOCS: Final = ("payment", "payment-dark", "overview")
AUTH: Final = ("PK00000_test", "not-a-secret")
SHOP: Final = {"back": "https://shop.example/cart"}


async def payment_session(url: str) -> str:
    """Create a payment session for the cart; return its id."""
    async with HPPClient(auth=AUTH, endpoint=url) as client:
        return (await client.create_payment_session(CART)).session_id


def main() -> None:
    calendar = Calendar(datetime(2026, 1, 15, 12, tzinfo=UTC), clock=lambda: 0.0)
    provider = Provider(now=calendar, consumer=Consumer.NOBODY)
    provider.create(Consumer.CANCEL, session_id="2f2a6f0e-gives-up")
    provider.create(Consumer.DECLINE_AND_RETRY, session_id="5d0c3c5b-tries-twice", place_order_mode="CAPTURE_ORDER")
    calendar.advance(16)
    provider.create(Consumer.DECLINE_AND_RETRY, session_id="77b4e1aa-is-at-it")
    # Not created over HTTP: its id is to be the same each time.
    mine = provider.create(session_id="0b6b8c1e-waits-for-you", merchant_urls=SHOP, place_order_mode="PLACE_ORDER")
    calendar.advance(6)
    provider.add_fault(Slow(2))
    paths = {"overview": "/simulator", "payment": page_path(mine)}

    folder, names = (Path(sys.argv[1]), tuple(PICTURES)) if sys.argv[1:] else (DOCS, IN_DOCS)
    with serve(provider) as url:
        provider.life(mine).payment_session_id = asyncio.run(payment_session(url))
        provider.life(mine).categories = ("PAY_NOW", "PAY_LATER")
        with running() as browser:
            for name in names:
                take(browser, url, name, paths, folder)


def take(browser: Browser, url: str, name: str, paths: dict[str, str], folder: Path) -> None:
    of, viewport, scheme = PICTURES[name]
    look: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme}
    page = browser.new_page(base_url=url, **look)
    page.goto(paths[of])
    # A palette is all that such a page needs, and a quarter of the bytes.
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
        picture.convert("RGB").quantize(128).save(folder / f"{name}.png", optimize=True)
    page.close()


if __name__ == "__main__":
    main()
