"""What must hold of what is stored: every event is dealt with once, in order, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from fleet_simulation.record import Record, number_of, session_id

_FINAL: Final = {"COMPLETED": "Completed", "CANCELLED": "Cancelled", "DISABLED": "Disabled"}
_LOOKS_EVERY: Final = 15.0
"""Seconds: a wait looks at its row so often, whatever it misses."""


def every_end_is_booked_once(record: Record) -> Iterator[str]:
    """A session that has ended has one booked end, the one that the provider says; no other has any."""
    for number, sold in enumerate(record.life.sold):
        row = record.rows.get(session_id(number))
        ends = [booked.news for booked in record.booked if booked.session_id == session_id(number) and booked.is_end]
        ending = None if row is None or row.ending == "Discarded" else row.ending
        if ends != ([] if ending is None else [ending]):
            yield f"session {number} ended with {ending}, and booked is {ends}"
        last = sold.changes[-1][1] if sold.changes else "WAITING"
        if ending is not None and _FINAL.get(last) != ending:
            yield f"session {number} is {last}, and ended with {ending}"


def every_end_comes(record: Record) -> Iterator[str]:
    """Whatever happened: once all is quiet, each session that is over has ended, or is parked and can be seen."""
    shown = {item.session_id: item for item in record.overview}
    for number, sold in enumerate(record.life.sold):
        row = record.rows.get(session_id(number))
        if row is None:
            yield f"session {number} was never added"
            continue
        if (row.parked_at is not None) != (row.id in shown and shown[row.id].is_parked):
            yield f"session {number} is parked, and cannot be seen, or the other way round"
        last = sold.changes[-1][1] if sold.changes else "WAITING"
        if row.is_open and last in _FINAL:
            yield f"session {number} has been {last} for long, and its end was not dealt with"
        # A worker that is frozen in the middle has taken longer than the lease, and a connection that breaks again and
        # again counts in the end.
        failures = sold.failing + sum(trouble.kind in ("Freeze", "CutOff", "Flaky") for trouble in record.troubles)
        if row.parked_at is not None and failures < record.life.parked_after and sold.slow < record.life.lease:
            yield f"session {number} is parked ({row.error}), and deal_with failed {sold.failing} times only"


def no_event_comes_twice_or_late(record: Record) -> Iterator[str]:
    """What is booked of a session are its changes, each once at most, in order, and its end comes last."""
    for number, sold in enumerate(record.life.sold):
        booked = [booked for booked in record.booked if booked.session_id == session_id(number)]
        numbers = [item.sequence for item in booked if item.sequence is not None]
        if any(after <= before for before, after in pairwise(numbers)):
            yield f"the transitions of session {number} were dealt with in the order {numbers}"
        if any(item.is_end for item in booked[:-1]):
            yield f"session {number} has news after its end"
        left = iter(["WAITING", *(status for _, status in sold.changes)])
        statuses = [item.news for item in booked if not item.is_end]
        if not all(status in left for status in statuses):
            yield f"the news of session {number} were {statuses}"


def waits_hear_of_it(record: Record) -> Iterator[str]:
    """A wait in the shop ends with the end of its session, some seconds after it was stored at most."""
    down = [
        trouble.span for trouble in record.troubles if trouble.kind in ("Outage", "Flaky") or trouble.whom == "shop"
    ]
    for number, _ in enumerate(record.life.sold):
        ends = [
            (at, new) for at, _, new in record.committed if number_of(new.id) == number and new.ended_at is not None
        ]
        heard = [heard for heard in record.heard if heard.session == number and heard.is_last]
        if not ends or ends[-1][1].ending == "Discarded":
            continue
        at, row = ends[-1]
        due = at + _LOOKS_EVERY + 2.0
        while (
            late := max((span.end for span in down if span.start < due < span.end + _LOOKS_EVERY), default=0.0)
        ) and (due < late + _LOOKS_EVERY):
            due = late + _LOOKS_EVERY
        if record.ended_at > due and not any(item.at <= due and item.ending == row.ending for item in heard):
            yield f"session {number} ended at {at:.2f} with {row.ending}, and its wait in the shop did not by {due:.2f}"
