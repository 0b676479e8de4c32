"""Retries of one call: which failures are tried again, and after which pause. Only this module uses tenacity."""

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
"""Seconds; doubled for each pause, so that the first pause is at most half a second."""

_MAXIMUM_DELAY: Final = 5.0
"""
Seconds. If the answer asks for a longer pause, the call fails at once.

A call that sleeps for a minute cannot be told from one that hangs; how long to wait is the caller's decision then.
"""


def load_ahead() -> None:
    """Load tenacity now, so that the first retry does not block the event loop for it."""
    importlib.import_module("tenacity")


def longest_read(attempts: int, timeout: float) -> float:
    """Return how many seconds a read with *attempts* can take, without the time in the budget's queue."""
    return attempts * timeout + (attempts - 1) * _MAXIMUM_DELAY


class Pace(Protocol):
    """The part of the budget that a call needs, to count its attempts and to pass on what answers say of the quota."""

    @property
    def draw(self) -> Callable[[], float]:
        """A function that returns numbers uniform in [0, 1), to spread the pauses between attempts."""
        ...

    def answered(self, quota: Quota, now: float, status_code: int) -> None:
        """Note the *quota* stated in a 2xx answer with *status_code*, which came at *now* (loop seconds)."""
        ...

    def refused(self, retry_after: float | None, now: float) -> None:
        """Note a 429, received at *now* (loop seconds), and the seconds that it asks to wait, if it does."""
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
    Return the result of *request*, which is tried up to *attempts* times while it fails transiently.

    Between two attempts it sleeps for an exponential back-off with full jitter, and at least as long as the answer asks
    for. An answer that asks for more than five seconds is not tried again. Cancellation ends the attempt or the pause
    under way.

    Raises:
        HPPError: the failure of the last attempt.
    """
    try:
        try:
            return await request()
        except TransportError as error:
            if not error.is_dropped:
                raise
            # Nearly always the other side closed a kept-alive connection just as it was used again, and the provider
            # did not fail. So the request is repeated once without a back-off, and this does not count against
            # *attempts*.
            await pace.again(0.0)
            return await request()
    except HPPError as error:
        if attempts <= 1 or not _is_worth_another(error):
            raise
        first = error

    import tenacity  # noqa: PLC0415 - loading it takes a twentieth of the import time; `load_ahead` pays it

    # The first attempt was made without tenacity, because most calls need no second attempt, and an AsyncRetrying takes
    # a third of the CPU time of a read. (It cannot be shared: calls that share one mix their states.) What tenacity
    # takes for the first attempt only raises the failure of the real one.
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
