"""Which failures of one call are tried again, and after which pause. tenacity is used here only."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from hpp_async._core.exceptions import HPPError, ReadError, TransportError
from hpp_async._core.token_bucket import Quota

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

_FIRST_DELAY: Final = 0.25
_MAXIMUM_DELAY: Final = 5.0
"""Seconds. A longer hint is left to the caller: a read that sleeps for a minute looks like one that hangs."""


def load_ahead() -> None:
    """Load tenacity, which would else happen at the first second attempt and hold the event loop."""
    importlib.import_module("tenacity")


def longest_read(attempts: int, timeout: float) -> float:
    """Return how many seconds a read can take with all its attempts, but for the pauses of the budget."""
    return attempts * timeout + (attempts - 1) * _MAXIMUM_DELAY


class Pace(Protocol):
    """The part of the budget that a call needs to count its attempts; the caller hands it in."""

    @property
    def draw(self) -> Callable[[], float]:
        """Numbers that are uniform in [0, 1), to spread the pauses between attempts."""
        ...

    def answered(self, quota: Quota, now: float) -> None:
        """Note what a good answer, received at *now* (loop seconds), says of the merchant's quota."""
        ...

    def refused(self, retry_after: float | None, now: float) -> None:
        """Note a 429, received at *now* (loop seconds), and the seconds it asks for."""
        ...

    async def again(self, delay: float) -> None:
        """Sleep for *delay* seconds, and then until the budget admits another attempt."""
        ...


def _is_worth_another(error: BaseException) -> bool:
    if isinstance(error, ReadError) and (error.retry_after or 0.0) > _MAXIMUM_DELAY:
        return False
    return isinstance(error, HPPError) and error.is_transient


async def with_retries(
    request: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    pace: Pace,
) -> T:
    """
    Return what *request* returns, asking up to *attempts* times while it fails transiently.

    Between two attempts it sleeps for an exponential back-off with full jitter, or as long as the answer asks for.
    Cancellation passes through untouched.

    Raises:
        HPPError: the last attempt's.
    """
    try:
        try:
            return await request()
        except TransportError as error:
            if not error.is_dropped:
                raise
            # The other side closed a kept-alive connection just as it was used again. That says nothing about the
            # provider, so the request is repeated at once, one time, and this attempt is not counted.
            await pace.again(0.0)
            return await request()
    except HPPError as error:
        if attempts <= 1 or not _is_worth_another(error):
            raise
        first = error

    import tenacity  # noqa: PLC0415 - loading it takes a twentieth of the import time; `load_ahead` pays it

    # The first attempt was made without tenacity: most calls need no second one, and a retrying object costs a third of
    # a read. (It has to be a new one each time: one that is shared by tasks mixes their states.) Its first attempt
    # therefore only raises the failure that is already there.
    failed = [first]

    async def attempt() -> T:
        if failed:
            raise failed.pop()
        return await request()

    def wait(state: tenacity.RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        hint = error.retry_after if isinstance(error, ReadError) else None
        return max(hint or 0.0, pace.draw() * min(_MAXIMUM_DELAY, _FIRST_DELAY * 2.0**state.attempt_number))

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_is_worth_another),
        stop=tenacity.stop_after_attempt(attempts),
        wait=wait,
        sleep=pace.again,
        reraise=True,
    )
    return await retrying(attempt)
