"""A few hundred lives of the real client keep every promise; `nox -s simulate` lives thousands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from hpp_async._provider.faults import FAULT_KINDS
from simulation.__main__ import LOOPS, replay_command
from simulation.drawing import life_of
from simulation.oracle import judge
from simulation.run import Loop, live

pytestmark = pytest.mark.thorough

LIVES: Final = range(150)
TESTS: Final = Path(__file__).parents[1]

INTERESTING: Final = {
    *("Completed", "Failed", "Cancelled", "Errored", "Disabled", "Expired", "Stopped"),
    *("SessionNotFoundError", "SessionVanishedError", "AuthenticationError", "OutageError", "WaitTimeoutError"),
    *("ClientClosedError", "Heartbeat"),
    *(kind.__name__ for kind in FAULT_KINDS.values()),
    *("cancelled: native", "cancelled: scope", "cut off"),
    *("dies", "freezes", "closed", "with since", "notify: True", "notify: False", "callback lost"),
    *("look: Session", "disable: NoneType", "disable: Completed"),
}
"""What every short run must meet: one that meets nothing would keep every promise."""


@pytest.mark.parametrize("loop", LOOPS)
def test_lives_keep_every_promise(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    met: Counter[str] = Counter()
    for seed in LIVES:
        record = live(life_of(seed), loop)
        met += record.met
        caplog.clear()
        assert not (wrong := judge(record)), "\n".join([*wrong, "live it again with:", replay_command(seed, loop)])

    assert INTERESTING - set(met) == set()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_same_seed_is_the_same_life_in_another_process(loop: Loop) -> None:
    seeds = [3, 9, 41]
    here = "\n".join(line for seed in seeds for line in live(life_of(seed), loop).trace)
    script = (
        "from simulation.drawing import life_of; from simulation.run import live\n"
        f"for seed in {seeds}: print(*live(life_of(seed), {loop!r}).trace, sep='\\n')"
    )
    path = os.pathsep.join([str(TESTS), *sys.path])
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert there.splitlines() == here.splitlines()


def test_a_seed_is_the_same_life_every_time_and_others_are_others() -> None:
    assert life_of(7) == life_of(7)
    assert len({repr(life_of(seed).sessions) for seed in range(50)}) == 50
