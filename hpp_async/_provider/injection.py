"""Fault injection: which faults affect a request, drawn from a seed."""

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
    FaultKind,
    Missing,
    Refused,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Throttled,
)
from hpp_async._provider.words import Operation


@attrs.frozen
class RequestFaults:
    """The kinds of faults that affect one request, together."""

    kinds: tuple[FaultKind, ...] = ()

    @property
    def delay(self) -> float:
        """The seconds before the provider does anything about the request."""
        return sum(kind.seconds for kind in self.kinds if isinstance(kind, Slow | Stalled))

    @property
    def lag(self) -> float:
        """The seconds by which the answering replica is behind."""
        return max((kind.lag for kind in self.kinds if isinstance(kind, Stale)), default=0.0)

    @property
    def skew(self) -> float:
        """The seconds by which the answering server's clock is fast."""
        return next((kind.by for kind in reversed(self.kinds) if isinstance(kind, Skewed)), 0.0)

    @property
    def breach(self) -> Stalled | Refused | Dropped | Cut | None:
        """The fault that breaks the connection; ``None`` if a whole answer arrives."""
        breaches = (kind for kind in self.kinds if isinstance(kind, Stalled | Refused | Dropped | Cut))
        return next(breaches, None)

    @property
    def is_done(self) -> bool:
        """Whether the provider receives the request and carries it out."""
        breach = self.breach
        return breach is None or isinstance(breach, Cut) or (isinstance(breach, Dropped) and breach.is_done)

    @property
    def error(self) -> Answered | Throttled | Missing | None:
        """The error with which a gateway answers before the provider sees the request; ``None`` if none does."""
        errors = (kind for kind in self.kinds if isinstance(kind, Answered | Throttled | Missing))
        return next(errors, None)


NO_FAULTS: Final = RequestFaults()


@attrs.define
class _Active:
    """
    A fault that was added, and what it has done so far.

    Attributes:
        affected: the number of requests that it has affected.
        in_a_row: for each session, how many requests in a row it has affected up to now.
    """

    fault: Fault
    added_at: datetime
    chance: Random
    affected: int = 0
    in_a_row: dict[str | None, int] = attrs.field(factory=dict[str | None, int])

    def affects(self, operation: Operation, session_id: str | None, moment: datetime) -> bool:
        fault = self.fault
        if not fault.can_affect(operation, session_id, (moment - self.added_at).total_seconds()):
            return False
        is_affected = self.chance.random() < fault.share
        is_affected = is_affected and (fault.first is None or self.affected < fault.first)
        row = self.in_a_row.get(session_id, 0)
        is_affected = is_affected and (fault.in_a_row is None or row < fault.in_a_row)
        self.affected += is_affected
        self.in_a_row[session_id] = row + 1 if is_affected else 0
        return is_affected


@attrs.define
class Faults:
    """
    The faults of a provider: the same seed and the same requests give the same faults.

    Each fault has a random generator of its own, so adding a fault does not change which requests the others affect.
    """

    seed: int = 0
    _active: dict[str, _Active] = attrs.field(init=False, factory=dict[str, _Active])
    _number: int = attrs.field(init=False, default=0)

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, fault: Fault, moment: datetime) -> str:
        """Let *fault* begin at *moment*; return the key under which it can be removed."""
        self._number += 1
        key = str(self._number)
        self._active[key] = _Active(fault, moment, Random(f"{self.seed}/{key}"))  # noqa: S311 - to be reproducible
        return key

    def remove(self, key: str) -> None:
        """
        End the fault with *key*.

        Raises:
            KeyError: there is none.
        """
        del self._active[key]

    def clear(self) -> None:
        """End all faults."""
        self._active.clear()

    @property
    def all(self) -> Mapping[str, Fault]:
        """The faults by their keys, oldest first."""
        return {key: active.fault for key, active in self._active.items()}

    def affected(self, key: str) -> int:
        """Return how many requests the fault with *key* has affected."""
        return self._active[key].affected

    def draw(self, operation: Operation, session_id: str | None, moment: datetime) -> RequestFaults:
        """Return the faults that affect such a request at *moment*; each call counts as a request."""
        active = self._active.values()
        return RequestFaults(tuple(one.fault.kind for one in active if one.affects(operation, session_id, moment)))
