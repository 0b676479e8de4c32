"""Live a life of a fleet: its real code in every process, on a model of the database, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Final, cast
from weakref import WeakSet

import anyio
import attrs
import httpx
import psycopg
import psycopg_pool.base
import psycopg_pool.pool_async
import psycopg_pool.sched_async
import pytest

import hpp_async.fleet._locks
import hpp_async.fleet._postgres
from fleet_simulation.connecting import ClientCursor, Connection, ModelStore, Network, hang_up
from fleet_simulation.database import Booked, Database, Row
from fleet_simulation.life import SHOP, CutOff, Disturbance, Flaky, Freeze, Kill, Life, Outage, Restart, Terminated
from fleet_simulation.looping import Machine, VirtualLoop
from fleet_simulation.record import Heard, Read, Record, Trouble, Try, number_of, session_id
from fleet_simulation.spans import Span
from hpp_async import Endpoint, HPPClient, PollSchedule, ReadBudget, Transition, WatchEvent
from hpp_async.fleet import Fleet, PostgresTransaction
from hpp_async.fleet._lease import retry_after
from hpp_async.testing import Provider

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
AUTH: Final = ("PK00000_test", "not-a-secret")
SETTLES: Final = 90.0
"""Seconds after everything, in which all must have come to its end."""
_AGAIN: Final = 0.5
"""Seconds until a shop tries again what it could not do."""

FINAL: Final = frozenset({"COMPLETED", "CANCELLED", "DISABLED"})


def live(life: Life) -> Record:
    """Return what happens in *life*; the same every time."""
    record = Record(life)
    state, was_enabled = random.getstate(), gc.isenabled()
    gc.disable()  # what lives until the collector comes by would depend on what ran before
    try:
        random.seed(life.seed)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.MonkeyPatch.context() as patch:
            time = runner.get_loop().time
            for module in (psycopg_pool.base, psycopg_pool.pool_async, psycopg_pool.sched_async):
                patch.setattr(module, "monotonic", time)
            for module in (hpp_async.fleet._locks, hpp_async.fleet._postgres):
                patch.setattr(module, "hang_up", hang_up)
            for cursor in ("AsyncClientCursor", "AsyncCursor"):
                patch.setattr(psycopg, cursor, ClientCursor)
            runner.run(_World(record).main())
    finally:
        random.setstate(state)
        if was_enabled:
            gc.enable()
    return record


class _Calendar:
    """The clock of a client: the loop's time, and a date that may be hours wrong."""

    def __init__(self, skew: float) -> None:
        self.now = asyncio.get_running_loop().time
        self._start = START + timedelta(seconds=skew)

    def today(self) -> datetime:
        return self._start + timedelta(seconds=self.now())

    async def wait(self, event: anyio.Event, until: float) -> None:
        with anyio.move_on_after(until - self.now()):
            await event.wait()


@attrs.define(eq=False)
class _Process:
    name: str
    machine: Machine
    network: Network
    client: HPPClient
    store: ModelStore
    fleet: Fleet[PostgresTransaction]
    is_told: bool = False
    """Whether it was told to end."""
    task: asyncio.Task[None] | None = None
    started_at: float | None = None
    ended_at: float | None = None


class _World:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.life = record.life
        self.chance = Random(self.life.seed + 1)

    async def main(self) -> None:
        life, self.loop = self.life, asyncio.get_running_loop()
        self.database = Database(Random(life.seed + 2), self.loop, self.record.complaints.append)
        self.provider = Provider(
            now=lambda: START + timedelta(seconds=self.loop.time()),
            auth=AUTH,
            quota=life.quota,
            base_url="https://x.example",
        )
        self.processes: list[_Process] = []
        self.failures = [0 for _ in life.sold]
        self.reading = WeakSet[asyncio.Task[object]]()
        """The tasks that have sent a request: one that sends a second one tries again."""
        for number in range(len(life.sold)):
            self.provider.create((), session_id=session_id(number))
        self.shop = self._begin(SHOP, 0.0)
        self.workers = [self._begin(f"w{number}.0", skew) for number, skew in enumerate(life.skews)]
        tasks = [
            *(asyncio.create_task(self._sell(number)) for number in range(len(life.sold))),
            *(asyncio.create_task(self._start(number, at)) for number, at in enumerate(life.starts)),
            *(asyncio.create_task(self._disturb(disturbance)) for disturbance in life.disturbances),
        ]
        calls = asyncio.create_task(self._call())
        await asyncio.gather(*tasks)
        await self._sleep_until(max(life.length, *(at for sold in life.sold for at, _ in sold.changes), 0.0))
        # A session whose event takes longer than the lease keeps its shard busy until it is parked.
        busy = sum(life.parked_after * (sold.slow + 2.0) for sold in life.sold if sold.slow >= life.lease)
        until = self.loop.time() + SETTLES + busy
        while self.loop.time() < until and not self._is_settled():  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(1.0)
        calls.cancel()
        await self._look_back()
        await self._clear_up()

    # -- the sessions, and the shop -----------------------------------------------------------------------------------

    async def _sell(self, number: int) -> None:
        sold, session = self.life.sold[number], session_id(number)
        for index, (at, status) in enumerate(sold.changes):
            self.loop.call_at(max(0.001 * index, at), self._change, number, status)
        for at in sold.callbacks:
            self.loop.call_at(at, self._call_back, session)
        await self._sleep_until(sold.added_at)
        shop = self.shop.fleet
        await self._in(self.shop, lambda: self._until_done(lambda: shop.add(session)))
        self.shop.machine.context.run(self.loop.create_task, self._wait(number))
        if sold.discarded_at is not None:
            await self._sleep_until(sold.discarded_at)
            await self._in(self.shop, lambda: self._until_done(lambda: shop.discard(session)))
        if sold.added_again_at is not None:
            await self._sleep_until(sold.added_again_at)
            await self._in(self.shop, lambda: self._until_done(lambda: shop.add(session)))
            self.shop.machine.context.run(self.loop.create_task, self._wait(number))

    async def _call(self) -> None:
        """Make the merchant's own calls: captures, refunds and new sessions."""
        basic = b64encode(":".join(AUTH).encode()).decode()
        while self.life.own_calls:
            await asyncio.sleep(1.0 / self.life.own_calls)
            answer = self.provider.answer(
                "GET", f"/hpp/v1/sessions/{session_id(0)}", {"authorization": f"Basic {basic}"}
            )
            self.record.met[f"own call: {answer.status_code}"] += 1

    def _change(self, number: int, status: str) -> None:
        self.record.note(self.loop.time(), f"provider: {number} is {status}")
        self.provider.change(session_id(number), status)

    def _call_back(self, session: str) -> None:
        process = self.chance.choice([self.shop, *self.workers])
        if process.machine.is_frozen:
            return

        async def notify() -> None:
            try:
                await process.fleet.notify(session)
            except (psycopg.Error, OSError):
                self.record.met["callback lost"] += 1

        process.machine.context.run(self.loop.create_task, notify())

    async def _in(self, process: _Process, do: Callable[[], Awaitable[object]]) -> None:
        """Do something in a process, and return once it is done."""

        async def work() -> None:
            await do()

        await asyncio.wait([process.machine.context.run(self.loop.create_task, work())])

    async def _until_done(self, do: Callable[[], Awaitable[object]]) -> None:
        """Try again while the database cannot be reached, as a shop does for what must not be lost."""
        while True:
            try:
                await do()
            except (psycopg.Error, psycopg_pool.PoolTimeout, OSError) as error:
                self.record.note(self.loop.time(), f"shop: {type(error).__name__}: {error}")
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def _wait(self, number: int) -> None:
        async for news in self.shop.fleet.wait_for_outcome(session_id(number)):
            status = None if news.status is None else str(news.status)
            self.record.heard.append(
                Heard(at=self.loop.time(), session=number, ending=news.ending, status=status, is_last=news.is_last)
            )

    # -- the processes ------------------------------------------------------------------------------------------------

    def _begin(self, name: str, skew: float) -> _Process:
        life, machine = self.life, Machine(name)
        network = Network(name, self.database, Random(f"{life.seed} {name} network"), life.travel)
        client = HPPClient(
            auth=AUTH,
            endpoint=Endpoint.EU_PLAYGROUND,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(partial(self._answer, name))),
            schedule=attrs.evolve(PollSchedule.every(life.interval), jitter=life.jitter),
            budget=ReadBudget(life.rate),
            clock=_Calendar(skew),
            _draw=Random(f"{life.seed} {name}").random,
        )
        store = machine.context.run(ModelStore, network)
        fleet = Fleet(client, store, shards=life.shards, lease=life.lease)
        fleet._pause = self._pause
        process = _Process(name, machine, network, client, store, fleet)
        self.processes.append(process)
        return process

    def _pause(self, failures: int, draw: float) -> float | None:
        """Be a bit less patient than the fleet is by itself: lives are short."""
        pause = retry_after(failures, draw)
        return None if pause is None or failures >= self.life.parked_after else pause / 4

    async def _start(self, number: int, at: float) -> None:
        await self._sleep_until(at)
        self._work(self.workers[number])

    def _work(self, process: _Process) -> None:
        self.record.note(self.loop.time(), f"{process.name} starts")

        async def work() -> None:
            while True:
                try:
                    await process.fleet.work(partial(self._deal_with, process))
                except (psycopg.Error, psycopg_pool.PoolTimeout, OSError) as error:
                    # At the start it ends with this: somebody starts it again.
                    self.record.note(self.loop.time(), f"{process.name} could not start: {error}")
                    await asyncio.sleep(1.0)
                except Exception as error:  # noqa: BLE001 - whatever it is, the oracle is told
                    self.record.complaints.append(f"{process.name} ends with {error!r}")
                    return

        process.started_at = self.loop.time()
        process.task = process.machine.context.run(self.loop.create_task, work())

    async def _deal_with(self, process: _Process, event: WatchEvent, tx: PostgresTransaction) -> None:
        number, news = number_of(event.session_id), event.news
        sold = self.life.sold[number]
        trying = Try(session=number, worker=process.name, began_at=self.loop.time())
        self.record.tries.append(trying)
        what = str(news.status) if isinstance(news, Transition) else type(news).__name__
        self.record.note(trying.began_at, f"{process.name} deals with {number} {what}")
        booked = Booked(
            at=trying.began_at,
            session_id=event.session_id,
            worker=process.name,
            news=what,
            sequence=news.sequence if isinstance(news, Transition) else None,
            token=event.token,
        )
        await cast("Connection", tx).execute("INSERT INTO booked", (booked,))
        if sold.slow:
            await asyncio.sleep(sold.slow)
        trying.ended_at = self.loop.time()
        self.failures[number] += 1
        if self.failures[number] <= sold.failing:
            trying.has_failed = True
            self.record.met["deal_with failed"] += 1
            raise ZeroDivisionError

    async def _answer(self, name: str, request: httpx.Request) -> httpx.Response:
        number = number_of(request.url.path.rpartition("/")[2])
        task = asyncio.current_task()
        assert task is not None, "the client reads in a task"
        is_again = task in self.reading
        self.reading.add(task)
        self.record.reads.append(Read(at=self.loop.time(), worker=name, session=number, is_again=is_again))
        self.record.note(self.loop.time(), f"{name} reads {number}")
        travel = Random(f"{self.life.seed} {len(self.record.reads)}").uniform(0.0, self.life.latency)
        await asyncio.sleep(travel / 2)
        headers = {key.lower(): value for key, value in request.headers.items()}
        answer = self.provider.answer(request.method, request.url.path, headers)
        await asyncio.sleep(travel / 2)
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.body)

    # -- disturbances -------------------------------------------------------------------------------------------------

    async def _disturb(self, disturbance: Disturbance) -> None:
        await self._sleep_until(disturbance.at)
        kind = type(disturbance).__name__
        if isinstance(disturbance, Kill | Freeze | CutOff | Terminated) and disturbance.inside:
            whom = f"w{disturbance.worker}" if isinstance(disturbance, Kill) else disturbance.whom
            with suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    await self.database.is_inside(self._process(whom).name, disturbance.inside)
        start = self.loop.time()
        self.record.note(start, f"{disturbance}")
        whom = ""
        match disturbance:
            case Kill(worker=worker):
                whom = self.workers[worker].name
                await self._replace(worker, disturbance.down_for, is_killed=True)
            case Restart(worker=worker):
                whom = self.workers[worker].name
                await self._replace(worker, disturbance.down_for, is_killed=False)
            case Freeze(seconds=seconds):
                process = self._process(disturbance.whom)
                whom = process.name
                process.machine.freezes += 1
                await asyncio.sleep(seconds)
                process.machine.thaw()
            case CutOff(seconds=seconds):
                process = self._process(disturbance.whom)
                whom = process.name
                process.network.cut()
                await asyncio.sleep(seconds)
                process.network.mend()
            case Outage(seconds=seconds):
                self.database.outages += 1
                self.database.restart()
                await asyncio.sleep(seconds)
                self.database.outages -= 1
            case Terminated():
                whom = self._process(disturbance.whom).name
                mine = [backend for backend in self.database.backends if backend.owner == whom]
                if disturbance.which == "listener":
                    mine = [backend for backend in mine if backend.channels]
                for backend in mine if disturbance.which == "all" else mine and [self.chance.choice(mine)]:
                    self.database.terminate(backend, psycopg.errors.AdminShutdown("terminating connection"))
            case Flaky(seconds=seconds, share=share):
                self.database.flaky += share
                await asyncio.sleep(seconds)
                self.database.flaky -= share
        self.record.met[kind] += 1
        self.record.troubles.append(Trouble(kind=kind, whom=whom, start=start, end=self.loop.time()))
        self.record.note(self.loop.time(), f"{kind} of {whom} is over")

    def _process(self, whom: str) -> _Process:
        return self.shop if whom == SHOP else self.workers[int(whom[1:])]

    async def _replace(self, worker: int, down_for: float, *, is_killed: bool) -> None:
        process = self.workers[worker]
        if process.is_told or process.task is None:
            return
        process.is_told, process.ended_at = True, self.loop.time()
        if is_killed:
            process.machine.freezes += 1
            process.network.close()
        else:
            self.loop.call_soon(process.task.cancel, context=process.machine.context)
            began_at = self.loop.time()
            await asyncio.wait([process.task])
            self.record.note(self.loop.time(), f"{process.name} has ended after {self.loop.time() - began_at:.2f} s")
            process.network.close()
        await asyncio.sleep(down_for)
        name, _, number = process.name.partition(".")
        self.workers[worker] = self._begin(f"{name}.{int(number) + 1}", self.life.skews[worker])
        self._work(self.workers[worker])

    async def _sleep_until(self, at: float) -> None:
        if at > self.loop.time():
            await asyncio.sleep(at - self.loop.time())

    # -- the end ------------------------------------------------------------------------------------------------------

    def _is_settled(self) -> bool:
        rows = [self._row(number) for number in range(len(self.life.sold))]
        heard = {heard.session for heard in self.record.heard if heard.is_last}
        return all(
            row is not None
            and (
                (row.ended_at is not None and number in heard)
                or row.parked_at is not None
                or (self.provider.status(row.id) not in FINAL and row.token is not None)
            )
            for number, row in enumerate(rows)
        )

    def _row(self, number: int) -> Row | None:
        row = self.database.rows.get(("session", session_id(number)))
        assert row is None or isinstance(row, Row)
        return row

    async def _look_back(self) -> None:
        record, rows = self.record, self.database.rows.values()
        record.rows = {row.id: row for row in rows if isinstance(row, Row)}
        record.booked, record.committed = self.database.booked, self.database.committed
        record.owned = self.database.owned
        record.ended_at = now = self.loop.time()
        record.met["parked"] += sum(row.parked_at is not None for row in record.rows.values())
        record.met["discarded"] += sum(new.ending == "Discarded" for _, _, new in record.committed)
        record.present = [
            (process.name, Span(process.started_at, process.ended_at or now))
            for process in self.processes
            if process.started_at is not None
        ]

        async def look() -> None:
            record.overview = await self.shop.fleet.sessions()

        await self._in(self.shop, lambda: self._until_done(look))

    async def _clear_up(self) -> None:
        """Let all tasks end, those of killed processes, too; what they do is not part of the life."""
        self.record.complaints = list(self.record.complaints)
        kept = attrs.evolve(
            self.record, trace=[], met=self.record.met.copy(), reads=[], tries=[], troubles=[], heard=[]
        )
        self.record, self.database.complain = kept, bool
        for process in self.processes:
            process.network.give_up()
        for process in self.processes:
            process.machine.freezes = 1
            process.machine.thaw()
        for _ in range(1000):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.sleep(_AGAIN)
        else:
            raise AssertionError("a task does not end")
