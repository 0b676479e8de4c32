"""The code of user_code.py, which type checkers check, does what it says."""

from __future__ import annotations

import json
from typing import Final

import httpx
import pytest
from support.histories import reading
from support.orders import created, payment_session, placed, problem
from user_code import (
    LIGHTS,
    Metrics,
    aiohttp_shop,
    booked,
    booking,
    client_of,
    fastapi_shop,
    first_change,
    forgets_stopped,
    is_an_outcome,
    light_of,
    lines,
    page_for,
    payment_of,
    send_link,
    step_of,
    watch_new,
    why_refused,
    work,
)

from hpp_async import (
    AnyOutcome,
    Cancelled,
    Completed,
    CreatedSession,
    Disabled,
    Errored,
    Expired,
    Failed,
    HPPError,
    OrderRefusedError,
    PlacedOrder,
    SessionStatus,
    Stopped,
    UnknownStatus,
    callback_secret,
)
from hpp_async._core.exceptions import OrderRefusal
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

PAID: Final = Completed(session=reading("COMPLETED", order_id="ord-1"))
AUTHORIZED: Final = Completed(session=reading("COMPLETED", authorization_token="tok-1"))
BARE: Final = Completed(session=reading("COMPLETED"))


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (PAID, "book ord-1"),
        (AUTHORIZED, "book tok-1"),
        (BARE, "ask a person"),
        (Expired(session=reading("COMPLETED"), confirmed=False), "ask a person"),
        (Failed(session=reading("FAILED")), "keep open"),
        (Errored(session=reading("ERROR")), "keep open"),
        (Stopped(session=reading("BACK")), "keep open"),
        (Cancelled(session=reading("CANCELLED")), "release"),
        (Disabled(session=reading("DISABLED")), "release"),
        (Expired(session=reading("WAITING"), confirmed=True), "release"),
    ],
)
def test_every_outcome_has_its_case(outcome: AnyOutcome, what: str) -> None:
    assert booking(outcome) == what
    assert is_an_outcome(outcome)
    assert not is_an_outcome(HPPError())


def test_a_missing_case_is_an_error_at_run_time_too() -> None:
    with pytest.raises(AssertionError, match="unreachable"):
        forgets_stopped(Stopped(session=reading("BACK")))


def test_every_payment_has_its_case() -> None:
    assert [payment_of(outcome) for outcome in (PAID, AUTHORIZED, BARE)] == ["ord-1", "tok-1", None]


def test_every_status_has_its_case() -> None:
    assert [step_of(status) for status in (*SessionStatus, UnknownStatus("NEW"))] == [1, 2, 3, 3, 3, 3, 3, 2, 2, 2]
    assert [light_of(reading(status)) for status in (*LIGHTS, "BACK")] == ["grey", "green", "blue", "white"]


async def test_an_observer_and_a_schedule_are_used(provider: ScriptedProvider) -> None:
    metrics = Metrics()
    async with client_of(metrics) as configured:
        assert repr(configured).startswith("<HPPClient")
    async with provider.client(observers=[metrics]) as client:
        await client.wait_for_outcome(provider.add([(1, "COMPLETED")]))

    assert (metrics.reads, metrics.endings) == (2, ["Completed"])


async def test_a_worker_stores_what_happened(provider: ScriptedProvider) -> None:
    for name, status in (("paid", "COMPLETED"), ("given-up", "CANCELLED")):
        provider.add([(0, status)], session_id=name)
    async with provider.client() as client:
        rows = await work(client, {"paid": None, "given-up": None, "unknown": None})

    assert sorted((name, said) for name, _, said in rows) == [
        ("given-up", "CANCELLED"),
        ("given-up", "Cancelled"),
        ("paid", "Authorization"),
        ("paid", "COMPLETED"),
        ("unknown", "SessionNotFoundError"),
    ]


async def test_an_outage_is_stored_with_its_token(provider: ScriptedProvider) -> None:
    provider.add(session_id="open")
    provider.answer_next(200, *[503] * 2000)
    async with provider.client() as client:
        rows = await work(client, {"open": None})

    assert [said for _, _, said in rows][-1] == "outage"


def reading_of(session: CreatedSession) -> httpx.Response:
    paid = {"session_id": session.session_id, "status": "COMPLETED", "authorization_token": "tok-1"}
    return httpx.Response(200, json=paid)


async def test_a_cart_becomes_an_order(provider: ScriptedProvider) -> None:
    provider.answer_next(payment_session(), created(), httpx.Response(204), httpx.Response(204))
    async with provider.client() as client:
        session = await page_for(client, callback_secret())
        await send_link(client, session, "07000212345", "a@example.com")
        await send_link(client, session, None, "a@example.com")
        provider.add([(5, "COMPLETED", {"authorization_token": "tok-1"})], session_id=session.session_id)
        assert await watch_new(client, [session]) == [session.session_id]
        provider.answer_next(reading_of(session), placed(), reading_of(session), problem(403, "INVALID_OPERATION"))
        first, second = await booked(client, session), await booked(client, session)

    assert isinstance(first, PlacedOrder)
    assert second == "look for the order"


async def test_an_order_may_be_there_already_or_never(provider: ScriptedProvider) -> None:
    by_provider = provider.add([(0, "COMPLETED")], place_order_mode="PLACE_ORDER")
    async with provider.client() as client:
        assert isinstance(await booked(client, by_provider), PlacedOrder)
        assert await booked(client, provider.add([(0, "CANCELLED")])) == "not paid"


@pytest.mark.parametrize(
    ("reason", "what"),
    [("lapsed", "ask again"), ("mismatch", "look for the order"), ("rejected", "another way to pay")],
)
def test_every_refusal_has_its_case(reason: OrderRefusal, what: str) -> None:
    assert why_refused(OrderRefusedError("", reason=reason, session_id=None, status_code=409)) == what


async def test_a_wait_is_streamed(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        streamed = [line async for line in lines(client.wait_for_outcome(provider.add([(20, "COMPLETED")])))]

    records = [json.loads(line) for line in streamed if line != "\n"]
    assert "\n" in streamed
    assert [(record["type"], record["status"]) for record in records] == [
        ("transition", "WAITING"),
        ("transition", "COMPLETED"),
        ("outcome", "COMPLETED"),
    ]


async def test_the_first_change_is_found(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        changed = await first_change(client, provider.add([(20, "COMPLETED")]))
        with pytest.raises(LookupError):
            await first_change(client, provider.add([(0, "COMPLETED")]))

    assert changed.previous == "WAITING"


async def test_fastapi_returns_plain_data(provider: ScriptedProvider) -> None:
    provider.add([(0, "COMPLETED", {"authorization_token": "tok-Marker"})], session_id="paid")
    provider.add(session_id="open", merchant_urls={"status_update": "http://shop/klarna"})
    async with (
        provider.client() as client,
        httpx.AsyncClient(transport=httpx.ASGITransport(fastapi_shop(client)), base_url="http://shop") as browser,
    ):
        paid = await browser.get("/orders/paid")
        still_open = await browser.get("/orders/open")
        called = await browser.post("/klarna", content=b'{"session_id": "open"}')
        given_up = await browser.delete("/orders/open")

    assert (paid.json()["outcome"], paid.json()["has_authorization_token"]) == ("Completed", True)
    assert "Marker" not in paid.text
    assert still_open.json()["status"] == "WAITING"
    assert (called.status_code, given_up.json()) == (204, {})


def test_aiohttp_has_its_handler(provider: ScriptedProvider) -> None:
    app = aiohttp_shop(provider.client())

    assert [route.method for route in app.router.routes()] == ["HEAD", "GET"]
