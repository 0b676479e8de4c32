"""Orders that are pending: the merchant is notified of the decision (pending orders page)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from support.carts import CART
from support.merchants import START, Shop, shop_of_nobody

from hpp_async._provider.payments import FraudDecision, FraudStatus
from hpp_async._provider.state import dump, restore
from hpp_async.testing import (
    Dropped,
    Fault,
    Operation,
    OrderNotification,
    Scenario,
    Script,
    ScriptedProvider,
    Slow,
    StatusCallback,
    VirtualClock,
    pays,
)

HOUR = 3600
URLS = {"notification": "https://shop.example/decided/{session.id}/{order.id}"}


@pytest.fixture
def shop() -> Shop:
    shop = shop_of_nobody()
    shop.provider.payments.fraud_status = "PENDING"
    return shop


def placed(shop: Shop, urls: Any = URLS, known: Any = None) -> str:
    """Place an order with *urls*, for a payment session with the URLs *known*; return the order's id."""
    order = CART if urls is None else CART | {"merchant_urls": urls}
    order_id: str = json.loads(
        shop.place(shop.paid(shop.payment_session(**({} if known is None else {"merchant_urls": known}))), order).body
    )["order_id"]
    return order_id


def notified(shop: Shop, hours: int, *, answer: int) -> Iterator[tuple[float, OrderNotification | StatusCallback]]:
    """Yield the callbacks of *hours* with the minutes at which they come; all of them get *answer*."""
    for _ in range(hours * 60):
        shop.later(60)
        for callback in shop.provider.due_callbacks():
            yield shop.moved[0] / 60, callback
            if not callback.is_answered_by(answer):
                shop.provider.callbacks.failed(callback)


@pytest.mark.parametrize(
    ("decision", "event_type"), [("ACCEPTED", "FRAUD_RISK_ACCEPTED"), ("REJECTED", "FRAUD_RISK_REJECTED")]
)
def test_the_decision_on_a_pending_order_is_notified_after_four_hours(
    shop: Shop, decision: FraudDecision, event_type: str
) -> None:
    shop.provider.payments.fraud_decision = decision
    order_id = placed(shop)
    [payment_session] = shop.provider.payments.sessions

    [(minutes, found)] = notified(shop, 5, answer=200)

    assert isinstance(found, OrderNotification)
    assert minutes == 240
    assert (found.order_id, found.event_type, found.session_id) == (order_id, event_type, shop.provider.sessions[0])
    assert found.url == f"https://shop.example/decided/{payment_session}/{order_id}"
    assert json.loads(found.body) == {"order_id": order_id, "event_type": event_type}


@pytest.mark.parametrize("answer", [204, 500])
def test_it_comes_every_10_minutes_for_24_hours_until_the_answer_is_200(shop: Shop, answer: int) -> None:
    placed(shop)

    minutes = [minutes for minutes, _ in notified(shop, 48, answer=answer)]

    assert minutes == [240 + 10 * number for number in range(144)]


@pytest.mark.parametrize(
    ("fraud_status", "urls"),
    [("ACCEPTED", URLS), ("REJECTED", URLS), ("PENDING", None), ("PENDING", {"notification": 7})],
)
def test_nobody_is_notified_of_other_orders(shop: Shop, fraud_status: FraudStatus, urls: Any) -> None:
    shop.provider.payments.fraud_status = fraud_status
    placed(shop, urls)

    assert list(notified(shop, 5, answer=200)) == []


def test_the_url_of_the_payment_session_counts_where_the_order_has_none(shop: Shop) -> None:
    placed(shop, None, {"notification": "https://shop.example/known"})

    [(_, found)] = notified(shop, 5, answer=200)

    assert found.url == "https://shop.example/known"


def test_a_repeated_order_is_not_decided_twice(shop: Shop) -> None:
    token = shop.paid(shop.payment_session())
    for _ in range(2):
        shop.place(token, CART | {"merchant_urls": URLS})

    assert len(list(notified(shop, 5, answer=200))) == 1


def test_faults_of_callbacks_affect_notifications_too(shop: Shop) -> None:
    shop.provider.add_fault(Fault(Dropped(), on=frozenset({Operation.CALLBACK}), first=1))
    shop.provider.add_fault(Fault(Slow(60), on=frozenset({Operation.CALLBACK})))
    placed(shop)
    second = placed(shop)

    [(minutes, found)] = notified(shop, 6, answer=200)

    assert isinstance(found, OrderNotification)
    assert (minutes, found.order_id) == (241, second)


@pytest.mark.parametrize("hours", [1, 5])
def test_they_outlive_the_process(shop: Shop, hours: int) -> None:
    order_id = placed(shop)
    first = [found for _, found in notified(shop, hours, answer=500)]
    other = shop_of_nobody()
    other.moved[0] = shop.moved[0]
    restore(other.provider, dump(shop.provider))

    [(_, found)] = notified(other, 5, answer=200)

    assert len(first) == (0 if hours == 1 else 7)
    assert isinstance(found, OrderNotification)
    assert (found.order_id, found.call) == (order_id, len(first) + 1)


def test_a_scenario_says_what_becomes_of_pending_orders() -> None:
    text = 'fraud_status = "PENDING"\nfraud_decision = "REJECTED"\ndecided_after = 60'

    payments = Scenario.parse(text).provider(now=lambda: START).payments

    assert (payments.fraud_status, payments.fraud_decision) == ("PENDING", "REJECTED")
    assert payments.decided_after == timedelta(minutes=1)


@pytest.mark.anyio
async def test_a_shop_that_is_tested_in_virtual_time_is_notified(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    provider.model.payments.fraud_status = "PENDING"
    session = provider.add(Script(pays(after=0)))
    got: list[tuple[float, Any]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        got.append((clock.now(), json.loads(request.content)["event_type"]))
        return httpx.Response(200 if len(got) == 2 else 500)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        provider.client() as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(provider.post_callbacks, http)
        token = (await client.read_session(session)).authorization_token
        url = f"{provider.endpoint}/payments/v1/authorizations/{token}/order"
        await provider.http_client.post(url, json=CART | {"merchant_urls": URLS}, auth=provider.auth)
        await clock.sleep(30 * HOUR)
        tasks.cancel_scope.cancel()

    assert got == [(4 * HOUR, "FRAUD_RISK_ACCEPTED"), (4 * HOUR + 600, "FRAUD_RISK_ACCEPTED")]
