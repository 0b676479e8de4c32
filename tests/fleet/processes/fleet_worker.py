"""A worker of a fleet as a process of its own: started, killed and frozen by the tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from datetime import datetime, timedelta

from hpp_async import Completed, Expired, HPPClient, PollSchedule, ReadBudget, WatchEvent
from hpp_async._loop import LoopClock
from hpp_async.fleet import Fleet, PostgresStore, PostgresTransaction

AUTH = ("PK00000_test", "not-a-secret")


class WrongClock(LoopClock):
    """The clock of a machine whose calendar is wrong by so many hours."""

    def __init__(self, hours: float) -> None:
        super().__init__()
        self._skew = timedelta(hours=hours)

    def today(self) -> datetime:
        return super().today() + self._skew


async def deal_with(event: WatchEvent, tx: PostgresTransaction) -> None:
    if isinstance(event.news, Completed | Expired):
        # There is no constraint on it: whoever books a payment twice is found out.
        await tx.execute(
            "INSERT INTO booked (session_id, worker, ending) VALUES (%s, %s, %s)",
            (event.session_id, sys.argv[1], type(event.news).__name__),
        )


def show_tasks() -> None:
    """Show where everything waits, for a test that fails."""
    for task in asyncio.all_tasks():
        task.print_stack(limit=8)


async def main(name: str, conninfo: str, endpoint: str, lease: str, rate: str, hours: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show_tasks)
    client = HPPClient(
        auth=AUTH,
        endpoint=endpoint,
        schedule=PollSchedule.every(0.2),
        budget=ReadBudget(float(rate)),
        user_agent=name,
        clock=WrongClock(float(hours)),
    )
    async with client, PostgresStore(conninfo) as store:
        await Fleet(client, store, shards=8, lease=float(lease)).work(deal_with)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s {sys.argv[1]} %(message)s")
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
