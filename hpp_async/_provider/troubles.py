"""Which faults a request meets, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Final

import attrs

from hpp_async._provider.faults import (
    Answered,
    Cut,
    Dropped,
    Fault,
    Missing,
    Refused,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Throttled,
    Trouble,
)
from hpp_async._provider.resource import Operation


@attrs.frozen
class Met:
    """The faults that one request meets, together."""

    faults: tuple[Fault, ...] = ()

    @property
    def delay(self) -> float:
        """The seconds that pass before anything comes of the request."""
        return sum(fault.seconds for fault in self.faults if isinstance(fault, Slow | Stalled))

    @property
    def lag(self) -> float:
        """The seconds by which the replica that answers is behind."""
        return max((fault.lag for fault in self.faults if isinstance(fault, Stale)), default=0.0)

    @property
    def skew(self) -> float:
        """The seconds by which the clock of whoever answers is ahead."""
        return next((fault.by for fault in reversed(self.faults) if isinstance(fault, Skewed)), 0.0)

    @property
    def breach(self) -> Stalled | Refused | Dropped | Cut | None:
        """What becomes of the connection, where no whole answer comes."""
        breaches = (fault for fault in self.faults if isinstance(fault, Stalled | Refused | Dropped | Cut))
        return next(breaches, None)

    @property
    def is_done(self) -> bool:
        """Whether the provider does what it is asked, if it can be."""
        breach = self.breach
        return breach is None or isinstance(breach, Cut) or (isinstance(breach, Dropped) and breach.is_done)

    @property
    def error(self) -> Answered | Throttled | Missing | None:
        """What is answered instead, by a gateway before the provider."""
        errors = (fault for fault in self.faults if isinstance(fault, Answered | Throttled | Missing))
        return next(errors, None)


UNTROUBLED: Final = Met()


@attrs.define
class _Running:
    trouble: Trouble
    since: datetime
    chance: Random
    met: int = 0
    in_a_row: dict[str | None, int] = attrs.field(factory=dict[str | None, int])

    def meets(self, operation: Operation, session_id: str | None, moment: datetime) -> bool:
        trouble = self.trouble
        if not trouble.is_about(operation, session_id, (moment - self.since).total_seconds()):
            return False
        is_met = self.chance.random() < trouble.share
        is_met = is_met and (trouble.first is None or self.met < trouble.first)
        row = self.in_a_row.get(session_id, 0)
        is_met = is_met and (trouble.in_a_row is None or row < trouble.in_a_row)
        self.met += is_met
        self.in_a_row[session_id] = row + 1 if is_met else 0
        return is_met


@attrs.define
class Troubles:
    """
    The troubles there are; the same seed and the same requests meet the same faults.

    Every trouble draws for itself, so one more leaves the others as they are.
    """

    seed: int = 0
    _running: dict[str, _Running] = attrs.field(init=False, factory=dict[str, _Running])
    _number: int = attrs.field(init=False, default=0)

    def __bool__(self) -> bool:
        return bool(self._running)

    def add(self, trouble: Trouble, moment: datetime) -> str:
        """Let *trouble* begin at *moment*; return the key under which it can be removed."""
        self._number += 1
        key = str(self._number)
        self._running[key] = _Running(trouble, moment, Random(f"{self.seed}/{key}"))  # noqa: S311 - to be had again
        return key

    def remove(self, key: str) -> None:
        """
        Let the trouble with *key* be over.

        Raises:
            KeyError: there is none.
        """
        del self._running[key]

    def clear(self) -> None:
        """Let all troubles be over."""
        self._running.clear()

    @property
    def all(self) -> Mapping[str, Trouble]:
        """The troubles by their keys, oldest first."""
        return {key: running.trouble for key, running in self._running.items()}

    def count(self, key: str) -> int:
        """Return how many requests have met the trouble with *key*."""
        return self._running[key].met

    def meet(self, operation: Operation, session_id: str | None, moment: datetime) -> Met:
        """Return what such a request meets at *moment*; asking counts, and draws."""
        running = self._running.values()
        return Met(tuple(one.trouble.fault for one in running if one.meets(operation, session_id, moment)))
