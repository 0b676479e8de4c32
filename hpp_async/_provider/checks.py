"""What scripts and faults may be given, and what becomes of it; refusals name the attribute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.schedule import seconds
from hpp_async._provider.answers import Envelope, Hint
from hpp_async._provider.resource import Operation

_MOST: Final = 1e9  # seconds, some thirty years: a date can be moved by them
_Word = TypeVar("_Word", bound=StrEnum)
_LINE: Final = re.compile(r"[A-Za-z0-9-]+:[ -~]*")


def duration(value: float | timedelta, name: str, *, at_least: float = 0.0) -> float:
    """
    Return *value*, seconds or a `timedelta`, as seconds; *name* is what the message calls it.

    Raises:
        ConfigurationError: not a number of seconds, below *at_least*, or longer than 1e9 seconds.
    """
    found = seconds(value, name, at_least=at_least)
    if not found <= _MOST:
        raise ConfigurationError(f"{name}={found:g}: give at most {_MOST:g} seconds")
    return found


def seconds_of(value: float | timedelta) -> float:
    return duration(value, "seconds")


def lag_of(value: float | timedelta) -> float:
    return duration(value, "lag")


def by_of(value: float | timedelta) -> float:
    return duration(value, "by", at_least=-1e9)


def reset_of(value: float | timedelta) -> float:
    return duration(value, "reset")


def start_of(value: float | timedelta) -> float:
    return duration(value, "start")


def until_of(value: float | timedelta) -> float:
    return seconds(value, "until")


def bytes_of(value: bytes | str) -> bytes:
    if not isinstance(value, bytes | str):
        raise ConfigurationError(f"body={value!r}: give bytes or text")
    return value.encode() if isinstance(value, str) else value


def envelope_of(value: Envelope | str) -> Envelope:
    return _word(Envelope, value, "envelope")


def hint_of(value: Hint | str) -> Hint:
    return _word(Hint, value, "hint")


def operations_of(value: Operation | str | Iterable[Operation | str]) -> frozenset[Operation]:
    words: Iterable[str] = (value,) if isinstance(value, str) else value
    if not isinstance(words, Iterable):
        raise ConfigurationError(f"on={value!r}: give some of {', '.join(Operation)}")
    return frozenset(_word(Operation, word, "on") for word in words)


def pairs_of(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    try:
        pairs = tuple(dict(value).items())
    except (TypeError, ValueError):
        pairs = (("", ""),)
    if not all(isinstance(said, str) and _LINE.fullmatch(f"{name}:{said}") for name, said in pairs):
        raise ConfigurationError(f"headers={value!r}: give names and texts, in ASCII")
    return pairs


def _word(kind: type[_Word], value: str, name: str) -> _Word:
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r}: give one of {', '.join(kind)}") from None


def is_whole(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{attribute.name}={value!r}: give a whole number, 0 or more")


def is_status_code(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise ConfigurationError(f"{attribute.name}={value!r}: give an HTTP status code from 200 to 599")


def is_text(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name}={value!r}: give text")


def is_flag(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name}={value!r}: give true or false")


def is_share(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{attribute.name}={value!r}: give a share from 0 to 1")
