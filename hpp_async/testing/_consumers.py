"""What scripted consumers do on the payment page, as timelines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs

LIFETIME: Final = timedelta(hours=47)  # session lifetime page: 48 hours from the payment session, less one
_SHORT: Final = timedelta(seconds=30)  # a session made late in its payment session's life has as little left


@attrs.frozen
class Step:
    """A change of a session's life: ``after`` seconds from its creation it is in ``status``, with ``fields``."""

    after: float
    status: str
    fields: Mapping[str, object] = attrs.field(factory=dict[str, object])


class Consumer(StrEnum):
    """Somebody on the payment page, by what they do there (tracking page)."""

    PAY = "pay"
    DECLINE_AND_RETRY = "decline-and-retry"
    BACK = "back"
    CANCEL = "cancel"
    ERROR = "error"
    VANISH = "vanish"

    @property
    def story(self) -> str:
        """What they do, as a sentence."""
        return _STORIES[self]

    def steps(self, speed: float = 1.0) -> tuple[Step, ...]:
        """Return what becomes of a session in their hands, *speed* times as fast as people are."""
        return tuple(Step(after / speed, status) for after, status in _TIMELINES[self])

    def lifetime(self, speed: float = 1.0) -> timedelta:
        """Return how long the session can be paid: one that is left alone soon expires, so that this can be seen."""
        return _SHORT / speed if self is Consumer.VANISH else LIFETIME


_STORIES: Final = {
    Consumer.PAY: "enters and pays",
    Consumer.DECLINE_AND_RETRY: "is declined, tries again and pays",
    Consumer.BACK: "goes back to the shop, returns and pays",
    Consumer.CANCEL: "gives up",
    Consumer.ERROR: "runs into an error, and leaves it at that",
    Consumer.VANISH: f"enters and never comes back; it expires in {_SHORT.seconds} s",
}

_TIMELINES: Final = {
    Consumer.PAY: ((2, "IN_PROGRESS"), (7, "COMPLETED")),
    Consumer.DECLINE_AND_RETRY: ((2, "IN_PROGRESS"), (5, "FAILED"), (8, "IN_PROGRESS"), (12, "COMPLETED")),
    Consumer.BACK: ((2, "IN_PROGRESS"), (5, "BACK"), (8, "IN_PROGRESS"), (12, "COMPLETED")),
    Consumer.CANCEL: ((2, "IN_PROGRESS"), (6, "CANCELLED")),
    Consumer.ERROR: ((2, "IN_PROGRESS"), (6, "ERROR")),
    Consumer.VANISH: ((2, "IN_PROGRESS"),),
}
"""Seconds from the creation, and the status from then on."""
