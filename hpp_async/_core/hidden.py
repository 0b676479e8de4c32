"""A wrapper that hides a value from whatever copies or prints it: a token, personal data, or credentials."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Hidden(Generic[T]):
    """
    A wrapper for a secret *value* in a field of an `attrs` class, or in a local variable; call it to get the value.

    Error reporters print the local variables of every frame that an error passes through. ``attrs.asdict``,
    ``cattrs.unstructure`` and JSON encoders copy the fields of an object, and the fields of the objects in them. They
    do not see into a wrapper. The attrs class has a property that returns the value.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __call__(self) -> T:
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hidden):
            return NotImplemented
        return self._value == cast("Hidden[object]", other)._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "<hidden>"


def hide(value: T | Hidden[T]) -> Hidden[T]:
    """Return *value* in a wrapper; a value that is in one already stays as it is."""
    return cast("Hidden[T]", value) if isinstance(value, Hidden) else Hidden(value)
