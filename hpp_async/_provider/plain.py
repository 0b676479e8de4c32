"""Acts, visitors and faults as plain data, the same in TOML and JSON; refusals name the whole path of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, NewType, TypeVar, cast, get_args, get_origin

import attrs
import cattrs
from cattrs import gen
from cattrs.cols import list_structure_factory

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.faults import FAULT_KINDS, Fault
from hpp_async._provider.scripts import ACTS, Act, Script, Visitor, becomes
from hpp_async._provider.words import Operation

_Read = TypeVar("_Read")
_Hook = Callable[[Any, Any], Any]

Whole = NewType("Whole", int)
"""A whole number of 64 bits; 640.0 is one, too."""
URL = NewType("URL", str)
"""Text that contains ``://``."""


class PlainDataError(ConfigurationError):
    """
    Plain data is not what it should be.

    Attributes:
        key: the path of the first key that is wrong, missing or unknown.
    """

    key = ""


def read(value: object, kind: type[_Read], *, ignores_unknown_keys: bool = False) -> _Read:
    """
    Return *value*, plain data, as a *kind*.

    Raises:
        PlainDataError: naming every key that is wrong, missing or unknown.
    """
    try:
        return _converter(not ignores_unknown_keys).structure(value, kind)
    except (cattrs.BaseValidationError, ConfigurationError) as error:
        # cattrs writes "complaint @ path"; our messages begin with the path.
        found = [line.rpartition(" @ ") for line in cattrs.transform_error(error, "", _complaint)]
    complaints = [f"{path}{complaint}".removeprefix(".") for complaint, _, path in found]
    refusal = PlainDataError("; ".join(complaints).removeprefix("="))
    refusal.key = found[0][2].removeprefix(".")
    raise refusal


@attrs.define(eq=False)  # not frozen: cattrs adds notes to it
class _WrongValueError(ConfigurationError):
    value: object
    what: str


def _complaint(error: BaseException, _: type | None) -> str:
    """Return the part of the message about *error* that follows the path of its key."""
    match error:
        case _WrongValueError():
            return f"={error.value!r}: give {error.what}"
        case KeyError():
            return " is missing"
        case cattrs.ForbiddenExtraKeysError():
            keys = [field.name for field in attrs.fields(error.cl)]
            return f".{min(error.extra_fields)} is not known: the keys here are {', '.join(keys)}"
        case _:
            return f".{error}"  # an attribute's own complaint, which begins with its name


# -- the converter -----------------------------------------------------------------------------------------------------


@cache  # not made on import, because that takes a while and most users never need it
def _converter(forbids_extra_keys: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=forbids_extra_keys, prefer_attrib_converters=True)
    converter.register_structure_hook(str, _only("text", lambda value: isinstance(value, str)))
    converter.register_structure_hook(bool, _only("true or false", lambda value: isinstance(value, bool)))
    converter.register_structure_hook(int, _only("a whole number", lambda value: type(value) is int))
    converter.register_structure_hook(float, _only("a number", _is_number, lambda value, _: float(value)))
    converter.register_structure_hook_func(lambda kind: kind is URL, _only("a URL", _is_url))
    converter.register_structure_hook_func(lambda kind: kind is Whole, _only("a whole number", _is_whole))
    converter.register_structure_hook_func(_is_any(Literal), _word)

    def lists(kind: Any) -> _Hook:
        return _only("a list", lambda value: isinstance(value, list), list_structure_factory(kind, converter))

    def mappings(kind: Any) -> _Hook:
        structure: _Hook = gen.make_mapping_structure_fn(kind, converter)  # pyright: ignore[reportUnknownMemberType]  # cattrs'
        return _only("a table", _is_table, structure)

    def classes(kind: Any) -> _Hook:
        structure: _Hook = gen.make_dict_structure_fn(kind, converter)
        return _only("a table", _is_table, structure)

    converter.register_structure_hook_factory(_is_any(list), lists)
    converter.register_structure_hook_factory(_is_any(dict), mappings)
    converter.register_structure_hook_factory(attrs.has, classes)
    converter.register_structure_hook(Act, lambda value, _: _act(value, converter))
    converter.register_structure_hook(Fault, lambda value, _: _fault(value, converter))
    return converter


def _is_any(origin: object) -> Callable[[Any], bool]:
    """Return a test for the types whose origin is *origin*: ``list[str]`` has the origin ``list``."""
    return lambda kind: get_origin(kind) is origin


def _only(what: str, is_right: Callable[[Any], bool], structure: _Hook = lambda value, _: value) -> _Hook:
    """Return a hook that passes *what* to *structure* and refuses other values, which cattrs alone would convert."""

    def hook(value: object, kind: object) -> object:
        if not is_right(value):
            raise _WrongValueError(value, what)
        return structure(value, kind)

    return hook


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and value == value // 1 and -(2**63) <= value < 2**63


def _is_url(value: object) -> bool:
    return isinstance(value, str) and "://" in value


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _word(value: object, kind: object) -> object:
    words = get_args(kind)
    if value not in words:
        raise _WrongValueError(value, f"one of {', '.join(words)}")
    return value


# -- acts and visitors -------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class _Details:
    """The keys that every act can have, besides its word."""

    after: float | None = None
    fields: dict[str, Any] = attrs.field(factory=dict[str, Any])
    expires_in: float | None = None


@attrs.frozen(kw_only=True)
class _Becomes(_Details):
    becomes: str


def _act(value: object, converter: cattrs.Converter) -> Act:
    """Read ``"pays"``, ``{pays = 30}``, ``{pays = 30, fields = {…}}`` or ``{becomes = "…", after = 5}``."""
    table = {value: None} if isinstance(value, str) else value
    words = (*ACTS, "becomes")
    word = next((word for word in words if word in table), None) if isinstance(table, dict) else None
    if word is None:
        raise _WrongValueError(value, f"an act, one of {', '.join(words)}")
    details = {key: item for key, item in cast("dict[str, object]", table).items() if item is not None}
    if word == "becomes":
        act = converter.structure(details, _Becomes)
        return _with(becomes(act.becomes), act)
    if "after" in details:
        raise ConfigurationError(f"after is not known: write {{{word} = seconds}}")
    if word in details:
        details["after"] = details.pop(word)
    return _with(ACTS[word], converter.structure(details, _Details))


def _with(act: Act, details: _Details) -> Act:
    fields = {**act.fields, **details.fields}
    return attrs.evolve(act(details.after, expires_in=details.expires_in), fields=fields)


@attrs.frozen(kw_only=True)
class Visit:
    """Who visits a session: a ``visitor`` by name, or a list of ``acts`` with a ``lifetime`` and a ``story``."""

    visitor: str | None = None
    acts: list[Act] | None = None
    lifetime: float | None = None
    story: str | None = None

    def read(self, known: Mapping[str, Visitor]) -> Visitor | None:
        """
        Return the visitor, one of *known* or a new script; ``None`` if neither ``visitor`` nor ``acts`` is given.

        Raises:
            ConfigurationError: naming the key.
        """
        if self.visitor is not None:
            if self.acts is not None:
                raise ConfigurationError("acts: give either acts or a visitor")
            if self.visitor not in known:
                raise ConfigurationError(f"visitor={self.visitor!r}: give one of {', '.join(known)}")
            return known[self.visitor]
        if self.acts is None:
            return None
        script = Script(*self.acts, story=self.story)
        return script if self.lifetime is None else Script(*self.acts, lifetime=self.lifetime, story=self.story)


# -- faults ------------------------------------------------------------------------------------------------------------

_WHOM: Final = tuple(field.name for field in attrs.fields(Fault) if field.name != "kind")


def _fault(value: object, converter: cattrs.Converter) -> Fault:
    """Read ``{kind = "slow", seconds = 3, share = 0.2}``: the attributes of the kind and of the fault in one table."""
    if not isinstance(value, dict):
        raise _WrongValueError(value, "a table")
    table = {key: item for key, item in cast("dict[str, object]", value).items() if item is not None}
    name = table.pop("kind", None)
    kind = FAULT_KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(f"kind={name!r}: give one of {', '.join(FAULT_KINDS)}")
    whom: dict[str, Any] = {key: table.pop(key) for key in _WHOM if key in table}
    own = [field.name for field in attrs.fields(kind)]
    unknown = [key for key in table if key not in own]
    if unknown:
        raise ConfigurationError(f"{unknown[0]} is not known: the keys here are {', '.join(['kind', *own, *_WHOM])}")
    # Fault checks the values of its own attributes.
    return Fault(converter.structure(table, kind), **whom)


def write_fault(fault: Fault) -> dict[str, object]:
    """Return *fault* as plain data, from which `read` makes it again; attributes with their default are left out."""
    writer = _writer()
    kind = type(fault.kind).__name__.lower()
    return {"kind": kind, **writer.unstructure(fault.kind), **writer.unstructure(fault)}


@cache
def _writer() -> cattrs.Converter:
    writer = cattrs.Converter(omit_if_default=True)
    writer.register_unstructure_hook(bytes, lambda body: body.decode(errors="replace"))
    writer.register_unstructure_hook_func(lambda kind: kind == frozenset[Operation], sorted)
    writer.register_unstructure_hook_func(lambda kind: kind == tuple[tuple[str, str], ...], dict)
    whom = gen.make_dict_unstructure_fn(Fault, writer, _cattrs_omit_if_default=True, kind=gen.override(omit=True))
    writer.register_unstructure_hook(Fault, whom)
    return writer
