"""Ten thousand sessions in one watch, resumed in one instant."""

from __future__ import annotations

from collections import Counter
from math import floor
from typing import Final

import anyio
import httpx
import pytest
from support.watching import events_of

from hpp_async import PollSchedule, ReadBudget, Slept
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.thorough

NUMBER: Final = 10_000
RATE: Final = 50


class Counting(ScriptedProvider):
    """A provider that keeps no requests, but when each session was first read, and how many reads each second had."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.first_read: dict[str, float] = {}
        self.in_second: Counter[int] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = self.clock.now()
        self.first_read.setdefault(request.url.path, now)
        self.in_second[floor(now)] += 1
        self.requests.clear()
        return await super().handle_async_request(request)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_ten_thousand_sessions_are_read_in_turn_within_the_budget(clock: VirtualClock) -> None:
    provider, slept = Counting(clock), list[Slept]()
    sessions = [provider.add() for _ in range(NUMBER)]
    client = provider.client(
        budget=ReadBudget(RATE),
        schedule=PollSchedule.every(5),
        observers=[lambda event: slept.append(event) if isinstance(event, Slept) else None],
    )
    # With tokens the first reads are the schedule's; as new arrivals they would have to share the rate with it.
    tokens = {session: f"hpp1:1:-:-:{session.rpartition('/')[2]}:WAITING" for session in sessions}
    async with client, client.watch(tokens) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(events_of, watch, 600.0)
        await clock.sleep(NUMBER / RATE * 1.1)  # SCHEDULE.md, bar 4
        tasks.cancel_scope.cancel()

    assert len(provider.first_read) == NUMBER
    assert max(provider.first_read.values()) <= NUMBER / RATE * 1.1
    assert max(provider.in_second.values()) <= RATE + 1  # the bucket starts with one token
    assert all(0 < event.seconds - event.late_by <= 5 for event in slept)  # the delays that the schedule decided
    assert max(event.late_by for event in slept) == pytest.approx(NUMBER / RATE, abs=20)
