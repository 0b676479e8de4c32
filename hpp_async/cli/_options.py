"""The options that several commands have: how each is written, checked, and written again in a resume command."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from hpp_async import ConfigurationError, Endpoint, is_token, session_id_of
from hpp_async.cli._forwarding import refusal_of
from hpp_async.testing import Consumer

_QUOTED: Final = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|)"""
"""Matches the ``repr`` of a text, or nothing."""

# -- checks, so that a refusal names the option and not the argument that it becomes -----------------------------------


def number(what: str, *, at_least: float, at_most: float = math.inf) -> Callable[[float | None], float | None]:
    """Return the check of an option that takes *what*, a number within these limits; without a limit, infinity too."""
    limits = f", at least {at_least}" if at_most == math.inf else f" from {at_least} to {at_most}"

    def check(value: float | None) -> float | None:
        if value is not None and not at_least <= value <= at_most:  # true for nan, too
            raise typer.BadParameter(f"give {what}{limits}")
        return value

    return check


interval: Final = number("seconds", at_least=0.1, at_most=1_000_000_000)
"""The check of ``--every``."""
timeout: Final = number("seconds", at_least=0)
"""The check of ``--timeout``."""
speed: Final = number("a factor", at_least=0.01, at_most=1000)
"""The check of ``--speed``."""
port: Final = number("a port", at_least=0, at_most=65_535)
"""The check of ``--port``."""
quota: Final = number("requests per second", at_least=0)
"""The check of ``--quota``."""
pace: Final = number("a factor", at_least=0.01, at_most=86_400)
"""The check of ``--pace``: up to a day in a second, as the simulated provider takes it."""
advance: Final = number("seconds", at_least=0, at_most=1_000_000_000)
"""The check of ``--advance``, as the simulated provider takes it."""


def status(text: str | None) -> str | None:
    """Check ``--status``."""
    if text is not None and not text.strip():
        raise typer.BadParameter("give a status, such as FAILED")
    return text


def token(text: str | None) -> str | None:
    """Check ``--since``."""
    if text is not None and not is_token(text):
        raise typer.BadParameter("it is not a token: give the one that wait or watch printed, as it was printed")
    return text


def forward_to(url: str) -> str:
    """Check ``--forward-to``."""
    refusal = refusal_of(url)
    if refusal is not None:
        raise typer.BadParameter(refusal)
    return url


def check_session(since: str | None, session_id: str) -> None:
    """
    Check that the token *since* belongs to the session.

    Raises:
        ConfigurationError: it belongs to another one.
    """
    owner = session_id if since is None else session_id_of(since)
    if owner.casefold() != session_id.casefold():
        raise ConfigurationError(
            f"--since belongs to session {owner}, and the wait to session {session_id}: give a token of that session, "
            "or leave --since out"
        )


@contextmanager
def naming(*arguments: str) -> Generator[None]:
    """
    Let the message of a refusal name the option, where it names one of the *arguments* of the library.

    Raises:
        ConfigurationError: the one that is raised in the context, in other words.
    """
    try:
        yield
    except ConfigurationError as error:
        argument = rf"\b({'|'.join(arguments)})={_QUOTED}"  # with its value, in which nothing is to be replaced
        raise ConfigurationError(re.sub(argument, r"--\1 \2", str(error))) from None


# -- options -----------------------------------------------------------------------------------------------------------

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="A session id, or a session_url.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|URL",
        help="Use this endpoint, not HPP_ENDPOINT.",
        autocompletion=lambda: list(Endpoint.__members__),
    ),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ShowTokenOption = Annotated[
    bool, typer.Option("--show-token", help="Print the authorization token, too. It is a secret.")
]
FinalOption = Annotated[bool, typer.Option("--final", help="Do not stop at FAILED and ERROR: the consumer can retry.")]
EveryOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Read at this interval, not by the default schedule.", callback=interval),
]
ConsumerOption = Annotated[Consumer, typer.Option(metavar="NAME", help="Who visits the session.")]
SpeedOption = Annotated[
    float, typer.Option(metavar="FACTOR", help="The visit's speed; 2 is twice a person's.", callback=speed)
]
VerboseOption = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Log to stderr; -vv logs more.")
]


def words(options: Mapping[str, object]) -> list[str]:
    """Return the words of the command line that say *options*; what is ``None`` or False is left out."""
    found: list[str] = []
    for option, value in options.items():
        if value is True:
            found += [option]
        elif value is not None and value is not False:
            found += [option, str(value)]
    return found
