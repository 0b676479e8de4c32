"""Streams end when their server stops, on every event loop, and nothing else ends with them."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from threading import Thread

import anyio
import pytest

from hpp_async import Completed, Heartbeat, HPPClient, OutcomeWait, Transition
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio

PAYS = [(30, "IN_PROGRESS"), (3600, "COMPLETED")]


async def here(client: HPPClient) -> None:
    client.stop_streams()


async def from_a_thread(client: HPPClient) -> None:
    thread = Thread(target=client.stop_streams)
    thread.start()
    thread.join()


async def from_a_signal_handler(client: HPPClient) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: client.stop_streams())
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


async def stream(wait: OutcomeWait) -> list[Transition | Heartbeat]:
    return [update async for update in wait.updates(heartbeat=600)]


async def streams_until_stopped(
    wait: OutcomeWait, clock: VirtualClock, stop: Callable[[], Awaitable[None]]
) -> list[Transition | Heartbeat]:
    """Return the updates of a stream that is stopped in its 100th second."""
    seen: list[Transition | Heartbeat] = []

    async def follow() -> None:
        seen.extend(await stream(wait))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await clock.sleep(100)
        await stop()
    return seen


@pytest.mark.parametrize("stop", [here, from_a_thread, from_a_signal_handler])
async def test_a_stream_ends_when_it_is_stopped(
    provider: ScriptedProvider, clock: VirtualClock, stop: Callable[[HPPClient], Awaitable[None]]
) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))
        with anyio.fail_after(30):
            updates = await streams_until_stopped(wait, clock, lambda: stop(client))

        assert [update.status for update in updates if isinstance(update, Transition)] == ["WAITING", "IN_PROGRESS"]
        assert wait.outcome is None
        assert clock.now() == 100


async def test_a_stream_that_begins_later_ends_at_once_and_reads_nothing(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        client.stop_streams()
        client.stop_streams()

        assert await stream(client.wait_for_outcome(session)) == []
        assert provider.requests == []


async def test_a_stream_that_is_stopped_between_two_steps_ends_at_the_next(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client:
        updates = client.wait_for_outcome(session).updates()
        await anext(updates)
        client.stop_streams()

        with pytest.raises(StopAsyncIteration):
            await anext(updates)


async def test_the_wait_of_a_stopped_stream_goes_on(provider: ScriptedProvider, clock: VirtualClock) -> None:
    async with provider.client() as client:
        wait = client.wait_for_outcome(provider.add(PAYS))
        await streams_until_stopped(wait, clock, lambda: here(client))

        assert isinstance(await wait, Completed)
        assert [transition.status for transition in wait.transitions] == ["WAITING", "IN_PROGRESS", "COMPLETED"]


async def test_waits_and_watches_go_on(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add(PAYS)
    async with provider.client() as client, client.watch([session]) as watch:
        client.stop_streams()

        assert [transition.status async for transition in client.wait_for_outcome(session)][-1] == "COMPLETED"
        assert isinstance([event.news async for event in watch][-1], Completed)
        assert (await client.read_session(session)).status == "COMPLETED"
