"""
The least mean latency at a number of reads, by a planner that knows the distributions of `benchmarks.lives`.

The planner minimises mean latency plus *price* × reads by dynamic programming, backwards over the time of the last
read. Each price gives one point of the lower bound. No schedule that knows only the status can do better on that mix.

It plans two phases, the later one first. *Seen*: the session was seen in progress, and ``updated_at`` says that it was
opened ``age`` ago; its end is open. *Waiting*: at ``time`` it was not open; it may be opened, or opened and ended,
before the next read. Costs are weighted by the probability of reaching them, so they add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from benchmarks.lives import Floats, Mix, Mixture

_FINE: Final = 12.0
"""Grid points per delay; a finer grid changes the bound by less than 0.2 %."""

_HORIZONS: Final = np.array([1.0, 0.995, 0.97, 0.9, 0.75, 0.5, 0.25, 0.1, 0.03, 0.01, 0.003, 0.0])
"""Shares of the lifetime that may remain at the opening; there is a plan for each, and others are interpolated."""


@attrs.frozen
class _Plan:
    """Cost and reads from here to the end, at each point of the grid; one column for each horizon."""

    grid: Floats
    cost: Floats
    reads: Floats


@attrs.frozen
class Curve:
    """
    Seconds at mean reads per session, by straight lines on logarithmic scales.

    Beyond the last point the seconds are taken to fall as one over the reads. The bound approaches that slope from a
    steeper one: going on with the last slope would make it too low.
    """

    reads: Floats
    seconds: Floats

    @classmethod
    def through(cls, reads: Sequence[float] | Floats, seconds: Sequence[float] | Floats) -> Curve:
        order = np.argsort(reads)
        return cls(np.asarray(reads, dtype=np.float64)[order], np.asarray(seconds, dtype=np.float64)[order])

    def at(self, reads: float) -> float:
        x, y, here = np.log(self.reads), np.log(self.seconds), float(np.log(reads))
        if here > x[-1]:
            return float(np.exp(y[-1] + x[-1] - here))
        i = max(1, int(np.searchsorted(x, here)))
        slope = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
        return float(np.exp(y[i] + slope * (here - x[i])))


def bound(mix: Mix, prices: Floats) -> Curve:
    """
    Return the least mean latency of sessions that end, over mean reads per session; one point for each price.

    Reads are counted over all sessions, the read at their creation included.
    """
    points = np.array([_at_price(mix, float(price)) for price in prices])
    return Curve.through(points[:, 0], points[:, 1])


def _at_price(mix: Mix, price: float) -> tuple[float, float]:
    horizons = mix.lifetime * _HORIZONS
    seen = _after_opening(price, horizons, mix.ends)
    cost, reads = _before_opening(mix, price, horizons, seen)
    times = np.linspace(0.0, 1.0, 20_001)[1:] ** 6 * mix.lifetime
    opens = np.diff(mix.opens.below(times), prepend=0.0)
    share_ended = float(np.sum(opens * mix.ends.below(mix.lifetime - times)))
    reads += 1.0  # the read at the creation: it learns nothing, and the client makes it all the same
    return reads, (cost - price * (reads - 1.0)) / share_ended


def _after_opening(price: float, horizons: Floats, ends: Mixture) -> _Plan:
    longest = float(horizons[0])
    rough = np.concatenate([[0.0], np.geomspace(0.01, longest, 4000)])
    hazard = ends.density(rough) / (1.0 - ends.below(rough))
    # The grid must be fine shortly before the hazard rises, too.
    hazard = np.array([hazard[(rough >= a * 0.8) & (rough <= a * 1.5 + 30.0)].max() for a in rough])
    spacing = np.sqrt(2.0 * price / hazard) / _FINE
    grid = _grid(rough, spacing, longest)

    below, late = ends.below(grid), ends.late_by(grid)
    count = len(grid)
    cost, reads = np.zeros((count, len(horizons))), np.zeros((count, len(horizons)))
    # The last read is at the horizon: later candidates are moved to it.
    late_end = ends.late_by(horizons)
    window = int(6 * _FINE)
    columns = np.arange(len(horizons))
    for i in range(count - 2, -1, -1):
        stop = min(count, i + 1 + window)
        to = grid[i + 1 : stop, None]
        total = late[i + 1 : stop, None] - late[i] - below[i] * (to - grid[i]) + cost[i + 1 : stop]
        last = late_end - late[i] - below[i] * (horizons - grid[i])
        is_last = to >= horizons
        total = np.where(is_last, last, total)
        best = np.argmin(total, axis=0)
        alive = np.where(grid[i] < horizons, 1.0 - below[i], 0.0)
        cost[i] = np.where(alive > 0, total[best, columns] + price * alive, 0.0)
        reads[i] = np.where(alive > 0, np.where(is_last[best, columns], 0.0, reads[i + 1 : stop][best, columns]), 0.0)
        reads[i] += alive
    return _Plan(grid, cost, reads)


def _before_opening(mix: Mix, price: float, horizons: Floats, seen: _Plan) -> tuple[float, float]:
    lifetime = mix.lifetime
    late = mix.ends.late_by(seen.grid)
    # The extra cost of seeing an opening late, summed over the delay.
    regret = np.maximum(0.0, late + seen.cost[:, 0] - seen.cost[0, 0])
    summed = np.concatenate([[0.0], np.cumsum(np.diff(seen.grid) * (regret[1:] + regret[:-1]) / 2)])
    summed = np.maximum.accumulate(summed)
    rough = np.concatenate([[0.0], np.geomspace(0.01, lifetime, 4000)])
    hazard = mix.opens.density(rough) / (1.0 - mix.opens.below(rough))
    hazard = np.array([hazard[(rough >= a * 0.8) & (rough <= a * 1.25 + 1.0)].max() for a in rough])
    spacing = np.interp(price / hazard, summed, seen.grid) / _FINE
    grid = _grid(rough, spacing, lifetime)

    count = len(grid)
    window = min(count - 1, int(8 * _FINE))
    below = mix.opens.below(grid)
    cells, middles = np.diff(below), (grid[1:] + grid[:-1]) / 2
    cost, reads = np.zeros(count), np.zeros(count)
    rows = np.arange(1, count)[:, None] - 1 - np.arange(window)  # cells before each point, the nearest first
    mass = np.where(rows >= 0, cells[rows], 0.0)
    ages = np.where(rows >= 0, grid[1:, None] - middles[rows], 0.0)
    # There are no reads after expiry: a session that is opened late has less time to end in.
    left = np.where(rows >= 0, lifetime - middles[rows], 0.0)
    after = np.interp(ages, seen.grid, late) + _interpolated(seen, seen.cost, ages, left, horizons)
    lost = np.cumsum(mass * after, axis=1)
    more = np.cumsum(mass * _interpolated(seen, seen.reads, ages, left, horizons), axis=1)
    for i in range(count - 2, -1, -1):
        stop = min(count, i + 1 + window)
        js = np.arange(i + 1, stop)
        total = lost[js - 1, js - 1 - i] + cost[js]
        best = int(np.argmin(total))
        alive = 1.0 - below[i]
        cost[i] = total[best] + price * alive
        reads[i] = more[js - 1, js - 1 - i][best] + reads[js][best] + alive
    return float(cost[0]), float(reads[0])


def _interpolated(seen: _Plan, values: Floats, ages: Floats, left: Floats, horizons: Floats) -> Floats:
    """Return *values* at *ages*, between the two plans whose horizons enclose what is *left*."""
    result = np.empty_like(ages)
    upper = np.clip(np.searchsorted(-horizons, -left, side="right") - 1, 0, len(horizons) - 2)
    for column in range(len(horizons) - 1):
        here = upper == column
        if here.any():
            weight = (left[here] - horizons[column + 1]) / (horizons[column] - horizons[column + 1])
            long = np.interp(ages[here], seen.grid, values[:, column])
            short = np.interp(ages[here], seen.grid, values[:, column + 1])
            result[here] = weight * long + (1.0 - weight) * short
    return result


def _grid(rough: Floats, spacing: Floats, end: float) -> Floats:
    """Return points from 0 to *end* that are *spacing* apart, which is known at *rough*."""
    density = 1.0 / np.maximum(spacing, 1e-3)
    numbers = np.concatenate([[0.0], np.cumsum(np.diff(rough) * (density[1:] + density[:-1]) / 2)])
    count = int(numbers[-1]) + 2
    return np.asarray(np.interp(np.linspace(0.0, numbers[-1], count), numbers, rough))
