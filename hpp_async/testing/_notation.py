"""How scripts and troubles are written down as plain data, in TOML and JSON alike."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import attrs

from hpp_async._exceptions import ConfigurationError
from hpp_async.testing._consumers import ACTS, Act, Script, Visitor, becomes
from hpp_async.testing._faults import FAULTS, Fault, Trouble
from hpp_async.testing._tables import Table

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
