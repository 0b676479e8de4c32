"""The basis of benchmarks.schedule: no schedule beats the bound, and the arithmetic agrees with the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

np = pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("benchmarks", reason="the benchmarks are part of the checkout only")

from benchmarks import arithmetic, real  # noqa: E402 - they may be absent
from benchmarks.bound import Curve, bound  # noqa: E402 - as above
from benchmarks.lives import ENDS, MIXES, Lives, Mix  # noqa: E402 - as above
from benchmarks.peers import PEERS, Ours  # noqa: E402 - as above
from hpp_async import PollSchedule  # noqa: E402 - as above

pytestmark = pytest.mark.thorough

PUBLISHED: Final = Path(__file__).parents[2] / "shared" / "data" / "schedule-bound.json"

WEB, MIXED, LINK, TILL = MIXES


# -- the bound ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the independent bound is not part of the repository")
@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
def test_the_bound_is_the_independent_one_within_two_per_cent(mix: Mix) -> None:
    """The independent bound does not count the read at the creation."""
    points = json.loads(PUBLISHED.read_text())["bound"][mix.name]
    published = Curve.through(*np.array(points).T)
    ours = bound(mix, np.array([0.5, 0.03]))

    for reads, seconds in zip(ours.reads, ours.seconds, strict=True):
        assert seconds == pytest.approx(published.at(reads - 1.0), rel=0.02)


@pytest.mark.parametrize("mix", [WEB, TILL], ids=lambda mix: mix.name)
def test_no_schedule_is_below_the_bound(mix: Mix) -> None:
    curve = bound(mix, np.geomspace(3.0, 1e-3, 8))
    lives = Lives.of(mix, 4_000, seed=3)
    for law in (Ours(), Ours(factor=3.0), PEERS["5 s"], PEERS["AWS waiter"]):
        seen = arithmetic.run(lives, law)

        assert np.nanmean(seen.latency) > curve.at(float(seen.reads.mean()))


def test_a_curve_is_log_log_linear_and_falls_as_one_over_reads_beyond_its_points() -> None:
    curve = Curve.through([100.0, 10.0], [1.0, 100.0])

    assert [curve.at(reads) for reads in (1.0, 10.0, 10**1.5, 100.0, 200.0)] == pytest.approx([1e4, 100, 10, 1, 0.5])


# -- the lives ----------------------------------------------------------------------------------------------------


def test_lives_have_the_shares_of_their_mix() -> None:
    lives = Lives.of(WEB, 10_000, seed=1)

    assert np.isfinite(lives.opened).mean() == pytest.approx(0.95, abs=0.001)
    assert np.median(lives.opened[np.isfinite(lives.opened)]) == pytest.approx(5.0, rel=0.02)
    assert np.isfinite(lives.ended).mean() == pytest.approx(0.76, abs=0.01)


def test_the_lateness_of_ends_is_the_integral_of_their_distribution() -> None:
    times = np.linspace(1e-9, 2_000.0, 200_001)
    below = ENDS.below(times)
    integral = float(np.sum((below[1:] + below[:-1]) / 2 * np.diff(times)))

    assert float(ENDS.late_by(np.array([2_000.0]))[0]) == pytest.approx(integral, rel=1e-6)


# -- the arithmetic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mix", [MIXED, TILL], ids=lambda mix: mix.name)
def test_the_arithmetic_reads_at_the_same_times_as_the_client(mix: Mix) -> None:
    found = real.compare("ours", mix.name, Lives.of(mix, 6, seed=4), PollSchedule(), Ours())

    assert found.ok, str(found)
    assert found.reads > 100


@pytest.mark.parametrize("peer", ["AWS waiter", "tenacity, random", "×2, 1–60 s", "30 s, azure-core"])
def test_the_arithmetic_of_a_peer_reads_at_the_same_times_as_the_client(peer: str) -> None:
    found = real.compare(peer, TILL.name, Lives.of(TILL, 8, seed=4), PEERS[peer], PEERS[peer])

    assert found.ok, str(found)


def test_the_shortcut_for_fixed_intervals_equals_a_run_step_by_step() -> None:
    lives = Lives.of(TILL, 500, seed=6)
    regular = arithmetic.run(lives, PEERS["10 s"])
    # The same schedule, but arithmetic.run cannot know that its interval is fixed.
    stepped = arithmetic.run(lives, Ours(PollSchedule.every(10.0)))

    assert np.array_equal(regular.reads, stepped.reads)
    assert np.array_equal(regular.saw_progress, stepped.saw_progress)
    np.testing.assert_allclose(regular.latency, stepped.latency)
