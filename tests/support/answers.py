"""The suite's own table of what a provider answers: read from data/answers.toml, sent as bytes, compared as values."""

from __future__ import annotations

import gzip
import tomllib
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import respx

from hpp_async import (
    Customer,
    Endpoint,
    HPPClient,
    ManualIdentification,
    RateLimitedError,
    ReadError,
    ResponseError,
    Session,
)

_TABLE: Final = tomllib.loads((Path(__file__).parent / "data" / "answers.toml").read_text("utf-8"))
SESSION_ID: Final[str] = _TABLE["session_id"]
CORRELATION_ID: Final[str] = _TABLE["correlation_id"]
DATE: Final = parsedate_to_datetime(_TABLE["date"]).astimezone(UTC)
_PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@attrs.frozen(kw_only=True)
class Failure:
    """What a failed read says of itself, as a value."""

    kind: str
    is_transient: bool
    status_code: int | None = None
    error_code: str | None = None
    error_messages: tuple[str, ...] = ()
    correlation_id: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: ReadError) -> Failure:
        answer = error if isinstance(error, ResponseError) else None
        return cls(
            kind=type(error).__name__,
            is_transient=error.is_transient,
            status_code=None if answer is None else answer.status_code,
            error_code=None if answer is None else answer.error_code,
            error_messages=() if answer is None else answer.error_messages,
            correlation_id=error.correlation_id,
            retry_after=error.retry_after if isinstance(error, RateLimitedError) else None,
        )


@attrs.frozen(kw_only=True)
class Specimen:
    """One answer, and what it is."""

    name: str
    status_code: int
    headers: Mapping[str, str]
    body: bytes
    expected: Session | Failure
    says: str = ""
    is_packed: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def response(self) -> httpx.Response:
        """The answer as it comes off the wire: in chunks, and packed as it says."""
        return httpx.Response(self.status_code, headers=self.headers, stream=_Wire(self.body))


class _Wire(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 65_536):
            yield self._body[start : start + 65_536]


async def read(specimen: Specimen, session_id: str = SESSION_ID) -> Session | Failure:
    """Read a session that *specimen* is the answer for, through the client; return what came of it as a value."""
    router = respx.MockRouter()
    route = router.get(f"{Endpoint.EU_PLAYGROUND}/hpp/v1/sessions/{session_id}").mock(return_value=specimen.response)
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler)) as http_client:
        client = HPPClient(
            auth=("user", "secret"), endpoint=Endpoint.EU_PLAYGROUND, http_client=http_client, attempts=1
        )
        try:
            found = await client.read_session(session_id)
        except ReadError as error:
            failure = error
        else:
            return found
    assert (failure.session_id, route.call_count) == (session_id, 1)
    assert specimen.says in str(failure)
    return Failure.of(failure)


# -- the table ---------------------------------------------------------------------------------------------------------


def _specimen(entry: dict[str, Any]) -> Specimen:
    fill = entry.get("fill", {"with": "@", "times": 1})
    filling = fill["with"] * fill["times"] + fill.get("until", "") * fill["times"]
    body = entry["body"].replace("@", filling).encode(entry.get("encoding", "utf-8"))
    ours = {"Date": _TABLE["date"], "Klarna-Correlation-Id": CORRELATION_ID, "Content-Type": "application/json"}
    headers = httpx.Headers({} if entry.get("bare") else ours)
    headers.update(entry.get("headers", {}))
    return Specimen(
        name=entry["name"],
        status_code=entry.get("status", 200),
        headers=dict(headers),
        body=_PACKERS[entry["packed"]](body) if "packed" in entry else body,
        expected=_reading(entry) if "reading" in entry else _failure(entry),
        says=entry.get("says", ""),
        is_packed="packed" in entry or "Content-Encoding" in entry.get("headers", {}),
    )


def _reading(entry: dict[str, Any]) -> Session:
    assert "error" not in entry
    fields: dict[str, Any] = {"session_id": SESSION_ID, "correlation_id": CORRELATION_ID, "read_at": DATE}
    fields |= entry["reading"]
    fields |= dict.fromkeys(entry.get("absent", ()))
    if "customer" in fields:
        fields["customer"] = Customer(**fields["customer"])
    if "manual_identification" in fields:
        fields["manual_identification"] = _identification(fields["manual_identification"])
    return Session(**fields)


def _identification(fields: dict[str, Any]) -> ManualIdentification:
    nested: dict[str, Any] = {name: Customer(**value) for name, value in fields.items() if name.startswith("customer")}
    return ManualIdentification(**(fields | nested))


def _failure(entry: dict[str, Any]) -> Failure:
    kind = entry["error"]
    return Failure(
        kind=kind,
        is_transient=kind in ("UnexpectedPayloadError", "RateLimitedError", "ServerError"),
        status_code=None if kind == "UnexpectedPayloadError" else entry.get("status", 200),
        error_code=entry.get("error_code"),
        error_messages=tuple(entry.get("error_messages", ())),
        correlation_id=entry.get("correlation_id", None if entry.get("bare") else CORRELATION_ID),
        retry_after=entry.get("retry_after"),
    )


SPECIMENS: Final = [_specimen(entry) for entry in _TABLE["answer"]]
