"""What a wait remembers over a restart, beside what it believes of the session; and its text in a resume token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Self

import attrs

_NUMBERS: Final = re.compile(r"(?:[a-z]-?[0-9]{1,15})+", re.ASCII)
"""The form of the text: letters, each with a whole number."""

_NUMBER: Final = re.compile(r"([a-z])(-?[0-9]+)", re.ASCII)
_UNSIGNED: Final = "ndaxolfbmu"


@attrs.frozen(kw_only=True)
class Failing:
    """
    The failures since the last reading.

    Attributes:
        lasted: how many seconds the outage had lasted; ``None`` where there was none.
        backoffs: how many back-offs there were in this outage.
        missing, refused: how many 404s, and how many 401s and 403s, there were.
    """

    lasted: float | None = None
    backoffs: int = 0
    missing: int = 0
    refused: int = 0


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
