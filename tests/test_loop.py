"""The loop's clock."""

from __future__ import annotations

import gc
import sys
import weakref
from datetime import timedelta
from math import inf

import anyio
import anyio.lowlevel
import pytest

from hpp_async._loop import Home, LoopClock, running_loop, running_task, spawn


@pytest.mark.anyio
async def test_the_loops_clock_wakes_at_the_event_or_at_its_time() -> None:
    clock, never, now = LoopClock(), anyio.Event(), anyio.Event()
    now.set()
    with anyio.fail_after(5):
        await clock.wait(never, clock.now() - 1.0)
        await clock.wait(now, clock.now() + 1000.0)
        await clock.wait(now, inf)

    assert not never.is_set()


@pytest.mark.anyio
async def test_the_loops_clock_never_goes_back_and_the_calendar_is_aware() -> None:
    clock = LoopClock()
    first = clock.now()

    assert clock.now() >= first
    assert clock.today().utcoffset() == timedelta(0)


def test_without_asyncio_and_trio_no_loop_and_no_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("asyncio", "trio"):
        monkeypatch.delitem(sys.modules, library, raising=False)

    assert running_loop() is None
    assert running_task() is None


def test_a_home_without_a_loop_does_not_run() -> None:
    assert not Home().is_running()


@pytest.mark.anyio
async def test_nothing_keeps_a_task_of_the_clients_that_has_ended() -> None:
    tasks: weakref.WeakSet[object] = weakref.WeakSet()
    over = anyio.Event()

    async def read() -> None:
        tasks.add(running_task())
        over.set()

    spawn(read, "a read")
    with anyio.fail_after(5):
        await over.wait()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
    gc.collect()

    assert not tasks
