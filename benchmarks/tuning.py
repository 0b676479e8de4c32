"""The schedules of docs/workers.md, each on the mix that it is meant for."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks import arithmetic
from benchmarks.lives import MIXES, Lives
from benchmarks.peers import Ours
from hpp_async import Delay, PollSchedule

_IN_STORE: Final = PollSchedule(
    waiting=Delay(initial=3.0, growth=0.01, maximum=60.0), active=Delay(initial=1.0, growth=0.01, maximum=60.0)
)
_BY_MESSAGE: Final = PollSchedule(
    waiting=Delay(initial=20.0, growth=2.0, power=0.5, maximum=1800.0),
    active=Delay(initial=4.0, growth=0.02, maximum=1800.0),
)
_ROWS: Final = (
    ("web@900", "default", PollSchedule()),
    ("web@900", "in_store", _IN_STORE),
    ("web", "default", PollSchedule()),
    ("link", "default", PollSchedule()),
    ("link", "by_message", _BY_MESSAGE),
)


def main() -> None:
    lives = {mix.name: Lives.of(mix, 20_000, seed=7) for mix in MIXES}
    print("| lives | schedule | reads | mean s | p95 s |", "|---|---|--:|--:|--:|", sep="\n")
    for mix, name, schedule in _ROWS:
        seen = arithmetic.run(lives[mix], Ours(schedule))
        latency = seen.latency[~np.isnan(seen.latency)]
        cells = (f"{seen.reads.mean():.0f}", f"{latency.mean():.1f}", f"{np.quantile(latency, 0.95):.1f}")
        print(f"| {mix} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
