"""The commands ``demo`` and ``simulate``."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from support.commands import (
    OUTCOME,
    SIGNALS,
    SIMULATOR,
    in_background,
    interrupt,
    interrupted_at_the_first_line,
    piped,
    run,
)

from hpp_async.testing import Scenario


@pytest.mark.parametrize(("consumer", "code"), [("pay", 0), ("decline-and-retry", 0), ("back", 0), ("cancel", 4)])
def test_the_demo_ends_as_its_consumer_does(capsys: pytest.CaptureFixture[str], consumer: str, code: int) -> None:
    assert run("demo", "--consumer", consumer, "--speed", "1000", "--final", "--json") == code

    printed = capsys.readouterr()
    *_, outcome = (json.loads(line) for line in printed.out.splitlines())
    assert list(outcome) == OUTCOME
    assert "the simulated provider is at http://127.0.0.1:" in printed.err


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_the_demo_uses_no_proxy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nothing listens there

    assert run("demo", "--speed", "1000") == 0


def test_the_demo_can_be_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    with interrupted_at_the_first_line():
        assert run("demo", "--speed", "0.01") == 130

    assert capsys.readouterr().err.endswith("hpp-async: interrupted\n")


@pytest.mark.parametrize("by", SIGNALS)
def test_simulate_serves_until_it_is_interrupted(capsys: pytest.CaptureFixture[str], by: signal.Signals) -> None:
    codes: list[int] = []

    with piped() as output:

        def use_it() -> None:
            lines = "".join(iter(output.readline, '  hpp-async wait "$session"\n'))
            url, username, password = re.findall(r"HPP_\w+=(\S+)", lines)
            request = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}
            with httpx.Client(auth=(username, password), trust_env=False) as shop:
                codes.append(shop.post(f"{url}/hpp/v1/sessions", json=request).status_code)
            interrupt(by)

        with in_background(use_it):
            assert run("simulate", "--port", "0", "-v") == 0

    said = capsys.readouterr().err
    assert codes == [201]
    assert '"POST /hpp/v1/sessions HTTP/1.1" 201' in said
    assert said.endswith("hpp-async: the simulated provider has ended, and its sessions are gone\n")


def test_simulate_keeps_its_sessions_and_warns_of_other_machines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = tmp_path / "simulator.db"
    codes: list[int] = []
    session_id = ""

    for _ in range(2):
        with piped() as output:

            def use_it() -> None:
                nonlocal session_id
                lines = "".join(iter(output.readline, '  hpp-async wait "$session"\n'))
                url, username, password = re.findall(r"HPP_\w+=(\S+)", lines)
                request = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}
                with httpx.Client(auth=(username, password), trust_env=False) as shop:
                    if not session_id:
                        session_id = shop.post(f"{url}/hpp/v1/sessions", json=request).json()["session_id"]
                    codes.append(shop.get(f"{url}/hpp/v1/sessions/{session_id}").status_code)
                interrupt()

            with in_background(use_it):
                assert run("simulate", "--port", "0", "--host", "0.0.0.0", "--state", str(state)) == 0

    said = capsys.readouterr().err
    assert codes == [200, 200]
    assert said.count("warning: every machine that reaches this port can read and control") == 2
    assert said.endswith(f"hpp-async: the simulated provider has ended, and its sessions are in {state}\n")


@pytest.mark.parametrize(("quota", "limit"), [("7", "7, 7;w=1"), ("0", None)])
def test_simulate_plays_a_scenario(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, quota: str, limit: str | None
) -> None:
    (tmp_path / "plan.toml").write_text('quota = 6\n[[session]]\nid = "one"\nacts = [{ cancels = 0 }]\n', "utf-8")
    read: list[httpx.Response] = []

    with piped() as output:

        def use_it() -> None:
            session_url = next(line.split()[1] for line in iter(output.readline, "") if line.startswith("Session: "))
            read.append(httpx.get(session_url, auth=SIMULATOR, trust_env=False))
            interrupt()

        with in_background(use_it):
            options = ["--port", "0", "--consumer", "cancel", "--speed", "2", "--quota", quota]
            assert run("simulate", *options, "--scenario", str(tmp_path / "plan.toml")) == 0

    [answer] = read
    assert answer.json()["status"] == "CANCELLED"
    assert answer.headers.get("X-Ratelimit-Limit") == limit


def test_a_refusal_of_a_scenario_names_the_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[fault]]\nkind = "slow"\n', "utf-8")

    assert run("simulate", "--scenario", str(tmp_path / "plan.toml")) == 2
    assert capsys.readouterr().err.endswith("plan.toml: fault[0].seconds is missing\n")


def test_the_scenario_in_the_help_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    run("simulate", "--help")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    example = lines[lines.index('visitor = "hesitant"         # who visits the sessions that are created') :]

    scenario = Scenario.parse("\n".join(example[: example.index("lifetime = 120") + 1]))

    assert (len(scenario.faults), len(scenario.sessions)) == (1, 1)
