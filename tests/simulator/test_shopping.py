"""From cart to order over real HTTP: the calls around the wait, and the cart on the payment page."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from typing import Any, Final

import httpx
import pytest
import segno
from support.carts import CART, SHOE

from hpp_async.simulator import Calendar, serve
from hpp_async.simulator._cart import money
from hpp_async.testing import Consumer, Provider

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOSTILE: Final = "\"'><script>alert(1)</script>"


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(START, clock=lambda: 0.0)


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, auth=AUTH, consumer=Consumer.NOBODY)


@pytest.fixture
def shop(provider: Provider) -> Generator[httpx.Client]:
    """A merchant's HTTP client."""
    with serve(provider) as url, httpx.Client(base_url=url, auth=AUTH, trust_env=False) as client:
        yield client


def created(shop: httpx.Client, cart: dict[str, Any] = CART, **options: object) -> dict[str, str]:
    """Create a payment session and an HPP session of it; return the answer about the latter."""
    session_id = shop.post("/payments/v1/sessions", json=cart).raise_for_status().json()["session_id"]
    request = {"payment_session_url": f"{shop.base_url}/payments/v1/sessions/{session_id}", "options": options}
    answer: dict[str, str] = shop.post("/hpp/v1/sessions", json=request).raise_for_status().json()
    return answer


class Text(HTMLParser):
    """The text of a page, without its markup, and the languages that are named in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.languages: list[str | None] = []
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " "
        self.languages += [value for name, value in attrs if name == "lang"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_cart_becomes_an_order(shop: httpx.Client) -> None:
    session = created(shop)
    shop.get(session["redirect_url"])
    shop.post(session["redirect_url"], data={"act": "pays"})
    token = shop.get(session["session_url"]).json()["authorization_token"]

    order = shop.post(f"/payments/v1/authorizations/{token}/order", json=CART)
    again = shop.post(f"/payments/v1/authorizations/{token}/order", json=CART)

    assert order.status_code == 200
    assert order.json()["fraud_status"] == "ACCEPTED"
    assert again.json() == order.json()


def test_the_page_shows_the_cart(shop: httpx.Client) -> None:
    kettle = {"name": "Kettle", "quantity": 3, "quantity_unit": "pcs", "unit_price": 100_000, "total_amount": 300_000}
    shoe = SHOE | {"reference": "AD6654412"}
    cart = CART | {"order_lines": [shoe, kettle], "order_amount": 304_000}

    page = Text(shop.get(created(shop, cart, payment_method_categories=["PAY_NOW", "KLARNA"])["redirect_url"]).text)

    assert "Running shoe AD6654412 40.00 SEK 2 × 25.00 SEK − 10.00 SEK" in page.text
    assert "Kettle 3 000.00 SEK 3 pcs × 1 000.00 SEK" in page.text
    assert "Total 3 040.00 SEK Tax in it 8.00 SEK Country SE Locale sv-SE" in page.text
    assert "Ways to pay Pay now, Klarna" in page.text
    assert page.languages == ["en", "sv-SE"]


@pytest.mark.parametrize(("lines", "said"), [(8, None), (9, "1 more line "), (11, "3 more lines ")])
def test_of_a_long_cart_the_first_lines_are_shown_and_the_others_can_be(
    shop: httpx.Client, lines: int, said: str | None
) -> None:
    numbered = [SHOE | {"name": f"Shoe {number}"} for number in range(lines)]
    cart = CART | {"order_lines": numbered, "order_amount": 4000 * lines, "order_tax_amount": 800 * lines}

    page = Text(shop.get(created(shop, cart)["redirect_url"]).text)

    assert [f"Shoe {number}" in page.text for number in range(lines)] == [True] * lines
    assert ("details" in page.tags) is (said is not None)
    before, _, after = page.text.partition(said or "Shoe 8")
    assert before.count("Shoe") == 8
    assert after.count("Shoe") == lines - 8


def test_the_overview_shows_what_a_session_costs(provider: Provider, shop: httpx.Client) -> None:
    created(shop)
    provider.create()

    page = Text(shop.get("/simulator").text)

    assert page.text.count("NONE, 40.00 SEK") == 1


def test_a_cart_says_only_what_is_known_of_it(shop: httpx.Client) -> None:
    cart = {name: value for name, value in CART.items() if name not in ("locale", "order_tax_amount")}

    page = Text(shop.get(created(shop, cart)["redirect_url"]).text)

    assert "Total 40.00 SEK Country SE Locale not given: en-US" in page.text
    assert "Ways to pay Pay now, Pay later, Pay over time" in page.text
    assert page.languages == ["en"]


def test_a_page_without_a_cart_shows_none(provider: Provider, shop: httpx.Client) -> None:
    request = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}

    page = Text(shop.get(shop.post("/hpp/v1/sessions", json=request).json()["redirect_url"]).text)

    assert "Your cart" not in page.text


def test_the_qr_code_leads_to_the_payment_page(provider: Provider, shop: httpx.Client) -> None:
    session = created(shop)
    expected = BytesIO()
    segno.make_qr(session["redirect_url"]).save(expected, kind="png", scale=8)

    answer = httpx.get(session["qr_code_url"], trust_env=False)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.content == expected.getvalue()
    assert provider.status(session["session_id"]) == "WAITING"
    assert shop.get("/hpp/payments/nobody/qr").status_code == 404


def test_hostile_names_in_a_cart_are_escaped(shop: httpx.Client) -> None:
    cart = CART | {"order_lines": [SHOE | {"name": HOSTILE, "reference": HOSTILE}]}

    page = Text(shop.get(created(shop, cart)["redirect_url"]).text)

    assert f"{HOSTILE} {HOSTILE}" in page.text
    assert "script" not in page.tags


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "EUR", "0.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-123_456_789, "EUR", "−1 234 567.89 EUR"),
        (1999, "JPY", "1 999 JPY"),
        (1999, "KWD", "1.999 KWD"),
    ],
)
def test_money_is_written_with_its_decimals(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency).replace("\N{NO-BREAK SPACE}", " ") == text
