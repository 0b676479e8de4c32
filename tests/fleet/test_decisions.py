"""What a fleet decides, as values: who takes which shard, how long a lease holds, when a failure comes again."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpp_async import ConfigurationError
from hpp_async.fleet import FleetWorker
from hpp_async.fleet._division import BUCKETS, Moves, Survey, bucket_of, moves, shard_of, shares
from hpp_async.fleet._label import label_of, worker_of
from hpp_async.fleet._lease import PARKED_AFTER, PING, Lease, reconnect_after, retry_after

members = st.frozensets(st.integers(1, 99_999), min_size=1, max_size=12)
shard_counts = st.integers(1, 64)


# -- shards ---------------------------------------------------------------------------------------------------------


def test_a_session_is_in_the_same_shard_in_every_version_of_this_library() -> None:
    # Stored in databases: these numbers must never change.
    assert [bucket_of(session_id) for session_id in ("a", "b", "0f5cd5b0-9bc9-4d9a-9e3c-7d1b2f4a6c8e")] == [
        274,
        2070,
        2305,
    ]
    assert shard_of("a", 16) == 274 % 16


def test_sessions_are_spread_evenly() -> None:
    chance = random.Random(13)
    count = Counter(shard_of(f"{chance.getrandbits(128):032x}", 16) for _ in range(16_000))

    assert len(count) == 16
    assert all(850 < sessions < 1150 for sessions in count.values())
    assert BUCKETS >= 64


@given(members, shard_counts)
def test_all_shards_are_shared_out_and_no_worker_gets_two_more_than_another(
    workers: frozenset[int], shards: int
) -> None:
    out = shares(workers, shards)

    assert out.keys() == workers
    assert sum(out.values()) == shards
    assert max(out.values()) - min(out.values()) <= 1


@given(st.data(), members, shard_counts, st.randoms(use_true_random=False))
def test_workers_come_to_a_fair_division_from_any_other(
    data: st.DataObject, workers: frozenset[int], shards: int, chance: random.Random
) -> None:
    owners = {
        shard: data.draw(st.sampled_from(sorted(workers)))
        for shard in range(shards)
        if data.draw(st.booleans(), label=f"shard {shard} is owned")
    }
    for _ in range(2):  # each worker twice: once to give back, once to take what others gave back
        for me in chance.sample(sorted(workers), len(workers)):
            step = moves(Survey(me=me, workers=workers, owners=dict(owners)), shards)
            for shard in step.give_back:
                assert owners.pop(shard) == me
            for shard in step.take:
                assert shard not in owners
                owners[shard] = me

    held = Counter(dict.fromkeys(workers, 0) | Counter(owners.values()))
    assert owners.keys() == set(range(shards))
    assert max(held.values()) - min(held.values()) <= 1


@given(members, shard_counts)
def test_a_fair_division_stays_as_it_is(workers: frozenset[int], shards: int) -> None:
    out = shares(workers, shards)
    owners = dict(enumerate(worker for worker, share in out.items() for _ in range(share)))

    assert {moves(Survey(me=me, workers=workers, owners=owners), shards) for me in workers} == {Moves()}


def test_a_shard_that_is_being_given_back_is_neither_taken_nor_counted() -> None:
    survey = Survey(me=1, workers=frozenset({1, 2}), owners={0: 1, 1: 1, 2: 1, 3: 1})

    assert moves(survey, 4) == Moves(give_back=(2, 3))
    assert moves(survey, 4, leaving=[2, 3]) == Moves()


def test_a_worker_that_leaves_takes_nothing_from_the_share_of_the_others() -> None:
    # It has given up the lock that workers share, and still owns what it is handing over.
    survey = Survey(me=2, workers=frozenset({2}), owners={0: 1, 1: 1, 2: 2, 3: 2})

    assert moves(survey, 4) == Moves()
    assert moves(Survey(me=2, workers=frozenset({2}), owners={2: 2, 3: 2}), 4) == Moves(take=(0, 1))


# -- the lease ------------------------------------------------------------------------------------------------------


@given(st.floats(2.0, 300.0), st.floats(0.0, 1e6))
def test_a_worker_stops_believing_before_the_database_ends_its_session(seconds: float, sent_at: float) -> None:
    believed = Lease(seconds).believed_until(sent_at)

    # The database counts from when the ping arrived, which is later than when it was sent.
    assert sent_at + PING < believed < sent_at + seconds
    assert Lease(seconds).milliseconds == round(seconds * 1000)


@pytest.mark.parametrize("seconds", [0, 1.9, -5, 301, float("nan"), float("inf"), True, "5", None])
def test_a_lease_that_the_ping_does_not_allow_is_refused(seconds: object) -> None:
    with pytest.raises(ConfigurationError, match=r"lease=.*: give from 2 to 300 seconds"):
        Lease(seconds)  # type: ignore[arg-type]  # that is what is tried


# -- what failed ----------------------------------------------------------------------------------------------------


@given(st.integers(1, PARKED_AFTER - 1), st.floats(0, 1, exclude_max=True))
def test_pauses_double_and_are_spread(failures: int, draw: float) -> None:
    pause = retry_after(failures, draw)
    usual = min(300.0, 2.0 ** (failures - 1))

    assert pause is not None
    assert 0.75 * usual <= pause <= 1.25 * usual


def test_what_failed_ten_times_is_parked() -> None:
    assert [retry_after(failures, 0.5) for failures in (1, 2, 9, 10, 11)] == [1.0, 2.0, 256.0, None, None]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_database_is_tried_again_within_seconds(failures: int, draw: float) -> None:
    assert 0.075 <= reconnect_after(failures, draw) <= 6.25


# -- what a worker says of itself -------------------------------------------------------------------------------------


def test_a_label_says_who_a_worker_is_and_how_late_it_is() -> None:
    assert worker_of(1, label_of("4711@web-1", 3.9)) == FleetWorker(owner=1, name="4711@web-1", late_by=3)


@pytest.mark.parametrize("label", [None, "", "psql", "hpp_async late=x 1@a"])
def test_what_is_no_label_says_nothing(label: str | None) -> None:
    assert worker_of(1, label) == FleetWorker(owner=1, name=None, late_by=None)
