"""One wait, one task at a time: the second is refused, and the first one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import pytest_asyncio
import trio

from hpp_async import Completed, OutcomeWait
from hpp_async.testing import ScriptedProvider, VirtualClock

PAYS = [(5, "IN_PROGRESS"), (20, "COMPLETED")]


@pytest_asyncio.fixture
async def wait(provider: ScriptedProvider) -> AsyncIterator[OutcomeWait]:
    async with provider.client() as client:
        yield client.wait_for_outcome(provider.add(PAYS))


async def assert_only_the_first_goes_on(first: asyncio.Future[Any], second: asyncio.Future[Any]) -> None:
    _, pending = await asyncio.wait([first, second], timeout=10)

    assert not pending
    assert isinstance(first.result(), Completed)
    with pytest.raises(RuntimeError, match="another task is already awaiting or iterating"):
        second.result()


@pytest.mark.asyncio
async def test_create_task_twice(wait: OutcomeWait) -> None:
    await assert_only_the_first_goes_on(asyncio.create_task(wait), asyncio.create_task(wait))


@pytest.mark.asyncio
async def test_ensure_future_twice(wait: OutcomeWait) -> None:
    await assert_only_the_first_goes_on(asyncio.ensure_future(wait), asyncio.ensure_future(wait))


@pytest.mark.asyncio
async def test_a_task_beside_one_that_awaits_the_wait(wait: OutcomeWait) -> None:
    async def awaits() -> object:
        return await wait

    await assert_only_the_first_goes_on(asyncio.create_task(awaits()), asyncio.create_task(wait))


@pytest.mark.asyncio
async def test_a_shielded_wait_in_a_loop_of_timeouts(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))
        first = asyncio.create_task(wait)
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="another task"):
                await asyncio.wait_for(asyncio.shield(wait), 10)

        assert isinstance(await first, Completed)


@pytest.mark.asyncio
async def test_the_second_is_cancelled_before_its_first_step(wait: OutcomeWait) -> None:
    first = asyncio.create_task(wait)
    await asyncio.sleep(0)
    second = asyncio.create_task(wait)
    second.cancel()
    await asyncio.wait([second])

    assert second.cancelled()
    assert isinstance(await first, Completed)


@pytest.mark.asyncio
async def test_a_task_group_ends_with_the_refusal_and_cancels_the_first(wait: OutcomeWait) -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait)
            tasks.create_task(wait)

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [RuntimeError]
    assert isinstance(await wait, Completed)  # a cancelled step loses nothing


@pytest.mark.asyncio
async def test_another_task_goes_on_where_the_first_was_cancelled(wait: OutcomeWait) -> None:
    first = asyncio.create_task(wait)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])

    assert isinstance(await asyncio.create_task(wait), Completed)


@pytest.mark.anyio
async def test_two_tasks_of_an_anyio_group(provider: ScriptedProvider) -> None:
    ends: list[object] = []
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))

        async def go_on() -> None:
            try:
                ends.append(type(await wait))
            except RuntimeError as error:
                ends.append(type(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            tasks.start_soon(go_on)

    assert ends == [RuntimeError, Completed]


def test_two_tasks_made_from_the_wait_on_trio() -> None:
    provider = ScriptedProvider(VirtualClock())

    async def main() -> None:
        async with provider.client() as client:
            wait = client.wait_for_outcome(provider.add(PAYS))

            async def both() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lambda: wait)
                    nursery.start_soon(lambda: wait)

            with pytest.raises(ExceptionGroup) as caught:
                await both()
            assert [type(error) for error in caught.value.exceptions] == [RuntimeError]
            assert isinstance(await wait, Completed)

    trio.run(main)


@pytest.mark.anyio
async def test_a_wait_is_closed_by_aclosing_and_can_be_gone_on_with(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))
        await anext(wait)
        await wait.aclose()
        updates = wait.updates()
        await anext(updates)
        await updates.aclose()

        assert isinstance(await wait, Completed)
