"""
Validators and converters for the attributes of faults.

attrs has validators for all of this, but their messages name Python types. Authors of TOML read these messages, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.schedule import seconds
from hpp_async._provider.life import duration
from hpp_async._provider.words import Envelope, Hint, Operation

_Word = TypeVar("_Word", bound=StrEnum)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+:[ -~]*")


def _only(what: str, is_right: Callable[[Any], bool]) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator for *what*, by the test *is_right*; it refuses other values and names the attribute."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_right(value):
            raise ConfigurationError(f"{attribute.name}={value!r}: give {what}")

    return validate


whole_number: Final = _only("a whole number, 0 or more", lambda value: type(value) is int and value >= 0)
http_status: Final = _only(
    "an HTTP status code from 200 to 599", lambda value: type(value) is int and 200 <= value <= 599
)
fraction: Final = _only("a share from 0 to 1", lambda value: type(value) in (int, float) and 0 <= value <= 1)
true_or_false: Final = _only("true or false", lambda value: isinstance(value, bool))
any_text: Final = _only("text", lambda value: isinstance(value, str))


def as_seconds(value: float | timedelta) -> float:
    return duration(value, "seconds")


def as_lag(value: float | timedelta) -> float:
    return duration(value, "lag")


def as_by(value: float | timedelta) -> float:
    return duration(value, "by", at_least=-1e9)


def as_reset(value: float | timedelta) -> float:
    return duration(value, "reset")


def as_start(value: float | timedelta) -> float:
    return duration(value, "start")


def as_until(value: float | timedelta) -> float:
    return seconds(value, "until")  # by default it is infinite, which `duration` refuses


def as_body(value: bytes | str) -> bytes:
    if not isinstance(value, bytes | str):
        raise ConfigurationError(f"body={value!r}: give bytes or text")
    return value.encode() if isinstance(value, str) else value


def as_headers(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    given: object = value
    try:
        pairs = (("", ""),) if given == "" else tuple(dict(value).items())
    except (TypeError, ValueError):
        pairs = (("", ""),)
    if not all(isinstance(text, str) and _HEADER.fullmatch(f"{name}:{text}") for name, text in pairs):
        raise ConfigurationError(f"headers={value!r}: give names and texts, in ASCII")
    return pairs


def as_envelope(value: Envelope | str) -> Envelope:
    return _one_of(Envelope, value, "envelope")


def as_hint(value: Hint | str) -> Hint:
    return _one_of(Hint, value, "hint")


def as_operations(value: Operation | str | Iterable[Operation | str]) -> frozenset[Operation]:
    words: Iterable[str] = (value,) if isinstance(value, str) else value
    if isinstance(words, Mapping) or not isinstance(words, Iterable):
        raise ConfigurationError(f"on={value!r}: give some of {', '.join(Operation)}")
    return frozenset(_one_of(Operation, word, "on") for word in words)


def as_session(value: str | None) -> str | None:
    """Return the id in *value*, which is an id or a ``session_url``, such as `ScriptedProvider.add` returns."""
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"session={value!r}: give the id of a session, or its session_url")
    return value and value.rpartition("/")[2]


def _one_of(words: type[_Word], value: str, name: str) -> _Word:
    try:
        return words(value)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r}: give one of {', '.join(words)}") from None
