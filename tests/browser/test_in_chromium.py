"""The simulator's pages in a real browser: with a keyboard, without JavaScript, on a phone, and for everybody."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from chromium import browser, path_of_chromium
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from support.carts import CART, SHOE

from hpp_async._provider.payments import PaymentSession
from hpp_async._provider.requests import page_path
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Fault, Provider, Slow, becomes

__all__ = ["browser"]

HOSTILE: Final = "\"'><script>alert(1)</script><img src=https://shop.example/x.png onerror=alert(1)>"
ELSEWHERE: Final = {
    "success": "https://shop.example/thanks/" + "long" * 30,
    "failure": "javascript:alert(1)",
    "back": "https://shop.example/\"'><script>alert(1)</script>",
}
PAGES: Final = [
    "overview",
    "empty",
    "open",
    "declined",
    "paid",
    "watched",
    "left",
    "expired",
    "cart",
    "hostile",
    "nobody's",
]


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def press(page: Page, name: str) -> None:
    button(page, name).click()


def status(page: Page) -> Locator:
    return page.locator(".now .status")


@pytest.fixture
def calendar() -> Calendar:
    """A date that stands still until a test moves it."""
    return Calendar(datetime(2026, 1, 15, 12, tzinfo=UTC), clock=lambda: 0.0)


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, consumer=Consumer.NOBODY)


@pytest.fixture
def url(provider: Provider) -> Generator[str]:
    with serve(provider) as url:
        yield url


@pytest.fixture
def options() -> dict[str, Any]:
    """What is special about the browser of a test."""
    return {}


@pytest.fixture
def context(browser: Browser, url: str, options: dict[str, Any]) -> Generator[BrowserContext]:
    """Pages that load what is not the simulator's, complain on the console or open dialogs fail the test."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(20_000)
    complaints: list[str] = []

    def note(what: str) -> None:
        if not what.startswith("Failed to load resource: the server responded with a status of 40"):  # so it did
            complaints.append(what)

    context.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
    context.on("dialog", lambda dialog: note(f"a dialog: {dialog.message}"))
    context.on("weberror", lambda error: note(str(error.error)))
    context.on("request", lambda request: None if request.url.startswith("http://127.0.0.1:") else note(request.url))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def shop() -> Generator[str]:
    """A shop on this machine that says for every path that this is the shop."""

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><h1>The shop</h1>")

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def path_of(provider: Provider, calendar: Calendar, name: str) -> str:
    """Return the path of one of PAGES, having set its stage."""
    match name:
        case "empty":
            return "/simulator"
        case "nobody's":
            return "/hpp/payments/nobody"
        case "overview":
            provider.create(Consumer.DECLINE_AND_RETRY, session_id="a" * 128)
            provider.create([becomes("SOMETHING_" * 9, 0)])
            provider.create(Consumer.CANCEL, lifetime=20)
            calendar.advance(30)
            provider.create(Consumer.PAY)
            provider.add_fault(Fault(Slow(1)))
            provider.add_fault(Fault(Slow(2)))
            return "/simulator"
        case "open":
            return page_path(provider.create())
        case "declined":
            return page_path(provider.create([(0, "FAILED")], merchant_urls=ELSEWHERE))
        case "paid":
            return page_path(provider.create([(0, "COMPLETED")], merchant_urls=ELSEWHERE))
        case "watched":
            return page_path(provider.create(Consumer.PAY))
        case "left":
            return page_path(provider.create([(0, "BACK")], merchant_urls=ELSEWHERE)) + "/left"
        case "expired":
            session_id = provider.create(lifetime=60)
            calendar.advance(60)
            return page_path(session_id)
        case "cart":
            session_id = provider.create()
            lines = [SHOE | {"name": name, "reference": "r" * 255} for name in ("x" * 255, *["Shoe"] * 10)]
            cart = CART | {"order_lines": lines, "order_amount": 44_000, "order_tax_amount": 8800}
            provider.payments.sessions["one"] = PaymentSession(session_id="one", created_at=calendar(), fields=cart)
            provider.life(session_id).payment_session_id = "one"
            return page_path(session_id)
        case _:
            provider.create([becomes(HOSTILE, 0)], session_id="hostile", merchant_urls=ELSEWHERE)
            provider.life("hostile").page_title = HOSTILE * 5
            return page_path("hostile")


@pytest.mark.parametrize(("environ", "ending"), [({"CI": "true"}, pytest.fail.Exception), ({}, pytest.skip.Exception)])
def test_without_chromium_these_are_skipped_but_never_in_ci(
    environ: dict[str, str], ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("CI", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ending, match="chromium is not on PATH"):
        path_of_chromium()


# -- paying ------------------------------------------------------------------------------------------------------------


def test_with_a_keyboard_alone_somebody_starts_with_nothing_and_pays(page: Page, provider: Provider) -> None:
    def tab_to(name: str) -> None:
        for _ in range(50):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
            if focused.get_attribute("aria-label") == name or focused.inner_text() == name:
                return
        pytest.fail(f"{name} cannot be reached")

    page.goto("/simulator")
    tab_to("Create")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="1 session, newest first")).to_be_visible()
    [session_id] = provider.sessions
    tab_to(f"Payment page of session {session_id}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your payment")).to_be_visible()
    tab_to("Pay")
    page.keyboard.press("Space")

    expect(status(page)).to_have_text("COMPLETED")
    assert provider.status(session_id) == "COMPLETED"


@pytest.mark.parametrize("options", [{"java_script_enabled": False}])
def test_without_javascript_a_declined_payment_is_tried_again_and_paid(page: Page, provider: Provider) -> None:
    page.goto(page_path(provider.create()))
    press(page, "Be declined")
    expect(status(page)).to_have_text("FAILED")
    press(page, "Try again")
    expect(status(page)).to_have_text("IN_PROGRESS")
    press(page, "Pay")

    expect(status(page)).to_have_text("COMPLETED")
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator(".timeline .status")).to_have_text(
        ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"]
    )


def test_who_went_back_can_open_the_page_again(page: Page, provider: Provider) -> None:
    page.goto(page_path(provider.create()))
    press(page, "Go back to the shop")
    expect(status(page)).to_have_text("BACK")
    page.reload()
    expect(status(page)).to_have_text("BACK")

    page.get_by_role("link", name="Open it again").click()

    expect(status(page)).to_have_text("IN_PROGRESS")


def test_in_another_tab_a_button_finds_that_nothing_can_be_done(context: BrowserContext, provider: Provider) -> None:
    path = page_path(provider.create())
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(path)

    press(first, "Cancel")
    expect(status(first)).to_have_text("CANCELLED")
    press(second, "Pay")

    expect(status(second)).to_have_text("CANCELLED")
    expect(second.get_by_text("you can do nothing more here")).to_be_visible()


@pytest.mark.parametrize(("name", "act"), [("success", "Pay"), ("failure", "Be declined"), ("cancel", "Cancel")])
def test_a_shop_on_this_machine_is_gone_on_to(page: Page, provider: Provider, shop: str, name: str, act: str) -> None:
    urls = {name: f"{shop}/{name}?id={{{{session_id}}}}"}
    session_id = provider.create(merchant_urls=urls)

    page.goto(page_path(session_id))
    press(page, act)

    expect(page.get_by_role("heading", name="The shop")).to_be_visible()
    assert page.url == f"{shop}/{name}?id={session_id}"


def test_another_sites_page_can_press_nothing(page: Page, provider: Provider, shop: str, url: str) -> None:
    before = provider.now()

    page.goto(shop)
    page.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', body: '{\"advance\": 60}'})", f"{url}/simulator/time"
    )
    page.evaluate(
        """url => {
            document.body.innerHTML = `<form method=post action=${url}><input name=create value=1></form>`;
            document.forms[0].submit();
        }""",
        f"{url}/simulator",
    )

    expect(page.get_by_text("This request came from another site's page. Nothing was changed.")).to_be_visible()
    assert (provider.now(), provider.sessions) == (before, [])


def test_a_script_is_watched_until_somebody_takes_over(page: Page, provider: Provider, calendar: Calendar) -> None:
    page.goto(page_path(provider.create(Consumer.PAY)))
    page.get_by_role("link", name="Refresh this page automatically").click()
    expect(status(page)).to_have_text("WAITING")

    calendar.advance(3)
    expect(status(page)).to_have_text("IN_PROGRESS")
    press(page, "Take over")
    press(page, "Be declined")

    expect(status(page)).to_have_text("FAILED")


# -- the overview ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"java_script_enabled": False}])
def test_time_and_faults_are_changed_by_buttons(page: Page, provider: Provider, calendar: Calendar) -> None:
    provider.create(lifetime=7200)
    page.goto("/simulator")
    press(page, "Time ×60")
    press(page, "Answers take 2 s longer")
    page.get_by_role("button", name=re.compile("^Jump to expiry")).click()

    expect(page.get_by_role("button", pressed=True)).to_have_text(["Time ×60", "Answers take 2 s longer"])
    expect(page.get_by_role("cell", name="WAITING expired")).to_be_visible()
    press(page, "Answers take 2 s longer")
    expect(page.get_by_role("button", pressed=True)).to_have_text(["Time ×60"])
    assert calendar.pace == 60
    assert not provider.faults


def test_the_overview_shows_by_itself_what_happens(page: Page, provider: Provider, calendar: Calendar) -> None:
    provider.create(Consumer.PAY)
    page.goto("/simulator")
    page.get_by_role("link", name="Refresh this page automatically").click()
    expect(page.get_by_role("cell", name="WAITING", exact=True)).to_be_visible()

    calendar.advance(10)

    expect(page.get_by_role("cell", name="COMPLETED", exact=True)).to_be_visible()


# -- for everybody -----------------------------------------------------------------------------------------------------


PHONE: Final = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
DESKTOP: Final = {"viewport": {"width": 1100, "height": 800}, "color_scheme": "light"}


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways(page: Page, provider: Provider, calendar: Calendar, name: str) -> None:
    page.goto(path_of(provider, calendar, name))

    for width in (320, 390, 720, 1100):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("options", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_page_is_accessible(page: Page, provider: Provider, calendar: Calendar, name: str) -> None:
    page.goto(path_of(provider, calendar, name))

    results = Axe().run(page)

    assert results.violations_count == 0, results.generate_report()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        expect(page.get_by_role(landmark)).to_have_count(1)


@pytest.mark.parametrize("options", [PHONE])
def test_the_table_is_one_on_a_phone_too(context: BrowserContext, page: Page, provider: Provider) -> None:
    provider.create()
    page.goto("/simulator")

    # What Chromium tells screen readers; Playwright's own roles do not know what a stylesheet does to a table.
    nodes = context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert [roles.count(role) for role in ("table", "row", "columnheader", "cell")] == [1, 2, 4, 4]
