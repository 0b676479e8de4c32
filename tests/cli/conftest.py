"""Fixtures of the command line: a simulated provider that the environment names."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import pytest
from support.commands import AUTH, StandardInput

from hpp_async.simulator import serve
from hpp_async.testing import Provider

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


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


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Generator[None]:
    """Let Ctrl-C interrupt, also where a shell runs the tests in the background and has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Generator[StandardInput]:
    with closing(StandardInput(monkeypatch)) as stream:
        yield stream
