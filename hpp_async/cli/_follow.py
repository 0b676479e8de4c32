"""Showing one wait while it goes on."""

from __future__ import annotations

from hpp_async import AnyOutcome, HPPClient, HPPError, OutcomeWait, Transition
from hpp_async.cli._views import View

_TICK = 1.0
"""Seconds between two updates of the live line."""


async def follow(client: HPPClient, wait: OutcomeWait, view: View) -> AnyOutcome:
    """
    Show *wait* in *view* until it ends, close *client*, and return the outcome.

    Raises:
        HPPError: the wait's.
    """
    async with client:
        try:
            with view.live(wait):
                view.waiting(wait)
                async for update in wait.updates(heartbeat=_TICK):
                    if isinstance(update, Transition):
                        view.changed(update, wait)
                    view.waiting(wait)
            outcome = await wait
        except HPPError as error:
            view.failed(error, wait)
            raise
        view.ended(outcome, wait)
        return outcome
