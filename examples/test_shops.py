"""Tests of the shops on FastAPI and on aiohttp, as a browser and the provider see them: the same ones for both."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import shop_aiohttp.web
import shop_fastapi.web
import uvicorn
from aiohttp import web
from shop.orders import create, migrate, open_shop, state_after

from hpp_async import (
    Cancelled,
    Completed,
    Expired,
    HPPClient,
    PollSchedule,
    Session,
    SessionNotFoundError,
)
from hpp_async.fleet import SQLiteStore
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Answered, Consumer, Dropped, Fault, Missing, Operation, Provider, Refused

pytestmark = pytest.mark.anyio

AUTH = ("PK00000_test", "not-a-secret")
URL = "http://127.0.0.1:8000"
OFTEN = PollSchedule.every(0.1)
BY_CALLBACKS_ALONE = PollSchedule.every(3600)


@pytest.fixture
def anyio_backend() -> str:
    """Run the tests on asyncio: a fleet runs on nothing else."""
    return "asyncio"


@pytest.fixture(params=["fastapi", "aiohttp"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def serving_fastapi(listener: socket.socket, *arguments: Any, url: str) -> AsyncGenerator[None]:
    server = uvicorn.Server(uvicorn.Config(shop_fastapi.web.create_app(*arguments, url=url), log_level="warning"))
    task = asyncio.create_task(server.serve([listener]))
    yield
    server.should_exit = True
    await task


@asynccontextmanager
async def serving_aiohttp(listener: socket.socket, *arguments: Any, url: str) -> AsyncGenerator[None]:
    runner = web.AppRunner(shop_aiohttp.web.create_app(*arguments, url=url), handler_cancellation=True)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield
    await runner.cleanup()


SERVERS = {"fastapi": serving_fastapi, "aiohttp": serving_aiohttp}


@attrs.define
class Browser:
    """A browser in the shop, and what the test does to the provider."""

    http: httpx.AsyncClient
    provider: Provider

    async def order(self) -> str:
        """Order something; return the path of the order's page."""
        assert (await self.http.post("/orders")).status_code == 303
        return httpx.URL(self.life.merchant_urls["success"]).path

    @property
    def life(self) -> Any:
        """The session of the latest order."""
        return self.provider.life(self.provider.sessions[-1])

    @property
    def callback_path(self) -> str:
        return httpx.URL(self.life.merchant_urls["status_update"]).path

    def becomes(self, status: str, **fields: object) -> None:
        self.provider.change(self.provider.sessions[-1], status, **fields)

    def pays(self) -> None:
        self.becomes("COMPLETED", order_id="order-1")

    async def settled(self, path: str) -> dict[str, str]:
        """Return the order once it is settled."""
        while (answer := await self.http.get(f"{path}/status", params={"wait": 25})).status_code == 202:
            pass
        return dict(answer.raise_for_status().json())

    async def events(self, path: str, *, last: str | None = None) -> AsyncGenerator[dict[str, str]]:
        """Yield the events of the order's stream, as an EventSource does."""
        headers = {} if last is None else {"Last-Event-ID": last}
        async with self.http.stream("GET", f"{path}/events", headers=headers) as answer:
            event = dict[str, str]()
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "data" in event:
                    yield {"id": event["id"], **json.loads(event["data"])}
                    event = {}


@asynccontextmanager
async def visited(
    framework: str, provider: Provider, database: Path, schedule: PollSchedule
) -> AsyncGenerator[Browser]:
    """Run the shop, and visit it."""
    async with SQLiteStore(database) as store:
        await migrate(store)
    async with AsyncExitStack() as stack:
        endpoint = stack.enter_context(serve(provider))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = HPPClient(auth=AUTH, endpoint=endpoint, schedule=schedule)
        server = SERVERS[framework](listener, client, SQLiteStore(database), url=url)
        await stack.enter_async_context(server)
        http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        yield Browser(await stack.enter_async_context(http), provider)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def provider(calendar: Calendar) -> Provider:
    return Provider(now=calendar, auth=AUTH, quota=None, consumer=Consumer.NOBODY)


@pytest.fixture
def schedule() -> PollSchedule:
    return OFTEN


@pytest.fixture
async def browser(
    framework: str, provider: Provider, tmp_path: Path, schedule: PollSchedule
) -> AsyncGenerator[Browser]:
    async with visited(framework, provider, tmp_path / "shop.db", schedule) as browser:
        yield browser


# -- a purchase --------------------------------------------------------------------------------------------------------


async def test_a_declined_consumer_who_tries_again_has_paid(browser: Browser) -> None:
    path = await browser.order()

    async with aclosing(browser.events(path)) as events:
        for status in ("IN_PROGRESS", "FAILED", "IN_PROGRESS"):
            browser.becomes(status)
            while (event := await anext(events))["status"] != status:
                pass
            assert event["state"] == "open"
        browser.pays()
        *_, last = [event async for event in events]

    assert (last["state"], last["status"], last["news"]) == ("paid", "COMPLETED", "Thank you! Your order is paid.")


async def test_the_cart_leads_to_the_payment_page_and_back_to_the_order(browser: Browser) -> None:
    cart = (await browser.http.get("/")).text

    answer = await browser.http.post("/orders")

    page = await browser.http.get(browser.life.merchant_urls["success"])
    assert '<form method="post" action="/orders">' in cart
    assert answer.headers["Location"].startswith(f"{browser.provider.base_url}/hpp/payments/")
    assert "Your order waits for your payment." in page.text


async def test_the_page_of_an_open_order_reloads_without_javascript_and_that_of_a_paid_one_does_not(
    browser: Browser,
) -> None:
    reload = '<noscript><meta http-equiv="refresh"'
    path = await browser.order()
    waiting = await browser.http.get(path)

    browser.pays()
    await browser.settled(path)
    paid = await browser.http.get(path)

    assert reload in waiting.text
    assert reload not in paid.text
    assert "Thank you! Your order is paid." in paid.text


async def test_what_is_paid_has_an_order_at_the_provider(browser: Browser) -> None:
    path = await browser.order()
    browser.becomes("COMPLETED")

    assert (await browser.settled(path))["state"] == "paid"
    assert browser.provider.payments.order_of(browser.life, browser.provider.now()) is not None


async def test_an_abandoned_session_expires_and_the_order_is_not_paid(browser: Browser, calendar: Calendar) -> None:
    path = await browser.order()
    browser.becomes("IN_PROGRESS")

    calendar.advance(49 * 3600)

    assert (await browser.settled(path))["state"] == "not paid"


@pytest.mark.parametrize(
    ("news", "state"),
    [
        (Completed(session=Session(status="COMPLETED", order_id="order-1")), ("paid", "order-1")),
        (Completed(session=Session(status="COMPLETED", authorization_token="tok-1")), ("to be checked", None)),
        (Completed(session=Session(status="COMPLETED")), ("to be checked", None)),
        (Expired(session=Session(status="COMPLETED"), confirmed=False), ("to be checked", None)),
        (Expired(session=Session(status="IN_PROGRESS"), confirmed=True), ("not paid", None)),
        (Cancelled(session=Session(status="CANCELLED")), ("not paid", None)),
        (SessionNotFoundError("gone", session_id="s-1", status_code=404), ("to be checked", None)),
    ],
)
def test_only_an_order_at_the_provider_is_a_payment_and_what_may_be_one_is_for_a_person(
    news: Any, state: tuple[str, str | None]
) -> None:
    assert state_after(news) == state


async def test_a_provider_that_cannot_be_reached_costs_no_order(browser: Browser) -> None:
    browser.provider.add_fault(Fault(Answered(503), on=[Operation.CREATE_PAYMENT_SESSION]))

    answer = await browser.http.post("/orders")

    assert answer.status_code == 503
    assert "Nothing was ordered." in answer.text


# -- callbacks and outages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [BY_CALLBACKS_ALONE])
async def test_a_callback_makes_the_shop_read(browser: Browser) -> None:
    path = await browser.order()
    browser.pays()

    assert (await browser.settled(path))["state"] == "paid"


async def test_lost_callbacks_cost_no_order(browser: Browser) -> None:
    browser.provider.add_fault(Fault(Dropped(), on=[Operation.CALLBACK]))
    path = await browser.order()
    browser.pays()

    assert (await browser.settled(path))["state"] == "paid"


@pytest.mark.parametrize("schedule", [BY_CALLBACKS_ALONE])
async def test_callbacks_that_repeat_without_an_id_make_the_shop_read(browser: Browser) -> None:
    browser.provider.add_fault(Fault(Dropped(), on=[Operation.CALLBACK]))
    path = await browser.order()
    browser.pays()

    answers = [await browser.http.post(browser.callback_path, content=content) for content in (b"{}", b"", b"{")]

    assert [answer.status_code for answer in answers] == [204, 204, 204]
    assert (await browser.settled(path))["state"] == "paid"


async def test_a_forged_callback_does_not_pay_the_order(browser: Browser) -> None:
    path = await browser.order()
    forged = {"session": {"session_id": browser.life.session_id, "status": "COMPLETED"}}

    known = await browser.http.post(browser.callback_path, json=forged)
    guessed = await browser.http.post(f"/klarna/guess/{path.removeprefix('/orders/')}", json=forged)
    unknown = await browser.http.post("/klarna/guess/1", json=forged)
    shown = await browser.http.get(f"{path}/status", params={"wait": 0.5})

    assert [known.status_code, guessed.status_code, unknown.status_code] == [204, 404, 404]
    assert shown.json()["state"] == "open"


async def test_the_order_is_followed_on_after_an_outage(browser: Browser) -> None:
    browser.provider.add_fault(Fault(Refused(), first=5, on=[Operation.READ]))
    path = await browser.order()
    browser.pays()

    assert (await browser.settled(path))["state"] == "paid"


async def test_an_order_that_was_paid_while_the_shop_was_down_is_booked_when_it_is_up_again(
    framework: str, provider: Provider, tmp_path: Path
) -> None:
    async with visited(framework, provider, tmp_path / "shop.db", OFTEN) as browser:
        path = await browser.order()
    browser.pays()

    async with visited(framework, provider, tmp_path / "shop.db", OFTEN) as browser:
        assert (await browser.settled(path))["state"] == "paid"


async def test_a_shop_whose_orders_nobody_follows_any_more_ends(provider: Provider, tmp_path: Path) -> None:
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    with serve(provider) as endpoint:
        async with open_shop(HPPClient(auth=AUTH, endpoint=endpoint), SQLiteStore(tmp_path / "shop.db"), URL) as shop:
            await migrate(shop.store)
            await create(shop)

        refused = HPPClient(auth=(AUTH[0], "another"), endpoint=endpoint)
        async with open_shop(refused, SQLiteStore(tmp_path / "shop.db"), URL):
            await told_to_end.wait()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


# -- streams and long polls --------------------------------------------------------------------------------------------


async def test_a_browser_that_comes_back_gets_what_it_missed_and_nothing_twice(browser: Browser) -> None:
    path = await browser.order()
    async with aclosing(browser.events(path)) as events:
        while (seen := await anext(events))["status"] != "WAITING":
            pass
    browser.pays()
    await browser.settled(path)

    shown = [event async for event in browser.events(path, last=seen["id"])]

    assert [(event["state"], event["status"]) for event in shown] == [("paid", "COMPLETED")]
    assert int(shown[0]["id"]) > int(seen["id"])


async def test_a_browser_that_comes_back_after_the_end_is_sent_away(browser: Browser) -> None:
    path = await browser.order()
    browser.pays()
    await browser.settled(path)
    *_, last = [event async for event in browser.events(path)]

    answer = await browser.http.get(f"{path}/events", headers={"Last-Event-ID": last["id"]})

    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_paid_order_stays_paid_when_the_provider_has_forgotten_it(browser: Browser) -> None:
    path = await browser.order()
    browser.pays()
    await browser.settled(path)
    forgotten = browser.provider.add_fault(Missing())

    status = await browser.http.get(f"{path}/status")
    events = [event async for event in browser.events(path)]

    assert (status.status_code, status.json()["state"]) == (200, "paid")
    assert [event["state"] for event in events] == ["paid"]
    assert browser.provider.faults.affected(forgotten) == 0


async def test_the_headers_keep_proxies_from_holding_a_stream_back(browser: Browser) -> None:
    path = await browser.order()
    browser.pays()

    headers = (await browser.http.get(f"{path}/events")).headers

    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Cache-Control"] == "no-cache"


async def test_a_last_event_id_that_is_none_of_the_stream_is_refused(browser: Browser) -> None:
    path = await browser.order()

    for odd in ("odd", "", "-1", "1.0", "hpp1:1:oops"):
        answer = await browser.http.get(f"{path}/events", headers={"Last-Event-ID": odd})
        assert answer.status_code == 400, odd


async def test_a_wait_that_is_not_a_time_is_refused(browser: Browser) -> None:
    path = await browser.order()

    for odd in ("nan", "-1", "-inf"):
        assert (await browser.http.get(f"{path}/status", params={"wait": odd})).status_code == 400, odd


async def test_an_order_that_does_not_exist_is_not_found(browser: Browser) -> None:
    numbers = ("0123456789abcdef", "1", "%00")
    paths = [f"/orders/{number}{path}" for number in numbers for path in ("", "/status", "/events")]
    answers = [await browser.http.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [404] * 9
