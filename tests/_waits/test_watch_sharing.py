"""A watch beside single waits, reads and callbacks: they share one budget and one read, and none blocks another."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import anyio
import anyio.lowlevel
import httpx
import pytest
from support.servers import run
from support.watching import events_of, step, told

from hpp_async import (
    Completed,
    Event,
    PollSchedule,
    RateLimitedError,
    ReadBudget,
    SessionNotFoundError,
    Slept,
    Transition,
    TransitionSeen,
    WaitStarted,
    Watch,
)
from hpp_async._loop import LoopClock
from hpp_async.testing import ScriptedProvider, Step, VirtualClock

pytestmark = pytest.mark.anyio


PLENTY = ReadBudget(1e9)


# -- reads -------------------------------------------------------------------------------------------------------------


async def test_waits_and_watches_on_one_session_send_as_many_requests_as_one(provider: ScriptedProvider) -> None:
    client = provider.client()
    await client.wait_for_outcome(provider.add(lifetime=timedelta(hours=12)))
    cost = len(provider.requests)
    session = provider.add(lifetime=timedelta(hours=12))
    first, second = client.watch([session]), client.watch([session])
    async with first, second, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(run, client.wait_for_outcome(session))
        tasks.start_soon(events_of, first)
        tasks.start_soon(events_of, second)

    assert len(provider.requests) - cost <= cost * 1.15


async def test_a_session_is_read_in_its_turn_however_short_the_steps(provider: ScriptedProvider) -> None:
    clock, seen_at = provider.clock, dict[str, float]()
    client = provider.client(budget=ReadBudget(1), schedule=PollSchedule.every(1))  # a tenth of what would be needed
    async with client, client.watch([provider.add() for _ in range(10)]) as watch:

        async def end_step(scope: anyio.CancelScope) -> None:
            await clock.sleep(0.05)
            scope.cancel()

        async def take_steps(until: float) -> None:
            while clock.now() < until:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(end_step, tasks.cancel_scope)
                    seen_at[(await anext(watch)).session_id] = clock.now()
                    tasks.cancel_scope.cancel()
                await clock.sleep(0.05)  # the caller is busy, and tokens come meanwhile

        await take_steps(30.0)
        watch.add(provider.add(session_id="new"))
        await take_steps(35.0)

    assert seen_at["new"] <= 33.0


@pytest.mark.parametrize("is_watched", [True, False])
async def test_no_crowd_of_readers_starves_a_session_whose_steps_are_short(
    provider: ScriptedProvider, is_watched: bool
) -> None:
    clock, seen_at = provider.clock, dict[str, float]()
    client = provider.client(budget=ReadBudget(10), schedule=PollSchedule.every(1))
    flaps = [(at, "BACK" if at % 2 else "IN_PROGRESS") for at in range(60)]

    async def view_page() -> None:
        session = provider.add()
        while True:
            await client.read_session(session)

    async def work() -> None:
        async for event in watch:
            seen_at.setdefault(event.session_id, clock.now())

    async def stream(session: str) -> None:
        async for update in client.wait_for_outcome(session).updates(heartbeat=0.1):
            if isinstance(update, Transition):
                seen_at.setdefault("new", clock.now())

    watch = client.watch([provider.add(flaps) for _ in range(8)])
    async with client, watch, anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await clock.sleep(10.0)
        for _ in range(12):  # who view a page again as soon as they have seen it
            tasks.start_soon(view_page)
        await clock.sleep(10.0)
        session = provider.add(session_id="new")
        if is_watched:
            watch.add(session)
        else:
            tasks.start_soon(stream, session)
        await clock.sleep(10.0)
        tasks.cancel_scope.cancel()

    assert seen_at["new"] <= 23.0  # after all that waited before it, at half of the rate


async def test_a_recent_reading_is_used_instead_of_another_read(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    client = provider.client(budget=ReadBudget(1000, max_in_flight=1))
    wait = client.wait_for_outcome(session)  # while it is subscribed, the latest flight is kept
    await anext(wait)
    async with client.watch([session, provider.add()]) as watch:
        assert told(await step(watch)) == "IN_PROGRESS"
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert len(provider.requests) == 1  # no read is started while there is as much news as reads may be in flight

        assert told(await step(watch)) == "WAITING"


async def test_the_read_of_another_caller_brings_news_of_a_session_at_rest(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(1, "COMPLETED")])
    async with provider.client() as client, client.watch([session]) as watch, anyio.create_task_group() as tasks:
        await step(watch)
        tasks.start_soon(events_of, watch)
        await clock.sleep(2)
        await client.read_session(session)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()

        assert (len(watch), clock.now()) == (0, 2)


async def test_the_read_of_another_caller_in_flight_is_waited_for(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "DISABLED")])
    provider.latency = 10.0
    async with provider.client() as client, client.watch([session]) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(client.read_session, session)
        await provider.clock.sleep(1)

        assert [told(event) for event in await events_of(watch)] == ["DISABLED", "Disabled"]
        assert len(provider.requests) == 1


async def test_the_read_of_another_caller_adds_to_news_not_handed_over_yet(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    names = [provider.add(session_id=name).rpartition("/")[2] for name in ("first", "second", "third")]
    provider.latency = 1.0
    async with provider.client(budget=ReadBudget(5)) as client, client.watch(names) as watch:
        await step(watch)
        await clock.sleep(1)  # the reads of the other two finish, and one step processes both
        await step(watch)
        provider.latency = 0.0
        provider.model.change("third", "IN_PROGRESS")
        await client.read_session("third")
        provider.model.change("third", "CANCELLED")
        await client.read_session("third")
        watch.discard("first")
        watch.discard("second")
        events = await events_of(watch)

    assert [told(event) for event in events] == ["WAITING", "IN_PROGRESS", "CANCELLED", "Cancelled"]


async def test_an_outcome_that_another_read_showed_is_not_lost_to_a_404_after_it(provider: ScriptedProvider) -> None:
    session = provider.add(session_id="paid")
    async with provider.client() as client, client.watch([session]) as watch:
        await step(watch)
        provider.model.change("paid", "COMPLETED")
        await client.read_session(session)
        provider.model.forget("paid")
        with pytest.raises(SessionNotFoundError):
            await client.read_session(session)
        events = await events_of(watch)

    assert isinstance(events[-1].news, Completed)


async def test_an_observer_can_change_what_is_watched_while_the_watch_is_entered(provider: ScriptedProvider) -> None:
    first, second, third = (provider.add([(0, "DISABLED")], session_id=name) for name in ("first", "second", "third"))
    started: list[str] = []

    def replace(event: Event) -> None:
        if isinstance(event, WaitStarted):
            started.append(event.session_id)
            watch.discard(second)
            watch.add(third)

    async with provider.client(observers=[replace]) as client:
        watch = client.watch([first, second])
        async with watch:
            events = await events_of(watch)

    assert started == ["first", "third"]
    assert {event.session_id for event in events} == {"first", "third"}


async def test_a_session_that_an_observer_discards_has_no_more_events(provider: ScriptedProvider) -> None:
    watches: list[Watch] = []

    def discard(event: Event) -> None:
        if isinstance(event, TransitionSeen):
            for watch in watches:
                watch.discard(event.session_id)

    session = provider.add()
    async with provider.client(observers=[discard]) as client:
        wait = client.wait_for_outcome(session)
        await anext(wait)
        async with client.watch([session]) as watch:
            watches.append(watch)

            assert [told(event) for event in await events_of(watch)] == []


async def test_a_busy_caller_does_not_block_other_reads(provider: ScriptedProvider, clock: VirtualClock) -> None:
    sessions = [provider.add() for _ in range(50)]
    async with provider.client(budget=ReadBudget(10)) as client, client.watch(sessions) as watch:
        await step(watch)  # 49 are due, and wait for the budget
        asked_at = clock.now()
        for _ in range(10):
            await client.read_session(provider.add())

    assert clock.now() - asked_at <= 1.1


@pytest.mark.parametrize("others", [0, 1])
async def test_a_session_discarded_in_the_queue_leaves_its_turn_to_others(
    provider: ScriptedProvider, clock: VirtualClock, others: int
) -> None:
    client = provider.client(budget=ReadBudget(0.1), schedule=PollSchedule.every(300))
    watch = client.watch([provider.add() for _ in range(others)], forever=True)
    async with client, watch, anyio.create_task_group() as tasks:
        tasks.start_soon(events_of, watch)
        await clock.sleep(1)
        await client.read_session(provider.add())
        began, session = clock.now(), provider.add()  # the next read may go out in ten seconds
        watch.add(session)
        await clock.sleep(1)
        watch.discard(session)
        await client.read_session(provider.add())

        assert clock.now() - began == pytest.approx(10)
        tasks.cancel_scope.cancel()


async def test_a_caller_that_returns_to_a_backlog_does_not_go_before_everybody_else(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    sessions = [provider.add() for _ in range(100)]
    async with provider.client(budget=ReadBudget(10)) as client, client.watch(sessions) as watch:
        for _ in sessions:
            await step(watch)
        await clock.sleep(3600)  # the caller is busy, and in the end all are due
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events_of, watch)
            await clock.sleep(1)
            asked_at = clock.now()
            await client.read_session(provider.add())

            assert clock.now() - asked_at < 0.5
            tasks.cancel_scope.cancel()


async def test_a_consumer_that_comes_back_does_not_go_before_a_wait_that_is_due_already(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    watched, waited = [provider.add() for _ in range(5)], provider.add(session_id="waited")
    client = provider.client(budget=ReadBudget(1), schedule=PollSchedule.every(10))
    async with client, client.watch(watched) as watch, anyio.create_task_group() as tasks:
        for _ in watched:
            await step(watch)
        wait = client.wait_for_outcome(waited)
        await anext(wait)
        tasks.start_soon(run, wait)
        await clock.sleep(0.1)
        await clock.sleep((wait.next_read_in or 0.0) - 1.0)
        provider.answer_next(httpx.Response(429, headers={"Retry-After": "30"}))
        with pytest.raises(RateLimitedError):
            await client.read_session(provider.add())
        await clock.sleep(20)  # the wait is due, and the pause holds it; the watch was due long before
        tasks.start_soon(events_of, watch)
        before = len(provider.requests)
        await clock.sleep(15)

        assert provider.requests[before].url.path.endswith("waited")
        tasks.cancel_scope.cancel()


# -- callbacks ---------------------------------------------------------------------------------------------------------


async def test_a_session_that_was_notified_takes_one_place_in_the_queue_when_those_before_it_are_discarded(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    sessions = [provider.add() for _ in range(3)]
    client = provider.client(budget=ReadBudget(1, max_in_flight=2), schedule=PollSchedule.every(10))
    async with client, client.watch(sessions) as watch, anyio.create_task_group() as tasks:
        *before_it, notified = [(await step(watch)).session_id for _ in sessions]
        tasks.start_soon(events_of, watch)
        provider.answer_next(httpx.Response(429, headers={"Retry-After": "30"}))
        with pytest.raises(RateLimitedError):
            await client.read_session(provider.add())
        await clock.sleep(15)  # all three are due, and the pause holds them
        client.notify(notified)
        await clock.sleep(1)
        for session in before_it:
            watch.discard(session)
        await clock.sleep(18)  # the pause is over

        reads = [request for request in provider.requests if request.url.path.endswith(notified)]
        assert len(reads) == 2
        tasks.cancel_scope.cancel()


async def test_any_number_of_notifications_costs_one_read_and_no_memory(provider: ScriptedProvider) -> None:
    session = provider.add(session_id="paid")
    async with provider.client() as client, client.watch([session]) as watch:
        await step(watch)
        provider.model.change("paid", "COMPLETED")
        for _ in range(1000):
            assert client.notify(session)
        places = len(watch._agenda._due) + len(watch._agenda._new)  # nothing public shows the memory of a notification
        seen = [(round(provider.clock.now()), told(event)) for event in await events_of(watch)]

    assert seen == [(0, "COMPLETED"), (0, "Completed")]
    assert len(provider.requests) == 2
    assert places <= 3  # one in each line, and one in the schedule's from before the notification


async def test_a_notification_makes_a_session_at_rest_due_at_once(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(1, "COMPLETED")])
    async with provider.client() as client, client.watch([session]) as watch, anyio.create_task_group() as tasks:
        await step(watch)
        tasks.start_soon(events_of, watch)
        await clock.sleep(2)
        for _ in range(5):
            assert client.notify(session)
        await clock.sleep(0.1)

        assert (len(watch), len(provider.requests)) == (0, 2)
        assert not client.notify(session)


async def test_a_notification_during_a_read_makes_another_read_due(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(session_id="moved")
    provider.latency = 1.0
    async with provider.client() as client, client.watch([session]) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(events_of, watch)
        await clock.sleep(0.5)
        provider.answer_next(503)  # whatever becomes of it
        assert client.notify(session)
        await clock.sleep(0.5)
        provider.model.change("moved", "COMPLETED")
        await clock.sleep(2.0)

        assert (len(watch), len(provider.requests)) == (0, 2)


@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_a_notification_counts_while_the_caller_is_busy(provider: ScriptedProvider, is_handed_over: bool) -> None:
    """The notified session has a finished read that the watch has not handed over, or has handed over just now."""
    sessions = [provider.add(session_id="other"), provider.add(session_id="moved")]
    provider.latency = 1.0
    async with provider.client(budget=PLENTY) as client, client.watch(sessions) as watch:
        await step(watch)
        await provider.clock.sleep(1)
        if is_handed_over:
            await step(watch)
        provider.model.change("moved", "COMPLETED")
        assert client.notify("moved")
        watch.discard("other")
        began, events = provider.clock.now(), await events_of(watch)

    assert [told(event) for event in events][-2:] == ["COMPLETED", "Completed"]
    assert provider.clock.now() - began == pytest.approx(1.0)


# -- back-pressure -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_reads_that_finish_at_once_do_not_pile_up(clock: VirtualClock) -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - from 3.12 on
    reads: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        reads.append(request)
        return httpx.Response(200, json={"status": "WAITING"})

    provider = ScriptedProvider(clock)
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    sessions = [f"session-{number}" for number in range(100)]
    async with (
        provider.client(http_client=http_client, budget=ReadBudget(1e12, max_in_flight=3), clock=LoopClock()) as client,
        client.watch(sessions) as watch,
    ):
        for number in range(1, 101):
            await step(watch)

            assert len(reads) < number + 6


async def test_a_slow_caller_slows_the_reads_and_loses_nothing(provider: ScriptedProvider, clock: VirtualClock) -> None:
    in_flight, number = 3, 60
    names = [f"session-{number}" for number in range(number)]
    for name in names:
        provider.add([(0, "COMPLETED")], session_id=name)
    provider.latency = 0.1
    dealt_with: set[str] = set()
    budget = ReadBudget(1000, max_in_flight=in_flight)
    async with provider.client(budget=budget) as client, client.watch(names) as watch:
        for _ in range(2 * number):
            event = await step(watch)
            await clock.sleep(5)  # the caller is busy
            dealt_with.add(event.session_id)

            assert len(provider.requests) - len(dealt_with) < 2 * in_flight
        assert await events_of(watch) == []

    assert dealt_with == set(names)
    assert len(provider.requests) == number


async def test_a_pause_of_the_caller_is_reported_as_lateness(provider: ScriptedProvider, clock: VirtualClock) -> None:
    slept: list[Slept] = []
    session = provider.add([(0, "IN_PROGRESS"), (60, "COMPLETED")])
    observe = [lambda event: slept.append(event) if isinstance(event, Slept) else None]
    async with provider.client(observers=observe) as client, client.watch([session]) as watch:
        await step(watch)
        await clock.sleep(3600)
        events = await events_of(watch)

    assert [told(event) for event in events] == ["COMPLETED", "Completed"]
    assert [event.late_by for event in slept] == [pytest.approx(3600 - 2, abs=0.5)]


# -- what is logged ----------------------------------------------------------------------------------------------------


async def test_an_outage_is_warned_of_once_in_ten_minutes_however_many_sessions_meet_it(
    provider: ScriptedProvider, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = [provider.add() for _ in range(20)]
    client = provider.client(schedule=PollSchedule.every(60), outage_tolerance=7200, attempts=1)
    async with client, client.watch(sessions) as watch, anyio.create_task_group() as tasks:
        for _ in sessions:
            await step(watch)
        provider.answer_next(*[503] * 10_000)
        tasks.start_soon(events_of, watch)
        await clock.sleep(1500)
        tasks.cancel_scope.cancel()

    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 3  # after half a minute, and at about 10 and 20 minutes
    assert "the wait goes on" in warnings[0].getMessage()


async def test_a_payment_without_an_order_or_a_token_is_logged_for_a_person(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    session = provider.add([Step(0, "COMPLETED", {"authorization_token": None})], session_id="bare")
    async with provider.client() as client, client.watch([session]) as watch:
        [_, last] = await events_of(watch)

    assert isinstance(last.news, Completed)
    assert last.news.needs_attention
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "session bare ended as Completed" in record.getMessage()
    assert str(last.news.session.correlation_id) in record.getMessage()
