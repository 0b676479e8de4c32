"""The journal of requests and callbacks, the reset, and the health check of the simulator."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
from support.carts import CART, SHOE

from hpp_async._provider.injection import NO_FAULTS
from hpp_async.simulator import Calendar, application, serve
from hpp_async.simulator._journal import Journal
from hpp_async.testing import (
    Answer,
    Answered,
    Callbacks,
    Cut,
    Dropped,
    Envelope,
    Fault,
    Operation,
    OrderNotification,
    Provider,
    Scenario,
    Script,
    Slow,
    StatusCallback,
    pays,
)

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(START, clock=lambda: 0.0)


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, auth=AUTH, consumer=Script())


@pytest.fixture
def shop(provider: Provider) -> Generator[httpx.Client]:
    """A merchant's HTTP client."""
    with serve(provider) as url, httpx.Client(base_url=url, auth=AUTH, trust_env=False) as client:
        yield client


def journal(shop: httpx.Client) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = shop.get("/simulator/journal").raise_for_status().json()
    return entries


# -- the journal -------------------------------------------------------------------------------------------------------


def test_a_request_is_noted_with_its_answer(provider: Provider, shop: httpx.Client) -> None:
    provider.create(session_id="one")

    shop.get("/hpp/v1/sessions/one?secret=1")
    shop.post("/payments/v1/sessions", json=CART | {"order_amount": 1})

    assert journal(shop) == [
        {
            "number": 1,
            "at": "2026-01-15T12:00:00.000Z",
            "kind": "request",
            "operation": "read",
            "method": "GET",
            "path": "/hpp/v1/sessions/one",
            "session_id": "one",
            "status_code": 200,
            "complaint": None,
            "faults": [],
        },
        {
            "number": 2,
            "at": "2026-01-15T12:00:00.000Z",
            "kind": "request",
            "operation": "create-payment-session",
            "method": "POST",
            "path": "/payments/v1/sessions",
            "session_id": None,
            "status_code": 400,
            "complaint": "Bad value: order_amount",
            "faults": [],
        },
    ]


def test_the_overview_shows_the_journal_newest_first(provider: Provider, shop: httpx.Client) -> None:
    session_id = provider.create()
    empty = shop.get("/simulator").text
    shop.get(f"/hpp/v1/sessions/{session_id}")
    provider.add_fault(Fault(Dropped()))
    with pytest.raises(httpx.RemoteProtocolError):
        shop.post("/payments/v1/sessions", json=CART)

    text = " ".join(shop.get("/simulator").text.split())

    assert "No shop has asked for anything yet." in empty
    assert "no answer (faults: dropped)" in text
    assert text.index("no answer") < text.index(f"/hpp/v1/sessions/{session_id}")


def test_faults_and_answers_that_never_arrived_are_noted(provider: Provider, shop: httpx.Client) -> None:
    provider.create(session_id="one")
    provider.add_fault(Fault(Cut(), first=1))
    provider.add_fault(Fault(Slow(0)))
    provider.add_fault(Fault(Answered(503, envelope=Envelope.HTML), first=2))
    with pytest.raises(httpx.RemoteProtocolError):
        shop.get("/hpp/v1/sessions/one")
    shop.get("/hpp/v1/sessions/one")

    noted = [(entry["status_code"], entry["complaint"], entry["faults"]) for entry in journal(shop)]

    assert noted == [(None, None, ["cut", "slow", "answered"]), (503, None, ["slow", "answered"])]


@pytest.mark.parametrize("answer", [b"[]", b'{"error_messages": "text"}', b'{"error_messages": []}', b"\xff"])
def test_what_an_error_says_is_read_from_the_documented_form_alone(answer: bytes) -> None:
    journal = Journal()

    journal.note_request(START, "GET", "/x", Answer(status_code=500, headers={}, body=answer), NO_FAULTS)

    assert journal.entries[0]["complaint"] is None


def test_no_token_and_no_cart_is_in_the_journal_or_the_log(
    provider: Provider, shop: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "hpp_async")
    caplog.set_level("DEBUG", "uvicorn.access")
    payment_session = shop.post("/payments/v1/sessions", json=CART).json()["session_id"]
    request = {
        "payment_session_url": f"{shop.base_url}/payments/v1/sessions/{payment_session}",
        "merchant_urls": {"status_update": "http://127.0.0.1:1/status?secret=5ebe2294"},
    }
    session_id = shop.post("/hpp/v1/sessions", json=request).json()["session_id"]
    provider.act(session_id, pays)
    token = shop.get(f"/hpp/v1/sessions/{session_id}").json()["authorization_token"]
    shop.post(f"/payments/v1/authorizations/{token}/order", json=CART)
    shop.get(f"/payments/v1/sessions/{payment_session}?secret=5ebe2294")
    shop.post(f"/payments/v1/authorizations/{token}/customer-token", json={})
    shop.delete(f"/payments/v1/authorizations/{token}")
    shop.get(f"/payments/v1/authorisations/{token}")  # mistyped

    shown = shop.get("/simulator/journal").text + shop.get("/simulator").text + caplog.text

    assert shown.count("/payments/v1/authorizations/…/order") == 3
    assert "/payments/v1/authorisations/…" in shown
    assert payment_session in shown
    assert token not in shown
    assert "5ebe2294" not in shown
    assert SHOE["name"] not in shown


def test_the_journal_keeps_the_last_entries() -> None:
    journal = Journal()

    for _ in range(503):
        journal.note_request(START, "GET", "/" + "x" * 999, None, NO_FAULTS)

    assert [entry["number"] for entry in journal.entries] == list(range(4, 504))
    assert len(str(journal.entries[0]["path"])) == 200


@pytest.mark.parametrize(("body", "status"), [(b'{"session": {"status": "BACK"}}', "BACK"), (b"{}", None)])
def test_a_callback_is_noted_with_what_came_of_it(body: bytes, status: str | None) -> None:
    journal = Journal()
    url = "https://shop.example/?secret=1"
    callback = StatusCallback(session_id="one", event_id="e", url=url, body=body, call=2, due_at=START)

    journal.note_callback(START, callback, "204")

    assert journal.entries == [
        {
            "number": 1,
            "at": "2026-01-15T12:00:00.000Z",
            "kind": "callback",
            "session_id": "one",
            "event_id": "e",
            "status": status,
            "call": 2,
            "result": "204",
        }
    ]


def test_a_notification_about_an_order_is_noted_with_what_came_of_it() -> None:
    journal = Journal()
    url, about = "https://shop.example/?secret=1", "FRAUD_RISK_REJECTED"
    notification = OrderNotification(
        session_id="one", order_id="o", event_type=about, url=url, body=b"{}", call=7, due_at=START
    )

    journal.note_callback(START, notification, "500")

    assert journal.entries == [
        {
            "number": 1,
            "at": "2026-01-15T12:00:00.000Z",
            "kind": "callback",
            "session_id": "one",
            "order_id": "o",
            "status": about,
            "call": 7,
            "result": "500",
        }
    ]


@pytest.mark.anyio
async def test_an_application_of_ones_own_has_a_journal_too(provider: Provider, anyio_backend_name: str) -> None:
    transport = httpx.ASGITransport(application(provider))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.example", auth=AUTH) as http:
        await http.get("/hpp/v1/sessions/nobody")
        entries = (await http.get("/simulator/journal")).json()

    assert [entry["status_code"] for entry in entries] == [404]


# -- reset and health --------------------------------------------------------------------------------------------------


def test_the_health_check_needs_no_credentials(shop: httpx.Client) -> None:
    answer = shop.get("/simulator/health", auth=None)

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_reset_forgets_everything_but_the_time(provider: Provider, calendar: Calendar, shop: httpx.Client) -> None:
    payment_session = shop.post("/payments/v1/sessions", json=CART).json()["session_id"]
    provider.create(session_id="one", merchant_urls={"status_update": "https://shop.example/"})
    provider.add_fault(Fault(Slow(0)))
    provider.callbacks = Callbacks(repeats_are_empty=True)
    calendar.advance(60)
    calendar.pace = 60

    answer = shop.post("/simulator/reset")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (provider.sessions, dict(provider.faults.all), journal(shop)) == ([], {}, [])
    assert provider.callbacks == Callbacks(repeats_are_empty=True)
    assert shop.get(f"/payments/v1/sessions/{payment_session}").status_code == 404
    assert (calendar.pace, calendar()) == (1, datetime(2026, 1, 15, 12, 1, tzinfo=UTC))


def test_a_reset_begins_a_scenario_anew() -> None:
    moved = [0.0]
    text = """
        [[session]]
        id = "one"
        acts = [{ pays = 5 }]
        [[fault]]
        kind = "slow"
        seconds = 0
        share = 0.5
        """
    provider = Scenario.parse(text).provider(now=lambda: datetime.fromtimestamp(1.8e9 + moved[0], UTC))

    def drawn() -> list[bool]:
        return [bool(provider.faults.draw(Operation.READ, "one", provider.now()).kinds) for _ in range(20)]

    first = drawn()
    moved[0] = 60
    before = provider.status("one")
    provider.reset()

    assert (before, provider.status("one")) == ("COMPLETED", "WAITING")
    assert drawn() == first
    moved[0] = 65
    assert provider.status("one") == "COMPLETED"


def test_a_provider_whose_time_cannot_be_moved_is_reset(provider: Provider, shop: httpx.Client) -> None:
    provider.now = lambda: START
    provider.create()

    assert shop.post("/simulator/reset").status_code == 204
    assert provider.sessions == []
