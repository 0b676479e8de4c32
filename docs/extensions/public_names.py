"""Shows each public name as users import it, though it is defined in a private module."""

from __future__ import annotations

import enum
import inspect
import re
import sys
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType, UnionType
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs
from sphinx.errors import PycodeError
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PACKAGES: Final = (
    "hpp_async",
    "hpp_async.testing",
    "hpp_async.fleet",
    "hpp_async.simulator",
    "hpp_async.instrumentation",
)
STANDARD: Final = {"timedelta": "datetime.timedelta", "datetime": "datetime.datetime"}
"""Names of the standard library that aliases of types write without their module."""


@cache
def public_names() -> dict[str, str]:
    """Return the full name of each public name."""
    return {name: f"{package}.{name}" for package in reversed(PACKAGES) for name in import_module(package).__all__}


def _value(full_name: str) -> object:
    package, _, name = full_name.rpartition(".")
    return getattr(import_module(package), name)


# -- signatures ----------------------------------------------------------------------------------------------------

PRIVATE: Final = re.compile(r"hpp_async\.[\w.]*\b_\w[\w.]*\b")
HIDDEN: Final = re.compile(r"(?: \| )?~?hpp_async\._core\.hidden\.Hidden\[[^\]]*\]")


def _is_private(full_name: str) -> bool:
    module, _, name = full_name.rpartition(".")
    return name not in public_names() and isinstance(getattr(sys.modules.get(module), name, None), type)


def tidy_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Hide the signature of a class that users do not call, and show the default values of fields."""
    if what != "class" or signature is None:
        return None
    signature = HIDDEN.sub("", signature)  # the library's own wrapper of secrets: users give them bare
    if isinstance(obj, enum.EnumType) or any(_is_private(found) for found in PRIVATE.findall(signature)):
        return "", None
    signature = re.sub(r", _\w+: .*?(?=, \w+: |\)$)", "", signature)
    signature = re.sub(r"attr_dict\['(\w+)'\]\.default", lambda found: _default_of(obj, found[1]), signature)
    return re.sub(r"\bNOTHING\b", "...", signature), returned


def _default_of(owner: Any, name: str) -> str:
    default = attrs.fields_dict(owner)[name].default
    return str.__repr__(default) if isinstance(default, str) else repr(default)


def _is_hidden(base: Any) -> bool:
    origin = getattr(base, "__origin__", base)
    module = getattr(origin, "__module__", "")
    return module.startswith("hpp_async") and origin.__name__ not in public_names()


# -- docstrings ----------------------------------------------------------------------------------------------------


def find_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give a constant the docstring that stands below it, and keep the docstrings of attributes."""
    package, _, last = name.rpartition(".")
    if what == "data" and package in PACKAGES:
        lines[:] = _docstring_of(last)
        if isinstance(obj, UnionType):
            lines += ["", "One of " + ", ".join(f"`{kind.__name__}`" for kind in get_args(obj)) + "."]
    if what in ("attribute", "data", "property"):
        _unread[name] = list(lines)


def _is_told(base: type) -> bool:
    return (
        base is not object
        and base.__module__.partition(".")[0] in ("builtins", "enum", "hpp_async")
        and not _is_hidden(base)
    )


def _module_of(base: type) -> str:
    return "enum." if base.__module__ == "enum" else ""


_unread: Final[dict[str, list[str]]] = {}
"""Docstrings that napoleon would take for ``type: description``, which none of ours is."""


def tidy_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Undo what napoleon made of the docstring of an attribute, and write the types of attributes beside the names."""
    if name in _unread:
        lines[:] = GoogleDocstring(_unread.pop(name), app.config).lines()
    if isinstance(obj, type):
        bases = [f"`~{_module_of(base)}{base.__name__}`" for base in obj.__bases__ if _is_told(base)]
        lines[:0] = [f"Bases: {', '.join(bases)}", ""] if bases else []
    attribute = 0
    for number, line in enumerate(lines):
        if line.startswith(".. attribute::"):
            attribute = number
        elif attribute and line.startswith("   :type: "):
            lines[attribute] += "\n" + re.sub(r"(?:\w+\.)+(?=\w)", r"~\g<0>", line)
            lines[number] = ""
    lines[:] = "\n".join(lines).splitlines()


def choose_members(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Show every member of an enumeration, no attribute twice, and nothing that takes objects of private classes."""
    if isinstance(obj, enum.Enum):
        return False
    if isinstance(obj, FunctionType) and _is_internal(obj):
        return True
    if isinstance(obj, property) and obj.fget is not None:
        owner = obj.fget.__qualname__.rpartition(".")[0]
        described = inspect.getdoc(vars(import_module(obj.fget.__module__)).get(owner)) or ""
        if re.search(rf"^Attributes:\n(?: .*\n|\n)*?    {name}: ", described, re.MULTILINE):
            return True
    return None


def _is_internal(function: FunctionType) -> bool:
    words = re.findall(r"\w+", " ".join(map(str, function.__annotations__.values())))
    found = [function.__globals__.get(word) for word in words]
    return any(isinstance(one, type) and _is_hidden(one) for one in found)


@cache
def _modules() -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == "hpp_async"]


@cache
def _docstring_of(name: str) -> tuple[str, ...]:
    for module in _modules():
        if name in vars(module):
            try:
                found = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
            except PycodeError:  # a module without source
                continue
            if ("", name) in found:
                return tuple(found["", name])
    return ()


# -- references ----------------------------------------------------------------------------------------------------


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: TextElement) -> Element | None:
    """Resolve a reference to a private module by the public name, and one without a package in all of them."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if target in STANDARD:
        node["reftarget"] = STANDARD[target]  # for intersphinx, which is asked next
        return None
    first, _, rest = target.partition(".")
    name, member = (target.rpartition(".")[2], "") if first == "hpp_async" else (first, rest)
    if name not in public_names():
        return None
    full_name = ".".join(filter(None, (public_names()[name], member)))
    return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full_name, node, shown)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above to Sphinx."""
    names = {name: _value(full_name) for name, full_name in public_names().items()}
    for module in _modules():  # where they are imported for type checkers only, they would not be found
        for name, value in names.items():
            vars(module).setdefault(name, value)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("autodoc-process-docstring", find_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", tidy_docstring, priority=600)  # after it
    app.connect("autodoc-skip-member", choose_members)
    app.connect("missing-reference", resolve, priority=400)  # before intersphinx
    return {"parallel_read_safe": True, "parallel_write_safe": True}
