"""Plain data, as TOML and JSON give it, read key by key: what is wrong is said with the key's whole path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from hpp_async._exceptions import ConfigurationError

_Read = TypeVar("_Read")


class Table:
    """
    A table at *path* whose keys are taken one by one; what is left over in the end is not known.

    Raises:
        ConfigurationError: *value* is no table.
    """

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{path or 'body'}={value!r}: give a table")
        self._left = dict(cast("dict[str, object]", value))
        self._known: list[str] = []
        self.where = path

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def path(self, key: str) -> str:
        """Return the whole path of *key*."""
        return f"{self.where}.{key}" if self.where else key

    def any(self, key: str) -> object:
        """Take whatever *key* has; ``None`` where it is not there."""
        self._known.append(key)
        return self._left.pop(key, None)

    def take(self, key: str, kind: type[_Read], what: str) -> _Read | None:
        """
        Take what *key* has, which is of *kind*; ``None`` where it is not there.

        Raises:
            ConfigurationError: it is of another kind; *what* says what to give.
        """
        value = self.any(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigurationError(f"{self.path(key)}={value!r}: give {what}")
        return value

    def text(self, key: str) -> str | None:
        """Take the text that *key* has."""
        return self.take(key, str, "text")

    def number(self, key: str) -> float | None:
        """Take the number that *key* has."""
        value = self.any(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigurationError(f"{self.path(key)}={value!r}: give a number")
        return None if value is None else float(value)

    def items(self, key: str) -> list[tuple[str, object]]:
        """Take the list that *key* has: each item, after its path; they are numbered from 1."""
        found = cast("list[object] | None", self.take(key, list, "a list"))
        return [(f"{self.path(key)}[{number}]", item) for number, item in enumerate(found or [], start=1)]

    def table(self, key: str) -> dict[str, object]:
        """Take the table that *key* has, as it is."""
        return cast("dict[str, object]", self.take(key, dict, "a table") or {})

    def texts(self, key: str) -> dict[str, str]:
        """Take the table of texts that *key* has."""
        found = self.table(key)
        for name, said in found.items():
            if not isinstance(said, str):
                raise ConfigurationError(f"{self.path(key)}.{name}={said!r}: give text")
        return cast("dict[str, str]", found)

    def chosen(self, keys: Iterable[str]) -> dict[str, object]:
        """Take those of *keys* that are there."""
        return {key: value for key in keys if (value := self.any(key)) is not None}

    def end(self) -> None:
        """
        Be done.

        Raises:
            ConfigurationError: naming the first key that nobody has asked for.
        """
        for key in self._left:
            raise ConfigurationError(f"{self.path(key)} is not known: the keys here are {', '.join(self._known)}")
