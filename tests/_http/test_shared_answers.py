"""Every answer in ../shared/data/bodies becomes what KLARNA.md says it is; extra, where ../shared is present."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import respx

from hpp_async import (
    AuthenticationError,
    Endpoint,
    HPPClient,
    RateLimitedError,
    ReadError,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    UnexpectedPayloadError,
)

BODIES: Final = Path(__file__).parents[3] / "shared" / "data" / "bodies"
HERE: Final = {path.stem: path for path in BODIES.glob("*.json")}

pytestmark = pytest.mark.skipif(not HERE, reason="the published answers are not part of the repository")

ASKED: Final = "39a1c773-bafd-754d-af1f-b30c592f1267"
CORRELATION_ID: Final = "7b1d2a5e-0c44-4a67-9f3e-1c2f6d0b8a11"

TOKEN: Final = {"authorization_token": "a1a8f727-2756-6058-bd3c-40069be0994b"}
ORDER: Final = {"order_id": "a1a8f727-2756-6058-bd3c-40069be0994b", "klarna_reference": "X438HG0Q"}
FIELDS: Final = ("authorization_token", "order_id", "klarna_reference")

READINGS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "session-waiting.docs": ("WAITING", {}),
    "session-in_progress.docs": ("IN_PROGRESS", {}),
    "session-completed-token.docs": ("COMPLETED", TOKEN),
    "session-completed-order.docs": ("COMPLETED", ORDER),
    "session-full.openapi": (
        "COMPLETED",
        {
            "authorization_token": "70850a20-a2a0-5c70-810c-096fa6f850bb",
            "order_id": "93d644a2-43f3-11e9-b210-d663bd873d93",
            "klarna_reference": "ffc25786",
        },
    ),
    "session-minimal.kco_rest_java": ("COMPLETED", {"authorization_token": "b4bd3423-24e3"}),
    # An older name of a field, which no page of this API has: paid, but without an order or a token.
    "session-auth_token-bom.kco_rest_dotnet": ("COMPLETED", {}),
    "session-completed-order.backlex": (
        "COMPLETED",
        {"order_id": "7849fd84-47dc-4919-a7ce-b2c1d0e9f8a7", "klarna_reference": "X438HG0Q"},
    ),
    "session-in_progress-t1.backlex": ("IN_PROGRESS", {}),
    "session-hostile-order_id.backlex": ("COMPLETED", {"order_id": "../../hpp/v1/sessions"}),
    "session-failed.constructed": ("FAILED", {}),
    "session-error.constructed": ("ERROR", {}),
    "session-manual_id_check.constructed": ("MANUAL_ID_CHECK", {}),
    "session-complete-spelling.constructed": ("COMPLETE", ORDER),
    "session-legacy.constructed": ("LEGACY", {}),
    "session-unknown-status.constructed": ("AWAITING_3DS", {}),
    "session-lowercase-status.constructed": ("completed", {"order_id": ORDER["order_id"]}),
    "session-completed-both.umbraco": ("COMPLETED", TOKEN | ORDER),
    "session-completed-empty-strings.constructed": ("COMPLETED", {}),
    "session-nulls.constructed": ("IN_PROGRESS", {}),
    "session-customer-unicode.constructed": ("COMPLETED", TOKEN),
    "session-id-missing.constructed": ("COMPLETED", {"order_id": ORDER["order_id"]}),
    "date-no-fraction.docs": ("IN_PROGRESS", {}),
    "date-ms.docs": ("IN_PROGRESS", {}),
    "date-9-digits.kustom": ("IN_PROGRESS", {}),
    "date-offset-hour.constructed": ("IN_PROGRESS", {}),
    "date-offset-negative.constructed": ("IN_PROGRESS", {}),
    "date-lowercase-t-space.constructed": ("IN_PROGRESS", {}),
    "date-leap-second.constructed": ("IN_PROGRESS", {}),
}
UPDATED_AT: Final = {
    "session-waiting.docs": "2019-05-13T14:51:46.288000+00:00",
    "session-in_progress-t1.backlex": None,
    "session-full.openapi": "2038-01-19T03:14:07+00:00",
    "date-no-fraction.docs": "2015-08-10T07:45:00+00:00",
    "date-ms.docs": "2015-08-10T07:45:00.098000+00:00",
    "date-9-digits.kustom": "2026-06-05T18:37:41.232733+00:00",
    "date-offset-hour.constructed": "2026-06-05T18:37:41.232000+00:00",
    "date-offset-negative.constructed": "2026-06-06T00:07:41.232000+00:00",
    "date-lowercase-t-space.constructed": "2026-06-05T18:37:41.232000+00:00",
    "date-leap-second.constructed": "2017-01-01T00:00:00+00:00",
}
NO_READINGS: Final = {
    "session-status-null.constructed",
    "body-empty-200.constructed",
    "body-array-200.constructed",
    "body-null-200.constructed",
}
ERRORS: Final[dict[str, tuple[type[ResponseError], str | None, str | None]]] = {
    "error-400-bad_value": (ResponseError, "BAD_VALUE", CORRELATION_ID),
    "error-401-unauthorized": (AuthenticationError, "UNAUTHORIZED", CORRELATION_ID),
    "error-401-kco-v2": (AuthenticationError, None, CORRELATION_ID),
    "error-401-html": (AuthenticationError, None, None),
    "error-401-kn": (AuthenticationError, "UNAUTHORIZED", CORRELATION_ID),
    "error-403-invalid_operation": (AuthenticationError, "INVALID_OPERATION", CORRELATION_ID),
    "error-403-merchant_inactive": (AuthenticationError, "MERCHANT_INACTIVE", CORRELATION_ID),
    "error-403-empty": (AuthenticationError, None, None),
    "error-404-empty": (SessionNotFoundError, None, None),
    "error-404-invalid-session": (SessionNotFoundError, "NOT_FOUND", CORRELATION_ID),
    "error-404-code-only": (SessionNotFoundError, "NOT_FOUND", CORRELATION_ID),
    "error-404-session_completed": (SessionNotFoundError, "SESSION_COMPLETED", CORRELATION_ID),
    "error-409-read_only_order": (ResponseError, "READ_ONLY_ORDER", "5367af52-803d-44a4-9361-bfb7e9cd0866"),
    "error-409-not-matching": (ResponseError, "BAD_VALUE", CORRELATION_ID),
    "error-429-om": (RateLimitedError, "TOO_MANY_REQUESTS", CORRELATION_ID),
    "error-429-kn": (RateLimitedError, "RATE_LIMITED", CORRELATION_ID),
    "error-429-empty-no-headers": (RateLimitedError, None, None),
    "error-429-odd-headers": (RateLimitedError, None, None),
    "error-500-internal": (ServerError, "INTERNAL_SERVER_ERROR", CORRELATION_ID),
    "error-500-kn-timeout": (ServerError, "TIMEOUT", "8e3a4d0c-3b0a-4b1e-9a3e-2a2a1f2e4e77"),
    "error-502-temporarily_unavailable": (ServerError, "TEMPORARILY_UNAVAILABLE", CORRELATION_ID),
    "error-503-temporarily_unavailable": (ServerError, "TEMPORARILY_UNAVAILABLE", CORRELATION_ID),
    "error-504-temporarily_unavailable": (ServerError, "TEMPORARILY_UNAVAILABLE", CORRELATION_ID),
    "error-503-envoy-text": (ServerError, None, None),
    "error-504-html": (ServerError, None, None),
    "error-singular-message": (ResponseError, "ERROR_CODE_1", "corr_id_1"),
    # The answer to a DELETE; as the answer to a read it would be any 400.
    "error-disable-400-completed": (ResponseError, "BAD_REQUEST", CORRELATION_ID),
}
RETRY_AFTER: Final = {"error-429-om": 1.0, "error-429-kn": 1.0, "error-429-empty-no-headers": None}
NO_ANSWERS_TO_A_READ: Final = {
    "headers-200.saleor-har",
    "callback-in_progress.docs",
    "callback-completed.umbraco",
    "callback-retry-empty-object.umbraco",
    "callback-empty.constructed",
    "callback-no-event_id.constructed",
    "callback-timeout.constructed",
}


def test_every_file_is_in_one_table() -> None:
    tables = [set(READINGS), NO_READINGS, set(ERRORS), NO_ANSWERS_TO_A_READ]

    assert sorted(name for table in tables for name in table) == sorted(HERE)


async def read(name: str) -> tuple[Any, dict[str, Any]]:
    """Return what reading the published answer *name* gives, a session or an error, and the file."""
    specimen: dict[str, Any] = json.loads(HERE[name].read_text("utf-8"))
    body = base64.b64decode(specimen["body_base64"]) if "body_base64" in specimen else (specimen["body"] or "").encode()
    asked = _session_id(body) or ASKED
    headers = {key: value for key, value in specimen["headers"].items() if key != "Content-Length"}
    with respx.mock(base_url=Endpoint.EU_LIVE) as router:
        answer = httpx.Response(specimen["http_status"], headers=headers, content=body)
        router.get(f"/hpp/v1/sessions/{asked}").mock(return_value=answer)
        async with HPPClient(auth=("user", "secret"), endpoint=Endpoint.EU_LIVE, attempts=1) as client:
            try:
                return await client.read_session(asked), specimen
            except ReadError as error:
                return error, specimen


def _session_id(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["session_id"])
    except (ValueError, TypeError, KeyError):
        return None


@pytest.mark.asyncio
@pytest.mark.parametrize("name", READINGS)
async def test_a_reading(name: str) -> None:
    status, fields = READINGS[name]
    session, specimen = await read(name)

    assert session.status == status
    assert {field: getattr(session, field) for field in FIELDS} == dict.fromkeys(FIELDS) | fields
    assert session.correlation_id == specimen["headers"].get("Klarna-Correlation-Id")
    assert session.raw["status"] == status


@pytest.mark.asyncio
@pytest.mark.parametrize("name", UPDATED_AT)
async def test_the_date_of_a_reading(name: str) -> None:
    session, _ = await read(name)

    assert (session.updated_at and session.updated_at.isoformat()) == UPDATED_AT[name]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", sorted(NO_READINGS))
async def test_no_reading(name: str) -> None:
    error, _ = await read(name)

    assert type(error) is UnexpectedPayloadError
    assert (error.is_transient, error.correlation_id) == (True, CORRELATION_ID)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ERRORS)
async def test_an_error(name: str) -> None:
    kind, code, correlation_id = ERRORS[name]
    error, specimen = await read(name)

    assert type(error) is kind
    assert (error.status_code, error.error_code, error.correlation_id) == (
        specimen["http_status"],
        code,
        correlation_id,
    )
    assert error.is_transient is (kind in (RateLimitedError, ServerError))


@pytest.mark.asyncio
@pytest.mark.parametrize("name", RETRY_AFTER)
async def test_when_to_try_again(name: str) -> None:
    error, _ = await read(name)

    assert error.retry_after == RETRY_AFTER[name]
