"""What surrounds a command: its log, its ending, and the extras that it needs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import typer

from hpp_async import HPPError, OutageError, OutcomeWait, WaitTimeoutError
from hpp_async.cli._exits import UNEXPECTED, exit_code
from hpp_async.cli._words import say


@contextmanager
def exiting(verbosity: int) -> Generator[None]:
    """Log to stderr, and turn an exception of the command into a sentence and an exit code."""
    try:
        with _logging(verbosity), _terminable():
            yield
    except (HPPError, KeyboardInterrupt) as ending:
        say(str(ending) or "interrupted")
        raise typer.Exit(exit_code(ending)) from None
    except BrokenPipeError as ending:
        # Python flushes the buffer at its end: let that go nowhere without an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(exit_code(ending)) from None


@contextmanager
def resumable(wait: OutcomeWait, command: Callable[[str | None], str]) -> Generator[None]:
    """When *wait* is interrupted or gives up, print the *command* that continues it from the given resume token."""
    try:
        yield
    except (KeyboardInterrupt, OutageError, WaitTimeoutError) as ending:
        what = str(ending) or "interrupted; the session goes on"
        say(f"{what}. To continue the wait:\n  {command(wait.token)}")
        raise typer.Exit(exit_code(ending)) from None


@contextmanager
def needing_simulator() -> Generator[None]:
    """Say what to install if the simulator's extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "starlette", "uvicorn"):
            raise
        say('the simulated provider needs more packages: pip install "hpp-async[cli,simulator]"')
        raise typer.Exit(UNEXPECTED) from None


@contextmanager
def _terminable() -> Generator[None]:
    """
    Let SIGTERM do what Ctrl-C does.

    Its default action would end the process without the resume command. As process 1 of a container, a process without
    a handler does not even get the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
        return
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
    Have a handler for Ctrl-C, which asyncio replaces with its own.

    A shell lets the processes that it runs in the background ignore Ctrl-C. Here they block it instead, so that SIGTERM
    can call the handler.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


class _Remarks(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def _logging(verbosity: int) -> Generator[None]:
    level = (logging.ERROR, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    loggers = [logging.getLogger(name) for name in ("hpp_async", "uvicorn.access")]
    handler = _Remarks()
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(was)
