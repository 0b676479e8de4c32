"""The pages of the simulator without a browser: what they show, what their forms do, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Final

import httpx
import pytest

from hpp_async._provider.life import PAST_EXPIRY
from hpp_async._provider.requests import page_path
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Fault, Operation, Provider, Slow, becomes, forgotten, opens, pays

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOSTILE: Final = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
SHOP: Final = {
    name: f"https://shop.example/{name}?id={{{{session_id}}}}"
    for name in ("success", "failure", "error", "back", "cancel")
}


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(START, clock=lambda: 0.0)


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, consumer=Consumer.NOBODY)


@pytest.fixture
def web(provider: Provider) -> Generator[httpx.Client]:
    """A browser that follows nothing by itself."""
    with serve(provider) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


class Elements(HTMLParser):
    """The start tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def buttons(answer: httpx.Response, name: str = "act") -> list[str | None]:
    return [button["value"] for button in Elements(answer.text).all("button") if button["name"] == name]


def links(answer: httpx.Response) -> list[str | None]:
    return [link["href"] for link in Elements(answer.text).all("a")]


def refresh(answer: httpx.Response) -> list[str | None]:
    return [meta["content"] for meta in Elements(answer.text).all("meta") if meta.get("http-equiv") == "refresh"]


# -- the payment page --------------------------------------------------------------------------------------------------


def test_opening_the_page_puts_the_session_in_progress(provider: Provider, web: httpx.Client) -> None:
    session_id = provider.create()

    page = web.get(page_path(session_id))

    assert provider.status(session_id) == "IN_PROGRESS"
    assert page.status_code == 200
    assert buttons(page) == ["pays", "declines", "errors", "goes_back", "cancels", "vanishes"]
    assert "2026-01-17 11:00:00 UTC" in page.text
    assert session_id in page.text


def test_a_head_request_does_not_open_the_page(provider: Provider, web: httpx.Client) -> None:
    session_id = provider.create()

    assert web.head(page_path(session_id)).status_code == 200
    assert provider.status(session_id) == "WAITING"


@pytest.mark.parametrize(
    ("act", "status", "leads_to"),
    [
        ("pays", "COMPLETED", ""),
        ("declines", "FAILED", ""),
        ("errors", "ERROR", ""),
        ("goes_back", "BACK", "/left"),
        ("cancels", "CANCELLED", ""),
        ("vanishes", "IN_PROGRESS", "/left"),
    ],
)
def test_a_button_does_its_act_and_leads_back_to_the_page(
    provider: Provider, web: httpx.Client, act: str, status: str, leads_to: str
) -> None:
    session_id = provider.create()
    path = page_path(session_id)
    web.get(path)

    answer = web.post(path, data={"act": act})

    assert provider.status(session_id) == status
    assert answer.status_code == 303
    assert answer.headers["Location"] == path + leads_to
    assert web.get(path + leads_to).text.count(status) > 1
    assert provider.status(session_id) == status


@pytest.mark.parametrize("status", ["FAILED", "ERROR"])
def test_after_a_decline_or_an_error_the_consumer_can_retry(provider: Provider, web: httpx.Client, status: str) -> None:
    session_id = provider.create([(0, status)])

    page = web.get(page_path(session_id))
    web.post(page_path(session_id), data={"act": "retries"})

    assert buttons(page) == ["retries", "goes_back", "cancels", "vanishes"]
    assert provider.status(session_id) == "IN_PROGRESS"


def test_a_consumer_who_went_back_returns_by_opening_the_page(provider: Provider, web: httpx.Client) -> None:
    session_id = provider.create([(0, "BACK")])
    path = page_path(session_id)

    left = web.get(f"{path}/left")
    status = provider.status(session_id)
    web.get(path)

    assert buttons(left) == []
    assert path in links(left)
    assert (status, provider.status(session_id)) == ("BACK", "IN_PROGRESS")


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED", "DISABLED"])
def test_the_page_of_a_final_session_has_no_buttons(provider: Provider, web: httpx.Client, status: str) -> None:
    session_id = provider.create([(0, status)])

    page, answer = web.get(page_path(session_id)), web.post(page_path(session_id), data={"act": "pays"})

    assert (page.status_code, answer.status_code) == (200, 409)
    assert provider.status(session_id) == status
    for shown in (page, answer):
        assert buttons(shown) == []
        assert "you can do nothing more here" in shown.text


def test_the_page_of_an_expired_session_says_so(provider: Provider, calendar: Calendar, web: httpx.Client) -> None:
    session_id = provider.create(lifetime=60)
    calendar.advance(60)

    page = web.get(page_path(session_id))

    assert provider.status(session_id) == "WAITING"
    assert buttons(page) == []
    assert "expired at" in page.text


def test_an_unknown_status_is_shown(provider: Provider, web: httpx.Client) -> None:
    session_id = provider.create([becomes("REVIEW", 0)])

    page = web.get(page_path(session_id))

    assert "REVIEW" in Elements(page.text).text
    assert "pays" in buttons(page)


# -- a script is at it -------------------------------------------------------------------------------------------------


def test_opening_the_page_does_not_disturb_a_script(provider: Provider, calendar: Calendar, web: httpx.Client) -> None:
    session_id = provider.create(Consumer.PAY)

    before = web.get(page_path(session_id) + "?refresh=on")
    status = provider.status(session_id)
    calendar.advance(10)
    after = web.get(page_path(session_id) + "?refresh=on")

    assert status == "WAITING"
    assert buttons(before) == ["opens"]
    assert re.search(r"12:00:07</time>.*COMPLETED.* planned", before.text)
    assert (refresh(before), refresh(after)) == (["2"], [])
    assert " planned" not in after.text


def test_a_person_can_take_over_from_a_script(provider: Provider, calendar: Calendar, web: httpx.Client) -> None:
    session_id = provider.create(Consumer.PAY)

    web.post(page_path(session_id), data={"act": "opens"})
    calendar.advance(3600)

    assert provider.status(session_id) == "IN_PROGRESS"
    assert "pays" in buttons(web.get(page_path(session_id)))


# -- back to the shop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("COMPLETED", "success"),
        ("FAILED", "failure"),
        ("ERROR", "error"),
        ("BACK", "back"),
        ("CANCELLED", "cancel"),
    ],
)
def test_a_shop_elsewhere_is_a_link(provider: Provider, web: httpx.Client, status: str, name: str) -> None:
    session_id = provider.create([(0, status)], merchant_urls=SHOP)

    page = web.get(page_path(session_id) + "/left")

    assert f"https://shop.example/{name}?id={session_id}" in links(page)
    assert "form-action 'self';" in page.headers["Content-Security-Policy"]


def test_a_shop_on_this_machine_is_followed_with_its_placeholders_filled(provider: Provider, web: httpx.Client) -> None:
    urls = {"success": "http://localhost:8000/thanks?o={{order_id}}&t={{authorization_token}}"}
    session_id = provider.create(place_order_mode="PLACE_ORDER", merchant_urls=urls)
    page = web.get(page_path(session_id))

    answer = web.post(page_path(session_id), data={"act": "pays"})

    order_id = provider.life(session_id).reading(provider.now())["order_id"]
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"http://localhost:8000/thanks?o={order_id}&t="
    assert "form-action 'self' http://localhost:8000;" in page.headers["Content-Security-Policy"]


def test_closing_the_tab_leads_nowhere(provider: Provider, web: httpx.Client) -> None:
    session_id = provider.create([(0, "FAILED")], merchant_urls={"failure": "http://127.0.0.1:8000/"})

    answer = web.post(page_path(session_id), data={"act": "vanishes"})

    assert answer.headers["Location"] == page_path(session_id) + "/left"


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("javascript:alert(1)", None),
        ("data:text/html,<script>alert(1)</script>", None),
        ("//shop.example/", None),
        ("http:///nowhere", None),
        ("http://shop.example:port/", None),
        ("", None),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("http://shop.example\\@127.0.0.1/", "http://shop.example%5C@127.0.0.1/"),
        ("https://shop.example/\"'><script>", "https://shop.example/%22'%3E%3Cscript%3E"),
    ],
)
def test_an_address_that_is_not_http_is_shown_without_a_link(
    provider: Provider, web: httpx.Client, url: str, link: str | None
) -> None:
    session_id = provider.create([(0, "COMPLETED")], merchant_urls={"success": url})

    page = web.get(page_path(session_id))

    assert [one for one in links(page) if one != "/simulator"] == ([] if link is None else [link])
    assert Elements(page.text).all("script") == []


# -- what the page never does ------------------------------------------------------------------------------------------


def test_hostile_texts_are_escaped(provider: Provider, web: httpx.Client) -> None:
    request = {
        "payment_session_url": "https://api.klarna.com/payments/v1/sessions/1",
        "merchant_urls": {"success": f"https://shop.example/{HOSTILE}"},
        "options": {"page_title": HOSTILE},
    }
    created = web.post("/hpp/v1/sessions", json=request, auth=("PK00000_test", "not-a-secret")).json()
    provider.create([becomes(HOSTILE, 0), becomes("COMPLETED", 9)], session_id="hostile")

    for url in (created["redirect_url"], page_path("hostile"), "/simulator"):
        elements = Elements(web.get(url).text)
        assert elements.all("script") + elements.all("img") == []
        assert HOSTILE in elements.text


@pytest.mark.parametrize("path", ["/simulator", "{page}", "{page}/left", "/hpp/payments/nobody"])
def test_pages_load_nothing_but_the_stylesheet(provider: Provider, web: httpx.Client, path: str) -> None:
    answer = web.get(path.format(page=page_path(provider.create())))

    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; style-src 'self'; form-action 'self'"
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert [link["href"] for link in Elements(answer.text).all("link")] == ["/simulator/style.css"]
    assert web.get("/simulator/style.css").headers["Content-Type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("path", ["/hpp/payments/nobody", "/hpp/payments/nobody/left", "{forgotten}"])
def test_the_page_of_an_unknown_session_is_not_found(provider: Provider, web: httpx.Client, path: str) -> None:
    path = path.format(forgotten=page_path(provider.create([forgotten(after=0)])))

    answer = web.get(path)

    assert answer.status_code == 404
    assert "No session has this payment page." in answer.text


@pytest.mark.parametrize("body", [{}, {"act": "disabled"}, {"other": "pays"}])
def test_an_act_that_is_not_offered_is_refused(provider: Provider, web: httpx.Client, body: dict[str, str]) -> None:
    session_id = provider.create()

    assert web.post(page_path(session_id), data=body).status_code == 400
    assert provider.status(session_id) == "WAITING"


# -- the overview ------------------------------------------------------------------------------------------------------


def test_a_person_can_create_the_first_session(provider: Provider, web: httpx.Client) -> None:
    empty = web.get("/simulator")

    answer = web.post("/simulator", data={"create": "1", "visitor": "nobody", "place_order_mode": "CAPTURE_ORDER"})

    [session_id] = provider.sessions
    shown = web.get("/simulator")
    assert "There are no sessions yet" in empty.text
    assert (answer.status_code, answer.headers["Location"]) == (303, "/simulator")
    assert page_path(session_id) in links(shown)
    assert provider.life(session_id).place_order_mode == "CAPTURE_ORDER"


def test_sessions_are_shown_with_their_timelines_newest_first(
    provider: Provider, calendar: Calendar, web: httpx.Client
) -> None:
    first = provider.create([opens(after=5), pays(after=10)], lifetime=60)
    calendar.advance(100)
    second = provider.create([opens(after=5)])

    text = " ".join(Elements(web.get("/simulator").text).text.split())

    assert text.index(second) < text.index(first)
    assert "12:00:00 WAITING 12:00:05 IN_PROGRESS 12:00:15 COMPLETED" in text
    assert "12:01:40 WAITING 12:01:45 IN_PROGRESS planned" in text


def test_only_the_newest_of_many_sessions_are_shown(provider: Provider, web: httpx.Client) -> None:
    ids = [provider.create() for _ in range(53)]

    text = web.get("/simulator").text

    assert [session_id for session_id in ids if session_id not in text] == ids[:3]
    assert "3 older sessions" in text


def test_buttons_make_time_pass_faster_and_jump(provider: Provider, calendar: Calendar, web: httpx.Client) -> None:
    provider.create(lifetime=3600)

    web.post("/simulator", data={"pace": "60"})
    for by in buttons(web.get("/simulator"), "advance"):
        web.post("/simulator", data={"advance": str(by)})
    advanced = calendar() - START
    web.post("/simulator", data={"expire": provider.create(session_id="two", lifetime=3600)})

    assert advanced == timedelta(days=1, hours=1, minutes=1)
    assert calendar.pace == 60
    assert calendar() == provider.life("two").expiry(calendar()) + PAST_EXPIRY
    text = " ".join(Elements(web.get("/simulator").text).text.split())
    assert "60 times as fast as real time" in text
    assert "WAITING expired" in text


def test_there_is_no_button_for_time_that_cannot_be_moved(provider: Provider, web: httpx.Client) -> None:
    provider.now = lambda: START
    session_id = provider.create()

    page = web.get("/simulator")

    assert buttons(page, "pace") + buttons(page, "expire") + buttons(page, "advance") == []
    assert web.post("/simulator", data={"advance": "60"}).status_code == 400
    assert web.post("/simulator", data={"pace": "60"}).status_code == 400
    assert web.post("/simulator", data={"expire": session_id}).status_code == 400


def test_a_button_turns_a_fault_on_and_off(provider: Provider, web: httpx.Client) -> None:
    name = buttons(web.get("/simulator"), "fault")[0]
    assert name is not None

    for _ in range(2):
        assert web.post("/simulator", data={"fault": name}).status_code == 303
    [(key, fault)] = provider.faults.all.items()
    on = web.get("/simulator")
    for _ in range(2):
        assert web.post("/simulator", data={"end": key}).status_code == 303

    assert fault == Fault(Slow(2))
    assert buttons(on, "end") == [key]
    assert name not in buttons(on, "fault")
    assert "0 requests affected" in on.text
    assert not provider.faults


def test_a_fault_without_a_button_is_shown_and_can_be_turned_off(provider: Provider, web: httpx.Client) -> None:
    key = provider.add_fault(Fault(Slow(3), first=9, on=frozenset({Operation.READ, Operation.CALLBACK})))

    page = web.get("/simulator")
    web.post("/simulator", data={"end": key})

    assert "slow: first 9, on callback read, seconds 3" in Elements(page.text).text
    assert not provider.faults


def test_the_page_refreshes_itself_on_request(web: httpx.Client) -> None:
    refreshed = web.post("/simulator?refresh=on", data={"create": "1"}).headers["Location"]

    assert refresh(web.get("/simulator")) == []
    assert refreshed == "/simulator?refresh=on"
    assert refresh(web.get(refreshed)) == ["2"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pace": "0"},
        {"expire": "nobody"},
        {"advance": "61"},
        {"fault": "nothing"},
        {"create": "1", "visitor": "stranger"},
        {"create": "1", "place_order_mode": "SOMEHOW"},
    ],
)
def test_an_unknown_button_is_refused(provider: Provider, web: httpx.Client, body: dict[str, str]) -> None:
    assert web.post("/simulator", data=body).status_code == 400
    assert provider.sessions == []
