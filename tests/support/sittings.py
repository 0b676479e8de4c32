"""A document as somebody sits down with it: files are saved, commands are typed, some are left running."""

from __future__ import annotations

import doctest
import os
import queue
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PORTS: Final = ("8000", "8888")
"""Those that the documents name; here they are free ones."""
_PATIENCE: Final = 60.0


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def is_shown(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


class _Running:
    """A command that was left running, and what it prints."""

    def __init__(self, command: str, directory: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._lines = queue.SimpleQueue[str]()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def must_print(self, shown: str) -> None:
        """Wait until it has gone on to print *shown*, and nothing else."""
        printed = ""
        while not is_shown(shown, printed):
            try:
                line = self._lines.get(timeout=_PATIENCE)
            except queue.Empty:
                line = ""
            assert line, f"this was to come:\n{shown}and this came:\n{printed}"
            printed += line

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(_PATIENCE)
        self._reading.join(_PATIENCE)


class Sitting:
    """A shell in *directory*: its environment is kept from command to command."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, _Running] = {}
        self._ports = {port: free_port() for port in PORTS}
        scripts = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ["PATH"]])
        # Without pytest-asyncio, which has advice for those who did not configure it.
        self._environment: Mapping[str, str] = os.environ | {"PATH": scripts, "PYTEST_ADDOPTS": "-pno:asyncio"}

    def save(self, name: str, text: str) -> None:
        (self._directory / name).write_text(self._ported(text), "utf-8")

    def enter(self, text: str) -> None:
        """Enter each command of *text*, and see that it prints what *text* shows."""
        for command, shown in _commands(self._ported(text)):
            # What it exports is found at its end, behind what it prints.
            script = f"{command}\ncode=$?; printf '\\0'; env -0; exit $code"
            run = subprocess.run(
                ["bash", "-c", script],
                cwd=self._directory,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=_PATIENCE,
                check=False,
            )
            printed, _, exported = run.stdout.partition("\0")
            assert run.returncode == 0, printed
            assert is_shown(shown, printed), f"{command}\n{printed}"
            self._environment = dict(line.split("=", 1) for line in exported.split("\0") if line)

    def leave_running(self, name: str, text: str) -> None:
        [(command, shown)] = _commands(self._ported(text))
        self._running[name] = _Running(command, self._directory, self._environment)
        self._running[name].must_print(shown)

    def go_on(self, name: str, shown: str) -> None:
        self._running[name].must_print(self._ported(shown))

    def _ported(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self._ports[found[1]], text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for running in self._running.values():
            running.end()


def _commands(text: str) -> list[tuple[str, str]]:
    assert text.startswith("$ ")
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
