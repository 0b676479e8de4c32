"""
A step of a wait for durable engines: it returns plain data without secrets, which an engine can store.

The other files of this folder take their steps with this function, and leave the time between two steps to an engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypedDict

from hpp_async import (
    FINAL,
    AnyOutcome,
    AuthenticationError,
    HPPClient,
    HPPError,
    OutageError,
    Parked,
    PollSchedule,
    Transition,
)

HOLD: Final = 5.0
"""
Seconds: the longest delay to a read that is waited for within a step.

A consumer who has just opened the page is read every two seconds, and a step lasts until that slows down: with 5, five
minutes. Engines and queues that have a limit for a step want less: with 0, a step is one read.
"""

AFTER_CALLBACK: Final = PollSchedule.every(2.0)
"""After a callback a read is due at once, or two seconds after the last one, and the next one two seconds later."""

DealWith = Callable[[Transition | AnyOutcome], Awaitable[object]]
"""Called with every transition and with the outcome; again after a crash, so everything in it can be done twice."""


class Step(TypedDict):
    """
    What a step came to.

    ``ending`` is the name of the outcome, or of the error that a person has to look at; ``None`` while the chain goes
    on: ``resume_in`` seconds later, from ``token``.
    """

    token: str | None
    resume_in: float
    ending: str | None


async def take_step(
    client: HPPClient,
    session_id: str,
    since: str | None,
    deal_with: DealWith,
    *,
    hold: float = HOLD,
    is_called_back: bool = False,
) -> Step:
    """
    Take a step from *since*; raise only what a later attempt at the same step may not meet.

    *deal_with* is called here, within the step: an outcome may have an authorization token, which places the order, and
    whatever a step returns is stored by the engine.
    """
    try:
        step = await client.step(
            session_id,
            since=since,
            hold=1.99 if is_called_back else hold,  # just below the delay: one read, and then the step ends
            stop_on=FINAL,
            schedule=AFTER_CALLBACK if is_called_back else None,
        )
    except AuthenticationError:
        raise  # it is about our credentials: no session has ended
    except OutageError as outage:
        return Step(token=outage.token, resume_in=60.0, ending=None)  # it may still be paid
    except HPPError as error:
        return Step(token=since, resume_in=0.0, ending=f"needs a person: {type(error).__name__}")
    if isinstance(step, Parked):
        return Step(token=step.token, resume_in=step.resume_in, ending=None)
    await deal_with(step)
    if isinstance(step, Transition):
        return Step(token=step.token, resume_in=0.0, ending=None)
    return Step(token=since, resume_in=0.0, ending=type(step).__name__)
