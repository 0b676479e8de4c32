"""Make the pictures of docs/streams.md anew: ``PYTHONPATH=examples python tests/browser/shop_pictures.py [FOLDER]``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, Final

from chromium import running
from PIL import Image
from playwright.sync_api import Browser, Route
from shop.orders import Order
from shop.pages import STATIC, cart_page, order_page, problem_page

DOCS: Final = Path(__file__).parents[2] / "docs"
PHONE: Final = {"width": 390, "height": 400}
DESKTOP: Final = {"width": 1000, "height": 400}
LOW: Final = {"width": 390, "height": 270}


def order(status: str, state: str) -> str:
    """Return the page of an order: its number is to be the same each time."""
    return order_page(
        Order(
            number="5464469838f9cc29",
            session_id="s-1",
            payment_page="https://pay.example",
            callback_secret="",
            status=status,
            state=state,
            order_id=None,
            version=1,
        )
    )


PAGES: Final = {
    "cart": cart_page(),
    "order": order("WAITING", "open"),
    "declined": order("FAILED", "open"),
    "paid": order("COMPLETED", "paid"),
    "not-paid": order("CANCELLED", "not paid"),
    "checked": order("COMPLETED", "to be checked"),
    "problem": problem_page("No such order", "Please check the address."),
}
IN_DOCS: Final = {"order": ("order", LOW, "light"), "order-dark": ("paid", LOW, "dark")}
ALL: Final = {
    f"{page}-{scheme}-{look['width']}": (page, look, scheme)
    for page in PAGES
    for scheme in ("light", "dark")
    for look in (PHONE, DESKTOP)
}


def main() -> None:
    folder, pictures = (Path(sys.argv[1]), ALL) if sys.argv[1:] else (DOCS, IN_DOCS)
    with running() as browser:
        for name, (page, viewport, scheme) in pictures.items():
            take(browser, PAGES[page], folder / f"{name}.png", viewport=viewport, color_scheme=scheme)


def take(browser: Browser, html: str, file: Path, **look: Any) -> None:
    def answer(route: Route) -> None:
        path = route.request.url.removeprefix("https://shop.example/")
        if path.startswith("static/"):
            route.fulfill(path=STATIC / path.removeprefix("static/"))
        elif path:
            route.fulfill(status=204)  # the events
        else:
            route.fulfill(body=html, content_type="text/html")

    page = browser.new_page(**look)
    page.route("https://shop.example/**", answer)
    page.goto("https://shop.example/")
    # A palette is all that such a page needs, and a quarter of the bytes.
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(64).save(file, optimize=True)
    page.close()


if __name__ == "__main__":
    main()
