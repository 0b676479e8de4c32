"""Run every benchmark; print a table, and one JSON line each."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from benchmarks import concurrency, creates, idle, imports, micro, reads
from benchmarks.figures import Figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that they run: a few seconds, and figures to ignore")
    quick = parser.parse_args().quick

    report(
        figure for part in (micro, reads, creates, concurrency, idle, imports) for figure in part.measure(quick=quick)
    )


def report(measured: Iterable[Figure]) -> None:
    figures = list(measured)
    print(table(figures), *(figure.as_json() for figure in figures), sep="\n")


def table(figures: Iterable[Figure]) -> str:
    verdicts = {True: "met", False: "MISSED", None: ""}
    rows = [("benchmark", "value", "bar", "", "")]
    for figure in figures:
        bar = "" if figure.bar is None else f"{'≥' if figure.is_floor else '≤'} {figure.bar:g}"
        rows.append((figure.name, f"{figure.value:.4g} {figure.unit}", bar, verdicts[figure.ok], figure.detail))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    main()
