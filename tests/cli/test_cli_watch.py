"""The command ``watch``: what it reads from standard input, and what it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from support.commands import (
    SESSION,
    SIGNALS,
    StandardInput,
    in_background,
    interrupt,
    interrupted_at_the_first_line,
    interrupted_while_it_reads,
    piped,
    run,
)

from hpp_async import is_newer
from hpp_async.testing import Provider, pays


def test_watch_prints_a_json_line_for_every_event(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    paid, cancelled = simulated.create([(0, "COMPLETED")]), simulated.create([(0, "CANCELLED")])
    standard_input.enter(paid, "", f"  {simulated.base_url}/hpp/v1/sessions/{cancelled}")

    assert run("watch") == 0

    printed = capsys.readouterr()
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert all(list(event) == ["session_id", "token", "is_last", "news"] for event in events)
    assert {(event["session_id"], event["news"]["type"], event["is_last"]) for event in events} == {
        (session_id, kind, kind == "outcome") for session_id in (paid, cancelled) for kind in ("transition", "outcome")
    }
    assert printed.err == ""


def test_watch_takes_the_tokens_that_it_printed(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([(0, "FAILED")])
    standard_input.enter(session_id)
    assert run("watch") == 0
    token = json.loads(capsys.readouterr().out.splitlines()[-1])["token"]

    standard_input.enter(token, session_id)
    assert run("watch", "--every", "1") == 0

    (event,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (event["session_id"], event["news"]["type"]) == (session_id, "outcome")
    assert not is_newer(event["token"], token), "it shows nothing new"


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_the_newest_of_several_tokens_of_a_session_counts(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str], order: int
) -> None:
    session_id = simulated.create([(0, "IN_PROGRESS"), (4, "FAILED")])
    assert run("wait", session_id, "--every", "0.1", "--json") == 3
    tokens = [json.loads(line)["token"] for line in capsys.readouterr().out.splitlines()[:2]]

    standard_input.enter(*tokens[::order], session_id)
    assert run("watch", "--every", "0.1") == 0

    (event,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert event["news"]["type"] == "outcome"


def test_watch_exits_by_the_first_error_and_goes_on_with_the_other_sessions(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.enter("nobody", "somebody", simulated.create([(0, "COMPLETED")]))

    assert run("watch") == 11

    kinds = [json.loads(line)["news"]["type"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(kinds) == ["error", "error", "outcome", "transition"]


def test_watch_without_sessions_ends_at_once(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.enter()

    assert run("watch") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("line", ["not an id", "hpp1:damaged", "https://example.com/hpp/v1/sessions/1"])
def test_watch_refuses_a_line_by_its_number_and_goes_on_with_the_others(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    standard_input.enter(simulated.create([(0, "COMPLETED")]), "", line)

    assert run("watch") == 2

    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2, "the other session is watched to its end"
    assert printed.err.startswith("hpp-async: line 3 of standard input: ")


def test_watch_on_a_terminal_says_what_to_type(
    simulated: Provider,
    standard_input: StandardInput,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standard_input.enter()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    assert run("watch") == 0
    assert "one a line, and then Ctrl-D" in capsys.readouterr().err


@pytest.mark.parametrize("by", SIGNALS)
def test_an_interrupted_watch_prints_a_command_that_continues_it(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    session_id = simulated.create()
    standard_input.enter(session_id)

    with interrupted_at_the_first_line(by) as lines:
        assert run("watch", "--final", "--every", "30") == 130

    token = json.loads(lines[0])["token"]
    said, command = capsys.readouterr().err.splitlines()
    assert said == "hpp-async: interrupted; no session was changed. To continue:"
    before, _, after = command.partition(" | ")
    assert subprocess.run(before, shell=True, check=True, capture_output=True).stdout.decode() == f"{token}\n"
    assert after == "hpp-async watch --final --every 30.0"


def test_a_watch_that_was_interrupted_before_the_first_reading_continues_with_the_ids(
    monkeypatch: pytest.MonkeyPatch,
    simulated: Provider,
    standard_input: StandardInput,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standard_input.enter(SESSION)
    with interrupted_while_it_reads() as endpoint:
        monkeypatch.setenv("HPP_ENDPOINT", endpoint)
        assert run("watch") == 130

    assert capsys.readouterr().err.endswith(f"\n  printf '%s\\n' {SESSION} | hpp-async watch\n")


# -- sessions that come while the watch runs ---------------------------------------------------------------------------


def statuses(lines: Iterable[str]) -> list[str]:
    """Return the status that each event in *lines* is about."""
    return [json.loads(line)["news"]["status"] for line in lines]


def test_a_session_that_is_named_later_is_added_to_the_running_watch(
    simulated: Provider, standard_input: StandardInput
) -> None:
    first, second = simulated.create([(0, "IN_PROGRESS")]), simulated.create([(0, "CANCELLED")])
    standard_input.open()
    standard_input.type(first)
    lines: list[str] = []

    with piped() as output:

        def go_on() -> None:
            lines.append(output.readline())
            standard_input.type(second)
            lines.extend([output.readline(), output.readline()])
            simulated.act(first, pays)
            standard_input.end()
            lines.extend([output.readline(), output.readline()])

        with in_background(go_on):
            assert run("watch", "--every", "0.1") == 0

    assert statuses(lines) == ["IN_PROGRESS", "CANCELLED", "CANCELLED", "COMPLETED", "COMPLETED"]


def test_a_watch_whose_sessions_have_all_ended_waits_for_more(
    simulated: Provider, standard_input: StandardInput
) -> None:
    first, second = simulated.create([(0, "COMPLETED")]), simulated.create([(0, "CANCELLED")])
    standard_input.open()
    standard_input.type(first)
    lines: list[str] = []

    with piped() as output:

        def go_on() -> None:
            lines.extend([output.readline(), output.readline()])
            standard_input.type(second)
            lines.extend([output.readline(), output.readline()])
            standard_input.end()

        with in_background(go_on):
            assert run("watch") == 0

    assert statuses(lines) == ["COMPLETED", "COMPLETED", "CANCELLED", "CANCELLED"]


@pytest.mark.parametrize("by", SIGNALS)
def test_an_interrupted_watch_without_sessions_says_no_more_than_that(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    standard_input.open()
    standard_input.type(simulated.create([(0, "COMPLETED")]))

    with piped() as output:

        def interrupt_when_it_waits() -> None:
            for _ in range(2):
                output.readline()
            interrupt(by)

        with in_background(interrupt_when_it_waits):
            assert run("watch") == 130

    assert capsys.readouterr().err == "hpp-async: interrupted; no session was changed.\n"


def test_an_output_that_was_closed_ends_a_watch(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.open()
    standard_input.type(simulated.create())
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w") as output, redirect_stdout(output):
        assert run("watch") == 141

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", ["", "\n"], ids=["no line end", "a line end"])
def test_standard_input_can_be_a_file(
    simulated: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    ending: str,
) -> None:
    file = tmp_path / "sessions.txt"
    file.write_text(f"{simulated.create([(0, 'COMPLETED')])}\n{simulated.create([(0, 'FAILED')])}{ending}", "utf-8")

    with file.open(encoding="utf-8") as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        assert run("watch") == 0

    assert len(capsys.readouterr().out.splitlines()) == 4


def test_standard_input_can_be_closed(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    assert run("watch") == 0
    assert capsys.readouterr().out == ""


def test_a_line_can_come_in_pieces_and_in_another_encoding(
    simulated: Provider, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input.open()
    standard_input.write(b"not an i\xe9")

    def go_on() -> None:
        standard_input.write(b"d\n")
        standard_input.end()

    with in_background(go_on):
        assert run("watch") == 2

    assert "'not an i\\\\xe9d' is not a session id" in capsys.readouterr().err
