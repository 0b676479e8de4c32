"""Faults as data: which requests they affect, and how the scripted transport carries them out in virtual time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from hpp_async import FINAL, Completed, ConfigurationError, RateLimitedError
from hpp_async._provider.faults import FAULT_KINDS
from hpp_async._provider.plain import read, write_fault
from hpp_async.testing import (
    Answered,
    Consumer,
    Cut,
    Dateless,
    Dropped,
    Envelope,
    Fault,
    FaultKind,
    Faults,
    Foreign,
    Garbled,
    Hint,
    Missing,
    Operation,
    Refused,
    Scarce,
    Script,
    ScriptedProvider,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Throttled,
    Undated,
    VirtualClock,
    opens,
    pays,
)

pytestmark = pytest.mark.anyio
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


async def answer_to(provider: ScriptedProvider, *kinds: FaultKind, method: str = "GET") -> httpx.Response:
    """Return the answer to a read under faults of these *kinds*, ten seconds after the session was created."""
    session_url = provider.add(Script(opens(after=5)))
    await provider.clock.sleep(10)
    for kind in kinds:
        provider.trouble(kind)
    return await provider.http_client.request(method, session_url, auth=provider.auth)


def said(answer: httpx.Response, *names: str) -> list[str | None]:
    return [answer.headers.get(name) for name in names]


# -- which requests are affected --------------------------------------------------------------------------------------


def affected(fault: Fault, *requests: tuple[Operation, str | None, float]) -> list[bool]:
    """Return for each ``(operation, session, seconds)`` whether *fault* affects it."""
    faults = Faults(seed=1)
    faults.add(fault, START)
    return [
        bool(faults.draw(operation, session, START + timedelta(seconds=seconds)).kinds)
        for operation, session, seconds in requests
    ]


def test_a_fault_affects_all_operations_but_callbacks() -> None:
    assert affected(Fault(Cut()), *[(operation, "a", 0) for operation in Operation]) == [True] * 10 + [False]


@pytest.mark.parametrize("session", ["a", "https://api.klarna.com/hpp/v1/sessions/a"])
def test_a_fault_can_be_limited_to_operations_and_to_a_session(session: str) -> None:
    fault = Fault(Cut(), on=["read", Operation.CALLBACK], session=session)

    requests = [(Operation.READ, "a", 0.0), (Operation.READ, "b", 0.0), (Operation.DISABLE, "a", 0.0)]
    assert affected(fault, *requests, (Operation.CALLBACK, "a", 0.0)) == [True, False, False, True]


def test_a_fault_can_have_a_start_and_an_end() -> None:
    fault = Fault(Cut(), start=10, until=timedelta(seconds=20))

    assert affected(fault, *[(Operation.READ, None, at) for at in (0, 10, 19, 20)]) == [False, True, True, False]


def test_a_fault_can_be_limited_to_the_first_requests() -> None:
    assert affected(Fault(Cut(), first=2), *[(Operation.READ, None, 0)] * 4) == [True, True, False, False]


def test_a_fault_can_be_limited_to_so_many_requests_in_a_row() -> None:
    assert affected(Fault(Cut(), in_a_row=2), *[(Operation.READ, "a", 0)] * 5) == [True, True, False, True, True]


def test_a_share_is_drawn_from_the_seed_whatever_other_faults_there_are() -> None:
    def drawn(*faults: Fault, seed: int = 1) -> list[bool]:
        all_of_them = Faults(seed)
        for fault in faults:
            all_of_them.add(fault, START)
        return [Slow(1) in all_of_them.draw(Operation.READ, None, START).kinds for _ in range(100)]

    rare = Fault(Slow(1), share=0.2)

    assert drawn(rare) == drawn(rare, Fault(Cut(), share=0.5))
    assert drawn(rare) != drawn(rare, seed=2)
    assert 5 < sum(drawn(rare)) < 40


def test_faults_count_their_requests_until_they_end() -> None:
    faults = Faults()
    first, second = (faults.add(Fault(kind), START) for kind in (Slow(1), Slow(2)))
    faults.draw(Operation.READ, None, START)

    assert faults.affected(first) == 1
    faults.remove(first)
    assert list(faults.all) == [second]
    faults.clear()
    assert not faults


# -- in virtual time ---------------------------------------------------------------------------------------------------


async def test_delays_add_up(provider: ScriptedProvider, clock: VirtualClock) -> None:
    await answer_to(provider, Slow(2), Slow(timedelta(seconds=3)))

    assert clock.now() == 15


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refused(), httpx.ConnectError),
        (Stalled(30), httpx.ReadTimeout),
        (Dropped(), httpx.RemoteProtocolError),
        (Dropped(is_reset=True), httpx.ReadError),
        (Cut(), httpx.RemoteProtocolError),
    ],
)
async def test_a_broken_connection_is_the_error_that_httpx_has_for_it(
    provider: ScriptedProvider, clock: VirtualClock, fault: FaultKind, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await answer_to(provider, fault)

    assert clock.now() == (40 if isinstance(fault, Stalled) else 10)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Dropped(), "IN_PROGRESS"), (Dropped(is_done=True), "DISABLED"), (Cut(), "DISABLED"), (Refused(), "IN_PROGRESS")],
)
async def test_a_request_can_be_carried_out_before_the_connection_breaks(
    provider: ScriptedProvider, fault: FaultKind, status: str
) -> None:
    with pytest.raises(httpx.TransportError):
        await answer_to(provider, fault, method="DELETE")

    assert provider.model.status(provider.model.sessions[0]) == status


@pytest.mark.parametrize("envelope", Envelope)
async def test_an_error_comes_in_every_envelope(provider: ScriptedProvider, envelope: Envelope) -> None:
    answer = await answer_to(provider, Answered(502, {"X-Served-By": "us"}, envelope))

    assert answer.status_code == 502
    assert answer.headers["X-Served-By"] == "us"
    correlation_id = answer.headers.get("Klarna-Correlation-Id")
    body = {
        Envelope.LEGACY: json.dumps(
            {"error_code": "TEMPORARILY_UNAVAILABLE", "error_messages": [], "correlation_id": correlation_id}
        ),
        Envelope.NETWORK: json.dumps(
            {
                "error_id": correlation_id,
                "error_type": "TECHNICAL_ERROR",
                "error_code": "TEMPORARILY_UNAVAILABLE",
                "error_message": "Bad Gateway",
            }
        ),
        Envelope.HTML: "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
        Envelope.TEXT: "upstream connect error or disconnect",
        Envelope.EMPTY: "",
    }
    assert answer.text == body[envelope]


async def test_an_error_can_have_any_code_and_status_code(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Answered(599, envelope=Envelope.NETWORK, error_code="ODD"))

    assert answer.json()["error_code"] == "ODD"
    assert answer.json()["error_message"] == "Unknown"


async def test_an_answer_that_must_have_no_body_has_none(provider: ScriptedProvider) -> None:
    assert (await answer_to(provider, Answered(304))).content == b""


RATES: Final = ("X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Retry-After")


@pytest.mark.parametrize(
    ("hint", "headers"),
    [
        (Hint.RESET, ["50, 50;w=1", "0", "5", None]),
        (Hint.RETRY_AFTER, [None, None, None, "5"]),
        (Hint.RETRY_AFTER_DATE, [None, None, None, "Thu, 15 Jan 2026 12:00:15 GMT"]),
        (Hint.BOTH, ["50, 50;w=1", "0", "5", "10"]),
        (Hint.ODD, ["50", "-1", "5", "Wed, 14 Jan 2026 12:00:10 GMT"]),
        (Hint.NONE, [None, None, None, None]),
    ],
)
async def test_a_429_asks_for_a_pause_in_every_form(
    provider: ScriptedProvider, hint: Hint, headers: list[str | None]
) -> None:
    answer = await answer_to(provider, Throttled(5, hint))

    assert answer.status_code == 429
    assert said(answer, *RATES) == headers


async def test_a_404_can_be_wrong(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Missing("SESSION_COMPLETED"))

    assert (answer.status_code, answer.json()["error_code"]) == (404, "SESSION_COMPLETED")


async def test_a_stale_replica_answers_from_before(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Stale(6))

    assert answer.json()["status"] == "WAITING"
    assert answer.headers["Date"] == "Thu, 15 Jan 2026 12:00:10 GMT"


async def test_a_replica_that_is_older_than_the_session_knows_the_session(provider: ScriptedProvider) -> None:
    assert (await answer_to(provider, Stale(3600))).json()["status"] == "WAITING"


async def test_a_good_answer_can_be_damaged_in_several_ways_at_once(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Foreign(), Undated(), Skewed(-60), Scarce(40, 3, 2))

    assert answer.json() == {"session_id": "another-session", "status": "IN_PROGRESS"}
    assert said(answer, "Date", *RATES) == ["Thu, 15 Jan 2026 11:59:10 GMT", "40, 40;w=1", "3", "2", None]


async def test_a_body_can_be_anything_and_the_date_can_be_missing(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Garbled("{"), Dateless())

    assert (answer.text, answer.headers.get("Date")) == ("{", None)


async def test_an_answer_without_a_body_stays_without_one(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Garbled(), Foreign(), Undated(), method="DELETE")

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
async def test_a_garbled_body_stays_as_it_is_whatever_other_faults_there_are(
    provider: ScriptedProvider, body: bytes
) -> None:
    answer = await answer_to(provider, Garbled(body), Foreign(), Undated(), Skewed(60))

    assert answer.content == body
    assert said(answer, "Date") == ["Thu, 15 Jan 2026 12:01:10 GMT"]


async def test_an_error_can_have_a_wrong_date(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Throttled(30, Hint.RETRY_AFTER_DATE), Skewed(60), Scarce(40, 3, 2))

    assert answer.status_code == 429
    dates = ["Thu, 15 Jan 2026 12:01:10 GMT", "Thu, 15 Jan 2026 12:01:40 GMT"]
    assert said(answer, "Date", "Retry-After", "X-Ratelimit-Remaining") == [*dates, "3"]


async def test_an_error_can_have_no_date(provider: ScriptedProvider) -> None:
    answer = await answer_to(provider, Answered(503), Dateless(), Foreign(), Undated())

    assert (answer.status_code, answer.headers.get("Date")) == (503, None)
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


async def test_requests_to_other_paths_are_not_affected(provider: ScriptedProvider) -> None:
    provider.trouble(Refused())

    assert (await provider.http_client.get(f"{provider.endpoint}/elsewhere")).status_code == 401


async def test_a_client_raises_the_error_of_the_fault(provider: ScriptedProvider) -> None:
    provider.trouble(Throttled(7, "retry-after"), first=1)
    session_url = provider.add()

    async with provider.client(attempts=1) as client:
        with pytest.raises(RateLimitedError) as caught:
            await client.read_session(session_url)

    assert caught.value.retry_after == 7


async def test_a_wait_has_its_outcome_through_all_faults(provider: ScriptedProvider) -> None:
    session_url = provider.add(Consumer.DECLINE_AND_RETRY)
    for fault in (Slow(1), Stalled(), Refused(), Dropped(), Cut(), Answered(500), Throttled(), Garbled(), Stale(3)):
        provider.trouble(fault, share=0.1, until=300)

    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session_url, stop_on=FINAL)

    assert isinstance(outcome, Completed)


async def test_a_read_whose_answer_is_lost_is_repeated(provider: ScriptedProvider) -> None:
    session_url = provider.add(Script(pays(after=0)))
    provider.trouble(Cut(), first=1)

    async with provider.client() as client:
        assert (await client.read_session(session_url)).status == "COMPLETED"


# -- refusals and plain data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said", "complaint"),
    [
        (Slow, {"seconds": -1}, "seconds=-1: give seconds"),
        (Slow, {"seconds": 1e10}, "seconds=1e+10: give at most 1e+09 seconds"),
        (Stale, {"lag": "x"}, "lag='x': give seconds"),
        (Skewed, {"by": None}, "by=None: give seconds"),
        (Scarce, {"reset": -1}, "reset=-1"),
        (Scarce, {"remaining": True}, "remaining=True: give a whole number, 0 or more"),
        (Answered, {"status_code": 100}, "status_code=100: give an HTTP status code from 200 to 599"),
        (Answered, {"status_code": 500, "envelope": "xml"}, "envelope='xml': give one of legacy, network, html,"),
        (Answered, {"status_code": 500, "headers": ""}, "headers='': give names and texts"),
        (Answered, {"status_code": 500, "headers": 5}, "headers=5: give names and texts"),
        (Answered, {"status_code": 500, "headers": {"A": 5}}, "headers={'A': 5}: give names and texts"),
        (Answered, {"status_code": 500, "headers": {"A": "x\r\nB: y"}}, "give names and texts, in ASCII"),
        (Answered, {"status_code": 500, "error_code": 5}, "error_code=5: give text"),
        (Throttled, {"hint": "soon"}, "hint='soon': give one of reset, retry-after, retry-after-date, both, odd, none"),
        (Garbled, {"body": 5}, "body=5: give bytes or text"),
        (Dropped, {"is_done": "yes"}, "is_done='yes': give true or false"),
        (Fault, {"kind": 5}, "kind=5: give a kind of fault"),
        (Fault, {"kind": Cut(), "share": 2}, "share=2: give a share from 0 to 1"),
        (Fault, {"kind": Cut(), "share": True}, "share=True: give a share from 0 to 1"),
        (Fault, {"kind": Cut(), "first": -1}, "first=-1: give a whole number, 0 or more"),
        (Fault, {"kind": Cut(), "start": 5, "until": 5}, "until=5: give a time after start=5"),
        (Fault, {"kind": Cut(), "on": "reads"}, "on='reads': give one of create, read, distribute, disable, creat"),
        (Fault, {"kind": Cut(), "on": 5}, "on=5: give some of create"),
        (Fault, {"kind": Cut(), "on": {}}, "on={}: give some of create"),
        (Fault, {"kind": Cut(), "session": 5}, "session=5: give the id of a session"),
    ],
)
def test_a_refusal_names_the_attribute(kind: Any, said: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        kind(**said)

    assert complaint in str(refusal.value)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_of_fault_can_be_written_and_read(kind: str) -> None:
    needed: dict[str, dict[str, object]] = {
        "slow": {"seconds": 2.5},
        "answered": {"status_code": 503},
        "stale": {"lag": 3.0},
        "skewed": {"by": -60.0},
    }
    written = {"kind": kind, **needed.get(kind, {}), "share": 0.5, "on": ["disable", "read"], "until": 60.0}

    fault = read(written, Fault)

    assert fault == Fault(fault.kind, share=0.5, on=["read", "disable"], until=60)
    assert write_fault(fault) == written


def test_attributes_that_differ_from_the_default_are_written() -> None:
    answered, garbled = Fault(Answered(500, {"A": "b"}, "html")), Fault(Garbled(b"\xff"), session="a")

    headers = {"headers": {"A": "b"}}
    assert write_fault(answered) == {"kind": "answered", "status_code": 500, **headers, "envelope": "html"}
    assert write_fault(garbled) == {"kind": "garbled", "body": "\N{REPLACEMENT CHARACTER}", "session": "a"}
