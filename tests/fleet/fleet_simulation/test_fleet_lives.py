"""A few hundred lives of the real fleet keep every promise; `python -m fleet_simulation` lives thousands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("psycopg_pool")  # the simulation runs the real pool

from fleet_simulation.__main__ import replay_command
from fleet_simulation.drawing import life_of
from fleet_simulation.life import SHOP, Freeze, Life, Outage, Sold, Terminated
from fleet_simulation.oracle import judge
from fleet_simulation.run import live

TESTS: Final = Path(__file__).parents[1]
FEW: Final = range(60)
MANY: Final = range(1000, 1300)
INTERESTING: Final = {
    *("Kill", "Restart", "Freeze", "CutOff", "Outage", "Terminated", "Flaky"),
    *("deal_with failed", "callback lost", "parked", "discarded"),
}
"""What a short run must meet: one that meets nothing would keep every promise."""
PAID: Final = Sold(added_at=0.0, changes=((6.0, "IN_PROGRESS"), (12.0, "COMPLETED")))


def keep_every_promise(seeds: range) -> None:
    met: Counter[str] = Counter()
    for seed in seeds:
        record = live(life_of(seed))
        met += record.met
        assert not (wrong := judge(record)), "\n".join([*wrong, "live it again with:", replay_command(seed)])

    assert INTERESTING - set(met) == set()


def test_lives_of_a_fleet_keep_every_promise() -> None:
    keep_every_promise(FEW)


@pytest.mark.thorough
def test_many_lives_of_a_fleet_keep_every_promise() -> None:
    keep_every_promise(MANY)


def test_the_same_seed_is_the_same_life_of_a_fleet_in_another_process() -> None:
    seeds = [3, 9, 41]
    here = "\n".join(line for seed in seeds for line in live(life_of(seed)).trace)
    script = (
        "import logging; logging.disable()\n"
        "from fleet_simulation.drawing import life_of; from fleet_simulation.run import live\n"
        f"for seed in {seeds}: print(*live(life_of(seed)).trace, sep='\\n')"
    )
    path = os.pathsep.join([str(TESTS), *sys.path])
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert there.splitlines() == here.splitlines()


# -- what the simulation has found ------------------------------------------------------------------------------------


def test_after_a_long_outage_of_the_database_a_worker_is_back_within_seconds() -> None:
    # The pool paused for longer after each try: in the end for as long as the outage had lasted.
    life = Life(
        seed=1, skews=(0.0,), starts=(2.0,), sold=(PAID,), disturbances=(Outage(at=1.0, seconds=40.0),), length=30.0
    )

    assert judge(live(life)) == []


@pytest.mark.parametrize("inside", ["begin", "lock", "book", "fail", "retry"])
def test_a_worker_that_is_frozen_in_a_transaction_keeps_nobody_from_a_session(inside: str) -> None:
    # The transaction that counts a failure held the row of its session until the worker was thawed.
    life = Life(
        seed=1,
        skews=(0.0, 0.0),
        starts=(0.0, 3.0),
        sold=(PAID, Sold(added_at=4.6, changes=((5.0, "COMPLETED"),), failing=1)),
        disturbances=(Freeze(at=4.5, whom="w0", seconds=60.0, inside=inside),),
        shards=1,
    )
    record = live(life)

    assert judge(record) == []
    assert [trouble.end - trouble.start for trouble in record.troubles] == [pytest.approx(60.0)]


@pytest.mark.parametrize("inside", ["settle_shards", "next_epoch", "load"])
def test_a_worker_that_is_frozen_while_it_begins_keeps_nobody_from_a_shard(inside: str) -> None:
    # So did the transaction that counts the owners of a shard, and that which all workers begin with.
    life = Life(
        seed=1,
        skews=(0.0, 0.0),
        starts=(1.0, 2.0),
        sold=(PAID,),
        disturbances=(Freeze(at=0.0, whom="w0", seconds=60.0, inside=inside),),
        shards=1,
    )

    assert judge(live(life)) == []


def test_a_shop_that_is_frozen_while_it_adds_a_session_keeps_no_worker_from_others() -> None:
    sold = Sold(added_at=1.0, changes=((30.0, "COMPLETED"),), discarded_at=5.0)
    life = Life(
        seed=1,
        skews=(0.0,),
        starts=(0.0,),
        sold=(sold, PAID),
        disturbances=(Freeze(at=4.0, whom=SHOP, seconds=60.0, inside="discard"),),
        shards=1,
    )

    assert judge(live(life)) == []


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.02, 0.05])
def test_a_session_that_is_added_and_discarded_and_added_again_at_once_is_followed(seconds: float) -> None:
    # What came while the session was looked up was forgotten.
    sold = Sold(added_at=3.0, changes=((8.0, "COMPLETED"),), discarded_at=4.0, added_again_at=4.0 + seconds)
    for seed in range(5):
        life = Life(seed=seed, skews=(0.0,), starts=(0.0,), sold=(sold,), disturbances=(), travel=0.02, length=20.0)

        assert judge(live(life)) == []


def test_a_message_that_is_lost_with_its_connection_is_made_up_for() -> None:
    life = Life(
        seed=1,
        skews=(0.0,),
        starts=(0.0,),
        sold=(Sold(added_at=5.05, changes=((8.0, "COMPLETED"),)),),
        disturbances=(Terminated(at=5.0, whom="w0", which="listener"),),
        length=20.0,
    )

    assert judge(live(life)) == []
