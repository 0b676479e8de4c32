"""The command ``act``, against a simulated provider over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

import pytest
from support.commands import in_background, run

from hpp_async.cli._words import in_journal
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Provider

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
VARIABLES: Final = ("HPP_USERNAME", "HPP_PASSWORD", "HPP_API_KEY")


@pytest.fixture(scope="module")
def simulator() -> Generator[Provider]:
    """A simulated provider whose clock stands still unless it is moved."""
    provider = Provider(now=Calendar(START, clock=lambda: 0.0), auth=("PK00000_test", "not-a-secret"))
    with serve(provider):
        yield provider


@pytest.fixture(autouse=True)
def provider(simulator: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The simulated provider, which the environment names; without credentials."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPP_ENDPOINT", simulator.base_url)
    simulator.reset()
    return simulator


def test_acts_happen_one_after_the_other(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = provider.create(Consumer.NOBODY)

    assert run("act", session_id, "opens", "declines", "retries") == 0

    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["session_id", "status", "updated_at", "expires_at", "now"]
    assert (lines["session_id"], lines["status"]) == (session_id, "IN_PROGRESS")
    assert [step.status for step in provider.life(session_id).steps] == [
        "WAITING",
        "IN_PROGRESS",
        "FAILED",
        "IN_PROGRESS",
    ]


def test_an_act_is_printed_as_json_without_secrets(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_url = f"{provider.base_url}/hpp/v1/sessions/{provider.create(Consumer.NOBODY)}"

    assert run("act", session_url, "pays", "--json", "-vv") == 0

    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert list(record) == ["type", "session_id", "status", "updated_at", "expires_at", "is_over", "now", "pace"]
    assert (record["type"], record["status"], record["is_over"]) == ("acted", "COMPLETED", True)
    token = provider.life(record["session_id"]).token(provider.now())
    assert token
    assert token not in printed.out + printed.err


@pytest.mark.parametrize(
    ("options", "status"),
    [(["--status", "AWAITING_3DS"], "AWAITING_3DS"), (["opens", "--visitor", "pay"], "IN_PROGRESS")],
)
def test_options_say_what_follows_the_acts(provider: Provider, options: list[str], status: str) -> None:
    session_id = provider.create(Consumer.NOBODY)

    assert run("act", session_id, *options) == 0

    assert provider.status(session_id) == status
    assert len(provider.life(session_id).steps) == (4 if "--visitor" in options else 2)


def test_time_can_be_moved_without_a_session(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    before = provider.now()

    assert run("act", "--advance", "90", "--pace", "60") == 0
    assert run("act", "--pace", "1", "--json") == 0

    assert (provider.now() - before).total_seconds() == 90
    now, pace, record = capsys.readouterr().out.splitlines()
    assert now.startswith("now: 2026-")
    assert pace == "pace: 60.0"
    assert json.loads(record) | {"now": None} == {
        "type": "acted",
        **dict.fromkeys(["session_id", "status", "updated_at", "expires_at", "is_over", "now"]),
        "pace": 1.0,
    }


def test_time_jumps_past_the_expiry_of_a_session(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = provider.create(Consumer.NOBODY)

    assert run("act", session_id, "opens", "--to-expiry", "--json") == 0

    record = json.loads(capsys.readouterr().out)
    assert record["is_over"]
    assert record["now"] > record["expires_at"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "give what happens: an ACT, such as pays, or an option"),
        (["one"], "give what happens: an ACT, such as pays, or an option"),
        (["pays"], "give the session before the act: hpp-async act SESSION pays"),
        (["--to-expiry"], "give the SESSION that it happens to"),
        (["--status", "FAILED"], "give the SESSION that it happens to"),
        (["one", "--reset"], "--reset forgets every session: leave SESSION out"),
        (["one", "pay"], "the act 'pay' is not known: give one of opens, "),
        (["not an id", "pays"], "session 'not an id' is not a session id"),
        (["https://api.klarna.com/hpp/v1/sessions/1", "pays"], "the session_url is not on this client's endpoint"),
        (["one", "pays", "--endpoint", "EU_LIVE"], "EU_LIVE is the provider's own, and nothing was sent"),
        (["one", "pays", "--endpoint", "https://api.klarna.com/"], "https://api.klarna.com/ is the provider's own"),
        (["one", "pays", "--endpoint", "http://example.com"], "--endpoint: plain http to example.com"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refused_argument_is_code_2_and_nothing_is_sent(
    provider: Provider, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    provider.create(Consumer.NOBODY, session_id="one")

    assert run("act", *args) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"hpp-async: {said}")
    assert provider.status("one") == "WAITING"


def test_an_empty_endpoint_is_refused_and_not_replaced_by_that_of_the_environment(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("act", provider.create(Consumer.NOBODY, session_id="one"), "pays", "--endpoint", "") == 2

    assert capsys.readouterr().err.startswith("hpp-async: set --endpoint to ")
    assert provider.status("one") == "WAITING"


@pytest.mark.parametrize("options", [["--visitor", "somebody"], ["--visitor", ""]], ids=" ".join)
def test_a_visitor_that_the_provider_does_not_have_is_refused_by_the_options_name(
    provider: Provider, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert run("act", provider.create(Consumer.NOBODY), *options) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: --visitor {options[1]!r}: give one of pay, ")


def test_time_cannot_jump_past_the_last_date(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.now.jump(datetime(8990, 1, 1, tzinfo=UTC))  # type: ignore[attr-defined]  # the fixture has a calendar

    assert run("act", "--advance", "1000000000") == 2
    assert "give a date before 9000" in capsys.readouterr().err


def test_without_an_endpoint_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HPP_ENDPOINT")

    assert run("act", "one", "pays") == 2
    assert capsys.readouterr().err.startswith("hpp-async: set HPP_ENDPOINT to ")


@pytest.mark.parametrize("args", [["pays"], ["--to-expiry"]], ids=" ".join)
def test_an_unknown_session_is_code_11(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert run("act", "nobody", *args) == 11
    assert capsys.readouterr().err == "hpp-async: the simulated provider has no such session: there is no 'nobody'\n"


def test_an_act_on_a_session_that_is_over_is_code_13(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.create([(0, "CANCELLED")], session_id="one")

    assert run("act", "one", "pays") == 13
    assert capsys.readouterr().err == "hpp-async: session one is CANCELLED, which is final: nothing can follow\n"


def test_reset_forgets_every_session_and_time_goes_on(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.create(Consumer.NOBODY)

    assert run("act", "--reset", "--pace", "60") == 0

    assert provider.sessions == []
    assert capsys.readouterr().out.splitlines()[1] == "pace: 60.0"


def test_faults_are_added_and_ended(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("act", "--fault", '{"kind": "answered", "status_code": 503}', "--fault", '{"kind": "stalled"}') == 0
    assert [type(fault.kind).__name__ for fault in provider.faults.all.values()] == ["Answered", "Stalled"]

    assert run("act", "--no-faults", "--fault", '{"kind": "stalled"}') == 0
    assert [type(fault.kind).__name__ for fault in provider.faults.all.values()] == ["Stalled"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("throttled", "--fault: it is not JSON"),
        ('{"kind": "late"}', "--fault: kind='late': give one of "),
        ("[]", "--fault: []: give a table"),
    ],
)
def test_a_fault_that_the_provider_does_not_have_is_refused_before_anything_happens(
    provider: Provider, capsys: pytest.CaptureFixture[str], fault: str, said: str
) -> None:
    assert run("act", provider.create(Consumer.NOBODY, session_id="one"), "pays", "--fault", fault) == 2

    assert capsys.readouterr().err.startswith(f"hpp-async: {said}")
    assert provider.status("one") == "WAITING"


def test_the_journal_is_printed_as_lines_and_as_json(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("act", "--reset") == 0
    for name, value in zip(VARIABLES, provider.auth or (), strict=False):
        monkeypatch.setenv(name, value)
    session_id = provider.create(Consumer.NOBODY)
    assert [run("read", session_id), run("read", "nobody")] == [0, 11]
    capsys.readouterr()

    assert run("act", session_id, "pays", "--journal") == run("act", "--journal", "--json") == 0

    first, second, *entries = capsys.readouterr().out.splitlines()
    assert first.endswith(f" GET /hpp/v1/sessions/{session_id} 200")
    assert " GET /hpp/v1/sessions/nobody 404: " in second
    found = [json.loads(entry) for entry in entries]
    assert [(entry["type"], entry["kind"], entry["status_code"]) for entry in found] == [
        ("entry", "request", 200),
        ("entry", "request", 404),
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"kind": "request", "method": "GET", "path": "/x\x1b[2J", "status_code": None, "complaint": None},
            "12:00 GET /x\N{REPLACEMENT CHARACTER}[2J no answer",
        ),
        (
            {"kind": "callback", "call": 2, "status": "COMPLETED", "session_id": "one", "result": "no answer in time"},
            "12:00 callback 2 about COMPLETED of one no answer in time",
        ),
    ],
)
def test_a_line_of_the_journal_says_what_came_and_what_was_answered(entry: dict[str, object], line: str) -> None:
    assert in_journal({"at": "12:00", **entry}) == line


class AnotherServer(BaseHTTPRequestHandler):
    """Answers the first request with *body*, JSON or not."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "up"}'])
def test_an_address_that_is_no_simulator_is_code_13(
    provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(AnotherServer, "body", body)
    with HTTPServer(("127.0.0.1", 0), AnotherServer) as server, in_background(server.handle_request):
        url = f"http://127.0.0.1:{server.server_port}"
        assert run("act", "one", "pays", "--endpoint", url) == 13

    assert capsys.readouterr().err == (
        f"hpp-async: {url} is no simulated provider: run hpp-async simulate, and give the URL that it prints in "
        "HPP_ENDPOINT or with --endpoint\n"
    )


def test_an_address_where_nothing_listens_is_code_13(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("act", "one", "pays", "--endpoint", "http://127.0.0.1:1/") == 13
    assert capsys.readouterr().err.startswith("hpp-async: no answer from http://127.0.0.1:1 (ConnectError): ")
