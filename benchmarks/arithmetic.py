"""
When a schedule reads and what it sees, computed for many lives at once by the client's rules.

Some of the compared pollers make 50,000 reads per session. The real client is too slow to make them for thousands of
sessions, even in virtual time. `benchmarks.schedule` runs the real client on some of the same lives and reports how far
both agree.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from benchmarks.lives import Floats, Lives

GRACE: Final = 5.0
"""Seconds after expiry at which the last look is taken, as the client does it."""

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class Law(Protocol):
    """A schedule, over many sessions at once."""

    def delays(self, is_waiting: Bools, age: Floats, count: int, draw: Floats) -> Floats:
        """Return the seconds to the next read of each session; *count* reads were made, *age* is that of the status."""
        ...


@attrs.frozen
class Every:
    """A fixed *interval*: its reads are computed without stepping through them."""

    interval: float

    def delays(self, is_waiting: Bools, age: Floats, count: int, draw: Floats) -> Floats:
        return np.full(len(age), self.interval)


@attrs.frozen
class Seen:
    """The reads that a schedule made of each life, and what they showed."""

    lives: Lives
    reads: Counts
    latency: Floats
    """Seconds from the end to the read that showed it; NaN where the session expired."""
    saw_progress: Bools


def draws(numbers: npt.NDArray[np.uint64], count: int) -> Floats:
    """Return each session's random draw for its read *count*: a function of both, so that runs can be compared."""
    x = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(count * 0xD1B54A32D192ED03 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def run(lives: Lives, law: Law) -> Seen:
    """Read every session from its creation until the schedule sees its end or expiry."""
    if isinstance(law, Every):
        return _regular(lives, law.interval)
    total = len(lives)
    last_look = lives.lifetime + GRACE
    reads, latency = np.zeros(total, np.int64), np.full(total, np.nan)
    saw_progress = np.zeros(total, np.bool_)

    which: Counts = np.arange(total)
    numbers: npt.NDArray[np.uint64] = which.astype(np.uint64)
    opened, ended = lives.opened, lives.ended
    now: Floats = np.zeros(total)
    is_under_way: Bools = np.ones(total, np.bool_)
    count = 0
    while is_under_way.any():
        if is_under_way.mean() < 0.9:
            which, numbers = which[is_under_way], numbers[is_under_way]
            opened, ended, now = opened[is_under_way], ended[is_under_way], now[is_under_way]
            is_under_way = np.ones(len(which), np.bool_)
        count += 1
        is_over = is_under_way & ((ended <= now) | (now >= last_look))
        if is_over.any():
            over = which[is_over]
            reads[over] = count
            latency[over] = np.where(ended[is_over] <= now[is_over], now[is_over] - ended[is_over], np.nan)
            is_under_way = is_under_way & ~is_over
        is_waiting = opened > now
        saw_progress[which[is_under_way & ~is_waiting]] = True
        # Ages are measured against the provider's Date header, which has whole seconds.
        age = np.maximum(0.0, np.floor(now) - np.where(is_waiting, 0.0, opened))
        now = np.minimum(now + law.delays(is_waiting, age, count, draws(numbers, count)), last_look)
    return Seen(lives, reads, latency, saw_progress)


def _regular(lives: Lives, interval: float) -> Seen:
    looks = np.ceil(np.minimum(lives.ended, lives.lifetime + GRACE) / interval)
    shown = np.minimum(looks * interval, lives.lifetime + GRACE)
    is_over = np.isfinite(lives.ended)
    first = np.ceil(np.where(np.isfinite(lives.opened), lives.opened, 0.0) / interval) * interval
    saw_progress = np.isfinite(lives.opened) & (first < np.minimum(lives.ended, lives.lifetime + GRACE))
    return Seen(lives, looks.astype(np.int64) + 1, np.where(is_over, shown - lives.ended, np.nan), saw_progress)
