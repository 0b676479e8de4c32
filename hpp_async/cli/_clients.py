"""The client that the environment and the options of a command describe."""

from __future__ import annotations

import os

from hpp_async import HPPClient, Observer, PollSchedule


def client_of(endpoint: str | None, every: float | None = None, *observers: Observer) -> HPPClient:
    """
    Return a client for *endpoint*, or else for that of the environment, that reads *every* so many seconds.

    Raises:
        ConfigurationError: a variable is missing or refused, or *endpoint* is refused.
    """
    environ = dict(os.environ) if endpoint is None else {**os.environ, "HPP_ENDPOINT": endpoint}
    schedule = PollSchedule() if every is None else PollSchedule.every(every)
    return HPPClient.from_env(environ, schedule=schedule, observers=observers)


def id_of(session: str, client: HPPClient) -> str:
    """
    Return the id of *session*, which may be a URL.

    Raises:
        ConfigurationError: *session* is refused.
    """
    wait = client.wait_for_outcome(session)
    wait.close()  # it was never begun
    return wait.session_id
