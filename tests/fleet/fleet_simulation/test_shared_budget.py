"""The workers of a fleet share one budget, while they come and go, and more reads are due than it allows."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from statistics import mean
from typing import Any, Final

import attrs
import pytest

pytest.importorskip("psycopg_pool")  # the simulation runs the real pool

from fleet_simulation.life import Kill, Life, Sold
from fleet_simulation.record import Record, session_id
from fleet_simulation.run import live
from hpp_async import ReadBudget
from hpp_async._core.token_bucket import TokenBucket
from hpp_async.fleet import Fleet, _division, _worker
from hpp_async.fleet._division import Moves, shard_of
from hpp_async.fleet._worker import Worker

SHARDS: Final = 12
EACH: Final = 20
"""Sessions per shard: as many in each, as it is with thousands of them."""

RATE: Final = 60
INTERVAL: Final = 4.0
JITTER: Final = 0.9
"""The share of the delay that is random: sessions that are read together come apart at once then."""

MEAN: Final = INTERVAL * (1.0 - JITTER / 2)
STRETCH: Final = SHARDS * EACH / MEAN / RATE
"""By how much the budget lengthens each delay: with three workers, with two, and with three again."""

KILLED_AT: Final = 20.0
BACK_AT: Final = 34.0
ENDS_AT: Final = 46.0
LEASE: Final = 2.0


def sold() -> Iterator[Sold]:
    """Yield sessions until each shard has enough; the others are discarded soon."""
    counts = Counter[int]()
    number = 0
    while len(counts) < SHARDS or min(counts.values()) < EACH:
        shard = shard_of(session_id(number), SHARDS)
        counts[shard] += 1
        yield Sold(added_at=1.0, changes=(), discarded_at=3.0 if counts[shard] > EACH else None)
        number += 1


def life() -> Life:
    return Life(
        seed=1,
        skews=(0.0, 7200.0, -3600.0),
        starts=(0.0, 0.3, 5.0),
        sold=tuple(sold()),
        disturbances=(Kill(at=KILLED_AT, worker=1, down_for=BACK_AT - KILLED_AT),),
        shards=SHARDS,
        lease=LEASE,
        interval=INTERVAL,
        jitter=JITTER,
        rate=RATE,
        quota=2 * RATE,
        own_calls=20.0,
        length=ENDS_AT,
    )


@pytest.fixture(scope="module")
def record() -> Record:
    return live(life())


def busiest_second(record: Record) -> int:
    """Return the number of reads in the second with most of them, of all workers together."""
    reads = [read.at for read in record.reads]
    return max(bisect_left(reads, at + 1.0 - 1e-6) - index for index, at in enumerate(reads))


def reads_per_second(record: Record, start: float, end: float) -> float:
    return sum(start <= read.at < end for read in record.reads) / (end - start)


def slowest_second(record: Record, start: float, end: float) -> float:
    """Return the reads in the second with fewest of them, of all workers together."""
    return min(reads_per_second(record, start + second, start + second + 1.0) for second in range(int(end - start)))


def stretches(record: Record, start: float, end: float) -> dict[str, float]:
    """Return by how much the delays of each worker's sessions are stretched: the mean time between two reads tells."""
    reads, sessions = Counter[str](), dict[str, set[int]]()
    for read in record.reads:
        if start <= read.at < end:
            reads[read.worker] += 1
            sessions.setdefault(read.worker, set()).add(read.session)
    return {worker: len(sessions[worker]) * (end - start) / count / MEAN for worker, count in reads.items()}


def test_in_every_second_the_workers_together_read_no_more_than_the_budget(record: Record) -> None:
    assert busiest_second(record) <= RATE


def test_the_merchants_own_calls_are_not_refused(record: Record) -> None:
    calls = {name: count for name, count in record.met.items() if name.startswith("own call")}

    assert calls.keys() == {"own call: 200"}
    assert calls["own call: 200"] >= 20 * (ENDS_AT - 1)


@pytest.mark.parametrize(
    ("start", "end", "workers"),
    [(8.0, KILLED_AT, 3), (KILLED_AT + 2 * LEASE, BACK_AT, 2), (BACK_AT + 2.0, ENDS_AT, 3)],
)
def test_all_workers_stretch_their_delays_alike(record: Record, start: float, end: float, workers: int) -> None:
    found = stretches(record, start, end)

    assert len(found) == workers
    assert max(found.values()) <= 1.1 * min(found.values())
    assert mean(found.values()) == pytest.approx(STRETCH, rel=0.1)


def test_a_lease_and_a_second_after_a_worker_was_killed_the_others_read_at_the_full_rate(record: Record) -> None:
    assert reads_per_second(record, 8.0, KILLED_AT) >= 0.9 * RATE
    assert slowest_second(record, KILLED_AT + LEASE + 1.0, BACK_AT) >= 0.9 * RATE


def listening() -> Life:
    """Return a life with one worker, and a shop that adds, waits, gets callbacks and discards."""
    paid = Sold(added_at=1.0, changes=((5.0, "IN_PROGRESS"), (9.0, "COMPLETED")), callbacks=(3.0, 5.1, 7.0, 9.1))
    left = attrs.evolve(paid, changes=(), discarded_at=8.0)
    return Life(seed=1, skews=(0.0,), starts=(0.0,), sold=(paid, paid, left), disturbances=(), length=12.0)


def readers(record: Record) -> set[str]:
    return {read.worker for read in record.reads}


def test_a_process_that_only_listens_reads_nothing(record: Record) -> None:
    alone = live(listening())

    assert readers(alone) == {"w0.0"}
    assert {heard.status for heard in alone.heard} == {"WAITING", "IN_PROGRESS", "COMPLETED"}
    assert readers(record) == {"w0.0", "w1.0", "w1.1", "w2.0"}


# -- what the tests above would find ----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["add", "notify", "discard", "wait_for_outcome"])
def test_a_process_that_reads_where_it_should_only_listen_is_found_out(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens = getattr(Fleet, call)

    def reads(fleet: Fleet[Any], session: str) -> object:
        asyncio.get_running_loop().create_task(fleet._client.read_session(session))
        return listens(fleet, session)

    monkeypatch.setattr(Fleet, call, reads)

    assert "shop" in readers(live(listening()))


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["slowly", "late"])
def test_workers_that_do_not_make_up_for_a_killed_one_do_not_read_at_the_full_rate(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate, next_moves, killed_at = Worker._set_rate, _division.moves, 12.0

    def is_over() -> bool:
        return not killed_at <= asyncio.get_running_loop().time() <= killed_at + LEASE + 2.0

    def keep_the_rate(worker: Worker[Any]) -> None:
        if asyncio.get_running_loop().time() < killed_at:
            set_rate(worker)

    def wait(*args: Any, **options: Any) -> Moves:
        return next_moves(*args, **options) if is_over() else Moves()

    if how == "slowly":
        monkeypatch.setattr(Worker, "_set_rate", keep_the_rate)
    else:
        monkeypatch.setattr(_worker, "moves", wait)
    kill = Kill(at=killed_at, worker=1, down_for=60.0)
    record = live(attrs.evolve(life(), disturbances=(kill,), length=18.0))

    assert slowest_second(record, 8.0, killed_at) >= 0.9 * RATE
    assert slowest_second(record, killed_at + LEASE + 1.0, 18.0) < 0.8 * RATE


@pytest.mark.thorough
def test_workers_that_do_not_divide_the_rate_read_more_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "_set_rate", bool)
    monkeypatch.setattr(TokenBucket, "answered", lambda *_: None)  # else reads pause where little of the quota is left
    record = live(attrs.evolve(life(), disturbances=(), length=12.0, quota=RATE + 30))

    assert busiest_second(record) > 1.3 * RATE
    assert record.met["own call: 429"] > 0


@pytest.mark.thorough
def test_workers_that_do_not_divide_the_rate_by_shards_stretch_delays_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def uneven(workers: Collection[int], shards: int) -> dict[int, int]:
        each = (7, 5) if len(workers) == 2 else (shards,)
        return dict(zip(sorted(workers), each, strict=True))

    def evenly(worker: Worker[Any]) -> None:
        worker._work.client.set_budget(ReadBudget(RATE / 2))

    monkeypatch.setattr(_division, "shares", uneven)
    two = attrs.evolve(life(), skews=(0.0, 0.0), starts=(0.0, 0.3), disturbances=(), length=12.0)
    by_shards = stretches(live(two), 4.0, 12.0).values()
    monkeypatch.setattr(Worker, "_set_rate", evenly)
    not_by_shards = stretches(live(two), 4.0, 12.0).values()

    assert max(by_shards) <= 1.1 * min(by_shards)
    assert max(not_by_shards) > 1.1 * min(not_by_shards)
