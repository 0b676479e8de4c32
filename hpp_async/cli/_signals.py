"""SIGTERM, which ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminable() -> Generator[None]:
    """
    Let SIGTERM do what Ctrl-C does.

    Its default action would end the process without the resume command. As process 1 of a container, a process without
    a handler does not even get the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
    else:
        with _interruptible():
            before = signal.signal(signal.SIGTERM, _interrupt)
            try:
                yield
            finally:
                signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, frame: FrameType | None) -> None:
    interrupt = signal.getsignal(signal.SIGINT)  # while a loop runs, asyncio's own: it cancels the main task
    assert callable(interrupt), "see _interruptible"
    interrupt(signal.SIGINT, frame)


@contextmanager
def _interruptible() -> Generator[None]:
    """
    Make sure that Ctrl-C has a handler, which SIGTERM can call and asyncio can replace with its own.

    A shell lets a process that it starts in the background ignore Ctrl-C, and then there is no handler. Here such a
    process blocks Ctrl-C instead, and gets a handler.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
