"""The simulator without the packages of its extra."""

from __future__ import annotations

import importlib
import sys

import pytest


def forget_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("hpp_async.simulator")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("missing", ["jinja2", "uvicorn"])
def test_without_its_extra_the_simulator_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    forget_the_simulator(monkeypatch)
    monkeypatch.setitem(sys.modules, missing, None)

    says = f"hpp_async.simulator needs {missing}, which is not installed: install hpp-async with the extra 'simulator'"
    with pytest.raises(ModuleNotFoundError, match=says) as caught:
        importlib.import_module("hpp_async.simulator")
    assert caught.value.name == missing


def test_an_import_that_fails_for_another_reason_is_not_taken_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_simulator(monkeypatch)
    monkeypatch.setitem(sys.modules, "hpp_async.simulator._calendar", None)

    with pytest.raises(ModuleNotFoundError, match=r"import of hpp_async\.simulator\._calendar halted"):
        importlib.import_module("hpp_async.simulator")
