"""A watch that is closed, left, cancelled or resumed: what was read is handed over, or comes again."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import groupby
from typing import Final

import anyio
import httpx
import pytest
from support.interruptions import ENOUGH, calling
from support.watching import by_session, events_of, step, told

from hpp_async import (
    FINAL,
    ClientClosedError,
    Event,
    HPPClient,
    ReadBudget,
    ReadFinished,
    WaitDropped,
    WaitStarted,
    Watch,
)
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio


async def cut_short(watch: Watch, clock: VirtualClock) -> None:
    """Cancel a step after one second, and leave its reads in flight."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(step, watch)
        await clock.sleep(1)
        tasks.cancel_scope.cancel()


# -- the client is closed ----------------------------------------------------------------------------------------------


async def test_nothing_is_sent_once_the_client_is_closed(provider: ScriptedProvider) -> None:
    client = provider.client()
    async with client.watch([provider.add()]) as watch:
        await client.aclose()
        with pytest.raises(ClientClosedError, match="with 1 sessions left to watch"):
            await step(watch)
        await provider.clock.sleep(60)

    assert provider.requests == []


async def test_what_was_read_is_handed_over_before_the_closing_is_raised(provider: ScriptedProvider) -> None:
    client = provider.client()
    slow, fast = provider.add(), provider.add(session_id="fast")
    provider.latency = 60.0
    async with client.watch([slow]) as watch:
        await cut_short(watch, provider.clock)
        provider.latency = 0.0
        watch.add(fast)
        await client.read_session(fast)  # the watch has this flight, too, and has not processed it yet
        await client.aclose()

        assert (await step(watch)).session_id == "fast"
        with pytest.raises(ClientClosedError):
            await step(watch)


async def test_a_borrowed_http_client_that_was_closed_is_an_error(provider: ScriptedProvider) -> None:
    http_client = httpx.AsyncClient(transport=provider)
    client = provider.client(http_client=http_client)
    async with client.watch([provider.add()]) as watch:
        await step(watch)
        await http_client.aclose()
        with pytest.raises(ClientClosedError, match="lent httpx client was closed"):
            await step(watch)


async def test_a_step_that_waits_ends_when_the_client_is_closed(provider: ScriptedProvider) -> None:
    client = provider.client()
    errors: list[ClientClosedError] = []

    async def follow(watch: Watch) -> None:
        with pytest.raises(ClientClosedError) as caught:
            await events_of(watch)
        errors.append(caught.value)

    async with client.watch([provider.add()], forever=True) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(follow, watch)
        await provider.clock.sleep(5)
        await client.aclose()

    assert len(errors) == 1


async def test_a_watch_for_ever_ends_with_its_client_even_with_nothing_to_watch(provider: ScriptedProvider) -> None:
    client = provider.client()
    async with client.watch(forever=True) as watch:
        await client.aclose()
        with pytest.raises(ClientClosedError, match="with 0 sessions left"):
            await step(watch)


# -- the watch is closed -----------------------------------------------------------------------------------------------


async def test_leaving_a_watch_ends_the_step_of_another_task(provider: ScriptedProvider) -> None:
    client = provider.client()
    async with client, anyio.create_task_group() as tasks, client.watch([provider.add()]) as watch:
        await step(watch)
        tasks.start_soon(events_of, watch)
        await provider.clock.sleep(1)

    assert (len(watch), provider.clock.now()) == (1, 1)


async def test_a_read_that_finishes_after_a_watch_was_left_is_dropped(provider: ScriptedProvider) -> None:
    session = provider.add(session_id="left")
    provider.latency = 10.0
    async with provider.client() as client:
        async with client.watch([session]) as watch:
            await cut_short(watch, provider.clock)
        await provider.clock.sleep(20)

        assert watch.tokens() == {"left": None}
        assert not client.notify(session)


async def test_tokens_are_those_of_the_last_yielded_transitions(provider: ScriptedProvider) -> None:
    sessions = [provider.add(session_id="seen"), provider.add(session_id="read"), provider.add(session_id="ends")]
    provider.model.change("ends", "DISABLED")
    async with provider.client(budget=ReadBudget(5)) as client, client.watch(sessions) as watch:
        first = await step(watch)
        await provider.clock.sleep(1)
        tokens = watch.tokens()
        rest = [await step(watch) for _ in range(3)]

    assert tokens == {"seen": first.token, "read": None, "ends": None}
    assert sorted(map(told, rest)) == ["DISABLED", "Disabled", "WAITING"]
    assert set(watch.tokens()) == {"seen", "read"}


# -- discarded and added again -----------------------------------------------------------------------------------------


async def test_a_session_added_again_while_it_is_read_uses_that_read(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "DISABLED")])
    provider.latency = 10.0
    async with provider.client() as client, client.watch([session]) as watch:
        await cut_short(watch, provider.clock)
        watch.discard(session)
        watch.add(session)
        events = await events_of(watch)

    assert [told(event) for event in events] == ["DISABLED", "Disabled"]
    assert len(provider.requests) == 1


async def test_a_session_added_again_when_its_read_has_failed_is_read_again(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "DISABLED")])
    provider.latency = 10.0
    provider.answer_next(503)
    async with provider.client(attempts=1) as client, client.watch([session]) as watch:
        await cut_short(watch, provider.clock)
        watch.discard(session)
        watch.add(session)
        events = await events_of(watch)

    assert [told(event) for event in events] == ["DISABLED", "Disabled"]


async def test_a_discarded_session_drops_its_news_and_begins_anew_when_added(
    provider: ScriptedProvider,
) -> None:
    sessions = [provider.add(session_id="first"), provider.add(session_id="again")]
    async with provider.client(budget=ReadBudget(5)) as client, client.watch(sessions) as watch:
        await step(watch)
        await provider.clock.sleep(1)  # the other read has finished as well
        watch.discard("again")
        provider.model.change("first", "DISABLED")
        provider.model.change("again", "CANCELLED")
        watch.add("again")
        events = await events_of(watch)

    assert by_session(events) == {"first": ["DISABLED", "Disabled"], "again": ["CANCELLED", "Cancelled"]}


async def test_a_session_discarded_between_its_reading_and_its_event_is_skipped(provider: ScriptedProvider) -> None:
    for name in ("kept", "dropped"):
        provider.add([(20, "IN_PROGRESS"), (40, "DISABLED")], session_id=name)
    client = provider.client(budget=ReadBudget(1000, max_in_flight=1))
    async with client, client.watch(["kept", "dropped"]) as watch:
        for _ in range(2):
            await step(watch)
        await provider.clock.sleep(20)
        for name in ("kept", "dropped"):
            await client.read_session(name)  # the watch gets both flights, and processes both in one step
        first = await step(watch)
        watch.discard("dropped")
        events = [first, *await events_of(watch)]

    assert by_session(events) == {"kept": ["IN_PROGRESS", "DISABLED", "Disabled"]}


async def test_a_finished_read_of_a_session_discarded_since_is_no_event(provider: ScriptedProvider) -> None:
    seen: list[Event] = []
    session = provider.add()
    provider.latency = 10.0
    async with provider.client(observers=[seen.append]) as client, client.watch([session]) as watch:
        await cut_short(watch, provider.clock)
        await provider.clock.sleep(20)
        watch.discard(session)

        assert await events_of(watch) == []
        await provider.clock.sleep(0)
        assert [type(event) for event in seen] == [WaitStarted, ReadFinished, WaitDropped]


# -- nothing is lost ---------------------------------------------------------------------------------------------------

LIVES: Final = {
    "retried": [(4, "IN_PROGRESS"), (9, "FAILED"), (12, "IN_PROGRESS"), (16, "COMPLETED")],
    "given-up": [(3, "IN_PROGRESS"), (9, "CANCELLED")],
}
SAID: Final = {
    "retried": ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED", "Completed"],
    "given-up": ["WAITING", "IN_PROGRESS", "CANCELLED", "Cancelled"],
}
EVENTS: Final = sum(map(len, SAID.values()))


class Often:
    def delay(self, session: object, *, age: float, draw: float) -> float:
        return 1.0


class Worker:
    """Deals with each event, and then stores its token; it may die between the two."""

    def __init__(self) -> None:
        self.provider = ScriptedProvider(VirtualClock())
        self.provider.latency = 0.3
        self.stored: dict[str, str | None] = {}
        for name, life in LIVES.items():
            self.provider.add(life, session_id=name)
            self.stored[name] = None
        self.said: dict[str, list[str]] = {name: [] for name in LIVES}

    def watch(self, client: HPPClient) -> Watch:
        return client.watch(self.stored, stop_on=FINAL, schedule=Often())

    async def work(self, watch: Watch, *, events: int = ENOUGH, stores_the_last: bool = True) -> None:
        async for event in watch:
            self.said[event.session_id].append(told(event))
            events -= 1
            if events or stores_the_last:
                self.stored[event.session_id] = event.token
                if event.is_last:
                    del self.stored[event.session_id]
            if not events:
                break

    async def resume(self) -> None:
        """Go on from the stored tokens, with a new client."""
        async with self.provider.client() as client, self.watch(client) as watch:
            with anyio.fail_after(60):
                await self.work(watch)

    def assert_everything_was_said(self, *, once: bool) -> None:
        said = self.said if once else {name: [word for word, _ in groupby(words)] for name, words in self.said.items()}

        assert said == SAID
        assert self.stored == {}


@pytest.mark.parametrize("stores_the_last", [True, False])
async def test_a_worker_that_dies_at_any_event_misses_nothing(stores_the_last: bool) -> None:
    for at in range(1, EVENTS + 1):
        worker = Worker()
        async with worker.provider.client() as client, worker.watch(client) as watch:
            await worker.work(watch, events=at, stores_the_last=stores_the_last)
        await worker.resume()

        worker.assert_everything_was_said(once=stores_the_last)


async def test_a_worker_cancelled_at_any_await_misses_nothing() -> None:
    at = 0
    for at in range(ENOUGH):
        worker = Worker()
        async with worker.provider.client() as client, worker.watch(client) as watch:
            with anyio.CancelScope() as scope:
                await calling(worker.work(watch), at, scope.cancel)
        await worker.resume()
        worker.assert_everything_was_said(once=True)
        if not scope.cancel_called:
            break

    assert 20 < at < ENOUGH - 1


async def test_a_worker_whose_client_is_closed_at_any_await_misses_nothing() -> None:
    at = 0
    for at in range(ENOUGH):
        worker, was_reached = Worker(), False
        async with anyio.create_task_group() as tasks:
            client = worker.provider.client()
            async with worker.watch(client) as watch:
                try:
                    was_reached = await calling(worker.work(watch), at, partial(tasks.start_soon, client.aclose))
                except ClientClosedError:
                    was_reached = True
        await worker.resume()
        worker.assert_everything_was_said(once=True)
        if not was_reached:
            break

    assert 20 < at < ENOUGH - 1


async def test_a_step_cancelled_at_any_await_goes_on_where_it_was() -> None:
    at = 0
    for at in range(ENOUGH):
        worker = Worker()
        async with worker.provider.client() as client, worker.watch(client) as watch:
            with anyio.CancelScope() as scope:
                await calling(worker.work(watch), at, scope.cancel)
            with anyio.fail_after(60):
                await worker.work(watch)
        worker.assert_everything_was_said(once=True)
        if not scope.cancel_called:
            break

    assert 20 < at < ENOUGH - 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_step_in_an_asyncio_task_is_cancelled_as_well() -> None:
    at = 0
    for at in range(ENOUGH):
        worker = Worker()
        async with worker.provider.client() as client, worker.watch(client) as watch:
            task = asyncio.create_task(calling(worker.work(watch), at, lambda: task.cancel()))  # noqa: B023, PLW0108 - there is no task yet, and no other one when it is called
            [was_reached] = await asyncio.gather(task, return_exceptions=True)
            await worker.work(watch)
        worker.assert_everything_was_said(once=True)
        if was_reached is False:
            break

    assert 20 < at < ENOUGH - 1
