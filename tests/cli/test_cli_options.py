"""The checks of options: each refusal is a usage error, names the option as typed, and comes before any request."""

from __future__ import annotations

import inspect
import socket
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
    ("simulate", "--quota"): "give requests per second, at least 0",
    ("act", "--advance"): "give seconds from 0 to 1000000000",
    ("act", "--pace"): "give a factor from 0.01 to 86400",
}
"""Every option that takes a number, and what its refusal says."""
TAKEN: Final = {
    ("--timeout", "inf"),
    ("--timeout", "1e300"),
    *((name, "0") for name in ("--timeout", "--advance", "--port", "--quota")),
}
WHOLE: Final = {"--port", "--quota"}
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
        if (option, value) not in TAKEN and (option not in WHOLE or value in ("-1", "0"))
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


ENDPOINT: Final = "give one of EU_LIVE, EU_PLAYGROUND, NA_LIVE, "
PLAIN: Final = "plain http to example.com would show the credentials to the network: use https"


@pytest.mark.parametrize("command", ["read", "wait", "disable", "act"])
@pytest.mark.parametrize(
    ("option", "variable", "said"),
    [
        ("http://example.com", "EU_PLAYGROUND", f"--endpoint: {PLAIN}"),
        ("EU", "EU_PLAYGROUND", f"--endpoint: {ENDPOINT}"),
        ("", "EU_PLAYGROUND", "set --endpoint to one of EU_LIVE, "),
        (None, "http://example.com", f"HPP_ENDPOINT: {PLAIN}"),
        (None, "EU", f"HPP_ENDPOINT: {ENDPOINT}"),
        (None, "", "set HPP_ENDPOINT to one of EU_LIVE, "),
    ],
)
def test_a_refused_endpoint_is_called_by_the_option_or_the_variable_that_named_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    option: str | None,
    variable: str,
    said: str,
) -> None:
    monkeypatch.setenv("HPP_ENDPOINT", variable)

    assert run(command, SESSION, *([] if option is None else ["--endpoint", option])) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: {said}")


def test_refused_credentials_are_called_by_their_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", SESSION, "--endpoint", "EU_LIVE") == 2
    assert capsys.readouterr().err.startswith("hpp-async: HPP_USERNAME: the username begins with 'PK…_', ")


def test_a_session_of_another_endpoint_is_advised_with_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", "https://api.klarna.com/hpp/v1/sessions/1") == 2
    assert "so no credentials are sent to it: give --endpoint, that of the region and " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "no host"], "--host 'no host': the name is not known; give 127.0.0.1 or localhost"),
        (["--host", "a..b"], "--host 'a..b': the name is not known; give 127.0.0.1 or localhost"),
        (["--host", "port=1 host='x'"], """--host "port=1 host='x'": the name is not known"""),
        (["--host", "'\"port=1"], """--host '\\'"port=1': the name is not known"""),
        (["--host", "203.0.113.7"], "--host '203.0.113.7': other machines could reach it"),
        (["--state", "/"], "--state '/': unable to open database file: give a new file"),
    ],
)
def test_an_argument_that_serving_refuses_is_called_by_its_option(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run("simulate", "--port", "0", *options) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: {said}")


def test_a_port_in_use_is_called_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("simulate", "--port", str(port)) == 2

    said = f"hpp-async: cannot listen on --host '127.0.0.1', --port {port} (Address already in use): give another port"
    assert capsys.readouterr().err.startswith(said)
