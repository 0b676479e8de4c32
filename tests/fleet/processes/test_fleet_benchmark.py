"""The benchmark of the fleet runs; what it measures is in benchmarks/README.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from postgres import Cluster

pytest.importorskip("benchmarks", reason="the benchmarks are part of the checkout only")

import benchmarks


def test_the_benchmark_of_the_fleet_runs(database: Cluster) -> None:
    [package] = benchmarks.__path__
    command = [sys.executable, "-m", "benchmarks.fleet", database.conninfo, "--quick"]
    done = subprocess.run(command, cwd=Path(package).parent, capture_output=True, text=True, check=True)

    assert "events dealt with" in done.stdout
    assert "| 2 | 200 |" in done.stdout
