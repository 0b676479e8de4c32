"""The command ``read``, and what all commands that read have in common."""

from __future__ import annotations

import json

import pytest
from support.commands import SESSION, run

from hpp_async.testing import Provider, Step


def test_read_prints_what_the_provider_says(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(0, "COMPLETED")], place_order_mode="PLACE_ORDER")

    assert run("read", session_id) == 0

    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [
        "status",
        "session_id",
        "order_id",
        "klarna_reference",
        "updated_at",
        "expires_at",
        "correlation_id",
    ]
    assert lines["status"] == "COMPLETED"
    assert lines["session_id"] == session_id


def test_read_prints_json(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create(session_id=SESSION)

    assert run("read", session_id, "--json") == 0

    reading = json.loads(capsys.readouterr().out)
    assert reading["type"] == "reading"
    assert reading["status"] == "WAITING"
    assert reading["has_authorization_token"] is False
    assert "authorization_token" not in reading


def test_read_says_that_the_session_is_past_its_expiry(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    expired, paid = simulated.create(lifetime=0), simulated.create([(0, "COMPLETED")], lifetime=0)

    assert run("read", expired, "--json") == run("read", paid, "--json") == 0

    assert capsys.readouterr().err == "hpp-async: the session is past its expires_at\n"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_authorization_token_is_printed_only_on_request(
    simulated: Provider, capsys: pytest.CaptureFixture[str], form: tuple[str, ...]
) -> None:
    session_id = simulated.create([Step(0, "COMPLETED", {"authorization_token": "a-secret"})])

    assert run("read", session_id, *form) == run("wait", session_id, *form) == 0
    hidden = capsys.readouterr()
    assert run("read", session_id, "--show-token", *form) == run("wait", session_id, "--show-token", *form) == 0
    shown = capsys.readouterr()

    assert "a-secret" not in hidden.out + hidden.err + shown.err
    assert shown.out.count("a-secret") == 2


def test_personal_data_is_never_printed(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"customer": {"given_name": "Testperson", "national_identification_number": "410321-9202"}}
    session_id = simulated.create([Step(0, "COMPLETED", fields)])

    for command in (["read", "--json"], ["read"], ["wait", "--json"], ["wait", "-vv"]):
        assert run(*command, session_id) == 0

    printed = capsys.readouterr()
    assert "Testperson" not in printed.out + printed.err
    assert "410321" not in printed.out + printed.err


@pytest.mark.parametrize("command", ["read", "wait"])
def test_an_unknown_session_is_code_11(simulated: Provider, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(command, "nobody") == 11

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hpp-async: session nobody: 404 NOT_FOUND: expired, or unknown")


def test_refused_credentials_are_code_12(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPP_PASSWORD", "wrong")

    assert run("read", simulated.create()) == 12
    assert "wrong" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["read", "not an id"],
        ["wait", SESSION, "--every", "0.01"],
        ["wait", SESSION, "--timeout", "-1"],
        ["wait", SESSION, "--since", "yesterday"],
        ["wait", SESSION, "--endpoint", "http://example.com"],
        ["wait"],
        ["wait", SESSION, "--password", "secret"],
        ["simulate", "--host", "203.0.113.7"],
        ["simulate", "--consumer", "somebody"],
        ["demo", "--speed", "0"],
    ],
    ids=" ".join,
)
def test_a_refused_argument_is_code_2(simulated: Provider, capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert run(*args) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err


def test_the_endpoint_can_be_given(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPP_ENDPOINT", "http://127.0.0.1:1")

    assert run("read", simulated.create(), "--endpoint", simulated.base_url) == 0


@pytest.mark.parametrize("command", ["read", "wait"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_between_a_command_and_this_machine(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, command: str, variable: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nothing listens there

    assert run(command, simulated.create([(0, "COMPLETED")])) == 0


def test_an_empty_api_key_counts_as_unset(simulated: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPP_API_KEY", "")

    assert run("read", simulated.create()) == 0


def test_a_failed_read_says_why_and_from_where(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", SESSION, "--endpoint", "http://127.0.0.1:1") == 13

    said = capsys.readouterr().err
    assert said.startswith(f"hpp-async: session {SESSION}: no answer: ")
    assert "127.0.0.1:1" in said
