"""`contextlib.aclosing` around a wait or its updates: the step ends, and another can begin."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import aclosing

import anyio
import pytest

from hpp_async import Completed, Heartbeat, HPPClient, OutcomeWait, Transition
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

PAYS = [(100, "IN_PROGRESS"), (200, "COMPLETED")]


@pytest.fixture
def client(provider: ScriptedProvider) -> HPPClient:
    return provider.client()


@pytest.fixture
def wait(provider: ScriptedProvider, client: HPPClient) -> OutcomeWait:
    return client.wait_for_outcome(provider.add(PAYS))


async def statuses(wait: OutcomeWait) -> list[str]:
    return [transition.status async for transition in wait]


async def test_a_wait_that_was_left_half_way_goes_on(wait: OutcomeWait) -> None:
    async with aclosing(wait) as closing:
        assert (await anext(closing)).status == "WAITING"

    assert await statuses(wait) == ["IN_PROGRESS", "COMPLETED"]


async def test_updates_that_were_left_half_way_go_on(wait: OutcomeWait) -> None:
    seen: list[str] = []
    async with aclosing(wait.updates(heartbeat=30)) as updates:
        async for update in updates:
            seen.append("-" if isinstance(update, Heartbeat) else update.status)
            if len(seen) == 3:
                break

    assert seen == ["WAITING", "-", "-"]
    assert isinstance(await anext(updates), Heartbeat)
    assert isinstance(await wait, Completed)


@pytest.mark.parametrize("has_heartbeats", [False, True])
async def test_the_iteration_of_another_task_ends(
    provider: ScriptedProvider, wait: OutcomeWait, has_heartbeats: bool
) -> None:
    closing = wait.updates(heartbeat=1000) if has_heartbeats else wait
    seen: list[Transition | Heartbeat] = []

    async def iterate() -> None:
        seen.extend([update async for update in closing])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(iterate)
        await provider.clock.sleep(50)
        await closing.aclose()
        assert (await anext(wait)).status == "IN_PROGRESS"  # at once: it does not wait for the other task

    assert len(seen) == 1
    assert await statuses(wait) == ["COMPLETED"]


async def test_another_task_that_awaits_the_wait_gets_an_error(provider: ScriptedProvider, wait: OutcomeWait) -> None:
    errors: list[str] = []

    async def finish() -> None:
        with pytest.raises(RuntimeError, match="was closed during this step") as caught:
            await wait
        errors.append(str(caught.value))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(finish)
        await provider.clock.sleep(50)
        await wait.aclose()

    assert len(errors) == 1
    assert isinstance(await wait, Completed)


async def test_a_closed_step_that_is_not_driven_any_more_blocks_no_other(wait: OutcomeWait) -> None:
    await anext(wait)
    step = wait.__anext__()
    async with aclosing(wait):
        step.send(None)

    assert await statuses(wait) == ["IN_PROGRESS", "COMPLETED"]
    step.close()
    assert isinstance(await wait, Completed)


async def test_a_wait_can_be_closed_before_it_began_and_after_it_ended(wait: OutcomeWait) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await wait.aclose()
        assert isinstance(await wait, Completed)
        await wait.aclose()
        assert isinstance(await wait, Completed)


async def test_a_wait_that_was_only_closed_does_not_warn(provider: ScriptedProvider, client: HPPClient) -> None:
    await client.wait_for_outcome(provider.add(PAYS)).aclose()

    assert provider.requests == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_may_be_made_from_a_wait_that_was_closed_under_another(wait: OutcomeWait) -> None:
    first = asyncio.create_task(wait)
    await asyncio.sleep(0)
    second = asyncio.create_task(wait)  # it takes its first step before the first task finds its own step closed
    await wait.aclose()

    assert isinstance(await second, Completed)
    with pytest.raises(RuntimeError, match="closed during this step"):
        await first
