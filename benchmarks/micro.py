"""
Decoding a session, and one cycle of the poller.

They have no counterpart to compare with: pyperf calibrates them and runs each in several processes, with a CPU timer.
Run as a program, this module is the pyperf benchmark; `measure` runs it and reads its result file.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Final
from unittest import mock

import pyperf  # type: ignore[import-untyped]  # it ships no types

from benchmarks.figures import Figure
from benchmarks.provider import SESSION_ID, body_of
from hpp_async._core.actions import Sleep
from hpp_async._core.poller import Poller
from hpp_async._http import codec as _codec

_BARS: Final = {"decode_json": 6.0, "decode_orjson": 4.0, "poller_cycle": None}
_READ_AT: Final = datetime(2026, 1, 15, 14, 53, tzinfo=UTC)
_CORRELATION_ID: Final = "7b1d2a5e-0c44-4a67-9f3e-1c2f6d0b8a11"


def measure(*, quick: bool) -> Iterator[Figure]:
    effort = ["--processes=1", "--values=2", "--min-time=0.01"] if quick else ["--processes=10", "--values=5"]
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results.json"
        program = [sys.executable, "-m", __name__, "--quiet", *effort, "-o", str(results)]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        for benchmark in pyperf.BenchmarkSuite.load(str(results)).get_benchmarks():
            # The least value counts: other processes can only add to it.
            name, least = benchmark.get_name(), min(benchmark.get_values()) * 1e6
            detail = f"median {benchmark.median() * 1e6:.2f} of {benchmark.get_nvalue()}"
            yield Figure(name=name, value=least, unit="µs", bar=_BARS[name], detail=detail)


def decode_json(loops: int) -> float:
    with mock.patch.dict(sys.modules, {"orjson": None}):
        importlib.reload(_codec)  # the module looks for orjson on import
    return _decode(loops)


def decode_orjson(loops: int) -> float:
    assert "orjson" in sys.modules, "install orjson"
    return _decode(loops)


def _decode(loops: int) -> float:
    decode, body = _codec.decode_session, body_of(SESSION_ID)
    started_at = process_time()
    for _ in range(loops):
        decode(body, session_id=SESSION_ID, read_at=_READ_AT, correlation_id=_CORRELATION_ID)
    return process_time() - started_at


def poller_cycle(loops: int) -> float:
    """Ask for an action (a read), report its reading, and ask for the next action (a sleep)."""
    poller = Poller(SESSION_ID)
    reading = _codec.decode_session(body_of(SESSION_ID), session_id=SESSION_ID, read_at=_READ_AT)
    poller.received(reading, 0.0, 0.5)
    poller.emitted()
    now = 0.0
    started_at = process_time()
    for _ in range(loops):
        poller.next_action(now)
        poller.received(reading, now, 0.5)
        action = poller.next_action(now)
        assert isinstance(action, Sleep)
        now = action.until
    return process_time() - started_at


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    runner.bench_time_func("decode_json", decode_json)
    runner.bench_time_func("decode_orjson", decode_orjson)
    runner.bench_time_func("poller_cycle", poller_cycle)


if __name__ == "__main__":
    main()
