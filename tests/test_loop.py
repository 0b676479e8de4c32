"""The loop's clock."""

from __future__ import annotations

import sys
from datetime import timedelta
from math import inf

import anyio
import pytest

from hpp_async._loop import Home, LoopClock, running_loop, running_task


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
