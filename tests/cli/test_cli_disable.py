"""The command ``disable``."""

from __future__ import annotations

import json

import pytest
from support.commands import OUTCOME, run

from hpp_async.testing import Provider, Step


@pytest.mark.parametrize("form", ["id", "URL"])
def test_disable_prints_the_session_that_nobody_can_pay_any_more(
    simulated: Provider, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    session_id = simulated.create()
    session = session_id if form == "id" else f"{simulated.base_url}/hpp/v1/sessions/{session_id}"

    assert run("disable", session) == run("disable", session, "--json") == 0

    line, record = capsys.readouterr().out.splitlines()
    assert line == f"disabled: {session_id}"
    assert json.loads(record) == {"type": "disabled", "session_id": session_id}
    assert run("wait", session_id) == 6


def test_disable_prints_the_outcome_of_a_session_that_was_paid_before(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([Step(0, "COMPLETED", {"authorization_token": "a-secret"})])

    assert run("disable", session_id) == run("disable", session_id, "--json") == 15

    printed = capsys.readouterr()
    first, *_, record = printed.out.splitlines()
    assert first == "outcome: Completed"
    assert list(json.loads(record)) == [key for key in OUTCOME if key not in ("reads", "token")]
    assert "place the order" in printed.err
    assert "a-secret" not in printed.out + printed.err


def test_disable_prints_the_authorization_token_only_on_request(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([Step(0, "COMPLETED", {"authorization_token": "a-secret"})])

    assert run("disable", session_id, "--show-token") == run("disable", session_id, "--show-token", "--json") == 15
    assert capsys.readouterr().out.count("a-secret") == 2


def test_disable_of_an_unknown_session_is_code_11(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("disable", "nobody") == 11
    assert capsys.readouterr().err.startswith("hpp-async: session nobody: 404 NOT_FOUND")
