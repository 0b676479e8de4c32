"""The virtual clock stands still while anything runs, and forgets sleepers that left."""

from __future__ import annotations

import anyio
import pytest

from hpp_async.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_sleepers_wake_in_the_order_of_their_times(clock: VirtualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with anyio.create_task_group() as tasks:
        for name, seconds in (("late", 86_400.0), ("early", 1.0), ("middle", 60.0)):
            tasks.start_soon(sleep, name, seconds)

    assert woken == [("early", 1.0), ("middle", 60.0), ("late", 86_400.0)]


async def test_a_sleeper_that_left_is_not_waited_for(clock: VirtualClock) -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.wait, event, 100.0)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        event.set()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    before = clock.now()
    await clock.sleep(1.0)

    assert (before, clock.now()) == (0.0, 1.0)


async def test_a_sleeper_that_left_is_not_woken_with_others_of_the_same_time(clock: VirtualClock) -> None:
    left = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 100.0)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(clock.wait, left, 100.0)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        left.set()

    assert clock.now() == 100.0
