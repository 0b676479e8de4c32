"""
Judge a life: what the provider knows to be true, against what the callers were told.

The oracle has DESIGN.md (sections 1, 3 and 5) and the provider's books: the timeline of each session, and each answer
with the moment it was made. It has nothing of the poller's: where both know a rule, it is written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from simulation import changes, endings, looks
from simulation.record import Record, WaitRecord


def judge(record: Record) -> list[str]:
    """Return what was wrong in a life; nothing, where all promises were kept."""
    wrong = list(record.complaints)
    for wait in record.waits:
        who = f"caller {wait.caller} in process {wait.process}"
        wrong += [f"{who}: {complaint}" for complaint in wait.complaints]
        for check in OF_WAITS:
            wrong += [f"{who} ({wait.ending}): {check.__name__}: {what}" for what in check(record, wait)]
    for also in OF_LIVES:
        wrong += [f"{also.__name__}: {what}" for what in also(record)]
    return wrong


OF_WAITS: Final[tuple[Callable[[Record, WaitRecord], Iterator[str]], ...]] = (
    endings.an_outcome_is_what_the_provider_said,
    endings.no_outcome_is_missed,
    endings.expiry_is_true,
    endings.an_error_has_its_reason,
    endings.it_ends_when_it_must,
    changes.transitions_are_changes,
    changes.transitions_are_what_was_said,
    changes.callers_get_every_transition_once,
    changes.cancelled_at_once,
    looks.looks_come_in_time,
    looks.a_restart_costs_nothing,
    looks.a_young_answer_is_used,
)
OF_LIVES: Final[tuple[Callable[[Record], Iterator[str]], ...]] = (
    looks.reads_are_bounded,
    looks.the_budget_is_kept,
    looks.pauses_are_kept,
    looks.one_flight_per_session,
    looks.answers_are_shared,
    looks.notifications_are_bounded,
    looks.nothing_goes_out_after_closing,
    looks.a_callback_is_followed_by_a_read,
    endings.disabling_is_true,
)
