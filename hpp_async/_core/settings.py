"""The settings of a wait: its schedule, what it stops at, and for how long it goes on."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from hpp_async._core.schedule import PollSchedule, Schedule
from hpp_async._core.session import OUTCOME, AnyStatus

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
