"""What must hold of how often sessions are read: one budget for all, and no read that is not due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from fleet_simulation.record import Record


def one_budget_for_all(record: Record) -> Iterator[str]:
    """In every second all processes together read no more than the budget, but for one read of each of them."""
    most = math.ceil(record.life.rate) + len(record.life.skews)
    reads = [read.at for read in record.reads]
    for index, at in enumerate(reads[most:]):
        if at - reads[index] < 1.0 - 1e-6:
            yield f"{most + 1} reads from {reads[index]:.3f} to {at:.3f}"
            return


def a_deploy_reads_nothing_twice(record: Record) -> Iterator[str]:
    """Where workers come and go in order, and nothing else happens, sessions are read on schedule."""
    if any(trouble.kind != "Restart" for trouble in record.troubles) or any(record.life.skews):
        return  # a token that comes from a machine with a wrong calendar costs a read
    for number, sold in enumerate(record.life.sold):
        if sold.callbacks or sold.failing or sold.discarded_at is not None or sold.slow >= record.life.lease:
            continue
        reads = [read for read in record.reads if read.session == number]
        # But for the first delay, which is spread, so that sessions that were added together come apart, and so is the
        # delay after a read that was made at once because nobody had followed the session; and for the reads that are
        # in flight when a shard is handed over.
        for (earlier, before), (_, after) in pairwise(pairwise(reads)):
            seconds = after.at - before.at
            was_at_once = before.at - earlier.at > 2 * record.life.interval
            is_in_flight = before.worker != after.worker and seconds < record.life.latency + 1.0
            if seconds < record.life.interval - 1e-3 and not was_at_once and not is_in_flight:
                yield f"session {number} was read at {before.at:.3f} and at {after.at:.3f}, with nothing due"
