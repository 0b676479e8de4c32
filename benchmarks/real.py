"""Lives read by the real client in virtual time, and how far `benchmarks.arithmetic` agrees with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Final

import attrs
import numpy as np

from benchmarks import arithmetic
from benchmarks.arithmetic import Law, Seen, draws
from benchmarks.lives import Lives
from hpp_async import HPPClient, PollSchedule, ReadBudget, Session, SessionStatus
from hpp_async.testing import ScriptedProvider, VirtualClock

_UNLIMITED: Final = ReadBudget(reads_per_second=1_000_000_000, max_in_flight=1_000)
_BATCH: Final = 16
"""Waits at once: they share the cost of a jump of the virtual clock, and each jump looks at all of them."""


@attrs.define
class _Drawn:
    """A schedule for the client that uses the arithmetic's draws, and counts reads for a `Law`."""

    schedule: PollSchedule | Law
    _counts: Counter[str | None] = attrs.field(init=False, factory=Counter[str | None])

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        # The client asks once per read, because no read fails here.
        self._counts[session.session_id] += 1
        count, number = self._counts[session.session_id], int(session.session_id or 0)
        drawn = draws(np.array([number], np.uint64), count)
        if isinstance(self.schedule, PollSchedule):
            return self.schedule.delay(session, age=age, draw=float(drawn[0]))
        is_waiting = np.array([session.status == SessionStatus.WAITING])
        return float(self.schedule.delays(is_waiting, np.array([age]), count, drawn)[0])


def run(lives: Lives, schedule: PollSchedule | Law) -> Seen:
    """Wait for the outcome of every session, from its creation on."""
    reads, latency = np.zeros(len(lives), np.int64), np.full(len(lives), np.nan)
    saw_progress = np.zeros(len(lives), np.bool_)

    async def wait(client: HPPClient, clock: VirtualClock, url: str, number: int) -> None:
        waiting = client.wait_for_outcome(url)
        await waiting
        reads[number] = waiting.reads
        latency[number] = clock.now() - lives.ended[number] if np.isfinite(lives.ended[number]) else np.nan
        saw_progress[number] = any(seen.status == SessionStatus.IN_PROGRESS for seen in waiting.transitions)

    async def batch(start: int) -> None:
        clock = VirtualClock()
        provider = ScriptedProvider(clock)
        numbers = range(start, min(start + _BATCH, len(lives)))
        urls = [_add(provider, lives, number) for number in numbers]
        client = provider.client(schedule=_Drawn(schedule), budget=_UNLIMITED)
        async with client, asyncio.TaskGroup() as tasks:
            for url, number in zip(urls, numbers, strict=True):
                tasks.create_task(wait(client, clock, url, number))

    for start in range(0, len(lives), _BATCH):
        asyncio.run(batch(start))
    return Seen(lives, reads, latency, saw_progress)


@attrs.frozen(kw_only=True)
class Agreement:
    """How far the arithmetic agrees with the client on the same lives."""

    schedule: str
    mix: str
    sessions: int
    reads: int
    same_reads: float
    """Share of the sessions that both read equally often."""
    reads_apart: int
    seconds_apart: float
    """The largest differences of any session."""
    same_progress: float

    @property
    def ok(self) -> bool:
        return self.same_reads >= 0.99 and self.seconds_apart < 0.001

    def __str__(self) -> str:
        return (
            f"{self.schedule}, {self.mix}: {self.sessions} sessions, {self.reads:,} reads by the client; arithmetic: "
            f"the same reads in {self.same_reads:.1%} (at most {self.reads_apart} apart), latencies at most "
            f"{self.seconds_apart:.1g} s apart, IN_PROGRESS seen alike in {self.same_progress:.1%}"
        )


def compare(name: str, mix: str, lives: Lives, schedule: PollSchedule | Law, law: Law) -> Agreement:
    """Run *schedule* with the client and *law*, its counterpart, as arithmetic: same lives, same draws."""
    client, computed = run(lives, schedule), arithmetic.run(lives, law)
    apart = np.abs(client.latency - computed.latency)
    assert np.array_equal(np.isnan(client.latency), np.isnan(computed.latency)), "not the same sessions have ended"
    return Agreement(
        schedule=name,
        mix=mix,
        sessions=len(lives),
        reads=int(client.reads.sum()),
        same_reads=float(np.mean(client.reads == computed.reads)),
        reads_apart=int(np.abs(client.reads - computed.reads).max()),
        seconds_apart=float(np.nan_to_num(apart).max()),
        same_progress=float(np.mean(client.saw_progress == computed.saw_progress)),
    )


def _add(provider: ScriptedProvider, lives: Lives, number: int) -> str:
    changes = ((lives.opened[number], "IN_PROGRESS"), (lives.ended[number], "COMPLETED"))
    steps = [(float(at), status) for at, status in changes if np.isfinite(at)]
    return provider.add(steps, session_id=str(number), lifetime=timedelta(seconds=lives.lifetime))
