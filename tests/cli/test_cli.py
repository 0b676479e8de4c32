"""The command line: what it prints on stdout and on stderr, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
import webbrowser
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
import httpx
import pytest
from rich.console import Console

from hpp_async import (
    AnyOutcome,
    AuthenticationError,
    Cancelled,
    Completed,
    ConfigurationError,
    Disabled,
    Errored,
    Expired,
    Failed,
    HPPError,
    OutageError,
    Outcome,
    PollSchedule,
    ReadFailed,
    Session,
    SessionNotFoundError,
    SessionStatus,
    SessionVanishedError,
    Stopped,
    TransportError,
    WaitTimeoutError,
    __version__,
)
from hpp_async.cli import main
from hpp_async.cli._exits import EXITS, exit_code
from hpp_async.cli._follow import follow
from hpp_async.cli._terminal import TerminalView
from hpp_async.cli._views import PlainView
from hpp_async.cli._words import advice, duration, reason, stopped
from hpp_async.simulator import serve
from hpp_async.testing import Provider, Scenario, ScriptedProvider, Step, VirtualClock

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
SIMULATOR: Final = ("PK00000_simulated", "not-a-secret")
SESSION: Final = "39a1c773"
SIGNALS: Final = [signal.SIGINT, signal.SIGTERM]
TRANSITION: Final = [
    "type",
    "session_id",
    "previous",
    "status",
    "updated_at",
    "expires_at",
    "sequence",
    "is_last",
    "token",
]
OUTCOME: Final = [
    "type",
    "outcome",
    "is_final",
    "needs_attention",
    "confirmed",
    "session_id",
    "status",
    "updated_at",
    "expires_at",
    "order_id",
    "klarna_reference",
    "has_authorization_token",
    "correlation_id",
    "reads",
    "token",
]
ERROR: Final = ["type", "error", "message", "session_id", "status", "correlation_id", "reads", "token"]


def run(*args: str) -> int:
    """Run the command line in this process; return the exit code."""
    with pytest.raises(SystemExit) as ending:
        main(args)
    code = ending.value.code
    assert isinstance(code, int)
    return code


def counting() -> Callable[[], datetime]:
    """Return a calendar on which a second passes whenever it is used, and so with every read."""
    seconds = count()
    return lambda: START + timedelta(seconds=next(seconds))


@pytest.fixture(scope="module")
def served() -> Generator[Provider]:
    """One simulated provider for the module; its time is the number of reads, so no test waits for it."""
    provider = Provider(now=counting(), auth=AUTH, quota=None)
    with serve(provider):
        yield provider


@pytest.fixture
def simulated(served: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The simulated provider, which the environment variables name."""
    for name, value in (("USERNAME", AUTH[0]), ("PASSWORD", AUTH[1]), ("ENDPOINT", served.base_url)):
        monkeypatch.setenv(f"HPP_{name}", value)
    monkeypatch.delenv("HPP_API_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return served


@contextmanager
def piped() -> Generator[TextIO]:
    """Let stdout be a pipe; yield its other end."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer, redirect_stdout(writer):
        yield reader


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Generator[None]:
    """Let Ctrl-C interrupt, also where a shell runs the tests in the background and has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(by: signal.Signals = signal.SIGINT) -> None:
    """Send the main thread a signal; SIGINT is Ctrl-C."""
    signal.pthread_kill(threading.main_thread().ident or 0, by)


@contextmanager
def in_background(work: Callable[[], object]) -> Generator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(timeout=60)
    assert not thread.is_alive()


# -- read -------------------------------------------------------------------------------------------------------------


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


# -- wait -------------------------------------------------------------------------------------------------------------


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
        ("--every", "nan"),
        ("--every", "inf"),
        ("--timeout", "-1"),
        ("--timeout", "nan"),
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


# -- wait, interrupted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", SIGNALS)
def test_an_interrupted_wait_prints_the_resume_command(
    simulated: Provider, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    session_id = simulated.create()
    lines: list[str] = []

    with piped() as output:

        def interrupt_at_the_first_line() -> None:
            lines.append(output.readline())
            interrupt(by)

        with in_background(interrupt_at_the_first_line):
            assert run("wait", session_id, "--json", "--show-token") == 130

    token = json.loads(lines[0])["token"]
    assert capsys.readouterr().err == (
        "hpp-async: interrupted; the session was not changed. To continue the wait:\n"
        f"  hpp-async wait {session_id} --json --show-token --since {token}\n"
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("wait", f"interrupted; the session was not changed. To continue the wait:\n  hpp-async wait {SESSION}\n"),
        ("read", "interrupted\n"),
    ],
)
@pytest.mark.parametrize("by", SIGNALS)
def test_a_command_can_be_interrupted_before_the_first_reading(
    simulated: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    said: str,
    by: signal.Signals,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HPP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")

        def interrupt_when_asked() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                interrupt(by)

        with in_background(interrupt_when_asked):
            assert run(command, SESSION) == 130

    assert capsys.readouterr().err == f"hpp-async: {said}"


@pytest.mark.parametrize("by", SIGNALS)
def test_a_command_can_be_interrupted_while_it_is_imported(monkeypatch: pytest.MonkeyPatch, by: signal.Signals) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "hpp_async.cli._app":
                signal.raise_signal(by)

    monkeypatch.delitem(sys.modules, "hpp_async.cli._app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])

    assert run("--version") == 130


def test_a_command_leaves_the_handling_of_signals_as_it_was(simulated: Provider) -> None:
    before = signal.getsignal(signal.SIGTERM)

    assert run("read", simulated.create()) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_does_not_interrupt_a_command_in_the_background_and_sigterm_does(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the fixture restores it
    session_id = simulated.create([(5, "IN_PROGRESS")])

    with piped() as output:

        def interrupt_twice() -> None:
            output.readline()
            interrupt()
            output.readline()  # the wait went on
            interrupt(signal.SIGTERM)

        with in_background(interrupt_twice):
            assert run("wait", session_id, "--every", "0.1") == 130

    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_command_runs_in_a_thread_which_cannot_handle_signals(simulated: Provider) -> None:
    session_id, codes = simulated.create(), list[int]()

    with in_background(lambda: codes.append(run("read", session_id))):
        pass

    assert codes == [0]


def test_a_closed_output_is_code_141(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w") as output, redirect_stdout(output):
        assert run("wait", simulated.create()) == 141

    assert capsys.readouterr().err == ""


# -- wait, in a process of its own ------------------------------------------------------------------------------------

PYTHON: Final = (sys.executable, "-c", "from hpp_async.cli import main; main()")
IN_A_CONTAINER: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
IN_THE_BACKGROUND: Final = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@contextmanager
def waiting(*before: str, session_id: str) -> Generator[subprocess.Popen[bytes]]:
    """Run *before* and the wait in a process of its own, up to the first line of the wait."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}  # it writes to stderr
    words = [*before, *PYTHON, "wait", session_id, "--json", "--every", "0.1"]
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_a_process_ends_quietly_when_its_output_is_closed(simulated: Provider) -> None:
    with waiting(session_id=simulated.create([(2, "COMPLETED")])) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize(
    ("before", "by"),
    [((), signal.SIGINT), ((), signal.SIGTERM), (IN_THE_BACKGROUND, signal.SIGTERM)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM, in the background"],
)
def test_a_process_ends_with_the_resume_command(
    simulated: Provider, before: tuple[str, ...], by: signal.Signals
) -> None:
    with waiting(*before, session_id=simulated.create()) as process:
        process.send_signal(by)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said.startswith(b"hpp-async: interrupted; ")
    assert b"--since hpp" in said
    assert b"Traceback" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="process 1 of a container is Linux'")
def test_process_1_of_a_container_ends_with_the_resume_command(simulated: Provider) -> None:
    if shutil.which("unshare") is None or subprocess.run([*IN_A_CONTAINER, "true"], check=False).returncode:
        pytest.skip("no process namespaces here")

    with waiting(*IN_A_CONTAINER, session_id=simulated.create()) as outside:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text("ascii").split()
        os.kill(int(children[0]), signal.SIGTERM)
        _, said = outside.communicate(timeout=60)

    assert outside.returncode == 130
    assert b"--since hpp" in said


# -- create -----------------------------------------------------------------------------------------------------------

ONE_LINE: Final = ["--name", "Mug", "--price", "1999", "--country", "SE", "--currency", "SEK"]
CART: Final = """
purchase_country = "SE"
purchase_currency = "SEK"
locale = "sv-SE"
billing_address = { given_name = "Testperson" }

[[order_lines]]
name = "Mug"
quantity = 2
unit_price = 1999
tax_rate = 2500
product_identifiers = { brand = "Mugs" }

[page]
merchant_urls = { success = "https://shop.example/paid" }
options = { place_order_mode = "PLACE_ORDER", background_images = [{ url = "https://shop.example/1.png" }] }
"""


def saved(text: str, path: Path) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_create_prints_where_the_session_is_read_and_paid(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create", *ONE_LINE, "--quantity", "2", "--tax-rate", "2500", "--locale", "sv-SE") == 0

    printed = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in printed.out.splitlines())
    assert list(lines) == ["session_id", "session_url", "redirect_url", "expires_at"]
    assert lines["session_id"] in simulated.sessions
    assert printed.err.endswith(f" hpp-async wait {lines['session_id']}\n")
    assert run("read", lines["session_url"]) == 0


@pytest.mark.parametrize("form", ["toml", "json"])
def test_create_takes_a_cart_from_a_file(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    text = CART if form == "toml" else json.dumps(tomllib.loads(CART))

    assert run("create", saved(text, tmp_path / f"cart.{form}"), "--json") == 0

    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert list(record)[:4] == ["type", "session_id", "session_url", "redirect_url"]
    assert record["type"] == "created"
    assert simulated.life(record["session_id"]).place_order_mode == "PLACE_ORDER"
    assert "Testperson" not in printed.out + printed.err


def test_the_cart_in_the_help_of_create_can_be_read(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("create", "--help")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first, last = lines.index('purchase_country = "SE"'), lines.index('options = { place_order_mode = "PLACE_ORDER" }')

    assert run("create", saved("\n".join(lines[first : last + 1]), tmp_path / "cart.toml")) == 0


@pytest.mark.parametrize(
    ("cart", "said"),
    [
        ("=", "Invalid statement (at line 1, column 1)"),
        ('purchase_country = "SE"', "purchase_currency is missing"),
        (CART.replace("unit_price = 1999", "unit_price = 19.99"), "order_lines[0]: OrderLine.unit_price: give a whole"),
        (CART.replace("unit_price = 1999", ""), "order_lines[0].unit_price is missing"),
        (CART.replace("unit_price", "unit_prise"), "order_lines[0].unit_price is missing"),
        (CART.replace("tax_rate", "vat"), "order_lines[0].vat is not known: for other fields of the provider's, take"),
        (f"vat = 1\n{CART}", "vat is not known: for other fields of the provider's, take extra"),
        (CART.replace('"SE"', '"Sweden"'), "PurchaseOrder.purchase_country: give two letters"),
        (CART.replace("[page]", "[page]\nurls = 1"), "page.urls is not known: there are merchant_urls, options"),
        (CART.replace("success =", "back = 1, success ="), "page.merchant_urls: MerchantURLs.back: give text"),
        (f"customer = 1\n{CART}", "customer is a int: give names with values"),
        (f"{CART.partition('[page]')[0]}\n[page]\nprofile_id = 1", None),
    ],
)
def test_create_refuses_a_cart_by_its_file_and_field(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path, cart: str, said: str | None
) -> None:
    file = saved(cart, tmp_path / "cart.toml")

    assert run("create", file) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"hpp-async: {'profile_id is a int' if said is None else f'{file}: {said}'}")


def test_create_says_that_there_is_no_file(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "no-such-cart.toml") == 2
    assert capsys.readouterr().err == "hpp-async: no-such-cart.toml: No such file or directory\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "give a FILE, or all of --name, --price, --country and --currency"),
        (ONE_LINE[:-2], "give a FILE, or all of --name, --price, --country and --currency"),
        ([*ONE_LINE, "cart.toml"], "give a FILE or the options of one line, not both"),
        ([*ONE_LINE, "--country", "Sweden"], "--country: give two letters"),
        ([*ONE_LINE, "--tax-rate", "-1"], "--tax-rate: give hundredths of a per cent"),
        ([*ONE_LINE, "--name", ""], "--name: give text that is not empty"),
        ([*ONE_LINE, "--price", "-1"], "--price and --quantity: give "),
    ],
)
def test_create_refuses_options_by_their_names(
    simulated: Provider, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run("create", *args) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: {said}")


@pytest.mark.parametrize("opens", [True, False])
def test_create_opens_the_page(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opens: bool
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return opens

    monkeypatch.setattr(webbrowser, "open", browse)

    assert run("create", *ONE_LINE, "--open", "--json") == 0

    printed = capsys.readouterr()
    assert opened == [json.loads(printed.out)["redirect_url"]]
    assert printed.err == ("" if opens else "hpp-async: no browser could be opened: open the redirect_url yourself\n")


# -- disable ----------------------------------------------------------------------------------------------------------


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


# -- watch ------------------------------------------------------------------------------------------------------------


def enter(*lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard input have *lines*."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


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
    lines: list[str] = []

    with piped() as output:

        def interrupt_at_the_first_line() -> None:
            lines.append(output.readline())
            interrupt(by)

        with in_background(interrupt_at_the_first_line):
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
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HPP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")

        def interrupt_when_asked() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                interrupt()

        with in_background(interrupt_when_asked):
            assert run("watch") == 130

    assert capsys.readouterr().err.endswith(f"\n  printf '%s\\n' {SESSION} | hpp-async watch\n")


# -- demo and simulate ------------------------------------------------------------------------------------------------


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
    with piped() as output:

        def interrupt_at_the_first_line() -> None:
            output.readline()
            interrupt()

        with in_background(interrupt_at_the_first_line):
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


def test_simulate_plays_a_scenario(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[session]]\nid = "one"\nacts = [{ cancels = 0 }]\n', "utf-8")
    read: list[str] = []

    with piped() as output:

        def use_it() -> None:
            session_url = next(line.split()[1] for line in iter(output.readline, "") if line.startswith("Session: "))
            read.append(httpx.get(session_url, auth=SIMULATOR, trust_env=False).json()["status"])
            interrupt()

        with in_background(use_it):
            options = ["--port", "0", "--consumer", "cancel", "--speed", "2"]
            assert run("simulate", *options, "--scenario", str(tmp_path / "plan.toml")) == 0

    assert read == ["CANCELLED"]


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


# -- on a terminal ----------------------------------------------------------------------------------------------------


@contextmanager
def terminal() -> Generator[list[bytes]]:
    """Let stdout be a terminal; yield what is written to it, complete after the context."""
    screen, tty = os.openpty()
    sent: list[bytes] = []

    def watch() -> None:
        try:
            while chunk := os.read(screen, 4096):
                sent.append(chunk)
        except OSError:  # with this error Linux says that the other end is closed
            pass

    with in_background(watch), os.fdopen(tty, "w", encoding="utf-8") as output, redirect_stdout(output):
        yield sent
    os.close(screen)


def text(sent: list[bytes]) -> str:
    """Return what was sent, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(sent).decode())


def test_a_terminal_gets_a_live_line(simulated: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    session_id = simulated.create([(2, "COMPLETED")])

    with terminal() as sent:
        assert run("wait", session_id, "--every", "1") == 0  # it mostly sleeps, and then the line counts seconds down

    screen = text(sent)
    assert f"session {session_id}" in screen
    assert re.search(r"WAITING for \d s · next read in 1 s · expires in 46 h 59 min", screen)
    assert re.search(r"COMPLETED after \d reads", screen)
    assert "Next: place the order" in screen


def test_a_dumb_terminal_gets_plain_lines(simulated: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    with terminal() as sent:
        assert run("wait", simulated.create([(0, "CANCELLED")])) == 4

    assert b"outcome: Cancelled" in b"".join(sent)
    assert b"\x1b" not in b"".join(sent)


# -- follow, in virtual time ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_live_line_shows_times_and_failures(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    session = provider.add([(3, "IN_PROGRESS"), (60, "CANCELLED")], lifetime=timedelta(minutes=2))
    provider.answer_next(503)
    client = provider.client(observers=[view.observe], attempts=1, schedule=PollSchedule.every(10))

    await follow(client, client.wait_for_outcome(session), view)

    assert isinstance(console.file, io.StringIO)
    screen = console.file.getvalue()
    assert re.search(
        r"not read yet · next read in [12] s · read failed: 503 TEMPORARILY_UNAVAILABLE: the provider could not answer",
        screen,
    )
    assert re.search(r"IN_PROGRESS for 1\d s · next read in \d+ s · expires in 1 min \d+ s", screen)
    assert "CANCELLED after" in screen


@pytest.mark.anyio
async def test_the_live_line_of_a_session_past_its_expiry(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    client = provider.client(observers=[view.observe])

    await follow(client, client.wait_for_outcome(provider.add([], lifetime=timedelta(seconds=30))), view)

    assert isinstance(console.file, io.StringIO)
    assert "· past its expiry" in console.file.getvalue()
    assert "EXPIRED after" in console.file.getvalue()


@pytest.mark.anyio
async def test_the_live_line_leaves_out_what_the_provider_left_out(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    provider.answer_next(httpx.Response(200, json={"status": "WAITING"}))
    client = provider.client(observers=[view.observe])

    await follow(client, client.wait_for_outcome(provider.add([(5, "DISABLED")])), view)

    assert isinstance(console.file, io.StringIO)
    assert re.search(r"-  WAITING\n", console.file.getvalue())
    assert re.search(r"WAITING · next read in 9 s\W", console.file.getvalue())


@pytest.mark.anyio
async def test_plain_lines_say_once_that_reads_fail(
    provider: ScriptedProvider, capsys: pytest.CaptureFixture[str], anyio_backend_name: str
) -> None:
    view = PlainView(show_token=False)
    session_url = provider.add([(40, "CANCELLED")])
    provider.answer_next(503, httpx.ConnectError("no"), httpx.ConnectError("no"))
    client = provider.client(observers=[view.observe], attempts=1)

    await follow(client, client.wait_for_outcome(session_url), view)

    session = f"session {session_url.rpartition('/')[2]}"
    first, second, _ = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"hpp-async: {session} could not be read: 503 .*: the provider could not answer .*; the wait goes on", first
    )
    assert second == f"hpp-async: {session} can be read again"


@pytest.mark.anyio
async def test_the_next_read_is_known_between_reads(provider: ScriptedProvider, anyio_backend_name: str) -> None:
    async with provider.client(schedule=PollSchedule.every(7)) as client:
        wait = client.wait_for_outcome(provider.add([(60, "CANCELLED")]))
        known = [wait.next_read_in]
        await anext(wait)
        known.append(wait.next_read_in)
        await wait
        known.append(wait.next_read_in)

    assert known == [None, 7.0, None]


# -- words and codes --------------------------------------------------------------------------------------------------


def outcome_of(kind: type[Outcome], **fields: Any) -> Outcome:
    return kind(session=Session(status=SessionStatus.WAITING, **fields))


EXPIRED: Final = Expired(session=Session(status=SessionStatus.WAITING), confirmed=True)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (outcome_of(Completed), 0),
        (RuntimeError(), 1),
        (ConfigurationError(), 2),
        (outcome_of(Failed), 3),
        (outcome_of(Cancelled), 4),
        (outcome_of(Errored), 5),
        (outcome_of(Disabled), 6),
        (EXPIRED, 7),
        (WaitTimeoutError("", session_id=SESSION), 8),
        (SessionVanishedError("", session_id=SESSION), 9),
        (OutageError("", session_id=SESSION), 10),
        (SessionNotFoundError("", session_id=SESSION, status_code=404), 11),
        (AuthenticationError("", session_id=SESSION, status_code=401), 12),
        (TransportError("", session_id=SESSION), 13),
        (HPPError(), 13),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value),
)
def test_every_ending_has_its_code(ending: object, code: int) -> None:
    assert exit_code(ending) == code


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (outcome_of(Completed, authorization_token="a-secret"), "place the order with the authorization token"),
        (outcome_of(Completed, order_id="an-order"), "fulfil the order"),
        (outcome_of(Completed), "ask the provider"),
        (EXPIRED, "can no longer be paid"),
        (attrs.evolve(EXPIRED, confirmed=False), "look for an order"),
        (attrs.evolve(EXPIRED, session=Session(status="SETTLED")), "ask the provider"),
        (outcome_of(Stopped), "still open"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Outcome) else value,
)
def test_every_outcome_has_a_next_step(outcome: AnyOutcome, said: str) -> None:
    assert said in advice(outcome)
    assert "a-secret" not in advice(outcome)


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (WaitTimeoutError("", session_id=SESSION), f"session {SESSION} was not read. It may still be paid."),
        (
            OutageError("", session_id=SESSION, last_error=TransportError("", session_id=SESSION)),
            f"session {SESSION} could not be read (TransportError). It may have been paid meanwhile.",
        ),
    ],
    ids=["a time-out", "an outage"],
)
def test_a_wait_that_stopped_says_so_without_advice_to_python_code(
    ending: OutageError | WaitTimeoutError, said: str
) -> None:
    assert stopped(ending) == said


@pytest.mark.parametrize(
    ("message", "said"), [(f"session {SESSION}: no answer from there", "no answer from there"), ("", "HookError")]
)
def test_the_reason_of_a_failed_read_is_the_errors_sentence_or_its_name(message: str, said: str) -> None:
    failure = ReadFailed(session_id=SESSION, error="HookError", message=message, correlation_id=None, seconds=1.0)

    assert reason(failure) == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (172_000, "47 h 46 min")],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# -- help and extras --------------------------------------------------------------------------------------------------


def test_the_help_lists_the_exit_codes_in_order_and_the_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run("wait", "--help") == 0

    words = " ".join(capsys.readouterr().out.split())
    codes = sorted((row.code, row.meaning) for row in EXITS)
    assert " ".join(f"{code} {meaning}" for code, meaning in codes) in words
    assert ", ".join(TRANSITION[1:]) in words
    assert ", ".join(ERROR[1:]) in words
    assert all(key in words for key in OUTCOME)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"hpp-async {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("hpp-async wa", ["wait", "watch"]),
        ("hpp-async wait --en", ["--endpoint"]),
        ("hpp-async wait --endpoint EU", ["EU_LIVE", "EU_PLAYGROUND"]),
        ("hpp-async demo --consumer d", ["decline-and-retry"]),
    ],
)
def test_a_shell_completes_commands_options_and_their_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, completed: list[str]
) -> None:
    for name, value in {"": "complete_bash", "WORDS": typed, "CWORD": str(typed.count(" "))}.items():
        monkeypatch.setenv(f"COMP_{name}" if name else "_HPP_ASYNC_COMPLETE", value)

    assert run() == 0
    assert [word for word in capsys.readouterr().out.splitlines() if word] == completed


def test_the_completion_script_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_HPP_ASYNC_COMPLETE", "source_zsh")

    assert run() == 0
    assert "compdef _hpp_async_completion hpp-async" in capsys.readouterr().out


@attrs.frozen
class Missing:
    """An import hook that finds a package not installed."""

    package: str

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def uninstall(package: str, importers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let *package* not be found by the modules whose names begin with one of *importers*."""
    for name in [name for name in sys.modules if name.startswith((package, *importers))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    uninstall(missing, ("hpp_async.cli._",), monkeypatch)

    with pytest.raises(SystemExit, match=r"^hpp-async: .* pip install '\.\[cli\]'$"):
        main(["--version"])


@pytest.mark.parametrize("command", ["demo", "simulate"])
@pytest.mark.parametrize("missing", ["jinja2", "segno", "starlette", "uvicorn"])
def test_without_the_simulators_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, missing: str
) -> None:
    uninstall(missing, ("hpp_async.cli._demo", "hpp_async.simulator"), monkeypatch)

    assert run(command) == 1
    assert capsys.readouterr().err.endswith("in a checkout, pip install '.[cli,simulator]'\n")


def test_other_missing_modules_are_not_taken_for_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall("hpp_async.cli._demo", (), monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])

    uninstall("hpp_async.cli._app", (), monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])
