"""What a benchmark gives: a number, held to a bar; and the CPU of two things measured in turns."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from time import process_time
from typing import Self

import attrs


@attrs.frozen(kw_only=True)
class Figure:
    """One result; ``bar`` is the most it may be, or with *is_floor* the least; ``None`` where nothing was promised."""

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
    Seconds of CPU that two things took, round by round, and the median of their ratios.

    On a shared machine only the ratio of two neighbours in time means anything: the seconds themselves go up and down
    by half.
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
    """Measure both, *calls* at a time, for *rounds* rounds and one that does not count; who comes first alternates."""
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
