"""The headers of every request."""

from __future__ import annotations

import re
from typing import Final

from hpp_async._core.credentials import Credentials
from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ConfigurationError

_USER_AGENT: Final = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)


def headers_of(target: Target, credentials: Credentials, user_agent: str) -> dict[str, str]:
    """Return the headers of the read page's example, and ``User-Agent``, which the provider asks integrators for."""
    return {
        # No Accept-Encoding: a session is too small to be worth compressing.
        "Host": target.authority,
        "Authorization": credentials.authorization,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Cache-Control": "no-cache",
        "User-Agent": user_agent,
    }


def user_agent_of(integrator: str | None, *, own: str) -> str:
    """
    Return the ``User-Agent``: the *integrator*'s product, if it is given, and our *own* name.

    Raises:
        ConfigurationError: *integrator* cannot stand in a header.
    """
    if integrator is None:
        return own
    if not isinstance(integrator, str) or not _USER_AGENT.fullmatch(integrator):
        raise ConfigurationError("user_agent: give your product's name and version in plain ASCII, such as 'shop/1.0'")
    return f"{integrator} {own}"
