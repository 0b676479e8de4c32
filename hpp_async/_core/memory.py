"""What a wait remembers over a restart, beside what it believes of the session; and its text in a resume token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import attrs

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Final = re.compile(r"(?:[a-z]-?[0-9]{1,15})+", re.ASCII)
"""The form of the text: letters, each with a whole number."""

_NUMBER: Final = re.compile(r"([a-z])(-?[0-9]+)", re.ASCII)
_UNSIGNED: Final = "ndaxolfbmu"


_AGREEMENT: Final = 5.0
"""Seconds by which a skew may differ before and after a restart: this machine's calendar is wrong as it was before."""


@attrs.frozen(kw_only=True)
class Calendar:
    """
    How loop times are dated.

    Attributes:
        local: seconds since 1970 by this machine's calendar, minus loop seconds.
        provider: the same by the provider's clock; ``None`` where no reading had a ``Date``.
    """

    local: float
    provider: float | None = None

    @property
    def skew(self) -> float:
        """The time by this machine's calendar minus that by the provider's clock, in seconds, as far as is known."""
        return 0.0 if self.provider is None else self.local - self.provider

    def knowing(self, memory: Memory | None) -> Calendar:
        """Return the calendar; where the provider's clock is not known, with the skew of *memory*."""
        if self.provider is not None or memory is None:
            return self
        return Calendar(local=self.local, provider=self.local - memory.skew)

    def date(self, at: float) -> float:
        """Return the loop time *at* in seconds since 1970, by the provider's clock as far as that is known."""
        return at + (self.local if self.provider is None else self.provider)

    def loop_time(self, memory: Memory) -> float:
        """
        Return the loop time of ``memory.at``.

        This machine's calendar tells it to the millisecond, if it is wrong by ``memory.skew`` as it was then. It is
        taken to be, unless the provider's clock is known and says something else.
        """
        if self.provider is None or abs(self.skew - memory.skew) <= _AGREEMENT:
            return memory.at + memory.skew - self.local
        return memory.at - self.provider


@attrs.frozen(kw_only=True)
class Failing:
    """
    The failures since the last reading.

    Attributes:
        lasted: how many seconds the outage had lasted; ``None`` where there was none.
        backoffs: how many back-offs there were in this outage.
        missing, refused: how many 404s, and how many 401s and 403s, there were.
        missing_at: the earliest ``Date`` of a 404; ``None`` where none had one.
    """

    lasted: float | None = None
    backoffs: int = 0
    missing: int = 0
    refused: int = 0
    missing_at: datetime | None = None


@attrs.frozen(kw_only=True)
class Memory:
    """
    What a wait remembers as of *at*, when its last read was over.

    Only *at* is a time. Everything else is a number of seconds before or after it, so a clock that is wrong by the same
    amount before and after the restart changes nothing. A token has milliseconds.

    Attributes:
        at: seconds since 1970 by the provider's clock, as far as that was known.
        skew: the time by this machine's calendar minus that by the provider's clock, in seconds. After a restart, only
            the calendar is known until the provider answers.
        delay: seconds from *at* to the next read; ``None`` where no delay was decided: the read is due at once.
        age: for how many seconds the session had had its status; ``None`` where ``updated_at`` tells it.
        unknown_for: for how many seconds the session had been followed while no reading told when it expires; ``None``
            where one did.
        was_open: whether any reading was made before the expiry that it gave.
        late_readings: how many readings in a row arrived after the expiry.
        failing: the failures since the last reading; ``None`` where there were none.
    """

    at: float
    skew: float = 0.0
    delay: float | None = None
    age: float | None = None
    unknown_for: float | None = None
    was_open: bool = False
    late_readings: int = 0
    failing: Failing | None = None

    @property
    def text(self) -> str:
        """The memory as letters, each with a whole number. Those that have nothing to say are left out."""
        return "".join(f"{letter}{number}" for letter, number in self._numbers() if number is not None)

    def _numbers(self) -> Iterator[tuple[str, int | None]]:
        yield "r", _milliseconds(self.at)
        yield "s", _milliseconds(self.skew) or None
        yield "d", _milliseconds(self.delay)
        yield "a", _milliseconds(self.age)
        yield "x", _milliseconds(self.unknown_for)
        yield "o", int(self.was_open) or None
        yield "l", self.late_readings or None
        if self.failing is not None:
            yield "f", _milliseconds(self.failing.lasted)
            yield "b", self.failing.backoffs
            yield "m", self.failing.missing or None
            yield "u", self.failing.refused or None
            missing_at = self.failing.missing_at
            yield "t", None if missing_at is None else (missing_at - _EPOCH) // timedelta(milliseconds=1)

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> Self | None:
        """Return the memory that *numbers* stand for; ``None`` where there is none. Unknown letters are ignored."""
        if "r" not in numbers:
            return None
        failing = Failing(
            lasted=_seconds(numbers.get("f")),
            backoffs=numbers.get("b", 0),
            missing=numbers.get("m", 0),
            refused=numbers.get("u", 0),
            missing_at=_EPOCH + timedelta(milliseconds=numbers["t"]) if "t" in numbers else None,
        )
        return cls(
            at=numbers["r"] / 1e3,
            skew=numbers.get("s", 0) / 1e3,
            delay=_seconds(numbers.get("d")),
            age=_seconds(numbers.get("a")),
            unknown_for=_seconds(numbers.get("x")),
            was_open=bool(numbers.get("o")),
            late_readings=numbers.get("l", 0),
            failing=failing if "b" in numbers else None,
        )


def numbers_of(text: str) -> dict[str, int] | None:
    """Return the number of each letter in *text*; ``None`` if it has another form, or a number must not be negative."""
    if not _NUMBERS.fullmatch(text):
        return None
    numbers = {letter: int(number) for letter, number in _NUMBER.findall(text)}
    return None if any(number < 0 for letter, number in numbers.items() if letter in _UNSIGNED) else numbers


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e3)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
