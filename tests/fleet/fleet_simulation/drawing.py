"""From a seed to a life of a fleet: the same seed, the same life."""

from __future__ import annotations

from random import Random
from typing import Final

from fleet_simulation.life import (
    SHOP,
    CutOff,
    Disturbance,
    Flaky,
    Freeze,
    Kill,
    Life,
    Outage,
    Restart,
    Sold,
    Terminated,
)

_STORIES: Final = (
    ("IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "BACK", "IN_PROGRESS", "ERROR", "COMPLETED"),
    ("COMPLETED",),
    ("IN_PROGRESS", "CANCELLED"),
    ("DISABLED",),
    ("IN_PROGRESS",),
    (),
)
_INSIDE: Final = ("begin", "next_epoch", "lock", "book", "fail", "lock_tokens", "add", "row", "settle_shards")


def life_of(seed: int) -> Life:
    """Return the life that *seed* stands for."""
    chance = Random(seed)
    length = chance.choice((30.0, 45.0, 60.0))
    workers = chance.choice((1, 2, 2, 3, 3, 4))
    lease = chance.choice((2.0, 2.0, 3.0, 5.0))
    names = [f"w{number}" for number in range(workers)]
    count = chance.choice((0, 1, 1, 2, 2, 3, 4, 6))
    return Life(
        seed=seed,
        skews=tuple(chance.choice((0.0, 0.0, -7200.0, 7200.0, 30.0)) for _ in names),
        starts=tuple(chance.choice((0.0, 0.0, chance.uniform(0.0, 3.0), chance.uniform(0.0, length))) for _ in names),
        sold=tuple(_sold(chance, length) for _ in range(chance.choice((1, 2, 3, 5, 8)))),
        disturbances=_disturbances(chance, names, length, count),
        shards=chance.choice((1, 2, 3, 4, 4, 6)),
        lease=lease,
        interval=chance.choice((1.0, 2.0, 2.0, 4.0)),
        rate=chance.choice((50.0, 50.0, 12.0)),
        parked_after=chance.choice((3, 6)),
        travel=chance.choice((0.0, 0.002, 0.02, 0.2)),
        latency=chance.choice((0.0, 0.2, 0.2, 2.0)),
        length=length,
    )


def _sold(chance: Random, length: float) -> Sold:
    added_at = chance.choice((0.0, 0.0, chance.uniform(0.0, length)))
    at, changes = added_at - chance.choice((0.0, 5.0)), list[tuple[float, str]]()
    for status in chance.choice(_STORIES):
        at = round(at + chance.choice((0.5, chance.uniform(0.0, 10.0), chance.uniform(0.0, length / 3))), 3)
        changes.append((at, status))
    discarded_at = chance.uniform(added_at, length) if chance.random() < 0.15 else None
    is_added_again = discarded_at is not None and chance.random() < 0.7
    failing = chance.choice((1, 2, 5, 100)) if chance.random() < 0.25 else 0
    return Sold(
        added_at=added_at,
        changes=tuple(changes),
        discarded_at=discarded_at,
        added_again_at=(discarded_at or 0.0) + chance.choice((0.0, 0.01, 0.3, 10.0)) if is_added_again else None,
        callbacks=tuple(at for at, _ in changes if at > added_at and chance.random() < 0.4),
        failing=failing,
        slow=chance.choice((0.0, 0.0, 0.0, 0.0, 0.1, 1.0, 4.0)),
    )


def _disturbances(chance: Random, names: list[str], length: float, count: int) -> tuple[Disturbance, ...]:
    disturbances, at = list[Disturbance](), 0.0
    for _ in range(count):
        # What comes on top of something else finds the processes in the middle of recovering.
        at = chance.choice((chance.uniform(0.0, length), at + chance.uniform(0.0, 4.0)))
        disturbances.append(_disturbance(chance, names, at))
    return tuple(sorted(disturbances, key=lambda disturbance: disturbance.at))


def _disturbance(chance: Random, names: list[str], at: float) -> Disturbance:
    worker = chance.randrange(len(names))
    whom = chance.choice((*names, *names, *names, SHOP))
    seconds = chance.choice((0.3, 1.0, 3.0, 10.0, chance.uniform(0.0, 30.0)))
    inside = chance.choice(("", "", "", *_INSIDE))
    match chance.choice(("kill", "kill", "restart", "restart", "freeze", "freeze", "cut", "outage", "end", "flaky")):
        case "kill":
            return Kill(at=at, worker=worker, down_for=chance.choice((0.0, 2.0, 10.0)), inside=inside)
        case "restart":
            return Restart(at=at, worker=worker, down_for=chance.choice((0.0, 2.0, 10.0)))
        case "freeze":
            return Freeze(at=at, whom=whom, seconds=seconds, inside=inside)
        case "cut":
            return CutOff(at=at, whom=whom, seconds=seconds, inside=inside)
        case "outage":
            return Outage(at=at, seconds=chance.choice((seconds, chance.uniform(0.0, 60.0))))
        case "end":
            return Terminated(at=at, whom=whom, which=chance.choice(("one", "all", "listener")), inside=inside)
        case _:
            return Flaky(at=at, seconds=seconds, share=chance.choice((0.05, 0.3)))
