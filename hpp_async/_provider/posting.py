"""The provider's callbacks over HTTP: each is posted when it is due, and again where it got no 2xx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import attrs
import httpx

from hpp_async._provider.callbacks import StatusCallback
from hpp_async._provider.provider import Provider


def _everything(_: StatusCallback) -> bool:
    return True


@attrs.frozen(kw_only=True)
class Posting:
    """
    How a provider's callbacks are posted.

    Args:
        http: the client that posts them.
        patience: returns when its event is set, or the time that merchants have for a 2xx has passed.
        sends: tells whether a callback is sent at all.
        ended: told what came of each: whether it was a 2xx, and what it was in a word; ``None`` is no answer in time.
    """

    provider: Provider
    http: httpx.AsyncClient
    patience: Callable[[anyio.Event], Awaitable[None]]
    sends: Callable[[StatusCallback], bool] = _everything
    ended: Callable[[StatusCallback, bool, str | None], None]

    async def run(self, rest: Callable[[], Awaitable[object]]) -> None:
        """
        Post what is due, *rest*, and so on for ever.

        Those under way when this is cancelled count as failed: whoever posts next repeats them.
        """
        async with anyio.create_task_group() as tasks:
            while True:
                for callback in self.provider.due_callbacks():
                    if self.sends(callback):
                        tasks.start_soon(self._post, callback, tasks)
                await rest()

    async def _post(self, callback: StatusCallback, tasks: anyio.abc.TaskGroup) -> None:
        is_heard, said = False, None
        is_over, scope = anyio.Event(), anyio.CancelScope()

        async def run_out() -> None:
            await self.patience(is_over)
            scope.cancel()

        try:
            with scope:
                # A task beside it and not a group around it: an error of the merchant's own code comes as it is.
                tasks.start_soon(run_out)
                try:
                    answer = await self.http.post(
                        callback.url, content=callback.body, headers={"Content-Type": "application/json"}
                    )
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    said = type(error).__name__
                else:
                    is_heard, said = answer.is_success, str(answer.status_code)
        finally:
            is_over.set()
            if not is_heard:
                self.provider.callbacks.failed(callback)
        self.ended(callback, is_heard, said)
