"""Transitions (P1–P3, P6, P7, P10) and cancellations: nothing is lost, doubled or swallowed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from simulation.hearing import (
    TINY,
    believed_of,
    date_of,
    is_undisturbed,
    may_share,
    newest_before,
    readings_in,
    ways_to_hear,
)
from simulation.life import FINAL
from simulation.record import Record, Sitting, WaitRecord


def transitions_are_changes(record: Record, wait: WaitRecord) -> Iterator[str]:
    """Neighbours differ, dates do not go back but for a FINAL status, and the last one is last."""
    before = wait.since
    for seen in wait.known:
        if seen.previous != (None if before is None else before.status) or seen.previous == seen.status:
            yield f"{seen.previous} -> {seen.status} after {before and before.status}"
        if seen.sequence != (0 if before is None else before.sequence) + 1:
            yield f"number {seen.sequence} after {before and before.sequence}"
        before = seen
    seen_before = [] if wait.since is None else [wait.since]
    dates = [(moment, seen.status) for seen in seen_before + wait.known if (moment := date_of(seen)) is not None]
    for (earlier, _), (later, status) in pairwise(dates):
        if later < earlier and status not in FINAL:
            yield f"{status} of {later:.3f} after one of {earlier:.3f}"
    if any(seen.is_last for seen in wait.known[:-1]):
        yield "one after the last"
    if wait.known and wait.known[-1].is_last and wait.outcome is None and not wait.has_died:
        yield "the last one, and no outcome"


def transitions_are_what_was_said(record: Record, wait: WaitRecord) -> Iterator[str]:
    """The changes are those of the answers it heard, stale ones and repeated ones left out: all, where it heard all."""
    said = {(r.served.status, r.served.updated_at) for r in readings_in(may_share(record, wait))}
    for seen in wait.known:
        if (seen.status, date_of(seen)) not in said:
            yield f"{seen.status} of {date_of(seen)} was never said"
    if not is_undisturbed(wait) or wait.has_died:
        return
    expected = [
        [str(served.status) for served in believed_of(readings_in(heard), wait, newest)[0]]
        for heard in ways_to_hear(record, wait)
        for newest in newest_before(record, wait)
    ]
    if [seen.status for seen in wait.known] not in expected:
        yield f"{[seen.status for seen in wait.known]} instead of {expected}"


def callers_get_every_transition_once(record: Record, wait: WaitRecord) -> Iterator[str]:
    """Whatever was cancelled in between."""
    if wait.of.style == "await":
        return
    given = [(seen.sequence, seen.status) for seen in wait.yielded]
    known = [(seen.sequence, seen.status) for seen in wait.known]
    if given != known[: len(given)] or (wait.outcome is not None and given != known):
        yield f"{given} of {known}"


def cancelled_at_once(record: Record, wait: WaitRecord) -> Iterator[str]:
    """A cancellation takes no time, and nothing swallows it."""
    for sitting in wait.sittings:
        if sitting.cancelled_at is None:
            continue
        if sitting.ended_at is None or sitting.ended_at > sitting.cancelled_at + TINY:
            yield f"cancelled at {sitting.cancelled_at:.3f}, it ended at {sitting.ended_at}"
        if not sitting.was_cancelled and not _is_over(record, wait, sitting):
            yield f"the cancellation at {sitting.cancelled_at:.3f} is swallowed"


def _is_over(record: Record, wait: WaitRecord, sitting: Sitting) -> bool:
    return wait.process in record.closed or (sitting is wait.sittings[-1] and wait.ended_at is not None)
