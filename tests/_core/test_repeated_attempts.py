"""Reads that fail are repeated: what that takes from the reads of the schedule, and what it does not."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hpp_async import ReadBudget
from hpp_async._core.budget import Budget, Kind

RATE = 20.0
SECONDS = 60.0


def admitted(*, due_fails: float, new_fails: float, attempts: int, seed: int = 1) -> Counter[tuple[Kind, int]]:
    """
    Return how many attempts of each kind of read and of each number are admitted, while all reads wait for the budget.

    The first number is 1. An attempt takes a tenth of a second, and fails with the given probability.
    """
    budget, chance = Budget(ReadBudget(RATE)), Random(seed)
    counts = Counter[tuple[Kind, int]]()
    under_way = list[tuple[float, Kind, int]]()
    turns = [
        (budget.queue(kind, 0.0 if kind is Kind.DUE else inf, 0.0, bool), kind, 1) for kind in (Kind.DUE, Kind.NEW)
    ]
    for now in (step / (4 * RATE) for step in range(int(SECONDS * 4 * RATE))):
        for end in [end for end in under_way if end[0] <= now]:
            under_way.remove(end)
            _, kind, number = end
            if number < attempts and chance.random() < (due_fails if kind is Kind.DUE else new_fails):
                turns.append((budget.queue(Kind.AGAIN, inf, now, bool), kind, number + 1))
            else:
                budget.release(now)
        for turn, kind, number in [found for found in turns if budget.admit(found[0], now)]:
            turns = [left for left in turns if left[0] is not turn]
            counts[kind, number] += 1
            under_way.append((now + 0.1, kind, number))
            if number == 1:  # the next read of this kind waits already
                key = budget.virtual(now) if kind is Kind.DUE else inf
                turns.append((budget.queue(kind, key, now, bool), kind, 1))
    return counts


def total(counts: Counter[tuple[Kind, int]], kind: Kind) -> int:
    """Return the number of attempts of all reads of this kind."""
    return sum(count for (of, _), count in counts.items() if of is kind)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 4), st.integers(0, 99))
def test_of_the_tokens_that_repeated_attempts_leave_the_schedule_gets_half(
    due_fails: float, new_fails: float, attempts: int, seed: int
) -> None:
    counts = admitted(due_fails=due_fails, new_fails=new_fails, attempts=attempts, seed=seed)

    first = counts[Kind.DUE, 1] + counts[Kind.NEW, 1]
    assert counts[Kind.DUE, 1] >= first / 2 - 2
    assert first >= RATE * SECONDS / attempts - 2 * RATE
    assert sum(counts.values()) <= RATE * (SECONDS + 1)


@settings(max_examples=6, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(1, 4), st.integers(0, 99))
def test_where_reads_fail_alike_the_schedule_gets_half_of_all_attempts(fails: float, attempts: int, seed: int) -> None:
    counts = admitted(due_fails=fails, new_fails=fails, attempts=attempts, seed=seed)

    assert total(counts, Kind.DUE) >= 0.45 * sum(counts.values())


def test_where_only_new_arrivals_fail_their_attempts_are_taken_from_the_schedule() -> None:
    """A quarter of the rate at worst, with the three attempts that are usual, instead of half."""
    counts = admitted(due_fails=0.0, new_fails=1.0, attempts=3)

    assert 0.2 <= total(counts, Kind.DUE) / sum(counts.values()) <= 0.3
