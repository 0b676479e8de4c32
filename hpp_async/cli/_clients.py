"""The client, or the simulated provider, that the environment and the options of a command describe."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from hpp_async import ConfigurationError, Endpoint, HPPClient, Observer, PollSchedule

SIMULATED: Final = ("PK00000_simulated", "not-a-secret")
"""The credentials of the simulated provider."""

OUTAGE_TOLERANCE: Final = 600.0
"""Seconds without a readable answer after which a wait gives up."""


def client_of(endpoint: str | None, every: float | None = None, *observers: Observer) -> HPPClient:
    """
    Return a client for *endpoint*, or else for that of the environment, that reads *every* so many seconds.

    Raises:
        ConfigurationError: a variable is missing or refused, or *endpoint* is refused.
    """
    environ = dict(os.environ) if endpoint is None else {**os.environ, "HPP_ENDPOINT": endpoint}
    schedule = PollSchedule() if every is None else PollSchedule.every(every)
    with _naming(endpoint):
        return HPPClient.from_env(environ, schedule=schedule, outage_tolerance=OUTAGE_TOLERANCE, observers=observers)


@contextmanager
def _naming(endpoint: str | None) -> Generator[None]:
    """Let the refusal of an endpoint name the option, if *endpoint* is the option's value, and not the variable."""
    try:
        yield
    except ConfigurationError as error:
        message = str(error)
        raise ConfigurationError(
            message if endpoint is None else message.replace("HPP_ENDPOINT", "--endpoint", 1)
        ) from None


def id_of(session: str, client: HPPClient) -> str:
    """
    Return the id of *session*, which may be a URL.

    Raises:
        ConfigurationError: *session* is refused.
    """
    wait = client.wait_for_outcome(session)
    wait.close()  # it was never begun
    return wait.session_id


def simulated_of(endpoint: str | None, session: str | None) -> tuple[str, str | None]:
    """
    Return the URL of the simulated provider at *endpoint*, or else at that of the environment, and the id of *session*.

    Its credentials are not needed.

    Raises:
        ConfigurationError: the endpoint is missing, refused or the provider's own, or *session* is refused.
    """
    url = os.environ.get("HPP_ENDPOINT", "") if endpoint is None else endpoint
    if url in Endpoint.__members__ or url.rstrip("/") in [str(member) for member in Endpoint]:
        raise ConfigurationError(
            f"{url} is the provider's own, and nothing was sent: run hpp-async simulate, and give the URL that it "
            "prints in HPP_ENDPOINT or with --endpoint"
        )
    username, password = SIMULATED
    with _naming(endpoint):
        client = HPPClient.from_env({"HPP_USERNAME": username, "HPP_PASSWORD": password, "HPP_ENDPOINT": url})
    return url, None if session is None else id_of(session, client)
