"""The result of a benchmark: a number and its bar; and comparisons of CPU time, measured alternately."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from time import process_time
from typing import Self

import attrs


@attrs.frozen(kw_only=True)
class Figure:
    """One result; ``bar`` is its upper limit, with *is_floor* its lower one, or ``None`` without a promise."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    is_floor: bool = False
    detail: str = ""

    @property
    def ok(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.is_floor else self.value <= self.bar

    def as_json(self) -> str:
        return json.dumps({**attrs.asdict(self), "value": round(self.value, 4), "ok": self.ok}, ensure_ascii=False)


@attrs.frozen
class Comparison:
    """
    Seconds of CPU that two alternatives took, round by round, and the median of their ratios.

    On a shared machine the seconds vary by half. The ratio of two measurements that follow each other is stable.
    """

    ours: Sequence[float]
    theirs: Sequence[float]

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Self:
        return cls([ours for ours, _ in pairs], [theirs for _, theirs in pairs])

    @property
    def ratio(self) -> float:
        return median(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    def figure(self, name: str, *, bar: float | None, scale: float, unit: str) -> Figure:
        """Return the ratio; the medians, multiplied by *scale*, are its detail."""
        ours, theirs = median(self.ours) * scale, median(self.theirs) * scale
        return Figure(name=name, value=self.ratio, unit="×", bar=bar, detail=f"{ours:.1f} {unit} beside {theirs:.1f}")


async def in_turns(
    ours: Callable[[], Awaitable[object]], theirs: Callable[[], Awaitable[object]], *, rounds: int, calls: int
) -> Comparison:
    """Measure both, *calls* at a time, for *rounds* rounds after one to warm up; the order alternates."""
    pairs: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        if number % 2:
            mine = await _cpu(ours, calls)
            other = await _cpu(theirs, calls)
        else:
            other = await _cpu(theirs, calls)
            mine = await _cpu(ours, calls)
        pairs.append((mine, other))
    return Comparison.of(pairs[1:])


async def _cpu(call: Callable[[], Awaitable[object]], calls: int) -> float:
    started_at = process_time()
    for _ in range(calls):
        await call()
    return (process_time() - started_at) / calls
