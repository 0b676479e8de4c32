"""How soon an end is seen, and with how many reads: our schedule, the usual pollers, and the lower bound."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from benchmarks import arithmetic, plot, real
from benchmarks.arithmetic import Law, Seen
from benchmarks.bound import Curve, bound
from benchmarks.lives import MIXES, Lives, Mix
from benchmarks.peers import PEERS, Ours
from benchmarks.real import Agreement
from hpp_async import PollSchedule

SEED: Final = 2026
_BARS: Final = {"link": 1.7}
"""Upper limits of the mean latency as a multiple of the bound; 1.4 for other mixes."""

_AT_EQUAL_READS: Final = {"web@900": 1.2}
"""How many times better we must be than any peer, at equal reads; 7 for other mixes."""


@attrs.frozen(kw_only=True)
class Size:
    """How much to run."""

    lives: int = 60_000
    steps: int = 20_000_000
    """Approximate reads of one run; a schedule that would make more of them runs over fewer lives."""
    by_client: int = 120
    peers_by_client: int = 6
    prices: int = 13
    factors: Sequence[float] = tuple(2.0**power for power in range(3, -4, -1))
    """Multiples of our delays. Beyond the last, latency falls as one over the reads, within a few per cent."""

    def of(self, reads: float) -> int:
        """Return how many lives to run with a schedule that makes about *reads* reads of each."""
        return int(np.clip(self.steps / max(reads, 1.0), min(self.lives, 3_000), self.lives))


QUICK: Final = Size(lives=2_000, by_client=4, peers_by_client=1, prices=5, factors=(4.0, 2.0, 1.0, 0.5, 0.1))


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one schedule on one mix; latencies are in seconds."""

    schedule: str
    sessions: int
    reads: float
    reads_paid: float
    reads_abandoned: float
    mean: float
    p50: float
    p95: float
    p99: float
    saw_progress: float
    by_bound: float
    mean_at_equal_reads: float = 1.0
    """Mean latency divided by ours, with our delays stretched until we make as many reads."""
    p95_at_equal_reads: float = 1.0

    @classmethod
    def of(cls, schedule: str, seen: Seen, curve: Curve) -> Row:
        is_paid = ~np.isnan(seen.latency)
        latency = seen.latency[is_paid]
        p50, p95, p99 = (float(value) for value in np.quantile(latency, [0.5, 0.95, 0.99]))
        reads, mean = float(seen.reads.mean()), float(latency.mean())
        return cls(
            schedule=schedule,
            sessions=len(seen.lives),
            reads=reads,
            reads_paid=float(seen.reads[is_paid].mean()),
            reads_abandoned=float(seen.reads[~is_paid].mean()) if not is_paid.all() else float("nan"),
            mean=mean,
            p50=p50,
            p95=p95,
            p99=p99,
            saw_progress=float(seen.saw_progress.sum() / np.isfinite(seen.lives.opened).sum()),
            by_bound=mean / curve.at(reads),
        )


@attrs.frozen(kw_only=True)
class Result:
    """The results of one mix."""

    mix: Mix
    bound: Curve
    ours: Row
    scaled: Sequence[Row]
    peers: Sequence[Row]


def measure(mix: Mix, size: Size) -> Result:
    """Run our schedule at several scales, and every peer, on the same lives."""
    curve = _bound(mix, size)
    lives = Lives.of(mix, size.lives, seed=SEED)
    ours = Row.of("ours", arithmetic.run(lives, Ours()), curve)

    def rows(laws: Mapping[str, Law], expected: Mapping[str, float]) -> Iterator[Row]:
        for name, law in laws.items():
            some = Lives.of(mix, size.of(expected[name]), seed=SEED)
            yield Row.of(name, arithmetic.run(some, law), curve)

    scales = {f"ours × {factor:g}": factor for factor in size.factors}
    scaled = list(
        rows(
            {name: Ours(factor=factor) for name, factor in scales.items()},
            {name: ours.reads / factor for name, factor in scales.items()},
        )
    )
    peers = [_beside(row, scaled) for row in rows(PEERS, dict.fromkeys(PEERS, 10 * ours.reads))]
    return Result(mix=mix, bound=curve, ours=ours, scaled=scaled, peers=peers)


def _beside(peer: Row, scaled: Sequence[Row]) -> Row:
    """Return *peer* with its latencies divided by ours at as many reads."""
    reads = [row.reads for row in scaled]

    def ours(values: Sequence[float]) -> float:
        return Curve.through(reads, values).at(peer.reads)

    return attrs.evolve(
        peer,
        mean_at_equal_reads=peer.mean / ours([row.mean for row in scaled]),
        p95_at_equal_reads=peer.p95 / ours([row.p95 for row in scaled]),
    )


def agreements(size: Size) -> Iterator[Agreement]:
    """Yield how far arithmetic and client agree: our schedule on every mix, and some peers on one."""
    for mix in MIXES:
        yield real.compare("ours", mix.name, Lives.of(mix, size.by_client, seed=SEED), PollSchedule(), Ours())
    for name in ("AWS waiter", "×2, 1–60 s", "tenacity, random", "30 s, azure-core"):
        lives = Lives.of(MIXES[1], size.peers_by_client, seed=SEED)
        yield real.compare(name, MIXES[1].name, lives, PEERS[name], PEERS[name])


def robustness(size: Size) -> Iterator[tuple[str, float, float]]:
    """Yield mix, reads and × bound of our schedule where people are faster or slower than in the model."""
    for mix in MIXES[:3]:
        for factor in (1 / 3, 3.0):
            other = mix.slower(factor)
            row = Row.of("ours", arithmetic.run(Lives.of(other, size.lives, seed=SEED), Ours()), _bound(other, size))
            yield other.name, row.reads, row.by_bound


def _bound(mix: Mix, size: Size) -> Curve:
    return bound(mix, np.geomspace(3.0, 3e-5, size.prices))


# -- what is printed ------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Bar:
    """A limit, and the value that has to meet it."""

    what: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ok(self) -> bool:
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is None or self.value <= self.at_most

    def __str__(self) -> str:
        limit = f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"
        return f"{'met' if self.ok else 'MISSED':8}{self.what}: {self.value:.2f} × ({limit})"


def bars(result: Result) -> Iterator[Bar]:
    name = result.mix.name
    yield Bar(what=f"1 {name}, mean latency beside the bound", value=result.ours.by_bound, at_most=_BARS.get(name, 1.4))
    least = _AT_EQUAL_READS.get(name, 7.0)
    mean = min(result.peers, key=lambda row: row.mean_at_equal_reads)
    p95 = min(result.peers, key=lambda row: row.p95_at_equal_reads)
    for what, peer, value in (("mean", mean, mean.mean_at_equal_reads), ("p95", p95, p95.p95_at_equal_reads)):
        yield Bar(
            what=f"2 {name}, {what} latency of the nearest peer ({peer.schedule}) beside ours at equal reads",
            value=value,
            at_least=least,
        )


_HEAD: Final = (
    "schedule",
    "reads",
    "paid",
    "abandoned",
    "mean s",
    "p50",
    "p95",
    "p99",
    "seen",
    "× bound",
    "mean ×",
    "p95 ×",
)


def table(result: Result) -> str:
    """Return the rows of one mix as a Markdown table."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|---{'|--:' * (len(_HEAD) - 1)}|"]
    doubled = next(row for row in result.scaled if row.schedule == "ours × 2") if len(result.scaled) > 5 else None
    for row in filter(None, (result.ours, doubled, *result.peers)):
        is_peer = row in result.peers
        cells = (
            row.schedule if is_peer else f"**{row.schedule}**",
            f"{row.reads:,.0f}",
            f"{row.reads_paid:,.0f}",
            f"{row.reads_abandoned:,.0f}",
            f"{row.mean:.1f}",
            f"{row.p50:.1f}",
            f"{row.p95:.1f}",
            f"{row.p99:.0f}",
            f"{row.saw_progress:.1%}",
            f"{row.by_bound:.3g}",
            f"{row.mean_at_equal_reads:.3g}" if is_peer else "",
            f"{row.p95_at_equal_reads:.3g}" if is_peer else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs: half a minute, and figures to ignore")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw schedule.svg and schedule.png there")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()

    results: list[Result] = []
    for mix in MIXES:
        result = measure(mix, size)
        results.append(result)
        print(f"\n{mix.name}: {result.ours.sessions:,} lives\n{table(result)}", flush=True)
    print()
    print(*(bar for result in results for bar in bars(result)), sep="\n", flush=True)
    print()
    for agreement in agreements(size):
        print(f"{'agrees' if agreement.ok else 'DIFFERS':8}{agreement}", flush=True)
    print()
    for name, reads, by_bound in robustness(size):
        print(f"ours, {name}: {reads:.0f} reads, mean latency {by_bound:.2f} × the bound", flush=True)
    print()
    for result in results:
        for row in (result.ours, *result.peers):
            print(json.dumps({"mix": result.mix.name, **attrs.asdict(row)}, ensure_ascii=False))
    if arguments.plot is not None:
        plot.draw(results, arguments.plot)


if __name__ == "__main__":
    main()
