"""The settings of a wait: its schedule, what it stops at, and for how long it goes on."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.schedule import PollSchedule, Schedule
from hpp_async._core.session import KNOWN_STATUSES, OUTCOME, AnyStatus, UnknownStatus, status_of

_FOREVER: Final = float("inf")


@attrs.frozen(kw_only=True, weakref_slot=False)
class Settings:
    """
    The settings of a wait. To save memory, the thousands of pollers of a watch share one object.

    Attributes:
        schedule: how long to wait between reads.
        stop_on: the statuses that end the wait, beside the final ones.
        timeout: seconds from the first `Poller.next_action` to the last read; ``None`` for no timeout.
        patience: seconds that the last read may take.
        longest_read: seconds that any read can take, with all its attempts.
        outage_tolerance: for how many seconds a wait goes on while the session cannot be read.
        forgets: whether a transition is dropped once it was emitted, to save memory.
    """

    schedule: Schedule = PollSchedule()
    stop_on: AbstractSet[AnyStatus] = OUTCOME
    timeout: float | None = None
    patience: float = _FOREVER
    longest_read: float = _FOREVER
    outage_tolerance: float = 600.0
    forgets: bool = False


def statuses(stop_on: Collection[str]) -> frozenset[AnyStatus]:
    """
    Return the statuses that the caller named.

    Raises:
        ConfigurationError: they are no collection of statuses. A text that is no known status is refused as well: a
            wait that is to stop on a misspelled status would go on for ever.
    """
    given: object = stop_on
    if isinstance(stop_on, str) or not isinstance(given, Collection) or not all(isinstance(s, str) for s in stop_on):
        raise ConfigurationError(f"stop_on={stop_on!r}: give a set of statuses, such as {{SessionStatus.COMPLETED}}")
    for status in stop_on:
        if status not in KNOWN_STATUSES and not isinstance(status, UnknownStatus):
            raise ConfigurationError(_refusal(status))
    found = frozenset(status_of(status) for status in stop_on)
    return OUTCOME if found == OUTCOME else found  # so that thousands of waits share one set


def _refusal(text: str) -> str:
    import difflib  # noqa: PLC0415 - only for an argument that is refused

    close = difflib.get_close_matches(text.upper(), KNOWN_STATUSES, n=1)
    return (
        f"stop_on: {text[:64]!r} is no status that this version knows{f': did you mean {close[0]}?' if close else '.'} "
        "For one that the provider has added since, give an UnknownStatus"
    )
