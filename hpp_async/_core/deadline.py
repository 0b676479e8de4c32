"""The wait's own timeout: when it is over, and how long it waits for its last look. Times are loop seconds."""

from __future__ import annotations

import attrs


@attrs.define(eq=False, weakref_slot=False)
class Deadline:
    """
    The end of a wait that has a timeout: at *at* one last look is taken.

    The wait gives the look *patience* seconds, and then ends without it.
    """

    at: float
    patience: float
    _last_look_at: float | None = attrs.field(init=False, default=None)
    """When the last look was first asked for."""

    def is_over(self, now: float) -> bool:
        """Tell whether the timeout has passed."""
        return now >= self.at

    def until(self, now: float) -> float:
        """Return until when a read that is asked for at *now* is waited for."""
        if now < self.at:
            return self.at
        if self._last_look_at is None:
            self._last_look_at = now
        return self._last_look_at + self.patience

    def resumed(self, left_at: float, now: float) -> None:
        """Note that no step was taken from *left_at* until *now*: nobody waited for the last look meanwhile."""
        if self._last_look_at is not None:
            # The look may have been asked for after `left_at`, by somebody who only asked when the next read is due.
            self._last_look_at += now - max(left_at, self._last_look_at)
