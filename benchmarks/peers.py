"""The default schedules of the usual pollers, and ours as arithmetic."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from benchmarks.arithmetic import Bools, Every, Law
from benchmarks.lives import Floats
from hpp_async import Delay, PollSchedule

_ENOUGH: Final = 64
"""Steps after which every back-off has reached its maximum; a larger exponent would overflow."""


@attrs.frozen
class Backoff:
    """``initial * factor ** step`` seconds, at most *maximum*; where *is_drawn*, drawn between *lowest* and that."""

    factor: float
    maximum: float
    initial: float = 1.0
    lowest: float = 0.0
    is_drawn: bool = True

    def delays(self, is_waiting: Bools, age: Floats, count: int, draw: Floats) -> Floats:
        ceiling = min(self.maximum, self.initial * self.factor ** min(count - 1, _ENOUGH))
        return self.lowest + (ceiling - self.lowest) * draw if self.is_drawn else np.full(len(age), ceiling)


PEERS: Final[dict[str, Law]] = {
    # openai-python: its polling helpers sleep for 1,000 ms where the server does not say otherwise.
    "1 s, openai": Every(1.0),
    "2 s": Every(2.0),
    "5 s": Every(5.0),
    "10 s": Every(10.0),
    "15 s": Every(15.0),
    # azure-core: LROBasePolling(timeout=30) where there is no Retry-After.
    "30 s, azure-core": Every(30.0),
    "×2, 1–60 s": Backoff(2.0, 60.0, is_drawn=False),
    # Smithy waiters, which AWS SDKs share: drawn between minDelay and the lesser of minDelay × 2ⁿ and maxDelay.
    "AWS waiter": Backoff(2.0, 120.0, initial=2.0, lowest=2.0),
    # google-api-core: polling's default Retry has initial 1, maximum 20, multiplier 1.5.
    "google-api-core": Backoff(1.5, 20.0),
    "tenacity, random": Backoff(2.0, 60.0),
}


@attrs.frozen
class Ours:
    """A `PollSchedule` over many sessions at once, with every delay multiplied by *factor*."""

    schedule: PollSchedule = PollSchedule()
    factor: float = 1.0

    def delays(self, is_waiting: Bools, age: Floats, count: int, draw: Floats) -> Floats:
        whole = np.where(is_waiting, _at(self.schedule.waiting, age), _at(self.schedule.active, age))
        return whole * (self.factor * (1.0 - self.schedule.jitter * draw))


def _at(delay: Delay, age: Floats) -> Floats:
    return np.minimum(delay.maximum, delay.initial + delay.growth * age**delay.power)
