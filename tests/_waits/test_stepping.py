"""One step at a time: who takes the present step, and what a step that was lost or given up must not end."""

from __future__ import annotations

import asyncio

import pytest

from hpp_async._waits.stepping import Stepping


async def begin(steps: Stepping) -> int:
    return steps.begin()


def test_a_second_step_is_refused_while_one_is_under_way() -> None:
    steps = Stepping("one at a time")
    with asyncio.Runner() as runner:
        step = runner.run(begin(steps))
        with pytest.raises(RuntimeError, match="one at a time"):
            runner.run(begin(steps))

        assert steps.is_current(step)
        assert steps.end(step)
        assert not steps.is_under_way()


def test_a_step_that_was_lost_with_its_loop_does_not_end_the_one_after_it() -> None:
    steps = Stepping("one at a time")
    with asyncio.Runner() as gone:
        lost = gone.run(begin(steps))
    assert not steps.is_under_way()

    with asyncio.Runner() as runner:
        step = runner.run(begin(steps))

        assert not steps.is_current(lost)
        assert not steps.end(lost)
        assert steps.is_under_way()
        assert steps.end(step)


def test_a_step_that_was_given_up_does_not_end_the_one_after_it() -> None:
    steps = Stepping("one at a time")
    with asyncio.Runner() as runner:
        given_up = runner.run(begin(steps))
        steps.cancel()
        assert not steps.is_current(given_up)

        step = runner.run(begin(steps))
        assert not steps.end(given_up)
        assert steps.end(step)
