"""The budgets for what is created around a wait, apart from the budget of the reads."""

from __future__ import annotations

from collections.abc import Callable

from hpp_async._core.budget import Budget
from hpp_async._core.endpoint import Endpoint, Target
from hpp_async._core.token_bucket import ReadBudget
from hpp_async._loop import Clock
from hpp_async._waits.events import Observers
from hpp_async._waits.turns import Turns


class Creations:
    """The budgets for what is created: all that the provider grants, which counts each kind for itself."""

    def __init__(self, target: Target, *, clock: Clock, draw: Callable[[], float]) -> None:
        quota = (target.member or Endpoint.EU_PLAYGROUND).creation_quota

        def turns() -> Turns:
            # Without observers: `BudgetPaused` says that the reads pause.
            return Turns(Budget(ReadBudget(quota)), clock=clock, draw=draw, observers=Observers(()))

        self.payment_sessions = turns()
        self.sessions = turns()

    def close(self) -> None:
        """Let nobody wait for a turn any more: the client is closed."""
        self.payment_sessions.close()
        self.sessions.close()

    def forget(self) -> None:
        """Forget all turns, and the calls in flight: the event loop that they belonged to is gone."""
        self.payment_sessions.forget()
        self.sessions.forget()
