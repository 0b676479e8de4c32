"""A value that is seen only where it is asked for: tokens and personal data inside of what was observed."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Hidden(Generic[T]):
    """
    Holds *value* for `attrs` classes; call it for the value.

    ``attrs.asdict``, ``cattrs.unstructure`` and JSON encoders copy the fields of an object, and the fields of the
    objects in them. A field that holds one of these has nothing for them to copy; a property of the class gives the
    value.
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
    """Return *value* hidden; what is hidden already stays as it is."""
    return cast("Hidden[T]", value) if isinstance(value, Hidden) else Hidden(value)
