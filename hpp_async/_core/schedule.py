"""How long to wait between the reads of a session: arithmetic over the last reading."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, Self

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.session import Session, SessionStatus


def seconds(value: object, name: str, *, at_least: float = 0.0) -> float:
    """
    Return *value*, a number of seconds or a `timedelta`, as seconds; the message calls it *name*.

    Raises:
        ConfigurationError: *value* is neither, or is below *at_least*.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= at_least:
        raise ConfigurationError(f"{name}={value!r}: give seconds (or a timedelta) of at least {at_least:g}")
    return float(value)


@attrs.frozen(kw_only=True)
class Delay:
    """
    The delay to the next read: ``min(maximum, initial + growth × age ** power)``, where the age is in seconds.

    Attributes:
        initial: seconds (or a `timedelta`), at least 0.1.
        growth: seconds that an age of one second adds.
        power: how the delay grows with the age: 1 in proportion to it, 0.5 with its square root.
        maximum: seconds (or a `timedelta`).

    Raises:
        ConfigurationError: a part is not a number, ``initial`` is below 0.1 or infinite, ``growth`` is negative,
            ``power`` is not in (0, 1], or ``maximum`` is below ``initial``.
    """

    initial: float = attrs.field()
    growth: float = 0.0
    power: float = 1.0
    maximum: float = attrs.field()

    def __attrs_post_init__(self) -> None:
        # Reads that are closer together show nothing new, and use up the merchant's whole quota.
        object.__setattr__(self, "initial", seconds(self.initial, "Delay.initial", at_least=0.1))
        if self.initial == float("inf"):
            raise ConfigurationError(f"Delay.initial={self.initial!r}: a wait would never read again; give seconds")
        object.__setattr__(self, "growth", seconds(self.growth, "Delay.growth"))
        power: object = self.power
        if isinstance(power, bool) or not isinstance(power, int | float) or not 0 < power <= 1:
            raise ConfigurationError(f"Delay.power={power!r}: give a number above 0 and at most 1")
        object.__setattr__(self, "power", float(power))
        object.__setattr__(self, "maximum", seconds(self.maximum, "Delay.maximum", at_least=self.initial))

    def at(self, age: float) -> float:
        """Return the seconds to the next read of a session that has been in its status for *age* seconds."""
        grown: float = max(0.0, age) ** self.power
        return min(self.maximum, self.initial + self.growth * grown)


class Schedule(Protocol):
    """What a wait needs of a schedule. Any object with this method will do."""

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        """
        Return the seconds until the next read of *session*.

        *age* is for how many seconds the session has had its status, by the provider's clock; *draw* is uniform in
        [0, 1). The result must be finite and at least 0: otherwise the wait ends with a `ConfigurationError`. The
        method must be pure: after a failed read it is called again with the reading before it.
        """
        ...


@attrs.frozen(kw_only=True)
class PollSchedule:
    """
    The default schedule: the longer a session has been in its status, the longer the delay to the next read.

    While the session is WAITING, before the consumer opens the page, the delay is 10 seconds plus the square root of
    the age of the status in seconds. In any other status it is 2 seconds plus a hundredth of the age. It is never more
    than a quarter of an hour. So a change after *t* quiet seconds on the page is seen within 2 + *t*/100 seconds.

    This is a back-off that starts over with every change of status. It is computed from the age of the status rather
    than from a count of reads, so it is the same after a restart, a callback or a late read, and cannot overflow.
    Every part was measured: see benchmarks/README.md.

    Attributes:
        waiting: the delay while the session is WAITING.
        active: the delay in any other status.
        jitter: how much of a delay is random: each one is drawn from ``[1 - jitter, 1]`` of its length.

    Raises:
        ConfigurationError: ``waiting`` or ``active`` is not a `Delay`, or ``jitter`` is not in [0, 1).
    """

    # The best delay is proportional to 1/√(the chance that a change happens just now). For a page that is not open yet,
    # that chance falls about as 1/age; for a consumer who is on the page and has not paid yet, about as 1/age².
    waiting: Delay = Delay(initial=10.0, growth=1.0, power=0.5, maximum=900.0)
    active: Delay = Delay(initial=2.0, growth=0.01, maximum=900.0)
    jitter: float = 0.1

    def __attrs_post_init__(self) -> None:
        for name, value in (("waiting", self.waiting), ("active", self.active)):
            if not isinstance(value, Delay):
                raise ConfigurationError(f"PollSchedule.{name}={value!r}: give a Delay")
        object.__setattr__(self, "jitter", seconds(self.jitter, "PollSchedule.jitter"))
        if not self.jitter < 1:
            raise ConfigurationError(f"PollSchedule.jitter={self.jitter!r}: give a share of the delay below 1")

    @classmethod
    def every(cls, interval: float | timedelta) -> Self:
        """
        Return a schedule that reads every *interval* seconds (or `timedelta`), whatever the session does.

        Raises:
            ConfigurationError: *interval* is neither, or is below 0.1 seconds.
        """
        delay = Delay(initial=seconds(interval, "interval", at_least=0.1), maximum=seconds(interval, "interval"))
        return cls(waiting=delay, active=delay, jitter=0.0)

    def delay(self, session: Session, *, age: float, draw: float) -> float:
        """Return the seconds until the next read of *session*; see `Schedule.delay`."""
        delay = self.waiting if session.status == SessionStatus.WAITING else self.active
        return delay.at(age) * (1.0 - self.jitter * draw)

    @property
    def smallest_delay(self) -> float:
        """Seconds: the shortest delay of this schedule. An answer that is no older is good enough for another wait."""
        return min(self.waiting.initial, self.active.initial) * (1.0 - self.jitter)
