"""What a poller can ask of its driver: values, to be done one at a time."""

from __future__ import annotations

import attrs

from hpp_async._core.exceptions import HPPError
from hpp_async._core.history import Transition
from hpp_async._core.outcome import AnyOutcome


@attrs.frozen
class Read:
    """
    Read the session, which is due since ``due``; an answer asked for at or after ``since`` will do (loop seconds).

    ``is_urgent`` where the caller's own time has run out: it goes before others. With no answer by ``until`` (loop
    seconds), ask the poller again.
    """

    since: float
    due: float
    is_urgent: bool = False
    until: float = float("inf")


@attrs.frozen
class Sleep:
    """Nothing to do until then (loop seconds), unless notified."""

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
