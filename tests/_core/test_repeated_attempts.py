"""Reads that fail are repeated: their attempts count against the half of the rate that their reads have."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

import pytest
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
                again = Kind.DUE_AGAIN if kind is Kind.DUE else Kind.NEW_AGAIN
                turns.append((budget.queue(again, inf, now, bool), kind, number + 1))
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
def test_each_side_gets_half_of_all_attempts_whichever_reads_fail(
    due_fails: float, new_fails: float, attempts: int, seed: int
) -> None:
    counts = admitted(due_fails=due_fails, new_fails=new_fails, attempts=attempts, seed=seed)

    assert sum(counts.values()) == pytest.approx(RATE * SECONDS, abs=RATE)
    assert total(counts, Kind.DUE) == pytest.approx(sum(counts.values()) / 2, abs=2)


def test_another_attempt_goes_before_the_reads_of_its_side_that_have_not_begun() -> None:
    budget = Budget(ReadBudget(1.0))
    assert budget.admit_at_once(Kind.DUE, 0.0, 0.0)
    queued = {kind: budget.queue(kind, 0.0 if kind is Kind.DUE else inf, 0.0, bool) for kind in reversed(Kind)}

    order = list[Kind]()
    for now in range(1, 6):
        admitted_now = [kind for kind, turn in queued.items() if kind not in order and budget.admit(turn, float(now))]
        order += admitted_now

    assert order == [Kind.NEW_AGAIN, Kind.DUE_AGAIN, Kind.URGENT, Kind.DUE, Kind.NEW]
