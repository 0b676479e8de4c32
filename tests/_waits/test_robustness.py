"""Regressions that reviewers and the simulation found: what once hung the client, or ended a wait too early."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Coroutine
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest
from support.servers import run

from hpp_async import (
    AuthenticationError,
    ClientClosedError,
    Completed,
    Disabled,
    Event,
    HPPClient,
    OutageError,
    PollSchedule,
    RateLimitedError,
    ReadBudget,
    ResponseError,
    SessionNotFoundError,
    SessionVanishedError,
    TransportError,
    WaitEnded,
    WaitTimeoutError,
)
from hpp_async._loop import LoopClock
from hpp_async.testing import FaultKind, Script, ScriptedProvider, Slow, Stale, Stalled, Throttled, pays


@pytest.mark.anyio
async def test_a_retry_does_not_wait_behind_a_disable_that_waits_for_its_place(provider: ScriptedProvider) -> None:
    provider.latency = 1.0
    client = provider.client(budget=ReadBudget(50, max_in_flight=2))
    sessions = [provider.add() for _ in range(3)]
    provider.answer_next(503, 503)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for session in sessions[:2]:
                tasks.start_soon(client.read_session, session)
            await provider.clock.sleep(0.5)
            tasks.start_soon(client.disable_session, sessions[2])

    assert provider.model.status(sessions[2].rpartition("/")[2]) == "DISABLED"


@pytest.mark.anyio
async def test_a_refused_disable_of_an_open_session_is_an_error(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "FAILED")])
    provider.answer_next(httpx.Response(400))
    with pytest.raises(ResponseError, match="400"):
        await provider.client().disable_session(session)


@pytest.mark.asyncio
async def test_a_read_whose_task_was_cancelled_by_others_is_repeated(provider: ScriptedProvider) -> None:
    client = provider.client()
    wait = client.wait_for_outcome(provider.add([(0, "COMPLETED")]))
    before = asyncio.all_tasks()
    step = asyncio.create_task(run(wait))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before - {step}:
        task.cancel()  # before its first step
    with anyio.fail_after(10):
        await step
        await client.aclose()

    assert isinstance(wait.outcome, Completed)


@pytest.mark.asyncio
async def test_a_hook_that_awaits_a_cancelled_task_fails_the_read_and_is_an_outage(provider: ScriptedProvider) -> None:
    refresh = asyncio.ensure_future(asyncio.sleep(60))
    refresh.cancel()

    async def hook(_: httpx.Request) -> None:
        await refresh

    http_client = httpx.AsyncClient(transport=provider, event_hooks={"request": [hook]})
    async with provider.client(http_client=http_client) as client:
        with pytest.raises(TransportError, match="cancelled by a hook"):
            await client.read_session(provider.add())
        with pytest.raises(OutageError):
            await client.wait_for_outcome(provider.add())


@pytest.mark.asyncio
async def test_an_observer_that_asks_for_a_cancelled_result_cancels_no_wait(provider: ScriptedProvider) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    async with provider.client(observers=[lambda _: future.result()]) as client:
        assert isinstance(await client.wait_for_outcome(provider.add([(0, "COMPLETED")])), Completed)


@pytest.mark.asyncio
async def test_a_command_whose_task_was_cancelled_by_others_is_an_error(provider: ScriptedProvider) -> None:
    client = provider.client()
    before = asyncio.all_tasks()
    disabling = asyncio.create_task(client.disable_session(provider.add()))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before - {disabling}:
        task.cancel()
    with pytest.raises(TransportError, match="was cancelled"):
        await disabling


@pytest.mark.anyio
async def test_a_read_from_before_the_timeout_is_not_the_last_read(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    client = provider.client(schedule=PollSchedule.every(8))
    wait = client.wait_for_outcome(session, timeout=10)
    await anext(wait)
    slow = httpx.Response(200, json={"status": "IN_PROGRESS"})
    provider.latency = 5.0
    provider.answer_next(slow)
    provider.model.change(wait.session_id, "COMPLETED")

    assert isinstance(await wait, Completed)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status_code", "error"), [(401, AuthenticationError), (404, SessionVanishedError), (400, ResponseError)]
)
async def test_a_hook_that_raises_for_the_status_does_not_hide_the_status(
    provider: ScriptedProvider, status_code: int, error: type[Exception]
) -> None:
    async def raise_for_status(response: httpx.Response) -> None:
        response.raise_for_status()

    session = provider.add()
    http_client = httpx.AsyncClient(transport=provider, event_hooks={"response": [raise_for_status]})
    client = provider.client(http_client=http_client, outage_tolerance=0)
    wait = client.wait_for_outcome(session)
    await anext(wait)
    provider.answer_next(*[status_code] * 3)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one, the table says
        await wait

    assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, error)


@pytest.mark.anyio
async def test_a_failure_in_idle_time_does_not_count_as_outage(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    provider.latency = 1.0
    client = provider.client(outage_tolerance=60, attempts=1)
    wait = client.wait_for_outcome(session)
    provider.answer_next(503, 503)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, wait)
            await provider.clock.sleep(0.5)
            scope.cancel()
    await provider.clock.sleep(3600)

    assert (await anext(wait)).status == "IN_PROGRESS"


@pytest.mark.anyio
async def test_a_wait_whose_client_was_closed_has_ended(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    client = provider.client(observers=[events.append])
    wait = client.wait_for_outcome(provider.add([(0, "DISABLED")]))
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await wait

    assert [event.ending for event in events if isinstance(event, WaitEnded)] == ["ClientClosedError"]
    assert not isinstance(wait.outcome, Disabled)
    assert client.notify(wait.session_id) is False


@pytest.mark.anyio
async def test_an_outcome_that_another_read_showed_is_not_lost_to_a_404_after_it(provider: ScriptedProvider) -> None:
    session = provider.add(session_id="paid")
    client = provider.client()
    wait = client.wait_for_outcome(session)
    await anext(wait)
    provider.model.change("paid", "COMPLETED")
    await client.read_session(session)
    provider.model.forget("paid")
    with pytest.raises(SessionNotFoundError):
        await client.read_session(session)

    assert isinstance(await wait, Completed)


def by_a_gateway(provider: ScriptedProvider, status_code: int, **headers: str) -> httpx.Response:
    """Return the answer of a gateway whose clock is three days ahead."""
    date = format_datetime(provider.clock.provider_time() + timedelta(days=3), usegmt=True)
    return httpx.Response(status_code, headers={"Date": date, **headers}, text="<h1>Sorry</h1>")


@pytest.mark.anyio
@pytest.mark.parametrize("status_code", [200, 400, 429, 503])
async def test_the_wrong_clock_of_a_gateway_during_an_outage_expires_no_session(
    provider: ScriptedProvider, status_code: int
) -> None:
    session = provider.add([(0, "IN_PROGRESS"), (7200, "COMPLETED")])
    client = provider.client(attempts=1, schedule=PollSchedule.every(10), outage_tolerance=7200)
    wait = client.wait_for_outcome(session)
    await anext(wait)
    provider.answer_next(*[by_a_gateway(provider, status_code) for _ in range(30)])

    assert isinstance(await wait, Completed)


@pytest.mark.anyio
async def test_a_date_in_retry_after_is_by_the_clock_of_its_sender(provider: ScriptedProvider) -> None:
    client = provider.client(attempts=1)
    session = provider.add()
    for _ in range(20):
        await client.read_session(session)
    back_at = format_datetime(provider.clock.provider_time() + timedelta(days=3, seconds=7), usegmt=True)
    provider.answer_next(by_a_gateway(provider, 429, **{"Retry-After": back_at}))
    with pytest.raises(RateLimitedError) as caught:
        await client.read_session(session)

    assert caught.value.retry_after == pytest.approx(7.0, abs=1.0)


@pytest.mark.anyio
async def test_a_notification_that_was_served_before_a_step_needs_no_other_read(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS"), (1, "AWAITING_3DS")])
    client = provider.client(schedule=PollSchedule.every(10))
    away, other = client.wait_for_outcome(session), client.wait_for_outcome(session)
    await anext(away)
    await anext(other)
    await provider.clock.sleep(1)
    assert client.notify(session)
    reads: list[int] = []
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            for wait in (other, away):
                tasks.start_soon(run, wait)
                await provider.clock.sleep(2)
                reads.append(len(provider.requests))
            scope.cancel()

    assert reads == [2, 2]


@pytest.mark.anyio
async def test_a_notification_ahead_of_the_replica_delays_the_outcome_by_two_seconds(
    provider: ScriptedProvider,
) -> None:
    client = provider.client()
    wait = client.wait_for_outcome(provider.add([(0, "IN_PROGRESS"), (7200, "COMPLETED")]))
    provider.trouble(Stale(1.5))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, wait)
        await provider.clock.sleep(7200.5)
        client.notify(wait.session_id)

    assert isinstance(wait.outcome, Completed)
    assert provider.clock.now() == 7200.5 + 2


@pytest.mark.anyio
async def test_a_pause_between_steps_does_not_count_as_outage(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS"), (3000, "COMPLETED")])
    client = provider.client(outage_tolerance=60, attempts=1)
    wait = client.wait_for_outcome(session)
    await anext(wait)
    provider.answer_next(503, 503, 503)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, wait)
            await provider.clock.sleep(3)
            scope.cancel()
    await provider.clock.sleep(3600)

    assert isinstance(await wait, Completed)


@pytest.mark.anyio
async def test_an_outage_ends_the_wait_even_if_the_caller_pauses_between_steps(provider: ScriptedProvider) -> None:
    client = provider.client(outage_tolerance=60, attempts=1)
    wait = client.wait_for_outcome(provider.add())
    provider.answer_next(*[503] * 100)
    began_at = provider.clock.now()

    async def follow() -> None:
        async for _ in wait.updates(heartbeat=7):
            await provider.clock.sleep(1)

    with pytest.raises(OutageError):
        await follow()

    assert 60 <= provider.clock.now() - began_at <= 80


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [Stalled(10), Throttled(45), Slow(50)], ids=repr)
async def test_a_last_read_without_an_answer_takes_no_longer_than_one_attempt(
    provider: ScriptedProvider, kind: FaultKind
) -> None:
    provider.trouble(kind, start=20)
    wait = provider.client(timeout=9.5).wait_for_outcome(provider.add([(0, "IN_PROGRESS")]), timeout=25)
    with pytest.raises(WaitTimeoutError, match="is still IN_PROGRESS after 25 s"):
        await wait

    assert provider.clock.now() == 25 + 9.5


@pytest.mark.anyio
async def test_a_first_read_that_is_also_the_last_takes_no_longer_either(
    provider: ScriptedProvider,
) -> None:
    session = provider.add()
    await provider.clock.sleep(1000)
    provider.trouble(Slow(3000))
    with pytest.raises(WaitTimeoutError):
        await provider.client(timeout=10).wait_for_outcome(session, timeout=0)

    assert provider.clock.now() == 1000 + 10


@pytest.mark.anyio
async def test_next_read_in_does_not_change_the_time_for_the_last_read(provider: ScriptedProvider) -> None:
    wait = provider.client(timeout=10).wait_for_outcome(provider.add(), timeout=30)
    await anext(wait)
    await provider.clock.sleep(1000)
    provider.trouble(Slow(3000))
    assert wait.next_read_in is None
    await provider.clock.sleep(1000)
    with pytest.raises(WaitTimeoutError):
        await wait

    assert provider.clock.now() == 2000 + 10


@pytest.mark.anyio
async def test_a_step_long_after_the_timeout_still_takes_the_last_read(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome(provider.add([(0, "IN_PROGRESS"), (3000, "COMPLETED")]), timeout=25)
    await anext(wait)
    provider.trouble(Slow(60), start=20, until=30)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, wait)
            await provider.clock.sleep(26)
            scope.cancel()
    await provider.clock.sleep(3600)

    assert isinstance(await wait, Completed)


@pytest.mark.anyio
async def test_a_later_reading_of_another_caller_makes_a_failure_obsolete(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")])
    client = provider.client()
    away = client.wait_for_outcome(session)
    provider.latency = 1.0
    provider.answer_next(404)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, away)
            await provider.clock.sleep(0.5)
            scope.cancel()
    await provider.clock.sleep(10)
    other = await client.wait_for_outcome(session)

    assert await away == other


@pytest.mark.parametrize("loop", ["running", "gone"])
def test_a_step_can_be_closed_with_and_without_its_loop(provider: ScriptedProvider, loop: str) -> None:
    session = provider.add([(0, "COMPLETED")])
    client = provider.client(clock=LoopClock())  # it has no time where no loop runs
    wait = client.wait_for_outcome(session)

    async def begin() -> Coroutine[Any, Any, object]:
        step = wait.__anext__()
        step.send(None)
        if loop == "running":
            step.close()
        return step

    asyncio.run(begin()).close()

    assert (wait.reads, wait.outcome) == (0, None)


@pytest.mark.anyio
@pytest.mark.parametrize("is_watched", [False, True], ids=["wait", "watch"])
async def test_a_notification_at_the_time_at_which_a_read_started_is_served_by_the_next(
    provider: ScriptedProvider, is_watched: bool
) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    answer = provider.handle_async_request

    async def answer_and_then_change(request: httpx.Request) -> httpx.Response:
        said = await answer(request)
        if len(provider.requests) == 1:
            provider.model.change(provider.model.sessions[0], "COMPLETED")
            client.notify(session)
        return said

    client = provider.client(http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer_and_then_change)))
    if is_watched:
        async with client.watch([session]) as watch:
            assert isinstance([event.news async for event in watch][-1], Completed)
    else:
        assert isinstance(await client.wait_for_outcome(session), Completed)

    assert (len(provider.requests), provider.clock.now()) == (2, 0.0)


@pytest.mark.anyio
@pytest.mark.parametrize("is_watched", [False, True], ids=["wait", "watch"])
async def test_a_flood_of_notifications_makes_a_session_due_once_a_second(
    provider: ScriptedProvider, is_watched: bool
) -> None:
    session, clock = provider.add(), provider.clock
    async with provider.client(budget=ReadBudget(1000)) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, client, session, is_watched)
        await clock.sleep(5)
        before = len(provider.requests)
        for _ in range(100):
            assert client.notify(session)
            await clock.sleep(0.1)

        assert len(provider.requests) - before == 10
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_flood_of_notifications_makes_a_session_due_once_a_second_however_many_follow_it(
    provider: ScriptedProvider,
) -> None:
    session, clock = provider.add(), provider.clock
    provider.latency = 0.15
    async with provider.client(budget=ReadBudget(1000)) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, client, session, True)
        for late in (0.0, 0.25, 0.5):
            await clock.sleep(late)
            tasks.start_soon(_follow, client, session, False)
        await clock.sleep(5)
        before = len(provider.requests)
        # Some come in the very moment in which a read starts, between the step of one wait and that of another.
        for _ in range(79):
            assert client.notify(session)
            await clock.sleep(0.125)

        assert len(provider.requests) - before == 10
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_notification_during_a_busy_callers_pause_is_served_by_the_reads_of_another(
    provider: ScriptedProvider,
) -> None:
    session, clock = provider.add(), provider.clock
    async with provider.client() as client, anyio.create_task_group() as tasks:
        busy = client.wait_for_outcome(session)
        await anext(busy)
        tasks.start_soon(_follow, client, session, False)
        await clock.sleep(5)
        client.notify(session)
        await clock.sleep(20)
        before = len(provider.requests)
        tasks.start_soon(run, busy)
        await clock.sleep(0.1)

        assert len(provider.requests) == before
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("is_watched", [False, True], ids=["wait", "watch"])
async def test_a_flood_of_notifications_during_a_read_is_served_when_it_is_over(
    provider: ScriptedProvider, is_watched: bool
) -> None:
    session, clock = provider.add(), provider.clock
    async with provider.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, client, session, is_watched)
        await clock.sleep(5)
        before = len(provider.requests)
        provider.latency = 3.0
        for _ in range(20):
            assert client.notify(session)
            await clock.sleep(0.1)
        await clock.sleep(1.5)

        assert len(provider.requests) - before == 2
        tasks.cancel_scope.cancel()


async def _follow(client: HPPClient, session: str, is_watched: bool) -> None:
    if not is_watched:
        await client.wait_for_outcome(session)
        return
    async with client.watch([session]) as watch:
        async for _ in watch:
            pass


# -- what is logged ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_outage_of_a_wait_is_warned_of_after_half_a_minute_and_each_time_it_has_lasted_twice_as_long(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    session = provider.add(Script(pays(after=3000)))
    async with provider.client(schedule=PollSchedule.every(5), outage_tolerance=1000, attempts=1) as client:
        provider.answer_next(200, *[503] * 10_000)
        with pytest.raises(OutageError):
            await client.wait_for_outcome(session)

    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    lasted = [int(match[1]) for text in said if (match := re.search(r"for (\d+) s", text))]
    assert 30 <= lasted[0] < 60
    assert all(later >= 2 * sooner for sooner, later in itertools.pairwise(lasted))
    assert len(lasted) in (4, 5)
