"""Checks of options, so that a refusal names the option and not the argument that it becomes."""

from __future__ import annotations

import math

import typer

from hpp_async import ConfigurationError, is_token
from hpp_async.cli._watch import session_in


def interval(seconds: float | None) -> float | None:
    """Check ``--every``."""
    if seconds is not None and not 0.1 <= seconds < math.inf:
        raise typer.BadParameter("give seconds, at least 0.1")
    return seconds


def timeout(seconds: float | None) -> float | None:
    """Check ``--timeout``."""
    if seconds is not None and not seconds >= 0:
        raise typer.BadParameter("give seconds, at least 0")
    return seconds


def token(text: str | None) -> str | None:
    """Check ``--since``."""
    if text is not None and not is_token(text):
        raise typer.BadParameter("it is not a token: give the one that wait or watch printed, as it was printed")
    return text


def check_session(since: str | None, session_id: str) -> None:
    """
    Check that the token *since* belongs to the session.

    Raises:
        ConfigurationError: it belongs to another one.
    """
    owner = session_id if since is None else session_in(since)
    if owner.casefold() != session_id.casefold():
        raise ConfigurationError(
            f"--since belongs to session {owner}, and the wait to session {session_id}: give a token of that session, "
            "or leave --since out"
        )
