"""Commands that are interrupted, or whose output is closed: in this process, and in one of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Final

import pytest
from support.commands import (
    SESSION,
    SIGNALS,
    in_background,
    interrupt,
    interrupted_at_the_first_line,
    interrupted_while_it_reads,
    piped,
    run,
)

from hpp_async.testing import Provider


@pytest.mark.parametrize("by", SIGNALS)
def test_an_interrupted_wait_prints_the_resume_command(
    simulated: Provider, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    session_id = simulated.create()

    with interrupted_at_the_first_line(by) as lines:
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
    with interrupted_while_it_reads(by) as endpoint:
        monkeypatch.setenv("HPP_ENDPOINT", endpoint)
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
