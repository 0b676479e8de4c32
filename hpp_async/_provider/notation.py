"""How scripts and troubles are written as plain data, in TOML and JSON alike; refusals name the whole path of a key."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.consumers import ACTS, Act, Script, Visitor, becomes
from hpp_async._provider.faults import FAULTS, Fault, Trouble

_Read = TypeVar("_Read")
_WORDS: Final = (*ACTS, "becomes")
_WHEN: Final = tuple(field.name for field in attrs.fields(Trouble) if field.name != "fault")


@contextmanager
def at(path: str) -> Generator[None]:
    """Let a refusal, which begins with the name of an attribute, begin with the whole path."""
    try:
        yield
    except ConfigurationError as refusal:
        raise ConfigurationError(f"{path}.{refusal}" if path else str(refusal)) from None


# -- consumers ---------------------------------------------------------------------------------------------------------


def read_act(value: object, path: str) -> Act:
    """
    Return the act that is written ``"pays"``, ``{pays = 30}``, ``{pays = 30, fields = {…}}`` or ``{becomes = "…"}``.

    Raises:
        ConfigurationError: naming the key.
    """
    if isinstance(value, str):
        word, table = value, Table({}, path)
    else:
        table = Table(value, path)
        word = next((word for word in _WORDS if word in table), "")
    if word == "becomes":
        status, after = table.text(word), table.number("after")
        with at(path):
            act = becomes(status or "", after or 0.0)
        if not status:
            raise ConfigurationError(f"{path}.becomes is missing: give the status")
    elif word in ACTS:
        after = table.number(word)
        with at(path):
            act = ACTS[word] if after is None else ACTS[word](after)
    else:
        raise ConfigurationError(f"{path}={value!r}: give an act, one of {', '.join(_WORDS)}")
    fields, expires_in = table.table("fields"), table.number("expires_in")
    table.end()
    act = attrs.evolve(act, fields={**act.fields, **fields})
    with at(path):
        return act if expires_in is None else act(expires_in=expires_in)


def read_visitor(table: Table, known: Mapping[str, Visitor]) -> Visitor | None:
    """
    Return whom *table* names as ``visitor``, or describes by ``acts``, ``lifetime`` and ``story``; or ``None``.

    Raises:
        ConfigurationError: naming the key.
    """
    name, story, lifetime = table.text("visitor"), table.text("story"), table.number("lifetime")
    acts = [read_act(item, path) for path, item in table.items("acts")] if "acts" in table else None
    if name is not None:
        if acts is not None:
            raise ConfigurationError(f"{table.path('acts')}: give either acts or a visitor")
        if name not in known:
            raise ConfigurationError(f"{table.path('visitor')}={name!r}: give one of {', '.join(known)}")
        return known[name]
    if acts is None:
        return None
    with at(table.where):
        return Script(*acts, story=story) if lifetime is None else Script(*acts, lifetime=lifetime, story=story)


# -- faults ------------------------------------------------------------------------------------------------------------


def read_trouble(value: object, path: str) -> Trouble:
    """
    Return the trouble that is written ``{kind = "slow", seconds = 3, share = 0.2}``.

    Raises:
        ConfigurationError: naming the key.
    """
    table = Table(value, path)
    kind = table.text("kind")
    if kind is None or kind not in FAULTS:
        raise ConfigurationError(f"{table.path('kind')}={kind!r}: give one of {', '.join(FAULTS)}")
    when = table.chosen(_WHEN)
    attributes = attrs.fields(FAULTS[kind])
    said = table.chosen(attribute.name for attribute in attributes)
    table.end()
    for attribute in attributes:
        if attribute.default is attrs.NOTHING and attribute.name not in said:
            raise ConfigurationError(f"{table.path(attribute.name)} is missing")
    with at(path):
        # The attributes themselves look at what they are given.
        fault = cast("Any", FAULTS[kind])(**said)
        return Trouble(fault, **cast("Any", when))


def write_trouble(trouble: Trouble) -> dict[str, object]:
    """Return *trouble* as `read_trouble` takes it; what is as always is left out."""
    return {"kind": type(trouble.fault).__name__.lower(), **_said(trouble.fault), **_said(trouble)}


def _said(value: Fault | Trouble) -> dict[str, object]:
    said: dict[str, object] = {}
    for attribute in attrs.fields(type(value)):
        what = getattr(value, attribute.name)
        if attribute.name == "fault" or what == attribute.default:
            continue
        match what:
            case bytes():
                said[attribute.name] = what.decode(errors="replace")
            case frozenset():
                said[attribute.name] = sorted(cast("frozenset[str]", what))
            case tuple():
                said[attribute.name] = dict(cast("tuple[tuple[str, str], ...]", what))
            case _:
                said[attribute.name] = what
    return said


# -- tables ------------------------------------------------------------------------------------------------------------


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
