"""Stretches of time."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen(order=True)
class Span:
    """A stretch of time, in seconds of the life."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    def within(self, other: Span) -> Span:
        """Return what of it is in *other* as well."""
        return Span(max(self.start, other.start), min(self.end, other.end))


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as spans that do not overlap, in order."""
    out = list[Span]()
    for span in sorted(span for span in spans if span.seconds > 0):
        if out and span.start <= out[-1].end:
            out[-1] = Span(out[-1].start, max(out[-1].end, span.end))
        else:
            out.append(span)
    return out


def left_of(span: Span, excused: Iterable[Span]) -> float:
    """Return how many seconds of *span* are in none of *excused*."""
    return span.seconds - sum(other.within(span).seconds for other in union(excused))


def gaps_between(spans: Iterable[Span], whole: Span) -> list[Span]:
    """Return the stretches of *whole* that are in none of *spans*."""
    out, at = list[Span](), whole.start
    for span in union(spans):
        out.append(Span(at, min(span.start, whole.end)))
        at = max(at, span.end)
    return [gap for gap in (*out, Span(at, whole.end)) if gap.seconds > 0]
