"""One budget for thousands of sessions: how soon ends are seen, and what is left to the merchant's own calls."""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import Final

import attrs
import httpx
import numpy as np

from benchmarks.bound import bound
from benchmarks.lives import MIXES, Lives
from hpp_async import Event, HPPClient, Outcome, PollSchedule, ReadBudget, Session, Slept, Watch
from hpp_async._core.memory import Memory
from hpp_async._core.position import Position
from hpp_async._core.session import status_of
from hpp_async.testing import ScriptedProvider, VirtualClock
from hpp_async.testing._transport import AUTH

_MIX: Final = MIXES[1]
_QUOTA: Final = 200
"""Requests per second that the provider grants the merchant, all together."""

_OWN_CALLS: Final = 20.0
"""Captures, refunds and new sessions per second."""

_OWN_PAUSE: Final = 0.25

_VIEWED: Final = 1_000_000_000
"""The first id of the sessions whose pages people look at."""

_VIEW_PAUSE: Final = 1.9

_PATIENCE: Final = 7200.0

_LOST: Final = 0.1
"""Share of the callbacks that never arrive."""

_ON_ITS_WAY: Final = 0.2
"""Seconds from a change of status to its callback."""

_PAGE: Final = 3.0
"""Seconds: who is read at least this often has been on the page for less than two minutes."""

_SCHEDULE: Final = PollSchedule()
_OWN_HEADERS: Final = {"authorization": "Basic " + b64encode(":".join(AUTH).encode()).decode()}


@attrs.frozen(kw_only=True)
class Scenario:
    """*alive* sessions, as many at the end as at the beginning, watched under *rate* reads per second."""

    alive: int
    rate: float
    callbacks: bool = False
    viewers: int = 0
    """People who look at pages of other sessions without end: each look is a read that a caller asks for."""
    warm_up: float = 0.0
    """Seconds before measuring begins; 0 measures a restart, where every session is resumed."""
    crashed: bool = False
    """Whether the tokens are those of the last transitions, as after a crash; else they were stored at the end."""
    down: float = 5.0
    """Seconds for which the process was down before a restart."""
    seconds: float = 3600.0
    """Seconds in which ends are counted; the run goes on until all of them were seen, so that no latency is cut."""
    seed: int = 2026

    @property
    def name(self) -> str:
        views = f", {self.viewers} viewers" * bool(self.viewers)
        when = f", after a {'crash' if self.crashed else 'restart'} and {self.down:g} s" * (not self.warm_up)
        return f"{self.alive:,} at {self.rate:g}/s{', callbacks' if self.callbacks else ''}{views}{when}"


@attrs.define(kw_only=True)
class Seen:
    """The measurements of a scenario, in seconds."""

    scenario: Scenario
    latencies: list[float] = attrs.field(factory=list[float])
    unseen: int = 0
    """How many of these were not seen two hours later; they count with the time until then."""
    moments: list[float] = attrs.field(factory=list[float])
    """When each read arrived at the provider."""
    gaps: list[tuple[float, float, float]] = attrs.field(factory=list[tuple[float, float, float]])
    """Between two reads of a session: real seconds, seconds of the budget's virtual clock, and the promised delay."""
    due: dict[str, float] = attrs.field(factory=dict[str, float])
    """When each resumed session that was not read yet is due."""
    on_the_page: set[str] = attrs.field(factory=set[str])
    """The resumed sessions with a delay of no more than three seconds that were not read yet."""
    resumed: int = 0
    """How many of these there were at the restart."""
    early: int = 0
    """How many resumed sessions were read before they were due."""
    not_overdue: int = 0
    """How many of these became due after the restart."""
    page_late_by: float = 0.0
    """The longest time from the restart, or from when it was due if that is later, to the first read of one of them."""
    late_by: float = 0.0
    own: int = 0
    refused: int = 0
    arrivals: float = 0.0


class _Provider(ScriptedProvider):
    """Records when each session is read, and the delay that the schedule then promises."""

    reader: HPPClient

    def __init__(self, clock: VirtualClock, seen: Seen) -> None:
        super().__init__(clock)
        self.model.quota = _QUOTA
        self.seen = seen
        self.changes: dict[str, list[tuple[float, str]]] = {}
        """The times and statuses of each session."""
        self._read: dict[str, tuple[float, float, float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.clear()
        response = await super().handle_async_request(request)
        now, session_id = self.clock.now(), request.url.path.rpartition("/")[2]
        virtual = now - self.reader._reads.turns.lateness()
        self.seen.moments.append(now)
        if int(session_id) >= _VIEWED:
            return response
        earlier, scenario = self._read.get(session_id), self.seen.scenario
        if earlier is not None:
            if earlier[0] >= scenario.warm_up:
                self.seen.gaps.append((now - earlier[0], virtual - earlier[1], earlier[2]))
        elif session_id in self.seen.due:
            due = self.seen.due.pop(session_id)
            self.seen.early += now < due - 0.002
            if session_id in self.seen.on_the_page:
                self.seen.on_the_page.remove(session_id)
                self.seen.page_late_by = max(self.seen.page_late_by, now - max(0.0, due))
        since, status = next(change for change in reversed(self.changes[session_id]) if change[0] <= now)
        delay = _SCHEDULE.waiting if status == "WAITING" else _SCHEDULE.active
        self._read[session_id] = now, virtual, delay.at(now - since)
        return response


class _Street:
    """The merchant's sessions: the initial ones, and those that arrive later."""

    def __init__(self, scenario: Scenario) -> None:
        self.rng = np.random.default_rng(scenario.seed)
        self.lives = Lives.of(_MIX, 400_000, seed=scenario.seed)
        self.ends = np.minimum(self.lives.ended, self.lives.lifetime)
        self.rate = scenario.alive / float(self.ends.mean())
        """Arrivals per second that keep the number of open sessions constant."""

    def open_at_first(self, alive: int) -> Iterator[tuple[int, float]]:
        """Yield lives that began in the past 48 hours and are still open, with their ages."""
        while alive:
            number, age = int(self.rng.integers(len(self.lives))), float(self.rng.uniform(0.0, self.lives.lifetime))
            if age < self.ends[number]:
                yield number, age
                alive -= 1


@attrs.define(kw_only=True)
class _Run:
    scenario: Scenario
    seen: Seen
    street: _Street
    clock: VirtualClock
    provider: _Provider
    watch: Watch
    _ended_at: dict[str, float] = attrs.field(init=False, factory=dict[str, float])
    _callbacks: list[tuple[float, str]] = attrs.field(init=False, factory=list[tuple[float, str]])
    _count: int = attrs.field(init=False, default=0)

    def add(self, number: int, age: float) -> None:
        """Create a session that is *age* seconds old, and watch it."""
        self._count += 1
        lives, session_id, now = self.street.lives, f"{self._count}", self.clock.now()
        times = [(-age, "WAITING"), (float(lives.opened[number]) - age, "IN_PROGRESS")]
        times.append((float(lives.ended[number]) - age, "COMPLETED"))
        steps = [(after, status) for after, status in times if np.isfinite(after)]
        url = self.provider.add(steps, session_id=session_id, lifetime=timedelta(seconds=lives.lifetime - age))
        self.provider.changes[session_id] = [(now + after, status) for after, status in steps]
        if np.isfinite(lives.ended[number]):
            self._ended_at[session_id] = now + float(lives.ended[number]) - age
        for after, _ in steps[1:]:
            if after > 0 and self.street.rng.random() >= _LOST:
                heapq.heappush(self._callbacks, (now + after + _ON_ITS_WAY, session_id))
        # No token holds what happened while the process was down.
        seen_until = 0.0 if self.scenario.warm_up else -self.scenario.down
        seen = [(after, status) for after, status in steps if after < seen_until]
        self.watch.add(url, since=None if not seen else self._since(session_id, *seen[-1], sequence=len(seen)))

    def _since(self, session_id: str, changed_at: float, status: str, *, sequence: int) -> Session | str:
        """Return where the process before was with a session that got its status at *changed_at* (negative seconds)."""
        if self.scenario.warm_up:
            return Session(session_id=session_id, status=status)
        delay = _SCHEDULE.waiting if status == "WAITING" else _SCHEDULE.active
        stopped_at = -self.scenario.down
        last = delay.at(stopped_at - changed_at)
        read_at = changed_at if self.scenario.crashed else max(changed_at, stopped_at - last * self.street.rng.random())
        promised = delay.at(read_at - changed_at)
        due = self.seen.due[session_id] = self.clock.now() + read_at + promised
        if delay.at(-changed_at) <= _PAGE and status != "WAITING":
            self.seen.on_the_page.add(session_id)
            self.seen.not_overdue += due > self.clock.now()
        now = self.clock.provider_time()
        position = Position(
            session_id=session_id,
            status=status_of(status),
            updated_at=now + timedelta(seconds=changed_at),
            expires_at=None,
            sequence=sequence,
            memory=Memory(at=now.timestamp() + read_at, delay=promised, was_open=True),
        )
        return position.token

    async def follow(self) -> None:
        async for event in self.watch:
            if isinstance(event.news, Outcome) and event.session_id in self._ended_at:
                ended_at = self._ended_at.pop(event.session_id)
                if self.counts(ended_at):
                    self.seen.latencies.append(self.clock.now() - ended_at)

    def counts(self, moment: float) -> bool:
        return self.scenario.warm_up <= moment < self.scenario.warm_up + self.scenario.seconds

    async def wait(self) -> None:
        """Let the measured time pass, and then wait until every session that ended in it was seen."""
        await self.clock.sleep(self.scenario.warm_up + self.scenario.seconds)
        latest = self.clock.now() + (_PATIENCE if self.scenario.warm_up else 0.0)
        while (unseen := [at for at in self._ended_at.values() if self.counts(at)]) and self.clock.now() < latest:
            await self.clock.sleep(10.0)
        self.seen.latencies += [self.clock.now() - at for at in unseen]
        self.seen.unseen = len(unseen)

    async def arrive(self) -> None:
        while True:
            await self.clock.sleep(float(self.street.rng.exponential(1 / self.street.rate)))
            self.add(int(self.street.rng.integers(len(self.street.lives))), 0.0)

    async def call(self) -> None:
        """Make the merchant's own calls, a few at a time."""
        while True:
            await self.clock.sleep(_OWN_PAUSE)
            for _ in range(int(self.street.rng.poisson(_OWN_CALLS * _OWN_PAUSE))):
                answer = self.provider.model.answer("GET", "/hpp/v1/sessions/own", _OWN_HEADERS)
                if self.clock.now() >= self.scenario.warm_up:
                    self.seen.own += 1
                    self.seen.refused += answer.status_code == 429

    async def view(self, number: int) -> None:
        """Look at the page of a session that is not watched, again and again."""
        url = self.provider.add([(1.0, "IN_PROGRESS")], session_id=f"{_VIEWED + number}")
        while True:
            await self.provider.reader.read_session(url)
            await self.clock.sleep(_VIEW_PAUSE)

    async def call_back(self) -> None:
        while True:
            left = self._callbacks[0][0] - self.clock.now() if self._callbacks else _ON_ITS_WAY
            # A new session may get a callback before the next one that is known.
            await self.clock.sleep(max(0.0, min(_ON_ITS_WAY, left)))
            while self._callbacks and self._callbacks[0][0] <= self.clock.now():
                self.provider.reader.notify(heapq.heappop(self._callbacks)[1])


async def _run(scenario: Scenario) -> Seen:
    seen, clock, street = Seen(scenario=scenario), VirtualClock(), _Street(scenario)
    seen.arrivals = street.rate
    provider = _Provider(clock, seen)

    def observe(event: Event) -> None:
        if isinstance(event, Slept):
            seen.late_by = max(seen.late_by, event.late_by)

    provider.reader = client = provider.client(budget=ReadBudget(scenario.rate), observers=[observe])
    async with client, client.watch(forever=True) as watch:
        run = _Run(scenario=scenario, seen=seen, street=street, clock=clock, provider=provider, watch=watch)
        for number, age in street.open_at_first(scenario.alive):
            run.add(number, age)
        seen.resumed = len(seen.on_the_page)
        tasks = [run.follow(), run.arrive(), run.call(), *([run.call_back()] if scenario.callbacks else [])]
        tasks += [run.view(number) for number in range(scenario.viewers)]
        running = [asyncio.create_task(task) for task in tasks]
        await run.wait()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return seen


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one scenario: seconds, except for shares and factors."""

    scenario: str
    ended: int
    mean: float
    error: float
    """The standard error of the mean."""
    p50: float
    p95: float
    bound: float
    """The least mean latency that any schedule can reach with as many reads per session."""
    reads_per_second: float
    busiest_second: int
    late_by: float
    """The latest read of all waits."""
    stretch: float
    """Real seconds per second of the virtual clock, on average."""
    worst_gap: float
    """The longest of any session: seconds of the virtual clock between two reads, per promised second."""
    resumed: int
    """How many sessions were on the page at a restart."""
    not_overdue: int
    """How many of them became due after it."""
    page_late_by: float
    """The longest time until one of them was read for the first time, from the restart or from when it was due."""
    early: int
    """How many sessions were read before they were due, after a restart."""
    refused: float
    """Share of the merchant's own calls that got a 429."""
    unseen: int

    @classmethod
    def of(cls, seen: Seen) -> Row:
        scenario = seen.scenario
        latency, moments = np.array(seen.latencies or [np.nan]), np.array(seen.moments)
        counted = moments[(moments >= scenario.warm_up) & (moments < scenario.warm_up + scenario.seconds)]
        gaps = np.array(seen.gaps or [(np.nan, np.nan, np.nan)])
        reads_per_session = len(counted) / scenario.seconds / seen.arrivals
        p50, p95 = (float(value) for value in np.quantile(latency, [0.5, 0.95]))
        return cls(
            scenario=scenario.name,
            ended=len(seen.latencies),
            mean=float(latency.mean()),
            error=float(latency.std() / np.sqrt(len(latency))),
            p50=p50,
            p95=p95,
            bound=bound(_MIX, np.geomspace(0.002, 20.0, 13)).at(reads_per_session),
            reads_per_second=len(counted) / scenario.seconds,
            busiest_second=int((np.searchsorted(moments, moments + 1.0 - 1e-6) - np.arange(len(moments))).max()),
            late_by=seen.late_by,
            stretch=float(gaps[:, 0].sum() / gaps[:, 1].sum()),
            worst_gap=float((gaps[:, 1] / gaps[:, 2]).max()),
            resumed=seen.resumed,
            not_overdue=seen.not_overdue,
            page_late_by=np.inf if seen.on_the_page else seen.page_late_by,
            early=seen.early,
            refused=seen.refused / seen.own,
            unseen=seen.unseen,
        )


def measure(scenario: Scenario) -> Row:
    logging.disable()
    return Row.of(asyncio.run(_run(scenario)))


def scenarios(*, quick: bool) -> list[Scenario]:
    if quick:
        return [
            Scenario(alive=200, rate=20.0, warm_up=60.0, seconds=300.0),
            Scenario(alive=200, rate=5.0, seconds=60.0),
        ]
    found: list[Scenario] = []
    for alive, seconds in ((100_000, 1_200.0), (10_000, 2_400.0), (1_000, 30_000.0), (100, 60_000.0)):
        for rate in (50.0, 100.0, 200.0):
            warm_up = 1.2 * alive / rate + 300.0
            # This scenario has a bar on its mean, which a few long latencies move: it runs for longer.
            counted = 24_000.0 if (alive, rate) == (10_000, 100.0) else seconds
            found.append(Scenario(alive=alive, rate=rate, warm_up=warm_up, seconds=counted))
            if rate != 100.0:
                found.append(Scenario(alive=alive, rate=rate, warm_up=warm_up, seconds=seconds, callbacks=True))
                found.append(Scenario(alive=alive, rate=rate, seconds=120.0))
                found.append(Scenario(alive=alive, rate=rate, seconds=120.0, down=1.0))
                found.append(Scenario(alive=alive, rate=rate, seconds=120.0, crashed=True))
    # More looks than the budget has reads: the schedule keeps half of them.
    found.append(Scenario(alive=1_000, rate=50.0, viewers=110, warm_up=320.0, seconds=6_000.0))
    return found


def bars(scenario: Scenario, row: Row) -> Iterator[tuple[str, float, float]]:
    """Yield the bars of a scenario: name, value, and upper limit."""
    yield "share of the merchant's own calls refused", row.refused, 0.001
    yield "reads in the busiest second", row.busiest_second, scenario.rate + 1
    if scenario.viewers:
        yield "stretch", row.stretch, 2.0
    if not scenario.warm_up:
        yield "reads that were not due", row.early, 0
        # Where more are on the page than the budget reads in two seconds, nothing but new arrivals may come between.
        within = max(2.0, 1.2 * row.resumed / scenario.rate)
        name = f"seconds to the reads of {row.resumed} on the page, {row.not_overdue} of them due after the start"
        yield name, row.page_late_by, within
    elif not scenario.callbacks:
        if scenario.rate == 50.0:
            yield "the longest gap, by what was promised", row.worst_gap, 1.2
        if scenario.rate == 100.0 and scenario.alive == 10_000:
            yield "mean seconds", row.mean, 7.0
        if scenario.rate == 100.0 and scenario.alive == 100_000:
            yield "mean, by the bound", row.mean / row.bound, 1.25


_HEAD: Final = "| scenario | ended | mean s | p50 | p95 | bound | reads/s | stretch | longest gap | late by | refused |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs, and ignore the figures")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the scenarios with this in their name")
    arguments = parser.parse_args()
    wanted = [one for one in scenarios(quick=arguments.quick) if arguments.only in one.name]

    print(_HEAD, "|---|" + "--:|" * 10, sep="\n")
    verdicts: list[str] = []
    rows: list[Row] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for scenario, row in zip(wanted, pool.map(measure, wanted), strict=True):
            rows.append(row)
            print(
                f"| {row.scenario} | {row.ended:,} | {row.mean:.1f} ± {row.error:.1f} | {row.p50:.1f} | {row.p95:.1f} "
                f"| {row.bound:.1f} | {row.reads_per_second:.1f} | {row.stretch:.2f} | {row.worst_gap:.2f} "
                f"| {row.late_by:.0f} | {row.refused:.2%} |",
                flush=True,
            )
            for what, value, most in bars(scenario, row):
                verdict = "met" if value <= most else "MISSED"
                verdicts.append(f"{verdict:7}{row.scenario}: {what}: {value:.4g}, at most {most:.4g}")
    print("", *verdicts, "", sep="\n")
    print(*(json.dumps(attrs.asdict(row), ensure_ascii=False) for row in rows), sep="\n")


if __name__ == "__main__":
    main()
