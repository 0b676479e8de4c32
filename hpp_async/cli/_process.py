"""What surrounds a command: its log, its ending, and the extras that it needs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import typer

from hpp_async import HPPError, OutageError, OutcomeWait, WaitTimeoutError
from hpp_async._extras import with_extra
from hpp_async.cli._exits import UNEXPECTED, exit_code
from hpp_async.cli._records import in_options
from hpp_async.cli._words import say, stopped


@contextmanager
def exiting(verbosity: int) -> Generator[None]:
    """Log to stderr, and turn an exception of the command into a sentence and an exit code."""
    try:
        with _logging(verbosity):
            yield
    except (HPPError, KeyboardInterrupt) as ending:
        say(in_options(str(ending)) or "interrupted")
        raise typer.Exit(exit_code(ending)) from None
    except BrokenPipeError as ending:
        # Python flushes the buffer when it exits: into the null device that raises no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(exit_code(ending)) from None


@contextmanager
def resumable(wait: OutcomeWait, command: Callable[[str | None], str]) -> Generator[None]:
    """When *wait* is interrupted or gives up, print the *command* that continues it from the given resume token."""
    try:
        yield
    except (KeyboardInterrupt, OutageError, WaitTimeoutError) as ending:
        say(f"{stopped(ending)} To continue the wait:\n  {command(wait.token)}")
        raise typer.Exit(exit_code(ending)) from None


@contextmanager
def continuable(command: Callable[[], str | None]) -> Generator[None]:
    """When a watch is interrupted, print the *command* that continues it, if there is anything left to do."""
    try:
        yield
    except KeyboardInterrupt as ending:
        next_command = command()
        to_continue = "" if next_command is None else f" To continue:\n  {next_command}"
        say(f"interrupted; no session was changed.{to_continue}")
        raise typer.Exit(exit_code(ending)) from None


@contextmanager
def needing_simulator() -> Generator[None]:
    """Say what to install if the simulator's extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "segno", "starlette", "uvicorn"):
            raise
        say(f"the simulated provider needs packages that are not installed: {with_extra('simulator')}")
        raise typer.Exit(UNEXPECTED) from None


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
