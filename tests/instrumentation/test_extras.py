"""The door of `hpp_async.instrumentation`: what is missing is named, and only where it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hpp_async.instrumentation

OBSERVERS = {
    "OpenTelemetryObserver": ("opentelemetry", "otel"),
    "PrometheusObserver": ("prometheus_client", "prometheus"),
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_without_its_package_an_observer_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, extra = OBSERVERS[name]
    for module in [module for module in sys.modules if module.startswith(f"hpp_async.instrumentation._{package[:4]}")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ImportError, match=rf"{name} needs {package}, .*: install hpp-async with the extra '{extra}'"):
        getattr(hpp_async.instrumentation, name)


def test_an_import_that_fails_for_another_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hpp_async.instrumentation._prometheus", raising=False)
    monkeypatch.setitem(sys.modules, "hpp_async.instrumentation._metrics", None)

    with pytest.raises(ModuleNotFoundError, match="_metrics"):
        hpp_async.instrumentation.PrometheusObserver  # noqa: B018 - looking is what loads it


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match=r"'hpp_async\.instrumentation' has no attribute 'StatsdObserver'"):
        hpp_async.instrumentation.StatsdObserver  # type: ignore[attr-defined]  # noqa: B018 - there is none


def test_neither_package_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, hpp_async.instrumentation; "
        "assert not {'opentelemetry', 'prometheus_client'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_help_shows_the_observers_whose_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(OBSERVERS) <= set(dir(hpp_async.instrumentation))

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert {"OpenTelemetryObserver"} == set(OBSERVERS) & set(dir(hpp_async.instrumentation))
