"""The house, as it is drawn: arrows point down, the core is pure, and every door leads somewhere."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

import hpp_async
import hpp_async.testing
from hpp_async.testing._faults import FAULTS

PACKAGE: Final = Path(__file__).parents[1] / "hpp_async"
TESTS: Final = Path(__file__).parent

FLOORS: Final = [
    {"_exceptions"},
    {"_session"},
    {"_transitions", "_schedule"},
    {"_outcome"},
    {"_actions"},
    {"_poller"},
    # Above: anyio, httpx, tenacity, cattrs. Below: attrs and plain values.
    {"_events", "_clock", "_codec", "_connections", "_endpoint", "_retry", "_budget"},
    {"_reader"},
    {"_reads"},
    {"_following"},
    {"_wait", "_watch"},
    {"_client"},
    {"__init__"},
    {"testing"},
    {"simulator"},
    {"cli"},
]
CORE: Final = frozenset[str]().union(*FLOORS[:6])
CORE_MAY_IMPORT: Final = {"__future__", "attrs", "datetime", "enum", "typing", "collections.abc"}
ONLY_IN: Final = {
    "tenacity": {"_retry"},
    "cattrs": {"_codec"},
    "orjson": {"_codec"},
    "httpx": {"_connections", "_reader", "_client", "testing"},
}

MODULES: Final = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """Return the module, or the folder it is in, as the house has it."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path) -> set[str]:
    """Return the full names of what a module imports when it runs; not what type checkers alone look at."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


def rooms_used(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports(path) if name.split(".")[0] == "hpp_async"]
    return {part[1] if len(part) > 1 else "__init__" for part in parts}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path) -> None:
    used = rooms_used(path) - {room(path)}

    assert {name for name in used if floor(name) >= floor(room(path))} == set()


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_is_pure(name: str) -> None:
    foreign = {used for used in imports(PACKAGE / f"{name}.py") if not used.startswith("hpp_async.")}

    assert foreign <= CORE_MAY_IMPORT


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_its_room_only(library: str) -> None:
    users = {room(path) for path in MODULES if library in {name.split(".")[0] for name in imports(path)}}

    assert users <= ONLY_IN[library] | {"cli", "simulator"}


def test_every_room_is_drawn() -> None:
    assert {room(path) for path in MODULES} <= frozenset[str]().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 450
    assert ast.get_docstring(ast.parse(text)), "a module's first line says its one job"


@pytest.mark.parametrize("door", [hpp_async, hpp_async.testing], ids=lambda door: door.__name__)
def test_a_door_has_every_name_it_promises(door: object) -> None:
    names: list[str] = door.__all__  # type: ignore[attr-defined]  # it is a module
    public = [name for name in vars(door) if not name.startswith("_") and name[0].isupper()]

    assert sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name)) == names
    assert set(public) - {"VERSION"} <= set(names)
    assert all(hasattr(door, name) for name in names)


@pytest.mark.parametrize("name", hpp_async.__all__)
def test_everything_public_is_documented(name: str) -> None:
    public = getattr(hpp_async, name)
    if not isinstance(public, type):
        return
    bare = [
        attribute
        for attribute, value in vars(public).items()
        if not attribute.startswith("_")
        and (callable(value) or isinstance(value, property))
        and not getattr(value, "__doc__", None)
    ]

    assert public.__doc__
    assert bare in ([], ["is_transient"])


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_the_suite_neither_mocks_nor_sleeps(path: Path) -> None:
    forbidden = ["unittest." + "mock", "time." + "sleep(", "asyncio." + "sleep(0.", "anyio." + "sleep("]
    text = path.read_text("utf-8")

    assert [word for word in forbidden if word in text] == []


def test_simulator_scripted_provider_and_simulation_have_one_vocabulary() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (*MODULES, *TESTS.glob("simulation/*.py"))]
    classes = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))

    names = ["Script", "Trouble", *(kind.__name__ for kind in FAULTS.values())]
    assert {name: classes[name] for name in names} == dict.fromkeys(names, 1)
