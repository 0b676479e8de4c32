"""Every way of starting a coroutine works for a wait."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import pytest_asyncio
import trio

from hpp_async import Completed, HPPClient, Outcome, OutcomeWait
from hpp_async.testing import ScriptedProvider, VirtualClock

PAYS = [(5, "IN_PROGRESS"), (20, "COMPLETED")]


@pytest_asyncio.fixture
async def client(provider: ScriptedProvider) -> AsyncIterator[HPPClient]:
    """A client as a user's pytest fixture: set up and torn down in different tasks."""
    async with provider.client() as client:
        yield client


def is_paid(outcome: object) -> bool:
    return isinstance(outcome, Completed)


@pytest.mark.asyncio
async def test_create_task(client: HPPClient, provider: ScriptedProvider) -> None:
    assert is_paid(await asyncio.create_task(client.wait_for_outcome(provider.add(PAYS))))


@pytest.mark.asyncio
async def test_a_task_group(client: HPPClient, provider: ScriptedProvider) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(client.wait_for_outcome(provider.add(PAYS)))

    assert is_paid(task.result())


@pytest.mark.asyncio
async def test_gather(client: HPPClient, provider: ScriptedProvider) -> None:
    outcomes = await asyncio.gather(*(client.wait_for_outcome(provider.add(PAYS)) for _ in range(3)))

    assert all(map(is_paid, outcomes))


@pytest.mark.asyncio
async def test_wait_for(client: HPPClient, provider: ScriptedProvider) -> None:
    assert is_paid(await asyncio.wait_for(client.wait_for_outcome(provider.add(PAYS)), 60))


@pytest.mark.asyncio
async def test_ensure_future_shield_and_as_completed(client: HPPClient, provider: ScriptedProvider) -> None:
    first = asyncio.ensure_future(client.wait_for_outcome(provider.add(PAYS)))
    [done] = asyncio.as_completed([asyncio.shield(first)])

    assert is_paid(await done)


def test_asyncio_run_takes_a_wait(provider: ScriptedProvider) -> None:
    assert is_paid(asyncio.run(provider.client().wait_for_outcome(provider.add(PAYS))))


def test_asyncio_debug_mode_takes_a_wait(provider: ScriptedProvider) -> None:
    assert is_paid(asyncio.run(provider.client().wait_for_outcome(provider.add(PAYS)), debug=True))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.asyncio
async def test_an_eager_task(client: HPPClient, provider: ScriptedProvider) -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - from 3.12 on

    assert is_paid(await asyncio.create_task(client.wait_for_outcome(provider.add(PAYS))))


@pytest.mark.asyncio
async def test_the_task_factory_of_the_loop_makes_the_tasks_of_reads(
    client: HPPClient, provider: ScriptedProvider
) -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **given: Any) -> asyncio.Task[Any]:
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **given)

    asyncio.get_running_loop().set_task_factory(factory)  # as Sentry's integration does

    await client.read_session(provider.add(PAYS))
    assert made


@pytest.mark.anyio
async def test_an_anyio_task_group(provider: ScriptedProvider) -> None:
    first, second = (provider.client().wait_for_outcome(provider.add(PAYS)) for _ in range(2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: first)
        tasks.start_soon(lambda: second)

    assert is_paid(first.outcome)
    assert is_paid(second.outcome)


def test_a_trio_nursery() -> None:
    async def main() -> OutcomeWait:
        provider = ScriptedProvider(VirtualClock())
        wait = provider.client().wait_for_outcome(provider.add(PAYS))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: wait)
        return wait

    assert is_paid(trio.run(main).outcome)


def test_trio_run_takes_a_wait() -> None:
    provider = ScriptedProvider(VirtualClock())

    assert is_paid(trio.run(lambda: provider.client().wait_for_outcome(provider.add(PAYS))))


@pytest.mark.anyio
async def test_start_soon_of_the_method(provider: ScriptedProvider) -> None:
    async with provider.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.wait_for_outcome, provider.add(PAYS))

    assert len(provider.requests) > 3


@pytest.mark.anyio
async def test_plain_use_without_async_with(provider: ScriptedProvider) -> None:
    client = provider.client()
    outcome: Outcome = await client.wait_for_outcome(provider.add(PAYS))
    await client.aclose()
    await client.aclose()

    assert is_paid(outcome)
    assert not provider.http_client.is_closed


@pytest.mark.anyio
async def test_two_tasks_at_once_are_refused(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome(provider.add(PAYS))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: wait)
        await provider.clock.sleep(1)
        with pytest.raises(RuntimeError, match="another task is already awaiting or iterating"):
            await anext(wait)

    assert is_paid(wait.outcome)


@pytest.mark.anyio
async def test_debuggers_can_inspect_a_wait(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome("watched")
    state = (wait.cr_running, wait.cr_await, wait.cr_code.co_name)

    assert inspect.isawaitable(wait)
    assert asyncio.iscoroutine(wait)
    assert state == (False, None, "_finish")
    assert wait.cr_frame is not None
    wait.close()


@pytest.mark.asyncio
async def test_debuggers_see_what_the_task_of_a_wait_sleeps_in(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome(provider.add(PAYS))
    task = asyncio.create_task(wait)
    await provider.clock.sleep(1)

    assert wait.cr_await is not None
    assert is_paid(await task)


def test_a_closed_wait_does_not_warn(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome("closed")
    wait.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del wait


def test_a_read_that_cannot_be_started_leaves_nothing_behind(provider: ScriptedProvider) -> None:
    client = provider.client()
    wait = client.wait_for_outcome(provider.add(PAYS))
    with pytest.raises(RuntimeError):
        wait.send(None)  # outside of any event loop

    assert is_paid(asyncio.run(_outcome_of(wait)))


async def _outcome_of(wait: OutcomeWait) -> Outcome:
    return await wait
