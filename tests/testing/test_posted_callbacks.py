"""Callbacks that the provider in memory posts by itself: when each is posted and repeated, and what a failure does."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import anyio
import attrs
import httpx
import pytest

from hpp_async.testing import Consumer, Dropped, Operation, Script, ScriptedProvider, Slow, VirtualClock, opens, pays

pytestmark = pytest.mark.anyio

URLS: Final = {"status_update": "http://shop.example/cb"}
LATE: Final = 48 * 3600.0


@attrs.define
class Shop:
    """Receives callbacks and records when each came, with which status; answers with *answers*, and then with 204."""

    clock: VirtualClock
    answers: list[int | Exception] = attrs.field(factory=list[int | Exception])
    seconds: float = 0.0
    turns: int = 0
    calls: list[tuple[float, str]] = attrs.field(factory=list[tuple[float, str]])
    _news: anyio.Event = attrs.field(factory=anyio.Event)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Content-Type"] == "application/json"
        self.calls.append((self.clock.now(), json.loads(request.content)["session"]["status"]))
        self._news.set()
        for _ in range(self.turns):
            await anyio.lowlevel.checkpoint()
        if self.seconds:
            await self.clock.sleep(self.seconds)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    async def is_called(self, times: int) -> None:
        """Wait until the shop has been called so many *times*, without the clock."""
        while len(self.calls) < times:
            self._news = anyio.Event()
            await self._news.wait()

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.calls]


@pytest.fixture
def shop(clock: VirtualClock) -> Shop:
    return Shop(clock)


@asynccontextmanager
async def posting(provider: ScriptedProvider, shop: Shop) -> AsyncGenerator[None]:
    """Post the callbacks to *shop* until the context ends."""
    with anyio.fail_after(30):
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(shop)) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(provider.post_callbacks, client)
            await anyio.lowlevel.checkpoint()
            yield
            tasks.cancel_scope.cancel()


# -- when they are due -------------------------------------------------------------------------------------------------


async def test_every_change_is_posted_at_its_moment(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    provider.add(Script(opens(after=5), pays(after=1 / 3)), merchant_urls=URLS)
    provider.add([(LATE - 100, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(LATE)

    assert shop.calls == [
        (5.0, "IN_PROGRESS"),
        (5.333333, "COMPLETED"),
        (LATE - 100, "BACK"),
    ]


async def test_two_days_without_a_callback_cost_few_uses_of_the_clock(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    uses = 0
    now: Callable[[], datetime] = provider.model.now

    def counted() -> datetime:
        nonlocal uses
        uses += 1
        return now()

    provider.add([(5, "IN_PROGRESS"), (LATE - 100, "BACK")], merchant_urls=URLS)
    provider.model.now = counted
    async with posting(provider, shop):
        await clock.sleep(LATE)

    assert shop.times == [5, LATE - 100]
    assert uses < 20


async def test_callbacks_of_later_sessions_are_posted_in_time(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    provider.model.consumer = Script(opens(after=5), pays(after=10))
    body = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1", "merchant_urls": URLS}
    async with posting(provider, shop):
        provider.add([(LATE, "BACK")], merchant_urls=URLS)
        await clock.sleep(100)
        created = await provider.http_client.post(f"{provider.endpoint}/hpp/v1/sessions", json=body, auth=provider.auth)
        await clock.sleep(100)

    assert created.status_code == 201
    assert shop.calls == [(105.0, "IN_PROGRESS"), (115.0, "COMPLETED")]


async def test_a_change_by_hand_is_posted_at_once(provider: ScriptedProvider, shop: Shop) -> None:
    session = provider.add(Consumer.NOBODY, session_id="one", merchant_urls=URLS)
    async with posting(provider, shop):
        provider.model.change("one", "BACK")
        await shop.is_called(1)
        provider.model.act("one", opens)
        await shop.is_called(2)
        await provider.http_client.delete(session, auth=provider.auth)
        await shop.is_called(3)

    assert shop.calls == [(0.0, "BACK"), (0.0, "IN_PROGRESS"), (0.0, "DISABLED")]


async def test_a_change_by_hand_replaces_the_plan(provider: ScriptedProvider, clock: VirtualClock, shop: Shop) -> None:
    provider.add(Script(opens(after=5), pays(after=100)), session_id="one", merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(50)
        provider.model.visit("one", Script(pays(after=200)))
        await clock.sleep(1000)

    assert shop.calls == [(5.0, "IN_PROGRESS"), (250.0, "COMPLETED")]


async def test_sessions_without_a_url_have_no_callbacks(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    provider.add([(5, "IN_PROGRESS"), (10, "CANCELLED")])
    provider.add([(7, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.calls == [(7.0, "BACK")]


async def test_faults_delay_and_lose_callbacks(provider: ScriptedProvider, clock: VirtualClock, shop: Shop) -> None:
    provider.trouble(Dropped(), on=Operation.CALLBACK, first=1)
    provider.trouble(Slow(7), on=Operation.CALLBACK)
    provider.add([(5, "IN_PROGRESS"), (10, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.calls == [(17.0, "BACK")]


# -- what comes of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [500, 302, 404, httpx.ConnectError("away"), httpx.ReadTimeout("no answer")], ids=repr
)
async def test_a_callback_without_a_2xx_is_repeated_three_times_three_seconds_apart(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop, answer: int | Exception
) -> None:
    shop.answers = [answer] * 10
    provider.add([(5, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.times == [5, 8, 11, 14]


@pytest.mark.parametrize(("seconds", "times"), [(2.9, [5]), (3.1, [5, 8, 11, 14]), (LATE, [5, 8, 11, 14])])
async def test_the_shop_has_three_seconds_to_answer(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop, seconds: float, times: list[float]
) -> None:
    shop.seconds = seconds
    provider.add([(5, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.times == times


async def test_time_stands_still_while_the_shop_runs_through_its_middlewares(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    shop.turns = 300
    provider.add([(5, "BACK"), (5.5, "IN_PROGRESS")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.times == [5, 5.5]


async def test_a_callback_that_succeeds_is_not_repeated(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    shop.answers = [503, 503]
    provider.add([(5, "BACK"), (9, "IN_PROGRESS")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.calls == [(5.0, "BACK"), (8.0, "BACK"), (9.0, "IN_PROGRESS"), (11.0, "BACK")]


async def test_an_invalid_url_does_not_stop_other_callbacks(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    provider.add([(5, "BACK")], merchant_urls={"status_update": "http://shop.example:door/"})
    provider.add([(6, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.times == [6]


async def test_an_exception_of_the_shop_is_raised(provider: ScriptedProvider, clock: VirtualClock, shop: Shop) -> None:
    shop.answers = [ZeroDivisionError("a bug")]
    provider.add([(5, "BACK")], merchant_urls=URLS)

    with pytest.raises(ExceptionGroup) as caught:
        async with posting(provider, shop):
            await clock.sleep(100)

    assert caught.group_contains(ZeroDivisionError, match="a bug")
    assert clock.now() == 5


async def test_a_callback_that_was_cut_off_is_repeated_by_the_next_posting(
    provider: ScriptedProvider, clock: VirtualClock, shop: Shop
) -> None:
    shop.seconds = 2.0
    provider.add([(5, "BACK")], merchant_urls=URLS)
    async with posting(provider, shop):
        await shop.is_called(1)
    async with posting(provider, shop):
        await clock.sleep(100)

    assert shop.times == [5, 8]


async def test_posting_leaves_nothing_behind(provider: ScriptedProvider, clock: VirtualClock, shop: Shop) -> None:
    async with posting(provider, shop):
        await clock.sleep(1)
    provider.add([(5, "BACK")], merchant_urls=URLS)
    await clock.sleep(100)

    assert shop.calls == []
    assert provider.model.listeners == []
    assert len(provider.model.due_callbacks()) == 1
