"""
Workers that are killed, frozen and cut off, or have wrong calendars, and databases that go away.

In each: every payment is booked exactly once, and every session is followed by exactly one process again, in time.
Deadlines are those of the contract, with room for a machine that is busy with other tests.
"""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from time import monotonic
from typing import Final

import pytest
from fleet_scene import LEASE, Cuttable, Scene, scene, until
from postgres import Cluster

pytestmark = pytest.mark.anyio

BUSY: Final = 3.0
"""Seconds of allowance for the machine."""


async def two_workers(here: Scene, count: int = 40) -> list[str]:
    sessions = await here.add(count)
    await here.start("one")
    await here.start("two")
    await here.are_owned_by(2)
    await here.followed_by({"one", "two"}, sessions)
    return sessions


async def one_follows(here: Scene, name: str, sessions: list[str]) -> None:
    """Check that every session is read by this worker and by nobody else, for a while."""
    began = monotonic()
    await here.followed_by({name}, sessions)
    await here.followed_by({name}, sessions)

    assert {reader for session in sessions for reader in here.readers(session, began)} == {name}


async def test_a_killed_worker_is_replaced_within_a_second(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here)
        here.pay(sessions[:20])
        await here.workers[0].end(signal.SIGKILL)
        took = await here.followed_by({"two"}, sessions[20:])
        here.pay(sessions[20:])
        await here.are_booked_once(sessions)

    print(f"taken over within {took:.2f} s")
    assert took < 1.0 + BUSY


async def test_a_frozen_worker_is_replaced_after_the_lease_and_fenced_off(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here)
        here.workers[0].send(signal.SIGSTOP)
        took = await here.followed_by({"two"}, sessions[20:])
        here.pay(sessions)
        await here.are_booked_once(sessions)
        here.workers[0].send(signal.SIGCONT)
        more = await here.add(20)
        await here.are_owned_by(2)
        here.pay(more)
        await here.are_booked_once([*sessions, *more])

    print(f"taken over within {took:.2f} s")
    assert took < LEASE + 2.0 + BUSY


async def test_a_worker_that_is_cut_off_stops_reading_and_is_replaced_after_the_lease(database: Cluster) -> None:
    async with Cuttable(database.port) as proxy, scene(database) as here:
        sessions = await here.add(40)
        await here.start("one", database.conninfo.replace(str(database.port), str(proxy.port)))
        await here.start("two")
        await here.are_owned_by(2)
        await here.followed_by({"one", "two"}, sessions)
        proxy.cut()
        took = await here.followed_by({"two"}, sessions)
        await one_follows(here, "two", sessions)  # it stopped although nothing told it to
        here.pay(sessions[:20])
        for session in sessions[:20]:
            await here.fleet.wait_for_outcome(session)
        proxy.mend()
        await here.are_owned_by(2)
        here.pay(sessions[20:])
        await here.are_booked_once(sessions)

    print(f"taken over within {took:.2f} s")
    assert took < LEASE + 2.0 + BUSY


async def test_workers_whose_calendars_are_hours_apart_follow_one_another_and_agree_on_what_has_expired(
    database: Cluster,
) -> None:
    async with scene(database) as here:
        # By one of the calendars all of them expired an hour ago, and by the other one they expire in three hours.
        sessions = await here.add(44, lifetime=timedelta(hours=1))
        paid, paid_later, unpaid = sessions[:16], sessions[16:28], sessions[28:]
        await here.start("ahead", hours=2)
        await here.start("behind", hours=-2)
        await here.are_owned_by(2)
        await here.followed_by({"ahead", "behind"}, sessions)
        here.pay(paid)
        await here.workers[0].end(signal.SIGKILL)
        took = [await here.followed_by({"behind"}, [*paid_later, *unpaid])]
        await here.start("ahead-again", hours=2)
        await here.are_owned_by(2)
        await here.workers[1].end(signal.SIGKILL)
        took.append(await here.followed_by({"ahead-again"}, [*paid_later, *unpaid]))
        await here.start("behind-again", hours=-2)
        await here.are_owned_by(2)
        await here.are_booked_once(paid)  # and no other session, so none was taken for expired
        here.pay(paid_later)
        here.expire(unpaid)
        await here.are_booked_once(sessions)

        assert await here.endings() == {
            **dict.fromkeys([*paid, *paid_later], "Completed"),
            **dict.fromkeys(unpaid, "Expired"),
        }

    print(f"taken over within {took[0]:.2f} s and {took[1]:.2f} s")
    assert max(took) < LEASE + 2.0 + BUSY


async def test_terminated_backends_are_replaced(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here)
        for number in range(5):
            here.pay(sessions[number * 8 : number * 8 + 8])
            async with here.store.transaction() as tx:
                await tx.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
            await asyncio.sleep(0.3)
        await here.are_owned_by(2)
        await here.are_booked_once(sessions)


@pytest.mark.parametrize("is_killed", [False, True], ids=["restarted", "killed"])
async def test_a_database_that_restarts_stops_the_reads_and_loses_nothing(database: Cluster, is_killed: bool) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here)
        here.pay(sessions[:20])
        if is_killed:
            database.kill()
            await asyncio.sleep(0.5)
        else:
            await asyncio.to_thread(database.stop, "fast")
        await asyncio.sleep(LEASE)
        stopped_at = monotonic()
        await asyncio.sleep(1.0)
        reads = [session for session in sessions if here.readers(session, stopped_at)]
        await asyncio.to_thread(database.start)
        await here.are_owned_by(2)
        here.pay(sessions[20:])
        await here.are_booked_once(sessions)

    assert reads == []


async def test_a_rolling_restart_under_load_books_everything_once_and_leaves_no_gap(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here, 60)
        for number in range(4):
            here.pay(sessions[number * 15 : number * 15 + 15])
            await here.start(f"next-{number}")
            await here.are_owned_by(3)
            assert await here.workers[number].end() == 0
        await here.are_owned_by(2)
        await here.are_booked_once(sessions)


async def test_shards_move_to_workers_that_come_and_from_workers_that_go(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await here.add(30)
        await here.start("one")
        await here.are_owned_by(1)
        for number, name in enumerate(("two", "three", "four"), start=2):
            await here.start(name)
            await here.are_owned_by(number)
        for number in range(3):
            assert await here.workers[number].end() == 0
            began = monotonic()
            await here.are_owned_by(3 - number)
            assert monotonic() - began < 5.0 + BUSY
        await one_follows(here, "four", sessions)


async def test_a_callback_at_any_process_reaches_the_owner(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await two_workers(here, 10)
        here.pay(sessions)
        async with asyncio.TaskGroup() as tasks:
            for session in sessions:
                tasks.create_task(here.fleet.notify(session))
        await here.are_booked_once(sessions)


async def test_all_that_workers_read_stays_within_one_budget(database: Cluster) -> None:
    async with scene(database) as here:
        sessions = await here.add(100)  # each due every 0.2 s: 500 reads a second, for which the budget has 200
        for name in ("one", "two", "three"):
            await here.start(name)
        await here.are_owned_by(3)
        await asyncio.sleep(2.0)
        began = monotonic()
        await asyncio.sleep(4.0)
        moments = sorted(at for session in sessions for at, _ in here.reads[session] if began < at)

    # The windows of three processes are not the same, and requests take time to arrive.
    most = max(sum(at <= other < at + 1.0 for other in moments) for at in moments[::10])
    print(f"{len(moments) / 4.0:.0f} reads a second, at most {most} in one")
    assert most <= 200 * 1.1


async def test_a_frozen_transaction_keeps_nobody_from_the_session(database: Cluster) -> None:
    async with scene(database) as here:
        [session] = await here.add(1)
        await here.start("one")
        await until(lambda: session in here.reads)
        async with here.store.transaction() as tx:
            # The next event waits for this lock, in the middle of the worker's transaction.
            await tx.execute("LOCK TABLE booked IN ACCESS EXCLUSIVE MODE")
            here.pay([session])
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            while not (await (await tx.execute(waiting)).fetchall()):  # noqa: ASYNC110 - nobody sets an event for it
                await asyncio.sleep(0.02)
            here.workers[0].send(signal.SIGSTOP)
        await here.start("two")
        await here.are_booked_once([session])
        here.workers[0].send(signal.SIGCONT)
        await here.are_owned_by(2)

        assert await here.booked() == {session: 1}
