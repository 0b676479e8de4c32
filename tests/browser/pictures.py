"""Make the pictures of docs/simulator.md anew: ``python tests/browser/pictures.py [FOLDER]``."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chromium import running
from PIL import Image

from hpp_async._provider.requests import page_path
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Provider, Slow

DOCS: Final = Path(__file__).parents[2] / "docs"
PHONE: Final = {"width": 390, "height": 844}
DESKTOP: Final = {"width": 1000, "height": 600}
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
SHOP: Final = {"back": "https://shop.example/cart"}


def main() -> None:
    calendar = Calendar(datetime(2026, 1, 15, 12, tzinfo=UTC), clock=lambda: 0.0)
    provider = Provider(now=calendar)
    provider.create(Consumer.CANCEL, session_id="2f2a6f0e-gives-up")
    provider.create(Consumer.DECLINE_AND_RETRY, session_id="5d0c3c5b-tries-twice", place_order_mode="CAPTURE_ORDER")
    calendar.advance(16)
    provider.create(Consumer.DECLINE_AND_RETRY, session_id="77b4e1aa-is-at-it")
    mine = provider.create(session_id="0b6b8c1e-waits-for-you", merchant_urls=SHOP, place_order_mode="PLACE_ORDER")
    calendar.advance(6)
    provider.add_fault(Slow(2))
    paths = {"overview": "/simulator", "payment": page_path(mine)}

    folder, names = (Path(sys.argv[1]), tuple(PICTURES)) if sys.argv[1:] else (DOCS, IN_DOCS)
    with serve(provider) as url, running() as browser:
        for name in names:
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
