"""Tests of the shop, in virtual time: an hour of a session passes in a moment, and its life is one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import httpx
import pytest
from shop import create_app

from hpp_async import HPPClient
from hpp_async.testing import (
    Answered,
    Dropped,
    Missing,
    Operation,
    Refused,
    Script,
    ScriptedProvider,
    declines,
    opens,
    pays,
    retries,
    vanishes,
)

pytestmark = pytest.mark.anyio  # on asyncio and on trio


@pytest.fixture
async def browser(hpp_provider: ScriptedProvider, hpp_client: HPPClient) -> AsyncGenerator[httpx.AsyncClient]:
    """Provide the shop's HTTP client, which stands for the consumer's browser and for the provider that calls back."""
    shop = create_app(hpp_client, url="https://shop.example")
    transport = httpx.ASGITransport(shop)
    async with (
        shop.router.lifespan_context(shop),
        httpx.AsyncClient(transport=transport, base_url="https://shop.example") as browser,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(hpp_provider.post_callbacks, browser)
        yield browser
        tasks.cancel_scope.cancel()


async def order(browser: httpx.AsyncClient) -> str:
    """Order something; return the path of the order."""
    return f"/orders/{(await browser.post('/orders')).json()['number']}"


async def state_of(browser: httpx.AsyncClient, path: str) -> str:
    """Return the state that the order has in the end, however long that takes."""
    while True:
        answer = await browser.get(path, params={"wait": 25})
        if answer.status_code == 200:
            return str(answer.json()["state"])


def callback_path(provider: ScriptedProvider) -> str:
    """Return the path where the provider calls back about the first order."""
    return httpx.URL(provider.model.lives[0].merchant_urls["status_update"]).path


def names(stream: str) -> list[str]:
    return [line.removeprefix("data: ").strip('"') for line in stream.splitlines() if line.startswith("data: ")]


async def test_a_declined_consumer_who_tries_again_has_paid(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), declines(after=20), retries(after=5), pays(after=40))
    path = await order(browser)

    stream = (await browser.get(f"{path}/events")).text

    assert names(stream) == ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED", "paid"]


async def test_what_is_paid_has_an_order_at_the_provider(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=40))

    assert await state_of(browser, await order(browser)) == "paid"
    [life] = hpp_provider.model.lives
    assert hpp_provider.model.payments.order_of(life, hpp_provider.clock.provider_time()) is not None


async def test_an_authorization_is_not_taken_for_a_payment(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=40, order_id=None, authorization_token="tok-1"))

    assert await state_of(browser, await order(browser)) == "for a person to look at"


async def test_an_abandoned_session_expires_and_the_goods_are_released(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), vanishes, lifetime=3600)
    path = await order(browser)

    stream = (await browser.get(f"{path}/events")).text

    assert names(stream) == ["WAITING", "IN_PROGRESS", "released"]
    assert stream.count(": nothing new") > 200  # a heartbeat each 15 s
    assert hpp_provider.clock.now() > 3600


async def test_a_callback_makes_the_shop_read_at_once(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=3600))
    path = await order(browser)

    stream = (await browser.get(f"{path}/events")).text

    assert names(stream)[-1] == "paid"
    assert hpp_provider.clock.now() < 3630 + 1


async def test_lost_callbacks_cost_seconds_and_no_order(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=3600))
    hpp_provider.trouble(Dropped(), on=[Operation.CALLBACK])
    path = await order(browser)

    stream = (await browser.get(f"{path}/events")).text

    assert names(stream)[-1] == "paid"
    assert hpp_provider.clock.now() < 3630 + 2 + 37  # two seconds and a hundredth of the quiet time


async def test_the_wait_goes_on_after_an_outage(hpp_provider: ScriptedProvider, browser: httpx.AsyncClient) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))
    hpp_provider.trouble(Answered(503), start=20, until=400)
    path = await order(browser)

    assert await state_of(browser, path) == "paid"
    assert hpp_provider.clock.now() > 400


async def test_an_endless_outage_leaves_the_order_to_a_person(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))
    hpp_provider.trouble(Refused(), start=20)
    path = await order(browser)

    stream = (await browser.get(f"{path}/events")).text
    await hpp_provider.clock.sleep(60)
    shown = await browser.get(path)

    assert stream.endswith("\n\n")
    assert "event: interrupted" in stream
    assert shown.status_code == 200
    assert shown.json()["state"] == "for a person to look at"


async def test_a_browser_that_comes_back_gets_what_it_missed(
    hpp_provider: ScriptedProvider, hpp_client: HPPClient, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))
    path = await order(browser)
    seen = await anext(hpp_client.wait_for_outcome(hpp_provider.model.sessions[0]))

    stream = (await browser.get(f"{path}/events", headers={"Last-Event-ID": seen.token})).text

    assert names(stream) == ["IN_PROGRESS", "COMPLETED", "paid"]


async def test_a_browser_that_comes_back_after_the_end_is_sent_away_without_a_read(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))
    path = await order(browser)
    stream = (await browser.get(f"{path}/events")).text
    tokens = [line.removeprefix("id: ") for line in stream.splitlines() if line.startswith("id: ")]
    reads = len(hpp_provider.requests)

    missed_the_end = await browser.get(f"{path}/events", headers={"Last-Event-ID": tokens[-2]})
    saw_the_end = await browser.get(f"{path}/events", headers={"Last-Event-ID": tokens[-1]})

    assert names(missed_the_end.text) == ["paid"]
    assert (saw_the_end.status_code, saw_the_end.content) == (204, b"")
    assert len(hpp_provider.requests) == reads


async def test_a_paid_order_stays_paid_when_the_provider_has_forgotten_it(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))
    path = await order(browser)
    await state_of(browser, path)
    hpp_provider.trouble(Missing())

    shown = await browser.get(path)
    stream = await browser.get(f"{path}/events")

    assert (shown.status_code, shown.json()) == (200, {"state": "paid", "status": "COMPLETED"})
    assert names(stream.text) == ["paid"]


async def test_the_headers_keep_proxies_from_holding_a_stream_back(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=60))

    headers = (await browser.get(f"{await order(browser)}/events")).headers

    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("token", ["odd", "", "hpp1:1:oops", "\x00"])
async def test_a_last_event_id_that_is_not_a_token_is_refused(browser: httpx.AsyncClient, token: str) -> None:
    answer = await browser.get(f"{await order(browser)}/events", headers={"Last-Event-ID": token})

    assert answer.status_code == 400


@pytest.mark.parametrize("wait", ["nan", "-1", "-inf"])
async def test_a_wait_that_is_not_a_time_is_refused(browser: httpx.AsyncClient, wait: str) -> None:
    answer = await browser.get(await order(browser), params={"wait": wait})

    assert answer.status_code == 400


async def test_a_failed_read_does_not_change_the_state_of_the_order(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), vanishes)
    path = await order(browser)
    hpp_provider.trouble(Answered(401))

    answer = await browser.get(path)

    assert answer.status_code == 503


async def test_a_callback_without_an_id_makes_the_shop_read(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), pays(after=3600))
    hpp_provider.trouble(Dropped(), on=[Operation.CALLBACK])
    path = await order(browser)
    await hpp_provider.clock.sleep(3630.5)

    await browser.post(callback_path(hpp_provider), content=b"{}")
    await hpp_provider.clock.sleep(1.0)

    assert (await browser.get(path)).json() == {"state": "paid", "status": "COMPLETED"}


@pytest.mark.parametrize(("is_guess", "status_code"), [(False, 204), (True, 404)])
async def test_a_forged_callback_does_not_pay_the_order(
    hpp_provider: ScriptedProvider, browser: httpx.AsyncClient, is_guess: bool, status_code: int
) -> None:
    hpp_provider.model.consumer = Script(opens(after=30), vanishes)
    path = await order(browser)
    forged = {"session": {"session_id": hpp_provider.model.sessions[0], "status": "COMPLETED"}}

    where = f"/klarna/guess/{path.removeprefix('/orders/')}" if is_guess else callback_path(hpp_provider)

    answer = await browser.post(where, json=forged)
    await hpp_provider.clock.sleep(60)

    assert answer.status_code == status_code
    assert (await browser.get(path)).json() == {"state": "open", "status": "IN_PROGRESS"}
