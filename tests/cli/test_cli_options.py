"""The checks of options: each refusal is a usage error, names the option as typed, and comes before any request."""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import Final, get_args

import pytest
from support.commands import SESSION, run

from hpp_async.cli._app import app

SECONDS: Final = "give seconds from 0.1 to 1000000000"
FACTOR: Final = "give a factor from 0.01 to 1000"
SAID: Final = {
    ("wait", "--timeout"): "give seconds, at least 0",
    ("wait", "--every"): SECONDS,
    ("watch", "--every"): SECONDS,
    ("listen", "--every"): SECONDS,
    ("demo", "--speed"): FACTOR,
    ("simulate", "--speed"): FACTOR,
    ("simulate", "--port"): "give a port from 0 to 65535",
    ("act", "--advance"): "give seconds from 0 to 1000000000",
    ("act", "--pace"): "give a factor from 0.01 to 86400",
}
"""Every option that takes a number, and what its refusal says."""
TAKEN: Final = {("--timeout", "inf"), ("--timeout", "1e300"), *((name, "0") for name in ("--timeout", "--advance"))}
BY_THE_MODELS: Final = {("create", "--price"), ("create", "--quantity"), ("create", "--tax-rate")}
"""Options whose number is checked with the cart: tests/cli/test_cli_create.py."""
WORDS: Final = {
    ("create", "--place-order-mode"),
    ("create", "--category"),
    ("demo", "--consumer"),
    ("simulate", "--consumer"),
}
"""Every option that takes one of a few words."""
ARGUMENTS: Final = {"wait": [SESSION], "listen": [SESSION, "--forward-to", "http://127.0.0.1:1/"]}


def options_of(*kinds: type[object]) -> set[tuple[str, str]]:
    """Return each command with each of its options that take a value of one of *kinds*."""
    found: set[tuple[str, str]] = set()
    for command in app.registered_commands:
        assert command.callback is not None
        for name, parameter in inspect.signature(command.callback, eval_str=True).parameters.items():
            kind, info = get_args(parameter.annotation)
            members = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and each is not bool]
            if any(issubclass(each, kinds) for each in members) and not info.count:
                found.add((command.callback.__name__, f"--{name.replace('_', '-')}"))
    return found


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name an endpoint where nothing listens, so that a request would be another error."""
    for name, value in (("USERNAME", "PK00000_test"), ("PASSWORD", "secret"), ("ENDPOINT", "http://127.0.0.1:1")):
        monkeypatch.setenv(f"HPP_{name}", value)
    monkeypatch.delenv("HPP_API_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def test_every_option_with_a_number_or_a_closed_set_of_words_is_tried_here() -> None:
    assert options_of(int, float) == set(SAID) | BY_THE_MODELS
    assert options_of(StrEnum) == WORDS


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (command, option, value)
        for command, option in SAID
        for value in ("-1", "0", "nan", "inf", "-inf", "1e300")
        if (option, value) not in TAKEN and (option != "--port" or value == "-1")
    ],
)
def test_a_number_out_of_range_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], command: str, option: str, value: str
) -> None:
    assert run(command, *ARGUMENTS.get(command, []), option, value) == 2
    assert f"Invalid value for '{option}': {SAID[command, option]}" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "some", "0.5.1"])
@pytest.mark.parametrize(("command", "option"), [*SAID, *sorted(BY_THE_MODELS | WORDS)])
def test_what_is_no_number_and_none_of_the_words_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], command: str, option: str, value: str
) -> None:
    assert run(command, *ARGUMENTS.get(command, []), option, value) == 2
    assert f"Invalid value for '{option}': " in capsys.readouterr().err


def test_a_port_has_an_upper_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", "--port", "65536") == 2
    assert "Invalid value for '--port': give a port from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["", " "])
def test_a_status_without_letters_is_a_usage_error(capsys: pytest.CaptureFixture[str], status: str) -> None:
    assert run("act", SESSION, "--status", status) == 2
    assert "Invalid value for '--status': give a status, such as FAILED" in capsys.readouterr().err
