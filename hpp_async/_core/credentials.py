"""What goes into the ``Authorization`` header, and whether it belongs to the endpoint."""

from __future__ import annotations

import base64
import re
from typing import Final, Self

import attrs

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ConfigurationError

Auth = tuple[str, str] | str
"""``(username, password)``, or an API key."""

_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


@attrs.frozen
class Credentials:
    """What goes into the ``Authorization`` header; never shown."""

    authorization: str = attrs.field(repr=False)

    @classmethod
    def of(cls, auth: Auth, target: Target) -> Self:
        """
        Check *auth* against where it would be sent.

        Raises:
            ConfigurationError: of the wrong shape, empty, blank-padded, or of another environment than the endpoint.
                No message repeats any of it.
        """
        if isinstance(auth, str):
            secrets: tuple[tuple[str, str], ...] = (("API key", auth),)
        elif isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
            secrets = (("username", auth[0]), ("password", auth[1]))
        else:
            raise ConfigurationError("auth: give (username, password) or an API key string")
        for name, secret in secrets:
            _check_text(name, secret)
            _check_environment(name, secret, target)
        if isinstance(auth, str):
            # A key goes out as it is, after the word Basic (authentication page).
            return cls(f"Basic {auth}")
        if ":" in auth[0]:
            raise ConfigurationError("auth: the username has a ':' in it; are username and password in one string?")
        return cls("Basic " + base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode())


def _check_text(name: str, secret: str) -> None:
    if not secret.strip():
        raise ConfigurationError(f"auth: the {name} is empty; is the environment variable or setting filled in?")
    if secret != secret.strip():
        raise ConfigurationError(f"auth: the {name} has blanks or a line break around it; strip it")
    if not secret.isprintable() or (name == "API key" and not _VISIBLE.fullmatch(secret)):
        raise ConfigurationError(f"auth: the {name} has characters that cannot be sent; was it copied whole?")


_PREFIXES: Final = (
    # pattern, what it says, live?, Kustom? (None: either)
    (re.compile(r"K\d+_"), "'K…_'", True, None),
    (re.compile(r"PK\d+_"), "'PK…_'", False, None),
    (re.compile(r"klarna_live_"), "'klarna_live_'", True, False),
    (re.compile(r"klarna_test_"), "'klarna_test_'", False, False),
    (re.compile(r"kco_live_"), "'kco_live_'", True, True),
    (re.compile(r"kco_test_"), "'kco_test_'", False, True),
)
"""What a prefix tells (authentication page; Kustom's API credentials page)."""


def _check_environment(name: str, secret: str, target: Target) -> None:
    member = target.member
    if member is None:
        return
    for pattern, prefix, is_live, is_kustom in _PREFIXES:
        if not pattern.match(secret):
            continue
        fits = is_live == member.is_live and is_kustom in (None, member.name.startswith("KUSTOM"))
        if not fits:
            brand = "" if is_kustom is None else "Kustom's " if is_kustom else "Klarna's "
            environment = "live environment" if is_live else "playground"
            raise ConfigurationError(
                f"auth: the {name} begins with {prefix}, which belongs to {brand or 'the '}{environment}, and the "
                f"endpoint is {member.name}: change one of the two"
            )
