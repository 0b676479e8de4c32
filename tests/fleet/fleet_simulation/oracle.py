"""
Judge a life of a fleet: what the database and the provider saw, against what the fleet promises.

The oracle has DESIGN.md (section 7), docs/more-than-one-process.md and the books of the model. Of the library it uses
what is stored and public, and the division of sessions into shards, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from fleet_simulation import booking, following, pace
from fleet_simulation.record import Record


def judge(record: Record) -> list[str]:
    """Return what was wrong in a life; nothing, where all promises were kept."""
    return [
        *record.complaints,
        *(f"{promise.__name__}: {wrong}" for promise in PROMISES for wrong in promise(record)),
    ]


PROMISES: Final[tuple[Callable[[Record], Iterator[str]], ...]] = (
    booking.every_end_is_booked_once,
    booking.every_end_comes,
    booking.no_event_comes_twice_or_late,
    booking.waits_hear_of_it,
    following.nobody_is_forgotten,
    following.nobody_is_followed_by_two,
    following.who_is_gone_is_left_alone,
    following.without_the_database_nothing_is_read,
    pace.one_budget_for_all,
    pace.a_deploy_reads_nothing_twice,
)
