"""A plot of latency against reads: the peers as points, ours as a curve, and the bound below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

if TYPE_CHECKING:
    from benchmarks.schedule import Result

_OURS: Final = "#0b6e4f"
_PEER: Final = "#b3541e"
_BOUND: Final = "#555555"
_LABELS: Final = {
    "1 s, openai": ("1 s (openai)", (0, 7), "center"),
    "2 s": ("2 s", (0, 7), "center"),
    "5 s": ("5 s", (7, 3), "left"),
    "10 s": ("10 s", (7, -8), "left"),
    "15 s": ("15 s", (0, 7), "center"),
    "30 s, azure-core": ("30 s (azure-core)", (7, -5), "left"),
    "×2, 1–60 s": ("×2 to 60 s", (-7, 0), "right"),
    "AWS waiter": ("AWS waiter", (0, 7), "center"),
    "google-api-core": ("google-api-core", (7, 2), "left"),
    "tenacity, random": ("tenacity", (7, 4), "left"),
}
"""The label of each peer, its offset in points, and its alignment."""


def draw(results: Sequence[Result], folder: Path) -> None:
    """Write schedule.svg and schedule.png into *folder*."""
    mpl.rcParams.update(
        {"font.size": 10, "svg.hashsalt": "schedule", "svg.fonttype": "none", "font.family": "sans-serif"}
    )
    figure = Figure(figsize=(10.0, 8.4), layout="constrained")
    for axes, result in zip(figure.subplots(2, 2).flat, results, strict=True):
        _panel(axes, result)
    figure.supxlabel("reads per session, all sessions (fewer is better)")
    figure.supylabel("mean seconds from the end of a session to the read that shows it")
    folder.mkdir(exist_ok=True, parents=True)
    figure.savefig(folder / "schedule.svg", metadata={"Date": None})
    figure.savefig(folder / "schedule.png", dpi=110)


def _panel(axes: Axes, result: Result) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    left = min(result.ours.reads / 2.5, min(row.reads for row in result.peers) / 2.5)
    right = max(row.reads for row in result.peers) * 1.9
    reads = np.geomspace(left, min(right, result.bound.reads[-1]), 60)
    top = max(row.mean for row in result.peers) * 2.0
    below = [result.bound.at(float(x)) for x in reads]
    axes.plot(reads, below, color=_BOUND, linestyle="--", linewidth=1.3, zorder=1)
    axes.fill_between(reads, below, 1e-9, color=_BOUND, alpha=0.10, linewidth=0, zorder=0)
    scaled = sorted((row.reads, row.mean) for row in result.scaled)
    axes.plot(*zip(*scaled, strict=True), color=_OURS, linewidth=2.2, zorder=2)
    axes.plot(result.ours.reads, result.ours.mean, "o", color=_OURS, markersize=9, zorder=3)
    axes.annotate(
        "hpp_async",
        (result.ours.reads, result.ours.mean),
        xytext=(8, 5),
        textcoords="offset points",
        color=_OURS,
        fontweight="bold",
    )
    for row in result.peers:
        label, offset, align = _LABELS[row.schedule]
        axes.plot(row.reads, row.mean, "s", color=_PEER, markersize=5, zorder=3)
        axes.annotate(
            label,
            (row.reads, row.mean),
            xytext=offset,
            textcoords="offset points",
            ha=align,
            color=_PEER,
            fontsize=8.5,
        )
    axes.set_xlim(left, right)
    axes.set_ylim(0.1, top)
    axes.annotate(
        "no schedule can be here",
        (0.04, 0.05),
        xycoords="axes fraction",
        color=_BOUND,
        style="italic",
    )
    axes.set_title(result.mix.name, loc="left", fontweight="bold")
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
