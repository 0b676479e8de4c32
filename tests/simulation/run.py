"""Live a life: the real client, its callers and their process, in virtual time, on one event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from random import Random
from typing import Final, Literal

import anyio
import anyio.lowlevel
import attrs
import httpx
import trio

from hpp_async import (
    ClientClosedError,
    Heartbeat,
    HPPClient,
    HPPError,
    Outcome,
    OutcomeWait,
    PollSchedule,
    ReadBudget,
    Transition,
)
from hpp_async.testing import Slow
from simulation.life import Caller, Cancel, Life, Manner, Style, changes_of
from simulation.record import Call, Record, Seen, Sitting, WaitRecord
from simulation.world import AUTH, ENDPOINT, World, session_url

Loop = Literal["asyncio", "trio"]
Build = Callable[..., HPPClient]
HEARTBEAT: Final = 15.0
_REPEATS: Final = (0.0, 3.0, 6.0, 9.0)
"""Seconds after which a callback comes, and comes again."""
_PATIENCE: Final = 60.0
"""Real seconds after which a life hangs: some ten thousand times as long as one takes."""


def live(life: Life, loop: Loop, *, build: Build = HPPClient) -> Record:
    """
    Return what happens in *life* on *loop*; the same every time.

    *build* makes the clients; tests hand in broken ones.
    """
    record = Record(life)
    # What lives until the collector comes by would depend on what ran before.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        if loop == "trio":
            _order_trio(life.seed)
        anyio.run(_Run(record, loop, build).main, backend=loop)
    finally:
        if was_enabled:
            gc.enable()
    return record


def _order_trio(seed: int) -> None:
    """Let trio run its tasks in an order that *seed* decides; the switch that pytest-trio and hypothesis use."""
    setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)  # noqa: B010 - it is Final
    trio._core._run._r.seed(seed)


@attrs.define(eq=False)
class _Process:
    number: int
    client: HPPClient
    is_dead: bool = False
    stirs: list[anyio.Event] = attrs.field(factory=list[anyio.Event])


class _Run:
    def __init__(self, record: Record, loop: Loop, build: Build) -> None:
        self.record = self.kept = record
        self.life = record.life
        self.loop: Loop = loop
        self.build = build

    async def main(self) -> None:
        self.world = World(self.record)
        self.clock = self.world.clock
        self.processes = 0
        self.all_over = anyio.Event()
        self.up = anyio.Event()
        self.waiting = len(self.life.callers)
        self.process = self._begin()
        with anyio.move_on_after(_PATIENCE) as patience:
            async with anyio.create_task_group() as tasks:
                for number, caller in enumerate(self.life.callers):
                    tasks.start_soon(self._call, number, caller)
                tasks.start_soon(self._deaths)
                tasks.start_soon(self._freezes)
                tasks.start_soon(self._closing)
                tasks.start_soon(self._called)
                for at, session in self.life.callbacks:
                    tasks.start_soon(self._called_at, at, session)
                for at, session in self.life.disables:
                    tasks.start_soon(self._beside, "disable", at, session)
                for at, session in self.life.looks:
                    tasks.start_soon(self._beside, "look", at, session)
                await self.clock.wait(self.all_over, self.life.end)
                if not self.all_over.is_set():
                    self.record.complaints.append(f"a wait goes on at {self.clock.now():.0f} s, after everything")
                self.record = self.world.record = Record(self.life)  # what is ended here is not part of the life
                tasks.cancel_scope.cancel()
            await self.process.client.aclose()
        if patience.cancelled_caught:
            self.kept.complaints.append("hangs: nobody waits for the clock, and nothing goes on")
        elif self.world.under_way:
            self.kept.complaints.append(f"{self.world.under_way} requests are under way after aclose()")

    # -- the process ----------------------------------------------------------------------------------------------

    def _begin(self) -> _Process:
        self.processes += 1
        life, number = self.life, self.processes
        client = self.build(
            auth=AUTH,
            endpoint=ENDPOINT,
            http_client=httpx.AsyncClient(transport=self.world.line(number)),
            budget=ReadBudget(life.reads_per_second, max_in_flight=life.in_flight),
            attempts=life.attempts,
            outage_tolerance=life.outage_tolerance,
            clock=self.world.client_clock,
            _draw=Random(life.seed * 1009 + number).random,
        )
        self.up.set()
        return _Process(number, client)

    async def _deaths(self) -> None:
        for death in self.life.deaths:
            await self._sleep_until(death.at)
            await self._end(self.process, "dies")
            self.up = anyio.Event()
            await self.clock.sleep(death.down_for)
            self.process = self._begin()

    async def _freezes(self) -> None:
        """Only take note: it is the clock that stands still."""
        for freeze in self.life.freezes:
            await self._sleep_until(freeze.at)
            self.record.met["freezes"] += 1
            self.record.note(self.clock.now(), f"{self.process.number}: was frozen from {freeze.at:.4f}")

    async def _closing(self) -> None:
        if self.life.closed_at is not None:
            await self._sleep_until(self.life.closed_at)
            process = self.process
            if process.number not in self.record.closed:
                await self._close(process, "closed")

    async def _end(self, process: _Process, how: str) -> None:
        process.is_dead = True
        for stir in process.stirs:
            stir.set()
        await self._close(process, how)

    async def _close(self, process: _Process, how: str) -> None:
        now = self.clock.now()
        self.record.closed.setdefault(process.number, now)
        self.record.met[how] += 1
        self.record.note(now, f"{process.number}: {how}")
        await process.client.aclose()
        if self.clock.now() != now:
            self.record.complaints.append(f"aclose() at {now:.3f} took {self.clock.now() - now:.3f} s")

    async def _sleep_until(self, moment: float) -> None:
        if moment > self.clock.now():
            await self.clock.wait(anyio.Event(), moment)

    async def _alive(self) -> _Process:
        while self.process.is_dead:
            await self.up.wait()
        return self.process

    # -- calls beside the waits ---------------------------------------------------------------------------------------

    async def _called(self) -> None:
        """Take the callbacks that the provider owes; those that find nobody are repeated."""
        if not self.life.is_called:
            return
        changes = {at for script in self.life.sessions for at, _ in changes_of(script)}
        slow = {fault.kind.seconds for fault in self.life.faults if isinstance(fault.kind, Slow)}
        for at in sorted({at + late + wait for at in changes for late in {0.0, *slow} for wait in _REPEATS}):
            await self._sleep_until(at)
            for callback in self.world.model.due_callbacks():
                if not self._notify(self.world.numbers[callback.session_id]):
                    self.world.model.callbacks.failed(callback)

    async def _called_at(self, at: float, session: int) -> None:
        await self._sleep_until(at)
        self._notify(session)

    def _notify(self, session: int) -> bool:
        if self.process.is_dead or self.process.number in self.record.closed:
            self.record.met["callback lost"] += 1
            return False
        call = self._begin_call("notify", session)
        call.result = self.process.client.notify(session_url(session))
        self._end_call(call)
        return True

    async def _beside(self, name: Literal["disable", "look"], at: float, session: int) -> None:
        await self._sleep_until(at)
        process = await self._alive()
        call = self._begin_call(name, session)
        try:
            if name == "disable":
                call.result = await process.client.disable_session(session_url(session))
            else:
                call.result = await process.client.read_session(session_url(session))
        except HPPError as error:
            call.result = error
        self._end_call(call)

    def _begin_call(self, name: str, session: int) -> Call:
        now = self.clock.now()
        call = Call(process=self.process.number, name=name, session=session, began_at=now)
        self.record.calls.append(call)
        self.record.note(now, f"{call.process}: {name} {session}")
        return call

    def _end_call(self, call: Call) -> None:
        call.ended_at = self.clock.now()
        result = call.result if isinstance(call.result, bool) else type(call.result).__name__
        self.record.met[f"{call.name}: {result}"] += 1
        self.record.note(call.ended_at, f"{call.process}: {call.name} {call.session} -> {result}")

    # -- a caller -------------------------------------------------------------------------------------------------

    async def _call(self, number: int, caller: Caller) -> None:
        await self._sleep_until(caller.starts_at)
        cancels = list(caller.cancels)
        since: Seen | None = None
        token: str | None = None
        while True:
            process = await self._alive()
            wait = process.client.wait_for_outcome(
                session_url(caller.session),
                stop_on=caller.stop_on,
                timeout=caller.timeout,
                schedule=None if caller.interval is None else PollSchedule.every(caller.interval),
                since=token,
            )
            record = WaitRecord(
                caller=number, of=caller, process=process.number, since=since, started_at=self.clock.now()
            )
            self.record.waits.append(record)
            self.record.met["with since" if token else "without since"] += 1
            await self._follow(wait, record, process, cancels)
            token = wait.token
            given = len(record.known) if caller.style is Style.AWAIT else len(record.yielded)
            since = record.known[given - 1] if given else since
            if record.ended_at is not None:
                break
            record.has_died = True
            self.record.met["died"] += 1
        self.waiting -= 1
        if not self.waiting:
            self.all_over.set()

    async def _follow(self, wait: OutcomeWait, record: WaitRecord, process: _Process, cancels: list[Cancel]) -> None:
        while not process.is_dead:
            cancel = cancels.pop(0) if cancels else None
            await self._sit(wait, record, process, cancel)
            record.known = [_seen(transition, self.clock.now()) for transition in wait.transitions]
            if record.ended_at is not None or process.is_dead:
                break
            assert cancel is not None, "a sitting that nothing interrupts ends the wait"
            await self.clock.sleep(cancel.away)
        self.record.note(self.clock.now(), f"{record.process}: caller {record.caller} -> {record.ending}")
        self.record.met[record.ending] += record.ended_at is not None

    async def _sit(self, wait: OutcomeWait, record: WaitRecord, process: _Process, cancel: Cancel | None) -> None:
        """Let the caller's task go on with *wait* until the end, the cancellation, or the death of the process."""
        sitting = Sitting(began_at=self.clock.now())
        record.sittings.append(sitting)
        stir, over = anyio.Event(), False

        async def sit() -> None:
            nonlocal over
            try:
                await self._step(wait, record, process)
            except anyio.get_cancelled_exc_class():
                sitting.was_cancelled = True
                raise
            finally:
                over = True
                sitting.ended_at = self.clock.now()
                stir.set()

        def watch(session: int) -> None:
            if session == record.of.session:
                stir.set()

        async def interrupt() -> None:
            moment = float("inf") if cancel is None or cancel.at is None else max(cancel.at, self.clock.now())
            await self.clock.wait(stir, moment)
            for _ in range(0 if cancel is None or over else cancel.turns):
                await anyio.lowlevel.checkpoint()
            if not over:
                sitting.cancelled_at = self.clock.now()

        process.stirs.append(stir)
        if cancel is not None and cancel.at is None:
            self.world.watchers.append(watch)
        try:
            await _interrupted(sit, interrupt, Manner.NATIVE if cancel is None else cancel.manner, self.loop)
        finally:
            process.stirs.remove(stir)
            if watch in self.world.watchers:
                self.world.watchers.remove(watch)
        if sitting.was_cancelled:
            self.record.met[f"cancelled: {'death' if cancel is None else cancel.manner}"] += 1
        elif sitting.cancelled_at is not None:
            self.record.met["cancelled too late"] += 1

    async def _step(self, wait: OutcomeWait, record: WaitRecord, process: _Process) -> None:
        try:
            if record.of.style is Style.AWAIT:
                with self._at_it(record):
                    record.outcome = await wait
            else:
                await self._iterate(wait, record)
                record.outcome = wait.outcome
        except ClientClosedError as error:
            if process.is_dead:
                return  # what the last moments of a process look like from within
            record.error = error
        except HPPError as error:
            record.error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the oracle is told
            record.complaints.append(f"raises {error!r}")
        record.ended_at = self.clock.now()
        await self._once_more(wait, record)

    @contextmanager
    def _at_it(self, record: WaitRecord) -> Generator[None]:
        began_at = self.clock.now()
        try:
            yield
        finally:
            record.steps.append((began_at, self.clock.now()))

    async def _iterate(self, wait: OutcomeWait, record: WaitRecord) -> None:
        steps = wait.updates(HEARTBEAT) if record.of.style is Style.UPDATES else wait
        last = self.clock.now()
        while True:
            asked_at = self.clock.now()
            with self._at_it(record):
                step = await anext(steps, None)
            now = self.clock.now()
            if record.of.style is Style.UPDATES:
                due = max(last + HEARTBEAT, asked_at)
                if now > self.life.thawed(due + self.life.timers_late_by) + 1e-6 or (
                    isinstance(step, Heartbeat) and now < due - 1e-6
                ):
                    record.complaints.append(f"the heartbeat of {due:.3f} came at {now:.3f}")
                self.record.met["Heartbeat"] += isinstance(step, Heartbeat)
            if step is None:
                return
            if isinstance(step, Transition):
                record.yielded.append(_seen(step, now))
                self.record.note(now, f"{record.process}: caller {record.caller} sees {step.status} ({step.sequence})")
                await self.clock.sleep(record.of.linger)
            last = now

    async def _once_more(self, wait: OutcomeWait, record: WaitRecord) -> None:
        """An ended wait gives the same again, without a read."""
        again: Outcome | HPPError | None = None
        reads = wait.reads
        with suppress(Exception):
            try:
                again = await wait
            except HPPError as error:
                again = error
        first = record.outcome or record.error
        is_same = type(again) is type(first) and (isinstance(first, ClientClosedError) or str(again) == str(first))
        if not is_same or wait.reads != reads:
            record.complaints.append(f"asked again after its end, it gives {again!r}")


async def _interrupted(
    sit: Callable[[], Awaitable[None]], interrupt: Callable[[], Awaitable[None]], manner: Manner, loop: Loop
) -> None:
    """Run *sit* in a task of its own, and cancel it when *interrupt* returns."""
    if manner is Manner.NATIVE and loop == "asyncio":
        task = asyncio.ensure_future(sit())
        try:
            await interrupt()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return
    scope: trio.CancelScope | anyio.CancelScope
    scope = trio.CancelScope() if manner is Manner.NATIVE else anyio.CancelScope()

    async def sit_in_scope() -> None:
        with scope:
            await sit()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sit_in_scope)
        await interrupt()
        scope.cancel()


def _seen(transition: Transition, at: float) -> Seen:
    previous = transition.previous
    return Seen(
        at=at,
        previous=None if previous is None else str(previous),
        status=str(transition.status),
        sequence=transition.sequence,
        is_last=transition.is_last,
        session=transition.session,
    )
