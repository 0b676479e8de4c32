"""Posting the simulated provider's callbacks, to this machine only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
import httpx

from hpp_async._provider.callbacks import PATIENCE
from hpp_async._provider.posting import Posting, is_on_this_machine
from hpp_async.simulator._journal import Journal
from hpp_async.testing import OrderNotification, Provider, StatusCallback

_LOG: Final = logging.getLogger("hpp_async.simulator")
_CHECK_EVERY: Final = 0.05
"""Seconds between two checks for due callbacks, because any thread can change sessions and time at any moment."""


async def call(
    provider: Provider,
    journal: Journal,
    *,
    patience: float = PATIENCE.total_seconds(),
    changed: Callable[[], object] = lambda: None,
) -> None:
    """
    Post *provider*'s callbacks when they are due, until cancelled, and note them in *journal*.

    A merchant has *patience* seconds to answer 2xx. *changed* is called when a call begins and when it is over.

    The simulator talks to no other machine: callbacks to hosts other than loopback are not sent, and one log line for
    each session says so.
    """
    refused: set[str] = set()

    def is_allowed(callback: StatusCallback | OrderNotification) -> bool:
        changed()
        if is_on_this_machine(callback.url):
            return True
        journal.note_callback(provider.now(), callback, "not sent: its URL is not on this machine")
        if callback.session_id not in refused:
            refused.add(callback.session_id)
            _LOG.warning(
                "session %s: its callbacks are not sent, because their URL is not on this machine",
                callback.session_id,
            )
        return False

    async def wait_patiently(is_over: anyio.Event) -> None:
        with anyio.move_on_after(patience):
            await is_over.wait()

    def report(callback: StatusCallback | OrderNotification, _: bool, result: str | None) -> None:
        changed()
        got = result or f"no answer within {patience:g} s"
        journal.note_callback(provider.now(), callback, got)
        _LOG.info("session %s: callback %d got %s", callback.session_id, callback.call, got)

    # A pool that is full has hundreds of calls examine each other, and those that are given up stay in it.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, timeout=patience, limits=limits) as http:
        await Posting(
            provider=provider,
            http=http,
            idle=partial(anyio.sleep, _CHECK_EVERY),
            patience=wait_patiently,
            is_allowed=is_allowed,
            report=report,
        ).run()
