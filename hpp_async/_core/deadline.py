"""The timeout of a wait: when it passes, and how long the last read may then take. Times are loop seconds."""

from __future__ import annotations

import attrs


@attrs.define(eq=False, weakref_slot=False)
class Deadline:
    """
    The timeout of one wait: it passes at *at*, and then one last read is made.

    The wait gives that read *patience* seconds, and then ends without it.
    """

    at: float
    patience: float
    _last_read_at: float | None = attrs.field(init=False, default=None)
    """When the last read was first wanted: its *patience* counts from then."""

    def is_over(self, now: float) -> bool:
        """Tell whether the timeout has passed."""
        return now >= self.at

    def until(self, now: float) -> float:
        """Return when to stop waiting for a read that is wanted at *now*."""
        if now < self.at:
            return self.at
        if self._last_read_at is None:
            self._last_read_at = now
        return self._last_read_at + self.patience

    def resumed(self, left_at: float, now: float) -> None:
        """Note that the wait took no step from *left_at* until *now*: idle time is not taken from the patience."""
        if self._last_read_at is not None:
            # `until` may have been called after `left_at`: `OutcomeWait.next_read_in` calls it between steps, too.
            self._last_read_at += now - max(left_at, self._last_read_at)
