"""Commands as a person runs them: with a standard input, on a pipe or on a terminal, interrupted or not."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import BinaryIO, Final, TextIO

import pytest

from hpp_async.cli import main

AUTH: Final = ("PK00000_test", "not-a-secret")
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


@contextmanager
def piped() -> Generator[TextIO]:
    """Let stdout be a pipe; yield its other end."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer, redirect_stdout(writer):
        yield reader


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


class StandardInput:
    """The standard input of the commands in a test: a pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._pipes = ExitStack()
        self._writer: BinaryIO = io.BytesIO()

    def open(self) -> None:
        """Let standard input be a new pipe, which is open and empty."""
        reading, writing = os.pipe()
        self._monkeypatch.setattr(sys, "stdin", self._pipes.enter_context(os.fdopen(reading)))
        self._writer = self._pipes.enter_context(os.fdopen(writing, "wb"))

    def type(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines).encode())

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()

    def enter(self, *lines: str) -> None:
        """Let standard input have *lines*, and no more."""
        self.open()
        self.type(*lines)
        self.end()

    def close(self) -> None:
        self._pipes.close()


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


# -- scenes ------------------------------------------------------------------------------------------------------------


@contextmanager
def interrupted_at_the_first_line(by: signal.Signals = signal.SIGINT) -> Generator[list[str]]:
    """Interrupt the command that runs in this context as soon as it has printed a line; yield that line in a list."""
    lines: list[str] = []

    with piped() as output:

        def wait_for_a_line() -> None:
            lines.append(output.readline())
            interrupt(by)

        with in_background(wait_for_a_line):
            yield lines


@contextmanager
def interrupted_while_it_reads(by: signal.Signals = signal.SIGINT) -> Generator[str]:
    """Interrupt the command that runs in this context when it asks the endpoint yielded, which never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def wait_for_a_request() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                interrupt(by)

        with in_background(wait_for_a_request):
            yield f"http://127.0.0.1:{silent.getsockname()[1]}"
