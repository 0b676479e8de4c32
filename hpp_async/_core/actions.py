"""What a poller can ask of its driver: values, one at a time."""

from __future__ import annotations

import attrs

from hpp_async._core.exceptions import HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome


@attrs.frozen
class Read:
    """
    Read the session. All times are loop seconds.

    Attributes:
        fresh_from: the oldest acceptable request time: an answer that was asked for at or after it will do.
        due: when the read was due.
        is_urgent: whether the wait's own timeout has passed: such a read goes before all others.
        until: where no answer came by then, ask the poller again.
    """

    fresh_from: float
    due: float
    is_urgent: bool = False
    until: float = float("inf")


@attrs.frozen
class Sleep:
    """Do nothing until then (loop seconds), unless the session is notified."""

    until: float


@attrs.frozen
class Emit:
    """Hand this transition to the caller, then tell the poller that it was emitted."""

    transition: Transition


@attrs.frozen
class Finish:
    """The wait is over: this is the outcome."""

    outcome: AnyOutcome


@attrs.frozen
class Fail:
    """The wait is over: it could not find out."""

    error: HPPError


Action = Read | Sleep | Emit | Finish | Fail
