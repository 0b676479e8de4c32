"""The loop's clock."""

from __future__ import annotations

from datetime import timedelta
from math import inf

import anyio
import pytest

from hpp_async._loop import LoopClock


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
