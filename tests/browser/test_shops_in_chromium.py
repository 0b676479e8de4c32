"""The shops of examples/ as a consumer has them: in a real browser, behind a real nginx, before the simulator."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from anyio.from_thread import start_blocking_portal
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from chromium import browser, path_of_chromium
from fault_server import reserved_port
from nginx import nginx, path_of_nginx
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.shops import AUTH, SHOPS, RunningShop, running_shop

from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Provider

__all__ = ["browser"]

PHONE: Final = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
DESKTOP: Final = {"viewport": {"width": 1100, "height": 800}, "color_scheme": "light"}
WITHOUT_JAVASCRIPT: Final = {"java_script_enabled": False}
NOTE_STREAMS: Final = """
window.streams = [];
window.EventSource = class extends EventSource {
    constructor(url) { super(url); window.streams.push(this); }
};
"""

BEGUN: Final = "Your payment is in progress."
DECLINED: Final = "Your payment was declined. You can try again on the payment page."
PAID: Final = "Thank you! Your order is paid."


@attrs.define
class Front:
    """A shop behind nginx, which goes on while the shop is stopped and started again."""

    url: str
    start: Callable[[], AbstractContextManager[RunningShop]]


@pytest.fixture
def name() -> str:
    return SHOPS[0]


@pytest.fixture
def provider() -> Provider:
    return Provider(now=Calendar(), auth=AUTH, quota=None, consumer=Consumer.NOBODY)


@pytest.fixture
def front(name: str, provider: Provider, tmp_path: Path) -> Generator[Front]:
    path_of_chromium()
    path_of_nginx()
    with serve(provider) as endpoint, reserved_port() as port, start_blocking_portal() as portal:
        proxy = nginx(f"http://127.0.0.1:{port}", tmp_path, patience="60s")
        with portal.wrap_async_context_manager(proxy) as running:
            yield Front(
                running.url, lambda: running_shop(name, endpoint, port, str(tmp_path / "shop.db"), url=running.url)
            )


@pytest.fixture
def options() -> dict[str, Any]:
    """What is special about the browser of a test."""
    return {}


@pytest.fixture
def context(browser: Browser, front: Front, options: dict[str, Any]) -> Generator[BrowserContext]:
    """Pages whose scripts fail, or that want something from elsewhere, fail the test."""
    context = browser.new_context(base_url=front.url, **options)
    context.set_default_timeout(60_000)
    complaints: list[str] = []

    def note(what: str) -> None:
        if not what.startswith("Failed to load resource: "):  # the shop was killed, and nginx said so
            complaints.append(what)

    context.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: note(str(error.error)))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@contextmanager
def expecting(seconds: float = 60) -> Generator[None]:
    """Let what is expected take so long."""
    expect.set_options(timeout=seconds * 1000)
    yield
    expect.set_options(timeout=5000)


def order(page: Page, provider: Provider) -> str:
    """Go from the cart to the payment page; return the URL of the order's page."""
    page.goto("/")
    page.get_by_role("button", name="Pay with Klarna").click()
    expect(page.get_by_role("button", name="Be declined")).to_be_visible()
    return provider.lives[-1].merchant_urls["success"]


def news(page: Page) -> Any:
    return page.get_by_role("status")


def until(page: Page, condition: str) -> None:
    """Wait for a condition in JavaScript. The page forbids what `Page.wait_for_function` needs."""
    while not page.evaluate(condition):
        page.wait_for_timeout(50)


@pytest.mark.parametrize("name", SHOPS)
def test_a_consumer_pays_and_is_sent_back_to_the_order(front: Front, page: Page, provider: Provider) -> None:
    with front.start(), expecting():
        order(page, provider)
        page.get_by_role("button", name="Pay", exact=True).click()

        expect(page.get_by_role("heading", level=1)).to_have_text("Your order")
        expect(news(page)).to_have_text(PAID)
        expect(page.get_by_role("link", name="Go to the payment page")).to_be_hidden()


@pytest.mark.parametrize("name", SHOPS)
def test_a_page_follows_its_order_although_the_shop_is_killed_and_closes_the_stream_on_the_outcome(
    front: Front, page: Page, provider: Provider
) -> None:
    page.add_init_script(NOTE_STREAMS)
    with front.start() as shop, expecting():
        page.goto(order(page, provider))
        expect(news(page)).to_have_text(BEGUN)
        provider.change(provider.sessions[-1], "FAILED")
        expect(news(page)).to_have_text(DECLINED)
        shop.end(signal.SIGKILL)
        provider.change(provider.sessions[-1], "COMPLETED")
        until(page, "streams.at(-1).readyState === EventSource.CLOSED")  # at nginx's 502

    with front.start(), expecting():
        expect(news(page)).to_have_text(PAID)
        until(page, "streams.length > 1 && streams.every((one) => one.readyState === EventSource.CLOSED)")


@pytest.mark.parametrize("options", [WITHOUT_JAVASCRIPT])
def test_without_javascript_the_page_reloads_itself(front: Front, page: Page, provider: Provider) -> None:
    with front.start(), expecting():
        page.goto(order(page, provider))
        expect(news(page)).to_have_text(BEGUN)
        provider.change(provider.sessions[-1], "COMPLETED")

        expect(news(page)).to_have_text(PAID)
        expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)


@pytest.mark.parametrize("options", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_page_is_accessible_and_fits_a_phone(front: Front, page: Page, provider: Provider) -> None:
    def check() -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        for width in (320, 390, 1100):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width

    with front.start(), expecting():
        page.goto("/")
        check()
        page.goto("/orders/unknown")
        check()
        page.goto(order(page, provider))
        for status, text in (("IN_PROGRESS", BEGUN), ("FAILED", DECLINED), ("COMPLETED", PAID)):
            provider.change(provider.sessions[-1], status)
            expect(news(page)).to_have_text(text)
            check()
