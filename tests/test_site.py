"""The site's reference is complete: what the code has, the pages have."""

import pydoc
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

import attrs
import pytest

import hpp_async
from hpp_async import HPPError
from hpp_async._core.memory import Failing, Memory
from hpp_async._http.environment import _KINDS

ROOT: Final = Path(__file__).parents[1]
REFERENCE: Final = ROOT / "docs" / "reference"
PACKAGES: Final = (
    "hpp_async",
    "hpp_async.testing",
    "hpp_async.simulator",
    "hpp_async.instrumentation",
    "hpp_async.fleet",
)
INVENTORIES: Final = sorted(ROOT.glob("docs/inventories/*.txt"))


def _page(name: str) -> str:
    return (REFERENCE / f"{name}.rst").read_text("utf-8")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference_once(package: str) -> None:
    if package == "hpp_async.fleet":
        pytest.importorskip("psycopg")  # of the extra `postgres`, and not in the session that tests the wheel
    pages = "\n".join(page.read_text("utf-8") for page in REFERENCE.glob("*.rst"))
    described = re.findall(rf"^\.\. auto\w+:: {re.escape(package)}\.(\w+)$", pages, re.MULTILINE)

    assert sorted(described) == sorted(import_module(package).__all__)


def test_every_error_has_a_remedy() -> None:
    names = [name for name in hpp_async.__all__ if name.endswith("Error")]
    told = re.findall(r"^    \* - `(\w+)`$", _page("errors"), re.MULTILINE)

    assert all(issubclass(getattr(hpp_async, name), HPPError) for name in names)
    assert sorted(told) == sorted(names)


def test_every_variable_of_the_environment_is_in_the_reference() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "hpp_async").rglob("*.py"))
    names = set(re.findall(r"\bHPP_[A-Z_]+\b|\bSSL_CERT_[A-Z]+\b|\bSSLKEYLOGFILE\b|\bDATABASE_URL\b", sources))
    names |= {f"{kind.upper()}_PROXY" for kind in (*_KINDS, "no")}

    assert set(re.findall(r"``([A-Z_]{6,})``", _page("environment"))) - {"EU_PLAYGROUND"} == names


def test_every_letter_of_a_token_is_in_the_reference() -> None:
    failing = Failing(lasted=1, backoffs=1, missing=1, refused=1, missing_at=datetime(2026, 1, 1, tzinfo=UTC))
    memory = Memory(at=1, skew=1, delay=1, age=1, unknown_for=1, was_open=True, late_readings=1, failing=failing)
    letters = set(re.findall("[a-z]", memory.text)) | {"n"}

    assert all(getattr(memory, field.name) for field in attrs.fields(Memory))
    assert set(re.findall(r"``([a-z])``", _page("tokens"))) == letters


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda inventory: inventory.stem)
def test_every_name_of_an_inventory_exists(inventory: Path) -> None:
    _, _, _, *lines = inventory.read_text("utf-8").splitlines()
    names = [line.split()[0] for line in lines]
    pytest.importorskip(names[0].partition(".")[0])

    assert [name for name in names if pydoc.locate(name) is None and name != "None"] == []


def test_commands_metrics_and_fixtures_are_generated_from_the_code() -> None:
    assert ".. hpp-commands::" in _page("command-line")
    assert ".. hpp-metrics::" in _page("metrics")
    assert ".. hpp-fixtures::" in _page("testing")
