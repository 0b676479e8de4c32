"""The architecture: imports point down, the core is pure, and every public name exists and is documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

import hpp_async
import hpp_async.testing
from hpp_async._provider.faults import FAULT_KINDS

PACKAGE: Final = Path(__file__).parents[1] / "hpp_async"
TESTS: Final = Path(__file__).parent

FLOORS: Final = [
    {"_core", "_extras"},
    {"_loop"},
    {"_http", "_waits"},
    {"_ordering"},
    {"_client"},
    {"__init__"},
    {"_provider", "fleet"},
    {"instrumentation"},
    {"testing"},
    {"simulator"},
    {"cli"},
]
"""The folders and single modules of the package, lowest floor first: none imports from its own floor or from above."""

STANDS_ON: Final = {
    "instrumentation": {"instrumentation", "__init__", "_extras"},
    "testing": {"testing", "_provider", "__init__", "_loop"},  # of _loop it needs the tasks, for its clock
    "simulator": {"simulator", "testing", "_provider", "__init__", "_extras"},
    # Of _waits it needs what makes a wait a coroutine, and of _loop which event loop a store is used in.
    "fleet": {"fleet", "_waits", "_loop", "__init__", "_extras"},
    "cli": {"cli", "fleet", "simulator", "testing", "_provider", "__init__", "_extras"},
}
"""All that these folders may import: public names, the provider's model, and what a missing extra is called."""

CORE: Final = [
    {"exceptions", "hidden", "deadline", "memory"},
    {"session"},
    {"schedule", "endpoint", "token_bucket", "provider_clock", "position", "failures"},
    {"credentials", "history", "expiry", "budget", "settings"},
    {"outcome", "resuming"},
    {"actions", "orders"},
    {"endings"},
    {"poller"},
]
"""The floors of the modules inside of the core."""

ORDERS: Final = [
    {"checks"},
    {"answers", "distribution", "lines", "options", "people", "urls"},
    {"order"},
    {"creation", "placing"},
]
"""The same of the modules inside of its folder `orders`."""

CORE_MAY_IMPORT: Final = {*sys.stdlib_module_names, "attrs"}
IMPURE: Final = {"asyncio", "io", "os", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
ONLY_IN: Final = {
    "tenacity": {"_http"},
    "cattrs": {"_http", "_provider"},
    "orjson": {"_http"},
    "opentelemetry": {"instrumentation"},
    "prometheus_client": {"instrumentation"},
    "psycopg": {"fleet"},
    "sqlite3": {"fleet"},
    "httpx": {"_http", "_provider", "testing"},
}

MODULES: Final = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """Return the name of the folder in the package that holds the module, or of the module itself if none does."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path) -> set[str]:
    """Return the full names of what a module imports when it runs, without imports for type checkers only."""
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
def test_imports_point_down(path: Path) -> None:
    used = rooms_used(path) - {room(path)}

    assert {name for name in used if floor(name) >= floor(room(path))} == set()


@pytest.mark.parametrize("name", STANDS_ON)
def test_folders_above_the_client_import_public_names_and_the_provider_only(name: str) -> None:
    used = {module for path in PACKAGE.glob(f"{name}/*.py") for module in rooms_used(path)}

    assert used <= STANDS_ON[name]


def test_the_decisions_of_the_fleet_are_pure() -> None:
    used = {
        name.split(".")[0]
        for path in ("_division", "_lease", "_values")
        for name in imports(PACKAGE / f"fleet/{path}.py")
    }

    assert used <= CORE_MAY_IMPORT - IMPURE | {"hpp_async"}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("_core/**/*.py")), ids=lambda path: path.stem)
def test_the_core_is_pure(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)} - {"hpp_async"}

    assert used <= CORE_MAY_IMPORT - IMPURE
    assert not re.search(r"\.(now|utcnow|today)\(", path.read_text("utf-8")), "the core reads no clock"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("_core/[a-z]*.py")), ids=lambda path: path.stem)
def test_imports_inside_the_core_point_down(path: Path) -> None:
    floors = {name: number for number, names in enumerate(CORE) for name in names}
    used = {name.split(".")[2] for name in imports(path) if name.startswith("hpp_async._core.")}

    assert {name for name in used if floors[name] >= floors[path.stem]} == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("_core/orders/[a-z]*.py")), ids=lambda path: path.stem)
def test_arrows_inside_of_orders_point_down(path: Path) -> None:
    rest = {name for names in CORE[: CORE.index({"actions", "orders"})] for name in names}
    floors = {name: number for number, names in enumerate(ORDERS) for name in names}
    used = {name.removeprefix("hpp_async._core.") for name in imports(path) if name.startswith("hpp_async._core.")}
    beside = {name.removeprefix("orders.") for name in used if name.startswith("orders.")}

    assert {name for name in used if not name.startswith("orders.")} <= rest
    assert {name for name in beside if floors[name] >= floors[path.stem]} == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_in_its_folders_only(library: str) -> None:
    users = {room(path) for path in MODULES if library in {name.split(".")[0] for name in imports(path)}}

    assert users <= ONLY_IN[library] | {"cli", "simulator"}


def test_nothing_else_imports_the_instrumentation() -> None:
    assert {room(path) for path in MODULES if "instrumentation" in rooms_used(path)} == {"instrumentation"}


def test_every_folder_and_module_has_a_floor() -> None:
    assert {room(path) for path in MODULES} <= frozenset[str]().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 450
    assert ast.get_docstring(ast.parse(text)), "a module's first line says its one job"


@pytest.mark.parametrize("door", [hpp_async, hpp_async.testing], ids=lambda door: door.__name__)
def test_all_lists_every_public_name(door: object) -> None:
    names: list[str] = door.__all__  # type: ignore[attr-defined]  # it is a module
    public = [name for name in vars(door) if not name.startswith("_") and name[0].isupper()]

    assert sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name)) == names
    assert set(public) - {"VERSION", "Final", "TYPE_CHECKING"} <= set(names)
    assert all(hasattr(door, name) for name in names)


def test_names_of_the_door_are_loaded_when_they_are_used() -> None:
    code = "import sys, hpp_async; assert not [name for name in sys.modules if 'orders' in name]; hpp_async.OrderLine"
    subprocess.run([sys.executable, "-c", code], check=True)

    assert set(hpp_async.__all__) <= set(dir(hpp_async))
    with pytest.raises(AttributeError, match="module 'hpp_async' has no attribute 'PurchasedOrder'"):
        hpp_async.PurchasedOrder  # type: ignore[attr-defined]  # noqa: B018 - there is none, and looking has an effect


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


UNHURRIED: Final = [
    path
    for path in sorted(TESTS.rglob("*.py"))
    if path.parent.name not in {"browser", "engines", "faults", "processes"}
]
"""Every module of the suite; those of real networks, browsers and processes wait for real time."""


@pytest.mark.parametrize("path", UNHURRIED, ids=lambda path: str(path.relative_to(TESTS)))
def test_the_suite_neither_mocks_nor_sleeps(path: Path) -> None:
    forbidden = ["unittest." + "mock", "time." + "sleep(", "asyncio." + "sleep(0.", "anyio." + "sleep("]
    text = path.read_text("utf-8")

    assert [word for word in forbidden if word in text] == []


def test_simulator_scripted_provider_and_simulation_have_one_vocabulary() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (*MODULES, *TESTS.glob("simulation/*.py"))]
    classes = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))

    names = ["Script", "Fault", *(kind.__name__ for kind in FAULT_KINDS.values())]
    assert {name: classes[name] for name in names} == dict.fromkeys(names, 1)
