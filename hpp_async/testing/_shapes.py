"""What may stand in a request, as data: text, one of some words, a whole number, a list, an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import attrs


class BadValueError(ValueError):
    """The request breaks a constraint; the argument is the field's path."""


@attrs.frozen
class Text:
    """Text, in which *pattern* is found."""

    pattern: str = ""

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if not isinstance(value, str) or re.search(self.pattern, value) is None:
            raise BadValueError(path)


@attrs.frozen
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if value not in self.words:
            raise BadValueError(path)


@attrs.frozen
class Whole:
    """A whole number of 64 bits."""

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValueError(path)
        if value != value // 1 or not -(2**63) <= value < 2**63:
            raise BadValueError(path)


@attrs.frozen
class Many:
    """A list of things of one kind; its path is that of the list."""

    of: Shape

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with *path* where *value* is something else."""
        if not isinstance(value, list):
            raise BadValueError(path)
        for item in cast("list[object]", value):
            self.of.check(item, path)


@attrs.frozen
class Fields:
    """An object; what is not required may be null, and keys that nobody knows are ignored."""

    of: Mapping[str, Shape]
    required: tuple[str, ...] = ()

    def check(self, value: object, path: str) -> None:
        """Raise `BadValueError` with the path of the first field that breaks a constraint."""
        if not isinstance(value, dict):
            raise BadValueError(path or "body")
        fields = cast("dict[str, object]", value)
        for name, shape in self.of.items():
            field = fields.get(name)
            if field is not None or name in self.required:
                shape.check(field, f"{path}.{name}" if path else name)


Shape = Text | Choice | Whole | Many | Fields
