"""The command ``watch``: what it reads from standard input, and what it prints."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from support.commands import (
    SESSION,
    SIGNALS,
    enter,
    interrupted_at_the_first_line,
    interrupted_while_it_reads,
    run,
)

from hpp_async.testing import Provider


def test_watch_prints_a_json_line_for_every_event(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paid, cancelled = simulated.create([(0, "COMPLETED")]), simulated.create([(0, "CANCELLED")])
    enter(paid, "", f"  {simulated.base_url}/hpp/v1/sessions/{cancelled}", monkeypatch=monkeypatch)

    assert run("watch") == 0

    printed = capsys.readouterr()
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert all(list(event) == ["session_id", "token", "is_last", "news"] for event in events)
    assert {(event["session_id"], event["news"]["type"], event["is_last"]) for event in events} == {
        (session_id, kind, kind == "outcome") for session_id in (paid, cancelled) for kind in ("transition", "outcome")
    }
    assert printed.err == ""


def test_watch_takes_the_tokens_that_it_printed(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([(0, "FAILED")])
    enter(session_id, monkeypatch=monkeypatch)
    assert run("watch") == 0
    token = json.loads(capsys.readouterr().out.splitlines()[-1])["token"]

    enter(token, session_id, monkeypatch=monkeypatch)
    assert run("watch", "--every", "1") == 0

    (event,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (event["session_id"], event["news"]["type"], event["token"]) == (session_id, "outcome", token)


def test_watch_exits_by_the_first_error_and_goes_on_with_the_other_sessions(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter("nobody", "somebody", simulated.create([(0, "COMPLETED")]), monkeypatch=monkeypatch)

    assert run("watch") == 11

    kinds = [json.loads(line)["news"]["type"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(kinds) == ["error", "error", "outcome", "transition"]


def test_watch_without_sessions_ends_at_once(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch=monkeypatch)

    assert run("watch") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("line", ["not an id", "hpp1:damaged", "https://example.com/hpp/v1/sessions/1"])
def test_watch_refuses_a_line_by_its_number(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    enter(SESSION, "", line, monkeypatch=monkeypatch)

    assert run("watch") == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hpp-async: line 3 of standard input: ")


def test_watch_on_a_terminal_says_what_to_type(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch=monkeypatch)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    assert run("watch") == 0
    assert "one a line, and then Ctrl-D" in capsys.readouterr().err


@pytest.mark.parametrize("by", SIGNALS)
def test_an_interrupted_watch_prints_a_command_that_continues_it(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    session_id = simulated.create()
    enter(session_id, monkeypatch=monkeypatch)

    with interrupted_at_the_first_line(by) as lines:
        assert run("watch", "--final", "--every", "30") == 130

    token = json.loads(lines[0])["token"]
    said, command = capsys.readouterr().err.splitlines()
    assert said == "hpp-async: interrupted; no session was changed. To continue the watch:"
    before, _, after = command.partition(" | ")
    assert subprocess.run(before, shell=True, check=True, capture_output=True).stdout.decode() == f"{token}\n"
    assert after == "hpp-async watch --final --every 30.0"


def test_a_watch_that_was_interrupted_before_the_first_reading_continues_with_the_ids(
    monkeypatch: pytest.MonkeyPatch, simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(SESSION, monkeypatch=monkeypatch)
    with interrupted_while_it_reads() as endpoint:
        monkeypatch.setenv("HPP_ENDPOINT", endpoint)
        assert run("watch") == 130

    assert capsys.readouterr().err.endswith(f"\n  printf '%s\\n' {SESSION} | hpp-async watch\n")
