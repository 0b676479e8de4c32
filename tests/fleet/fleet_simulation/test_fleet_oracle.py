"""An oracle must be able to fail: fleets that are broken on purpose are found out, each by a promise that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

pytest.importorskip("psycopg_pool")  # the simulation runs the real pool

from fleet_simulation import statements
from fleet_simulation.database import Backend, Database, Row
from fleet_simulation.life import CutOff, Disturbance, Freeze, Kill, Life, Restart, Sold, Terminated
from fleet_simulation.oracle import PROMISES, judge
from fleet_simulation.run import live
from hpp_async.fleet import _channels, _shard, _wait, _worker
from hpp_async.fleet._lease import Lease

Patch = pytest.MonkeyPatch
PAID: Final = Sold(added_at=0.0, changes=((6.0, "IN_PROGRESS"), (12.0, "COMPLETED")))
OPEN: Final = Sold(added_at=0.0, changes=((6.0, "IN_PROGRESS"),))


def life(*disturbances: Disturbance, sold: tuple[Sold, ...] = (PAID, OPEN), **options: Any) -> Life:
    settings: dict[str, Any] = {"skews": (0.0, 0.0), "starts": (0.0, 3.0), "length": 30.0, "shards": 2, **options}
    return Life(seed=1, sold=sold, disturbances=disturbances, **settings)


# -- what can be broken -----------------------------------------------------------------------------------------------


def without_a_fence(patch: Patch) -> None:
    """Both fences: that of the epoch and that of the tokens; and a worker that goes on as if it owned everything."""

    async def lock(database: Database, backend: Backend, _: str, number: int, epoch: int, session: str) -> list[Any]:
        del number, epoch
        found: Row = database.read(backend, ("session", session))
        return [(found.token, True, found.failures, "")]

    patch.setitem(statements.NAMED, "lock", lock)

    async def go_on(_: object) -> None:
        pass

    patch.setattr(_shard, "_is_news", lambda *_: True)
    patch.setattr(_worker.Worker, "_settle", go_on)
    owns_for_ever(patch)


def owns_for_ever(patch: Patch) -> None:
    patch.setattr(Lease, "believed_until", lambda _, sent_at: sent_at + 1e6)
    patch.setattr(_worker.Worker, "lose", lambda worker: worker._wake.set())


def stores_no_token_with_the_effect(patch: Patch) -> None:
    store = statements.NAMED["store"]

    async def without(database: Database, backend: Backend, _: str | None, *parameters: object) -> list[Any]:
        return await store(database, backend, None, *parameters)

    patch.setitem(statements.NAMED, "store", without)


def stores_old_tokens(patch: Patch) -> None:
    async def store(shard: _shard.ShardWork[Any]) -> None:
        assert shard._watch is not None
        async with shard._work.store.transaction() as tx:
            old = [(session, f"hpp1:0:-:-:{session}:WAITING") for session in shard._watch.tokens()]
            await shard._work.store.replace_tokens(tx, old)

    patch.setattr(_shard.ShardWork, "_hand_over", store)


def does_not_look_up_what_it_missed(patch: Patch) -> None:
    patch.setattr(_channels.Channels, "catch_up", lambda _: None)


def loses_the_event_that_failed(patch: Patch) -> None:
    patch.setattr(_shard.ShardWork, "_pause", lambda shard, watch, session, _: shard._let_go(watch, session))


def skips_the_event_that_failed(patch: Patch) -> None:
    patch.setattr(_shard.ShardWork, "_pause", lambda *_: None)


def reads_at_the_whole_rate(patch: Patch) -> None:
    patch.setattr(_worker.Worker, "_set_rate", lambda _: None)


def hides_what_is_parked(patch: Patch) -> None:
    async def overview(database: Database, backend: Backend) -> list[Any]:
        return [row for row in await statements.overview(database, backend) if row[3] is None]

    patch.setitem(statements.NAMED, "overview", overview)


def parks_at_once(patch: Patch) -> None:
    async def fail(database: Database, backend: Backend, *parameters: Any) -> list[Any]:
        return [(100,) for _ in await statements.fail(database, backend, *parameters)]

    patch.setitem(statements.NAMED, "fail", fail)


def tells_no_wait(patch: Patch) -> None:
    patch.setattr(_channels.Channels, "tell_waits", lambda *_: None)
    patch.setattr(_wait, "_LOOK_EVERY", 1e6)


def reads_what_was_discarded(patch: Patch) -> None:
    heard = _worker.Worker.heard

    def deaf(worker: _worker.Worker[Any], verb: str, session: str) -> None:
        if verb != "discard":
            heard(worker, verb, session)

    patch.setattr(_worker.Worker, "heard", deaf)


def forgets_when_reads_are_due(patch: Patch) -> None:
    async def store_nothing(*_: object) -> None:
        pass

    patch.setattr(_shard.ShardWork, "_hand_over", store_nothing)


def takes_shards_and_does_nothing(patch: Patch) -> None:
    patch.setattr(_worker, "ShardWork", lambda number, work: _shard.ShardWork(number + 100, work))


FAILS: Final = Sold(added_at=0.0, changes=((6.0, "COMPLETED"),), failing=1)
PAID_ALREADY: Final = Sold(added_at=0.0, changes=((0.0, "COMPLETED"),), failing=2)
ALONE: Final[dict[str, Any]] = {"skews": (0.0,), "starts": (0.0,)}
ALWAYS_FAILS: Final = Sold(added_at=0.0, changes=((6.0, "COMPLETED"),), failing=100)
CUT: Final = life(CutOff(at=8.0, whom="w0", seconds=20.0), interval=1.0)
MANY: Final = tuple(Sold(added_at=0.0, changes=()) for _ in range(60))

BROKEN: Final[list[tuple[Callable[[Patch], None], Life, str]]] = [
    (without_a_fence, life(Freeze(at=11.9, whom="w0", seconds=10.0, inside="lock"), shards=1), "booked_once"),
    (owns_for_ever, CUT, "followed_by_two"),
    (owns_for_ever, CUT, "without_the_database"),
    (stores_no_token_with_the_effect, life(Kill(at=9.0, worker=0, down_for=1.0), **ALONE), "twice"),
    (stores_old_tokens, life(Restart(at=9.0, worker=0, down_for=1.0)), "older than the stored"),
    (
        does_not_look_up_what_it_missed,
        life(
            Terminated(at=5.0, whom="w0", which="listener"),
            sold=(Sold(added_at=5.05, changes=()),),
            **ALONE,
        ),
        "forgotten",
    ),
    (loses_the_event_that_failed, life(sold=(FAILS,), **ALONE), "every_end_comes"),
    (loses_the_event_that_failed, life(sold=(FAILS,), **ALONE), "forgotten"),
    (skips_the_event_that_failed, life(sold=(PAID_ALREADY,), **ALONE), "every_end_comes"),
    (reads_at_the_whole_rate, life(sold=MANY, interval=1.0, rate=10.0), "one_budget"),
    (hides_what_is_parked, life(sold=(ALWAYS_FAILS,), parked_after=3), "cannot be seen"),
    (parks_at_once, life(sold=(FAILS,)), "is parked"),
    (tells_no_wait, life(), "waits_hear"),
    (reads_what_was_discarded, life(sold=(Sold(added_at=0.0, changes=(), discarded_at=9.0),)), "left_alone"),
    (forgets_when_reads_are_due, life(Restart(at=14.5, worker=0, down_for=1.0), interval=4.0, shards=1), "a_deploy"),
    (takes_shards_and_does_nothing, life(), "forgotten"),
]


@pytest.mark.parametrize(
    ("broken", "of", "promise"), BROKEN, ids=[f"{broken.__name__}: {promise}" for broken, _, promise in BROKEN]
)
def test_a_broken_fleet_is_found_out(
    broken: Callable[[Patch], None], of: Life, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge(live(of))
    broken(monkeypatch)
    wrong = judge(live(of))

    assert whole == []
    assert any(promise in complaint for complaint in wrong), wrong


def test_every_promise_is_broken_by_one_of_them() -> None:
    promises = {promise.__name__ for promise in PROMISES}
    parts = {part for _, _, part in BROKEN} | {"every_end_comes"}

    assert {name for name in promises if not any(part in name for part in parts)} == set()
