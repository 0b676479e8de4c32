"""The control API of a simulated provider, over HTTP: what happens to a session, time, faults and the journal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, cast

import httpx

from hpp_async import ConfigurationError, HPPError, SessionNotFoundError, TransportError
from hpp_async._provider.scripts import ACTS

_PATIENCE: Final = 10.0
_ARGUMENT: Final = re.compile(r"^(visitor|advance|pace)=")
"""Arguments of the control API that are options of ``act``, at the beginning of a refusal."""


def bodies_of(acts: Iterable[str], *, status: str | None, visitor: str | None) -> list[Mapping[str, object]]:
    """
    Return the bodies that let *acts* happen, then the session enter *status*, and then *visitor* come.

    Raises:
        ConfigurationError: an act is not known.
    """
    bodies: list[Mapping[str, object]] = []
    for act in acts:
        if act not in ACTS:
            raise ConfigurationError(f"the act {act[:40]!r} is not known: give one of {', '.join(ACTS)}")
        bodies.append({"act": act})
    if status is not None:
        bodies.append({"act": {"becomes": status}})
    if visitor is not None:
        bodies.append({"visitor": visitor})
    return bodies


class Control:
    """The control API of the simulated provider whose base URL is *url*."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=f"{self._url}/simulator/", timeout=_PATIENCE, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def check(self) -> None:
        """
        Check that a simulated provider answers.

        Raises:
            TransportError: nothing answers.
            HPPError: something else answers.
        """
        if _json(self._send("GET", "health")) != {"status": "ok"}:
            raise HPPError(
                f"{self._url} is no simulated provider: run hpp-async simulate, and give the URL that it prints in "
                "HPP_ENDPOINT or with --endpoint"
            )

    def act(self, session_id: str, body: Mapping[str, object]) -> None:
        """
        Let something happen to the session; *body* is that of ``POST sessions/{id}/acts``.

        Raises:
            ConfigurationError: an argument is refused, such as a visitor that this provider does not have.
            SessionNotFoundError: there is no such session.
            HPPError: it is refused; the message says why.
        """
        self._answer("POST", f"sessions/{session_id}/acts", body)

    def move_time(self, body: Mapping[str, object]) -> None:
        """
        Move the time; *body* is that of ``POST time``.

        Raises:
            ConfigurationError: an argument is refused.
            SessionNotFoundError: there is no session to whose expiry the time could jump.
            HPPError: it is refused; the message says why.
        """
        self._answer("POST", "time", body)

    def session(self, session_id: str) -> Mapping[str, Any]:
        """
        Return the record of the session.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        return self._answer("GET", f"sessions/{session_id}")

    def time(self) -> Mapping[str, Any]:
        """Return the time, and the pace at which it passes."""
        return self._answer("GET", "time")

    def journal(self) -> list[Mapping[str, Any]]:
        """Return the last requests of merchants and callbacks to them, oldest first."""
        return cast("list[Mapping[str, Any]]", self._taken("GET", "journal").json())

    def reset(self) -> None:
        """Let the provider forget everything but the time, and begin anew."""
        self._taken("POST", "reset")

    def add_fault(self, fault: str) -> None:
        """
        Add a *fault*, which is the body of ``POST faults``, JSON.

        Raises:
            ConfigurationError: it is refused.
        """
        try:
            self._taken("POST", "faults", fault)
        except ConfigurationError as error:
            raise ConfigurationError(f"--fault: {error}".replace("the body is not JSON", "it is not JSON")) from None

    def end_faults(self) -> None:
        """End all faults."""
        self._taken("DELETE", "faults")

    def _answer(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        return _json(self._taken(method, path, None if body is None else json.dumps(body)))

    def _taken(self, method: str, path: str, body: str | None = None) -> httpx.Response:
        """Return the answer to a request that is not refused; *body* is JSON."""
        response = self._send(method, path, body)
        if response.is_success:
            return response
        said = str(_json(response).get("error", f"the simulated provider answered {response.status_code}"))
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise SessionNotFoundError(
                f"the simulated provider has no such session: {said}", session_id=None, status_code=response.status_code
            )
        if response.status_code == HTTPStatus.BAD_REQUEST:
            raise ConfigurationError(_ARGUMENT.sub(r"--\1 ", said))
        raise HPPError(said)

    def _send(self, method: str, path: str, body: str | None = None) -> httpx.Response:
        try:
            return self._http.request(method, path, content=body)
        except httpx.HTTPError as error:
            raise TransportError(
                f"no answer from {self._url} ({type(error).__name__}): hpp-async simulate runs a simulated provider",
                session_id=None,
            ) from None


def _json(response: httpx.Response) -> Mapping[str, Any]:
    """Return the object in the body; an empty one if there is none."""
    try:
        record: object = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", record) if isinstance(record, dict) else {}
