"""The credentials: what goes into the ``Authorization`` header, and whether they belong to the endpoint."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final, Self

import attrs

from hpp_async._core.endpoint import Endpoint, Target
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.hidden import Hidden

Auth = tuple[str, str] | str
"""``(username, password)``, or an API key."""

_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


@attrs.frozen(eq=False)
class Credentials:
    """What goes into the ``Authorization`` header; never shown."""

    authorization: str = attrs.field(repr=False)

    @classmethod
    def of(cls, auth: Hidden[Auth], target: Target) -> Self:
        """
        Return the credentials for *auth*, after a check that they can be sent and belong to *target*.

        Raises:
            ConfigurationError: *auth* has another type, is empty, has blanks around it or characters that cannot be
                sent, or belongs to another environment than the endpoint. No message repeats a part of it.
        """
        refusal = _refusal(auth, target)
        if refusal is not None:
            raise ConfigurationError(refusal)
        return cls(_authorization(auth))


def _authorization(hidden: Hidden[Auth]) -> str:
    auth = hidden()
    # An API key is sent as it is, after the word Basic (authentication page).
    text = auth if isinstance(auth, str) else base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
    return f"Basic {text}"


def _refusal(hidden: Hidden[Auth], target: Target) -> str | None:
    """Return what is wrong with *hidden*, if anything is. Nothing may raise here: the local variables hold secrets."""
    auth: object = hidden()
    if isinstance(auth, str):
        return _refusal_of("API key", auth, target)
    match auth:
        case (str(username), str(password)) if isinstance(auth, tuple):
            refusal = _refusal_of("username", username, target) or _refusal_of("password", password, target)
            if refusal is None and ":" in username:
                return "auth: the username has a ':' in it; are username and password in one string?"
            return refusal
        case _:
            return "auth: give (username, password) or an API key string"


def _refusal_of(name: str, secret: str, target: Target) -> str | None:
    if not secret.strip():
        return f"auth: the {name} is empty; is the environment variable or setting filled in?"
    if secret != secret.strip():
        return f"auth: the {name} has blanks or a line break around it; strip it"
    if not _is_sendable(secret, visible=name == "API key"):
        return f"auth: the {name} has characters that cannot be sent; was it copied whole?"
    return _misplaced(name, secret, target)


def _is_sendable(secret: str, *, visible: bool) -> bool:
    # isprintable() refuses lone surrogates, too: Python makes them of undecodable bytes in the environment.
    return secret.isprintable() and (not visible or _VISIBLE.fullmatch(secret) is not None)


_PREFIXES: Final = (
    # pattern, how a message shows it, whether it is live, whether it is Kustom's (None: either)
    (re.compile(r"K\d+_"), "'K…_'", True, None),
    (re.compile(r"PK\d+_"), "'PK…_'", False, None),
    (re.compile(r"klarna_live_"), "'klarna_live_'", True, False),
    (re.compile(r"klarna_test_"), "'klarna_test_'", False, False),
    (re.compile(r"kco_live_"), "'kco_live_'", True, True),
    (re.compile(r"kco_test_"), "'kco_test_'", False, True),
)
"""Which environment the prefix of a username or key belongs to (authentication page; Kustom's API credentials page)."""


def _misplaced(name: str, secret: str, target: Target) -> str | None:
    member = target.member
    if member is None:
        return None
    for pattern, prefix, is_live, is_kustom in _PREFIXES:
        if not pattern.match(secret):
            continue
        fits = is_live == member.is_live and is_kustom in (None, member.is_kustom)
        if not fits:
            brand = "" if is_kustom is None else "Kustom's " if is_kustom else "Klarna's "
            environment = "live environment" if is_live else "playground"
            return (
                f"auth: the {name} begins with {prefix}, which belongs to {brand or 'the '}{environment}, and the "
                f"endpoint is {member.name}: change one of the two"
            )
    return None


# -- from the environment ------------------------------------------------------------------------------------------

_VARIABLES: Final = ("HPP_USERNAME", "HPP_PASSWORD", "HPP_API_KEY", "HPP_ENDPOINT")

_ARGUMENTS: Final = {
    "auth: the username": "HPP_USERNAME: the username",
    "auth: the password": "HPP_PASSWORD: the password",
    "auth: the API key": "HPP_API_KEY: the API key",
    "endpoint": "HPP_ENDPOINT",
}
"""How messages about arguments begin, and what they begin with where a variable gave the argument."""


def of_variables(message: str) -> str:
    """Return *message*, which refuses an argument, about the variable that gave the argument."""
    for argument, variable in _ARGUMENTS.items():
        if message.startswith(argument):
            return variable + message.removeprefix(argument)
    return message


@attrs.frozen(eq=False)
class Variables:
    """The credentials and the endpoint in the environment variables, or what is wrong with them."""

    auth: Hidden[Auth] | None = None
    endpoint: str = ""
    refusal: str | None = None
    """The message of the error to raise, if anything is wrong; then there is neither *auth* nor *endpoint*."""

    @classmethod
    def found_in(cls, environ: Mapping[str, str]) -> Variables:
        """
        Return what *environ* says; a variable that is empty counts as unset.

        Nothing may raise here: the local variables hold secrets.
        """
        values = {name: environ.get(name) or None for name in _VARIABLES}
        for name, value in values.items():
            if value is not None and not {"\r", "\n"}.isdisjoint(value):
                return cls(refusal=f"{name} has a line break in it: was it read from a file? Strip it")
        username, password, key, endpoint = values.values()
        if key is not None and (username is not None or password is not None):
            return cls(refusal="HPP_API_KEY is set, and so is HPP_USERNAME or HPP_PASSWORD: unset one of the two")
        if key is None and (username is None or password is None):
            return cls(refusal="set HPP_USERNAME and HPP_PASSWORD, or HPP_API_KEY")
        if endpoint is None:
            return cls(refusal=f"set HPP_ENDPOINT to one of {', '.join(Endpoint.__members__)}, or to a base URL")
        return cls(Hidden((username or "", password or "") if key is None else key), endpoint)
