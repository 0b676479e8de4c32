"""``python -m fleet_simulation``: live many lives of a fleet, or one again, and say what was met and was wrong."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from fleet_simulation.drawing import life_of
from fleet_simulation.oracle import judge
from fleet_simulation.run import live


def replay_command(seed: int) -> str:
    """Return the one command that lives a life again, to be typed at the top of a checkout."""
    return f"PYTHONPATH=tests/fleet python -m fleet_simulation --seed {seed}"


def main() -> int:
    """Run what the command line says; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m fleet_simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this life only, and print its trace")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--count", type=int, default=1000, help="how many lives (1000)")
    options = parser.parse_args()
    for name in ("hpp_async", "psycopg", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    return _many(range(options.start, options.start + options.count)) if options.seed is None else _replay(options.seed)


def _replay(seed: int) -> int:
    life = life_of(seed)
    print(life, "\n")
    record = live(life)
    print(*record.trace, sep="\n")
    wrong = judge(record)
    print("", *wrong or ["all promises were kept"], sep="\n  ")
    return 1 if wrong else 0


def _many(seeds: range) -> int:
    met: Counter[str] = Counter()
    began_at, reads, failed = time.monotonic(), 0, 0
    for number, seed in enumerate(seeds, start=1):
        record = live(life_of(seed))
        met += record.met
        reads += len(record.reads)
        wrong = judge(record)
        if wrong:
            failed += 1
            print(f"seed {seed}:", *wrong, replay_command(seed), sep="\n  ", flush=True)
        if number % 100 == 0 or number == len(seeds):
            seconds = time.monotonic() - began_at
            print(f"{number} lives, {failed} failed, {reads} reads, {seconds:.0f} s", flush=True)
    for what, count in sorted(met.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:8}  {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
