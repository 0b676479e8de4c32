"""Checks of one field each. A refusal names the field and says what to give; it repeats no value."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

import attrs

from hpp_async._core.exceptions import ConfigurationError

T = TypeVar("T")
Validator = Callable[[object, Any, Any], None]

_LARGEST: Final = 2**53 - 1
"""The largest whole number that every JSON reader keeps as it is."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Model:
    """A part of an order. Its ``repr`` shows no field: a cart is the business of the consumer and the shop."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def discreet(cls: type[T]) -> type[T]:
    """
    Let what *cls*, an attrs class, refuses be raised from a frame that holds no argument.

    Error reporters print the locals of every frame that an exception came through, and the arguments are personal data.
    """
    make: Callable[..., None] = cls.__init__

    @functools.wraps(make)
    def __init__(self: T, *args: object, **kwargs: object) -> None:  # noqa: N807 - it is one
        kind: type[Exception] | None = None
        refusal = ""
        try:
            make(self, *args, **kwargs)
        except (ConfigurationError, TypeError) as error:
            kind, refusal = type(error), str(error)
        if kind is not None:
            del args, kwargs
            raise kind(refusal)

    cls.__init__ = __init__  # type: ignore[assignment]  # it takes what the wrapped one takes
    return cls


def refusal(model: object, field: str, fix: str) -> ConfigurationError:
    """Return the error for a field of *model*; *fix* says what to give."""
    return ConfigurationError(f"{type(model).__name__}.{field}: {fix}")


# -- numbers -------------------------------------------------------------------------------------------------------


def amount(*, at_least: int = -_LARGEST, at_most: int = _LARGEST) -> Validator:
    """Check money: a whole number of minor units."""
    return _whole("a whole number of minor units (1999 for 19.99)", at_least, at_most)


def number(what: str = "a whole number", *, at_least: int = 0, at_most: int = _LARGEST) -> Validator:
    """Check a whole number that is no money; *what* says what it is."""
    return _whole(what, at_least, at_most)


def _whole(what: str, at_least: int, at_most: int) -> Validator:
    def check(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refusal(model, field.name, f"give {what}, as an int; its type is {type(value).__name__}")
        if value < at_least:
            raise refusal(model, field.name, f"give {what}, at least {at_least}")
        if value > at_most:
            raise refusal(model, field.name, f"give {what}, at most {at_most}")

    return check


def is_whole(*values: object) -> bool:
    """Tell whether all *values* are whole numbers, so that sums can be made of them."""
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


# -- text ----------------------------------------------------------------------------------------------------------


def text(*, at_least: int = 0, at_most: int = _LARGEST) -> Validator:
    """Check text of so many characters."""

    def check(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str):
            raise refusal(model, field.name, f"give text; its type is {type(value).__name__}")
        if not is_sendable(value):
            raise refusal(model, field.name, "it has half a character in it (a lone surrogate): was it cut?")
        if len(value) < at_least:
            raise refusal(model, field.name, "give text that is not empty, or leave it out")
        if len(value) > at_most:
            raise refusal(model, field.name, f"give at most {at_most} characters")

    return check


def is_sendable(value: str) -> bool:
    """Tell whether *value* can be sent: a lone surrogate has no form in UTF-8."""
    return _SURROGATE.search(value) is None


def matching(pattern: str, fix: str) -> Validator:
    """Check text that matches *pattern* as a whole; *fix* says what to give."""
    compiled = re.compile(pattern, re.ASCII)

    def check(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise refusal(model, field.name, fix)

    return check


country = matching(r"[A-Za-z]{2}", "give two letters, as ISO 3166 has them, such as 'SE'")


def one_of(*kind: type[StrEnum]) -> Validator:
    """Check a member of an enumeration, or its text."""
    names = [str(member) for enumeration in kind for member in enumeration]

    def check(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in names:
            raise refusal(model, field.name, f"give one of {', '.join(names)}")

    return check


# -- structure -----------------------------------------------------------------------------------------------------


def optional(check: Validator) -> Validator:
    """Check a field that may be ``None``, and is not sent then."""

    def check_if_given(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if value is not None:
            check(model, field, value)

    return check_if_given


def a(kind: type[object]) -> Validator:
    """Check an instance of *kind*."""

    def check(model: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise refusal(model, field.name, f"give it as {kind.__name__}(…); its type is {type(value).__name__}")

    return check


def each(check: Validator, *, at_least: int = 0, at_most: int = _LARGEST, what: str = "values") -> Validator:
    """Check a tuple of so many *what*, each of which is checked."""

    def check_each(model: object, field: attrs.Attribute[Any], values: Any) -> None:
        if not isinstance(values, tuple):
            raise refusal(model, field.name, f"give a list of {what}; its type is {type(values).__name__}")
        members = cast("tuple[object, ...]", values)
        if not at_least <= len(members) <= at_most:
            raise refusal(model, field.name, f"give {at_least} to {at_most} {what}")
        for member in members:
            check(model, field, member)

    return check_each


def as_tuple(values: Iterable[T]) -> tuple[T, ...]:
    """Return *values* as a tuple; what is no list of values stays as it is, for `each` to refuse."""
    given: object = values
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        return cast("tuple[T, ...]", given)
    return tuple(values)


Extra = Mapping[str, object]


def plain(extra: Extra) -> Extra:
    """Return a copy of *extra* that nobody else can change; what is no plain data stays, for `fits` to refuse."""
    return cast("Extra", _copied(extra))


def _copied(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _copied(member) for key, member in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_copied(member) for member in cast("list[object]", value)]
    return value


def fits(model: Any, field: attrs.Attribute[Any], value: Any) -> None:
    """Check what is to be sent beside the fields of *model*: JSON, under names that no field of it sends."""
    if not isinstance(value, dict) or not is_json(cast("dict[object, object]", value)):
        raise refusal(model, field.name, "give a mapping from names to what JSON has: text, numbers, lists, mappings")
    fields: dict[str, attrs.Attribute[Any]] = attrs.fields_dict(cast("type[attrs.AttrsInstance]", type(model)))
    for name in cast("dict[str, object]", value):
        if name in fields and getattr(model, name) not in (None, ()):
            raise refusal(model, field.name, f"it has {name}, which is sent already: give the argument of that name")


def is_json(value: object) -> bool:
    """Tell whether *value*, in which tuples are lists already, can be sent as JSON and is read back as it was."""
    match value:
        case None | bool():
            return True
        case str():
            return is_sendable(value)
        case int():
            return -_LARGEST <= value <= _LARGEST
        case float():
            return math.isfinite(value)
        case list():
            return all(is_json(member) for member in cast("list[object]", value))
        case dict():
            members = cast("dict[object, object]", value).items()
            return all(isinstance(key, str) and is_json(key) and is_json(member) for key, member in members)
        case _:
            return False
