"""``python -m simulation``: live many lives, or one again, and say what was met and what was wrong."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from typing import Final, cast

from simulation.drawing import life_of
from simulation.oracle import judge
from simulation.run import Loop, live

LOOPS: Final[tuple[Loop, ...]] = ("asyncio", "trio")


def replay_command(seed: int, loop: Loop) -> str:
    """Return the one command that lives a life again, to be typed at the top of a checkout."""
    return f"PYTHONPATH=tests python -m simulation --seed {seed} --loop {loop}"


def main() -> int:
    """Run what the command line says; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this life only, and print its trace")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--count", type=int, default=1000, help="how many lives, on each loop (1000)")
    parser.add_argument("--loop", choices=LOOPS, help="on this loop only")
    options = parser.parse_args()
    loops = LOOPS if options.loop is None else (cast("Loop", options.loop),)
    logging.getLogger("hpp_async").addHandler(logging.NullHandler())
    if options.seed is not None:
        return max(_replay(options.seed, loop) for loop in loops)
    return max(_many(range(options.start, options.start + options.count), loop) for loop in loops)


def _replay(seed: int, loop: Loop) -> int:
    life = life_of(seed)
    print(life, "\n")
    record = live(life, loop)
    print(*record.trace, sep="\n")
    wrong = judge(record)
    print(f"\n{loop}: ", *wrong or ["all promises were kept"], sep="\n  ")
    return 1 if wrong else 0


def _many(seeds: range, loop: Loop) -> int:
    met: Counter[str] = Counter()
    began_at, reads, failed = time.monotonic(), 0, 0
    for number, seed in enumerate(seeds, start=1):
        record = live(life_of(seed), loop)
        met += record.met
        reads += len(record.requests)
        wrong = judge(record)
        if wrong:
            failed += 1
            print(f"seed {seed}:", *wrong, replay_command(seed, loop), sep="\n  ", flush=True)
        if number % 250 == 0 or number == len(seeds):
            seconds = time.monotonic() - began_at
            print(f"{loop}: {number} lives, {failed} failed, {reads} requests, {seconds:.0f} s", flush=True)
    for what, count in sorted(met.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:8}  {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
