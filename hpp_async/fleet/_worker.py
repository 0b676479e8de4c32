"""
One worker: it enters the fleet, takes its share of the shards, and leaves in order.

Twice a second it asks the lock manager who is there and who owns what. That question is also the ping that renews its
lease. What it does then follows from the answer alone (`hpp_async.fleet._division`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import Final, Generic

import attrs

from hpp_async import ReadBudget, ShardsOwned
from hpp_async.fleet._division import Moves, Survey, moves, shard_of
from hpp_async.fleet._label import label_of
from hpp_async.fleet._lease import PING
from hpp_async.fleet._shard import ShardWork
from hpp_async.fleet._store import FencedError, Ownership, OwnershipLostError, Tx
from hpp_async.fleet._tasks import end
from hpp_async.fleet._work import Work

logger: Final = logging.getLogger("hpp_async.fleet")

_NO_READS: Final = 0.001
"""Reads per second of a worker without shards: the lowest rate of a `ReadBudget`."""


_STANDSTILL: Final = 0.25
"""Seconds: if the end of the lease is noticed so late, the event loop stood still when it came."""


class Worker(Generic[Tx]):
    """The work of one process, as long as its connection with the locks lives; another `Worker` follows then."""

    def __init__(self, work: Work[Tx], budget: ReadBudget) -> None:
        self._work = work
        self._budget = budget
        self._open: dict[int, ShardWork[Tx]] = {}
        self._closing: dict[int, tuple[ShardWork[Tx], asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._is_leaving = False
        self._is_lost = False
        self._label = ""
        self._publishes_at = float("-inf")
        self._owned: int | None = None
        """How many shards it owns, as reported to observers."""
        self.has_owned: bool = False
        """Whether this worker has ever owned a shard."""

    # -- called from outside ------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Hand all shards over, and let `run` return then."""
        self._is_leaving = True
        self._wake.set()

    def lose(self, late_by: float = 0.0) -> None:
        """
        Stop reading and storing at once: the shards may belong to others now.

        If this comes late by so many seconds, the event loop stood still.
        """
        self._is_lost = True
        for shard in self._shards():
            shard.abort(stood_still=late_by > _STANDSTILL)
        self._set_rate()
        self._wake.set()

    def heard(self, verb: str, session_id: str) -> None:
        """Take note of a message for workers."""
        match verb:
            case "notify":
                self._work.client.notify(session_id)
            case "workers":
                self._wake.set()
            case "missed":
                self._wake.set()
                for shard in self._open.values():
                    shard.look_up_all()
            case _:
                owned = self._open.get(shard_of(session_id, self._work.shards))
                if owned is not None:
                    owned.look_up(session_id)

    # -- the work -----------------------------------------------------------------------------------------------------

    async def run(self, ownership: Ownership) -> None:
        """
        Follow the share of this worker until it leaves.

        Raises:
            OwnershipLostError: nothing is owned any more.
            Exception: a shard's task ended with it; see `ShardWork`.
        """
        has_left = is_gone = False
        try:
            while True:
                survey = await ownership.survey()
                await self._publish(ownership)
                if self._is_leaving and not has_left:
                    has_left = True
                    await ownership.leave()
                await self._move(ownership, survey)
                if has_left and not self._open and not self._closing:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING):
                        await self._wake.wait()
                self._wake.clear()
                self._check()
        except GeneratorExit:
            is_gone = True  # with its event loop: the tasks are gone, and the client may work in another loop
            raise
        finally:
            if not is_gone:
                self.lose()
                await self._settle()
                for shard in self._shards():
                    await shard.count_overdue()

    async def _publish(self, ownership: Ownership) -> None:
        """Once a second, let everybody know how late this worker is, if that has changed by a second."""
        now = asyncio.get_running_loop().time()
        if now < self._publishes_at:
            return
        self._publishes_at = now + 1.0
        late_by = max((shard.late_by for shard in self._open.values()), default=0.0)
        label = label_of(f"{os.getpid()}@{socket.gethostname()}", late_by)
        if label != self._label:
            self._label = label
            await ownership.publish(label)

    async def _move(self, ownership: Ownership, survey: Survey) -> None:
        done = [number for number, (_, closing) in self._closing.items() if closing.done()]
        for number in done:
            self._closing.pop(number)[1].result()
            await ownership.give_back(number)
        planned = (
            Moves(give_back=tuple(self._open))
            if self._is_leaving
            else moves(survey, self._work.shards, leaving=[*self._closing, *done])
        )
        for number in planned.give_back:
            shard = self._open.pop(number)
            closing = asyncio.create_task(shard.close(), name=f"hpp_async.fleet end of shard {number}")
            closing.add_done_callback(lambda _: self._wake.set())
            self._closing[number] = shard, closing
        self._set_rate()
        for number in planned.take:
            if await ownership.take(number):
                self.has_owned = True
                self._open[number] = ShardWork(number, self._work)
                self._set_rate()

    def _set_rate(self) -> None:
        """Give this worker its part of the fleet's rate: what it owns of all shards; report it if it changed."""
        owned = 0 if self._is_lost else len(self._open)
        rate = self._budget.reads_per_second * owned / self._work.shards
        self._work.client.set_budget(attrs.evolve(self._budget, reads_per_second=max(_NO_READS, rate)))
        if owned != self._owned:
            self._owned = owned
            self._work.client.report(ShardsOwned(worker=self._work.number, owned=owned, shards=self._work.shards))

    def _check(self) -> None:
        self._work.store.life.enter()  # refuses a store that was closed
        if self._is_lost:
            raise OwnershipLostError("the shards may belong to others now")
        for number, shard in self._open.items():
            if shard.task.cancelled():
                raise OwnershipLostError(f"the task of shard {number} was cancelled")
        for task in [task for shard in self._open.values() for task in shard.tasks]:
            if task.done() and not task.cancelled():  # a task that fails cancels the other one first
                try:
                    task.result()
                except FencedError as error:
                    raise OwnershipLostError(str(error)) from error
                except GeneratorExit as error:  # else it would be taken for that of a coroutine whose loop is gone
                    raise RuntimeError("deal_with raised GeneratorExit") from error

    async def _settle(self) -> None:
        """Return once no task of a shard runs: the connections that they wait for are cut."""
        closing = [closing for _, closing in self._closing.values()]
        await end([*closing, *(task for shard in self._shards() for task in shard.tasks)])

    def _shards(self) -> list[ShardWork[Tx]]:
        return [*self._open.values(), *(shard for shard, _ in self._closing.values())]
