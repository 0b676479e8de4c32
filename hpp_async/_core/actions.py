"""What a poller can ask its driver to do: values, one at a time. All times are loop seconds."""

from __future__ import annotations

import attrs

from hpp_async._core.exceptions import HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome


@attrs.frozen
class Read:
    """
    Read the session.

    Attributes:
        fresh_from: the oldest acceptable request time: an answer to any request from then or later will do.
        due: when the read was due; -∞ for the first read of a wait.
        key: its key in the budget's queue: when it would have been due without a notification, or earlier after a
            restart (see `_core.resuming`).
        is_urgent: whether the timeout of the wait has passed: such a read goes before all other new arrivals.
        until: when to ask the poller again if no answer has come.
    """

    fresh_from: float
    due: float
    key: float = attrs.field(default=attrs.Factory(lambda read: read.due, takes_self=True))
    is_urgent: bool = False
    until: float = float("inf")


@attrs.frozen
class Sleep:
    """Do nothing until *until*, unless a notification or the reading of a shared read comes earlier."""

    until: float


@attrs.frozen
class Emit:
    """Hand this transition to the caller, then call `Poller.emitted`."""

    transition: Transition


@attrs.frozen
class Finish:
    """The wait is over: return this outcome."""

    outcome: AnyOutcome


@attrs.frozen
class Fail:
    """The wait is over without an outcome: raise this error."""

    error: HPPError


Action = Read | Sleep | Emit | Finish | Fail
