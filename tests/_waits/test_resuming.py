"""Waits and watches that go on from their tokens in another process: another client, in virtual time."""

from __future__ import annotations

from datetime import timedelta

import anyio
import httpx
import pytest
from support.watching import events_of

from hpp_async import HPPClient, OutageError, PollSchedule, ReadBudget, ReadFinished, SessionStatus, Slept, Watch
from hpp_async._core.memory import Failing, Memory
from hpp_async._core.position import Position
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio


async def for_a_while(watch: Watch, clock: VirtualClock, seconds: float) -> None:
    """Iterate *watch* for so many seconds."""

    async def iterate() -> None:
        async for _ in watch:
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(iterate)
        await clock.sleep(seconds)
        tasks.cancel_scope.cancel()


def reads_of(provider: ScriptedProvider, session: str) -> int:
    return sum(request.url.path.endswith(session) for request in provider.requests)


async def test_a_watch_that_goes_on_from_its_tokens_reads_nothing_that_is_not_due(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    sessions = [provider.add(session_id=f"s-{number}") for number in range(20)]
    async with provider.client() as client, client.watch(sessions) as watch:
        await for_a_while(watch, clock, 400.0)
        tokens = watch.tokens()
    provider.requests.clear()
    for _ in range(60):
        async with provider.client() as client, client.watch(tokens) as watch:
            await for_a_while(watch, clock, 1.0)
            tokens = watch.tokens()

    # By now the delay of each session is 29 to 32 seconds, less up to a tenth: two reads a minute.
    assert {reads_of(provider, f"s-{number}") for number in range(20)} <= {1, 2, 3}
    assert len(provider.requests) == pytest.approx(40, abs=4)


async def test_the_consumer_on_the_page_is_read_first_after_a_crash(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    cold = [provider.add(session_id=f"cold-{number}") for number in range(200)]
    async with provider.client() as client, client.watch(cold) as watch:
        await for_a_while(watch, clock, 60.0)
        tokens = watch.tokens()
    await clock.sleep(20_000.0)
    async with provider.client() as client, client.watch([provider.add(session_id="page")]) as watch:
        await for_a_while(watch, clock, 1.0)
        tokens |= watch.tokens()
    await clock.sleep(15.0)
    provider.requests.clear()
    async with provider.client() as client, client.watch(tokens) as watch:
        await for_a_while(watch, clock, 100.0)

    assert provider.requests[0].url.path.endswith("page")
    # Cold sessions are spread over their delay of 150 seconds, where the budget could have read them in 16.
    assert 70 < len({request.url.path for request in provider.requests}) < 180


async def test_the_consumer_on_the_page_who_is_not_overdue_waits_for_no_cold_session(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    def token(session_id: str, *, age: float, read_before: float) -> str:
        now = clock.provider_time()
        delay = 2.0 + 0.01 * age
        return Position(
            session_id=session_id,
            status=SessionStatus.IN_PROGRESS,
            updated_at=now - timedelta(seconds=age),
            expires_at=None,
            sequence=2,
            memory=Memory(at=now.timestamp() - read_before, delay=delay),
        ).token

    tokens = {provider.add([(-20_000.0, "IN_PROGRESS")], session_id=f"cold-{number}"): 250.0 for number in range(200)}
    since = {url: token(url.rpartition("/")[2], age=20_000.0, read_before=before) for url, before in tokens.items()}
    since[provider.add([(-10.0, "IN_PROGRESS")], session_id="page")] = token("page", age=10.0, read_before=0.1)
    read_at, began_at = list[float](), clock.now()

    def observe(event: object) -> None:
        if isinstance(event, ReadFinished) and event.session_id == "page":
            read_at.append(clock.now() - began_at)

    budget = ReadBudget(20)
    async with provider.client(budget=budget, observers=[observe]) as client, client.watch(since) as watch:
        late_by = watch.late_by
        await for_a_while(watch, clock, 4.0)

    assert late_by == 0.0  # an overdue read is late from the start on, and not by the place that it has in the queue
    assert len(provider.requests) >= 75  # without the page's place in the queue, it would be one of the last
    assert 2.0 <= read_at[0] <= 2.0 + 12 / 20  # ten cold sessions have their turns already


async def test_the_second_of_two_callbacks_does_not_wait_for_a_short_budget(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    """It makes a read due a second after the first, by the loop's clock, however slow the budget's virtual time is."""
    sessions = [provider.add(session_id=f"s-{number}") for number in range(100)]
    read, read_at = anyio.Event(), list[float]()

    def observe(event: object) -> None:
        if isinstance(event, ReadFinished) and event.session_id == "s-0" and clock.now() >= 300.0:
            read_at.append(clock.now())
            read.set()

    async def notify(client: HPPClient) -> None:
        await clock.sleep(300.0)
        client.notify(sessions[0])
        await read.wait()
        client.notify(sessions[0])

    async with (
        provider.client(budget=ReadBudget(2), observers=[observe], schedule=PollSchedule.every(2.0)) as client,
        client.watch(sessions) as watch,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(notify, client)
        await for_a_while(watch, clock, 305.0)

    first, second, *_ = read_at
    assert first <= 301.0
    assert 1.0 <= second - first <= 2.0 + 0.01  # due after one second, and then within two tokens


async def test_a_wait_that_goes_on_is_not_late(provider: ScriptedProvider, clock: VirtualClock) -> None:
    slept = list[Slept]()

    def observe(event: object) -> None:
        if isinstance(event, Slept):
            slept.append(event)

    session = provider.add([(1.0, "IN_PROGRESS"), (40.0, "COMPLETED")])
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(session))).token
    await clock.sleep(30.0)
    async with provider.client(observers=[observe]) as client:
        await client.wait_for_outcome(session, since=token)

    assert slept
    assert max(event.late_by for event in slept) < 0.1


async def test_a_token_can_be_had_before_the_first_step_and_outside_of_any_loop(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add()
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(session))).token
        wait = client.wait_for_outcome(session, since=token)
        assert wait.token == token
        wait.close()

        kept = client.wait_for_outcome(session)
        await anext(kept)

    assert await anyio.to_thread.run_sync(lambda: kept.token) is not None


async def test_an_outage_before_the_first_sighting_goes_on_after_a_restart(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add()
    provider.answer_next(*[httpx.ConnectError("refused")] * 1000)
    async with provider.client() as client, client.watch([session]) as watch:
        await for_a_while(watch, clock, 400.0)
        [(session_id, token)] = watch.tokens().items()
    assert token is not None
    memory = Position.of(token, session_id=session_id).memory
    assert memory is not None
    assert isinstance(memory.failing, Failing)
    began_at = clock.now()
    async with provider.client() as client, client.watch({session: token}) as watch:
        [last] = await events_of(watch)

    assert isinstance(last.news, OutageError)
    assert clock.now() - began_at < 260.0
    assert last.token is None


async def test_a_notification_makes_a_resumed_session_due(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add([(100.0, "COMPLETED")], lifetime=timedelta(hours=40))
    async with provider.client() as client:
        token = (await anext(client.wait_for_outcome(session))).token
    await clock.sleep(1.0)

    async def notify(client: HPPClient) -> None:
        await clock.sleep(2.0)
        client.notify(session)

    provider.requests.clear()
    async with provider.client() as client, client.watch({session: token}) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(notify, client)
        await for_a_while(watch, clock, 2.5)

    assert len(provider.requests) == 1
