"""The command ``wait``: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout

import pytest
from support.commands import ERROR, OUTCOME, SESSION, TRANSITION, run

from hpp_async.testing import Provider, Step


@pytest.mark.parametrize(
    ("status", "code", "next_step"),
    [
        ("COMPLETED", 0, "place the order"),
        ("FAILED", 3, "still open"),
        ("CANCELLED", 4, "This is final"),
        ("ERROR", 5, "still open"),
        ("DISABLED", 6, "This is final"),
    ],
)
def test_wait_exits_by_outcome(
    simulated: Provider, capsys: pytest.CaptureFixture[str], status: str, code: int, next_step: str
) -> None:
    assert run("wait", simulated.create([(0, status)])) == code
    assert next_step in capsys.readouterr().err


def test_plain_lines_have_the_time_and_the_status(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(2, "IN_PROGRESS"), (4, "COMPLETED")])

    assert run("wait", session_id, "--every", "0.1") == 0

    first, second, third, outcome, *facts = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in (first, second, third)] == ["WAITING", "IN_PROGRESS", "COMPLETED"]
    assert re.fullmatch(r"2026-01-15T\d\d:\d\d:\d\d\.000Z WAITING", first)
    assert outcome == "outcome: Completed"
    assert "authorization_token: received (--show-token shows it)" in facts


def test_json_lines_have_stable_keys(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(2, "COMPLETED")])

    assert run("wait", session_id, "--every", "0.1", "--json") == 0

    printed = capsys.readouterr()
    first, last, outcome = (json.loads(line) for line in printed.out.splitlines())
    assert list(first) == list(last) == TRANSITION
    assert list(outcome) == OUTCOME
    assert [first["previous"], first["status"], first["sequence"], first["is_last"]] == [None, "WAITING", 1, False]
    assert [last["previous"], last["status"], last["sequence"], last["is_last"]] == ["WAITING", "COMPLETED", 2, True]
    assert outcome["outcome"] == "Completed"
    assert outcome["token"] == last["token"]
    assert printed.err == ""


def test_final_waits_through_a_decline(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(0, "FAILED"), (2, "COMPLETED")])

    assert run("wait", session_id, "--final", "--every", "0.1", "--json") == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [
        "FAILED",
        "COMPLETED",
        "COMPLETED",
    ]


def test_a_timeout_is_code_8_and_prints_how_to_go_on(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create()

    assert run("wait", session_id, "--timeout", "0", "--json", "--final") == 8

    printed = capsys.readouterr()
    transition, error = (json.loads(line) for line in printed.out.splitlines())
    assert list(error) == ERROR
    assert [error["error"], error["status"], error["reads"]] == ["WaitTimeoutError", "WAITING", 1]
    assert error["token"] == transition["token"]
    assert printed.err == (
        f"hpp-async: session {session_id} is still WAITING. It may still be paid. To continue the wait:\n"
        f"  hpp-async wait {session_id} --final --timeout 0.0 --json --since {transition['token']}\n"
    )


def test_since_continues_another_wait(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(4, "COMPLETED")])
    assert run("wait", session_id, "--timeout", "0", "--json") == 8
    token = json.loads(capsys.readouterr().out.splitlines()[0])["token"]

    assert run("wait", session_id, "--every", "0.1", "--json", "--since", token) == 0

    transition, _ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [transition["previous"], transition["status"], transition["sequence"]] == ["WAITING", "COMPLETED", 2]


def test_a_token_of_another_session_is_refused_by_the_options_name(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("wait", simulated.create(), "--timeout", "0", "--json") == 8
    token = json.loads(capsys.readouterr().out.splitlines()[0])["token"]

    assert run("wait", SESSION, "--since", token) == 2
    assert capsys.readouterr().err.startswith("hpp-async: --since belongs to session ")


@pytest.mark.parametrize(
    "option",
    [
        ("--every", "0"),
        ("--timeout", "-1"),
        ("--since", "x"),
    ],
    ids=" ".join,
)
def test_a_refusal_names_the_option_as_it_was_typed(
    simulated: Provider, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    assert run("wait", SESSION, *option) == 2
    assert f"Invalid value for '{option[0]}': " in capsys.readouterr().err


def test_advice_in_json_names_the_option(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("wait", simulated.create(), "--timeout", "0", "--json") == 8

    message = json.loads(capsys.readouterr().out.splitlines()[-1])["message"]
    assert message.endswith("disable it, or wait again with --since TOKEN")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_outcome_that_needs_attention_says_so(
    simulated: Provider, capsys: pytest.CaptureFixture[str], form: tuple[str, ...]
) -> None:
    session_id = simulated.create([Step(0, "COMPLETED", {"authorization_token": None})])

    assert run("wait", session_id, *form) == 0
    assert "neither a token nor an order" in capsys.readouterr().err


def test_texts_of_the_provider_cannot_move_the_cursor(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([Step(0, "COMPLETED", {"order_id": "\x1b[2J\x07x"})])

    assert run("wait", session_id) == run("wait", session_id, "--json") == 0

    printed = capsys.readouterr().out
    assert "order_id: \N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}x\n" in printed
    assert "\x1b" not in printed


def test_a_status_that_the_output_cannot_encode_does_not_end_the_wait(simulated: Provider) -> None:
    session_id = simulated.create([(0, "MÜDE"), (2, "COMPLETED")])
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    with redirect_stdout(output):
        assert run("wait", session_id, "--every", "0.1") == 0

    output.seek(0)
    assert "M\\xdcDE" in output.readline()


def test_verbosity_logs_to_stderr(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = simulated.create([(0, "CANCELLED")])
    remarks = []
    for flags in ((), ("-v",), ("-vv",)):
        with redirect_stdout(io.StringIO()):
            assert run("wait", session_id, *flags) == 4
        said = capsys.readouterr().err.splitlines()
        # The simulated provider is in this process, and logs its requests.
        remarks.append([line for line in said if "GET /hpp/v1/" not in line])

    quiet, informed, curious = remarks
    assert [len(quiet), len(informed), len(curious)] == [1, 3, 4]
    assert f"hpp-async: session {session_id}: first seen -> CANCELLED" in informed
