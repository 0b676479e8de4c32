"""The control API over real HTTP: sessions, faults and time."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from hpp_async import ConfigurationError
from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Consumer, Fault, Provider, Script, Slow, Stale, opens, pays

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def ticks() -> list[float]:
    """The seconds on the machine's clock."""
    return [100.0]


@pytest.fixture
def provider(ticks: list[float]) -> Provider:
    return Provider(now=Calendar(START, clock=lambda: ticks[0]), auth=AUTH)


@pytest.fixture
def control(provider: Provider) -> Generator[httpx.Client]:
    """A client of the control API, without credentials."""
    with serve(provider) as url, httpx.Client(base_url=f"{url}/simulator", trust_env=False) as client:
        yield client


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_sessions_are_shown_with_past_and_planned_steps(
    provider: Provider, control: httpx.Client, ticks: list[float]
) -> None:
    provider.create(Script(opens(after=5), pays(after=30)), session_id="one", place_order_mode="CAPTURE_ORDER")
    ticks[0] += 10

    [record] = control.get("sessions").json()

    assert record.pop("redirect_url").startswith(f"{provider.base_url}/hpp/payments/")
    assert record == {
        "session_id": "one",
        "status": "IN_PROGRESS",
        "updated_at": "2026-01-15T12:00:05.000Z",
        "created_at": "2026-01-15T12:00:00.000Z",
        "expires_at": "2026-01-17T11:00:00.000Z",
        "is_over": False,
        "place_order_mode": "CAPTURE_ORDER",
        "distributions": [],
        "timeline": [
            {"at": "2026-01-15T12:00:00.000Z", "status": "WAITING", "is_past": True},
            {"at": "2026-01-15T12:00:05.000Z", "status": "IN_PROGRESS", "is_past": True},
            {"at": "2026-01-15T12:00:35.000Z", "status": "COMPLETED", "is_past": False},
        ],
    }


def test_no_record_has_a_secret(provider: Provider, control: httpx.Client) -> None:
    session_id = provider.create([(0, "COMPLETED")])

    assert "token" not in control.get(f"sessions/{session_id}").text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"act": "opens"}, "IN_PROGRESS"),
        ({"act": {"becomes": "AWAITING_3DS"}}, "AWAITING_3DS"),
        ({"act": {"pays": 60, "fields": {"order_id": "1"}}}, "COMPLETED"),
        ({"acts": [{"opens": 0}, {"declines": 0}, "retries"]}, "FAILED"),
        ({"visitor": "pay"}, "WAITING"),
    ],
)
def test_acts_happen_to_a_session(provider: Provider, control: httpx.Client, body: dict[str, Any], status: str) -> None:
    session_id = provider.create(Consumer.CANCEL)

    answer = control.post(f"sessions/{session_id}/acts", json=body)

    assert (answer.status_code, answer.json()["status"], provider.status(session_id)) == (200, status, status)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "[]: give a table"),
        (b"{}", "act: give one of act, acts and visitor"),
        (b'{"act": "pays", "visitor": "pay"}', "act: give one of act, acts and visitor"),
        (b'{"act": "pay"}', "act='pay': give an act, one of opens, waits, "),
        (b'{"act": "pays", "after": 5}', "after is not known: the keys here are visitor, acts, lifetime, story, act"),
        (b'{"visitor": "stranger"}', "visitor='stranger': give one of pay, "),
        (b'{"act": "pays", "lifetime": 60}', "lifetime and story: give them with acts"),
        (b'{"visitor": "pay", "story": "pays"}', "lifetime and story: give them with acts"),
        (b'{"acts": ["pays"], "speed": 2}', "speed is not known: the keys here are "),
    ],
)
def test_a_refusal_of_an_act_names_the_key(
    provider: Provider, control: httpx.Client, body: bytes, complaint: str
) -> None:
    code, error = refused(control.post(f"sessions/{provider.create()}/acts", content=body))

    assert code == 400
    assert error.startswith(complaint)


def test_nothing_happens_to_a_session_that_is_over(provider: Provider, control: httpx.Client) -> None:
    provider.create([(0, "CANCELLED")], session_id="one")

    refusal = refused(control.post("sessions/one/acts", json={"act": "pays"}))

    assert refusal == (409, "session one is CANCELLED, which is final: nothing can follow")


def test_unknown_sessions_are_not_found(control: httpx.Client) -> None:
    answers = [
        control.get("sessions/nobody"),
        control.post("sessions/nobody/acts", json={"act": "pays"}),
        control.post("time", json={"jump_to_expiry_of": "nobody"}),
    ]

    assert [refused(answer) for answer in answers] == [(404, "there is no 'nobody'")] * 3


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "time", "GET, POST"),
        ("PATCH", "faults", "GET, POST, DELETE"),
        ("GET", "reset", "POST"),
        ("ODD", "health", "GET"),
        ("DELETE", "sessions/one/acts", "POST"),
    ],
)
def test_another_method_is_refused_and_the_right_ones_are_named(
    control: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = control.request(method, path)

    assert refused(answer) == (405, f"{method} is not known here: send {allowed}")
    assert answer.headers["Allow"] == allowed


def test_head_is_answered_as_get_without_a_body(control: httpx.Client) -> None:
    answer = control.head("health")

    assert (answer.status_code, answer.content) == (200, b"")


def test_faults_are_added_shown_and_removed(provider: Provider, control: httpx.Client) -> None:
    stale = {"kind": "stale", "lag": 5.0, "share": 0.5}
    added = [control.post("faults", json=fault) for fault in (stale, {"kind": "dropped", "on": "disable"})]

    assert [answer.status_code for answer in added] == [201, 201]
    assert provider.faults.all["1"] == Fault(Stale(5), share=0.5)
    assert control.delete("faults/2").status_code == 204
    assert control.get("faults").json() == [{"key": "1", "affected": 0, **stale}]
    assert control.delete("faults").status_code == 204
    assert control.get("faults").json() == []


def test_an_impossible_fault_is_refused(control: httpx.Client) -> None:
    assert refused(control.post("faults", json={"kind": "slow"})) == (400, "seconds is missing")
    assert refused(control.post("faults", json={"kind": "slow", "seconds": "x"}))[0] == 400
    assert refused(control.delete("faults/9")) == (404, "there is no '9'")


def test_faults_do_not_affect_the_control_api(provider: Provider, control: httpx.Client) -> None:
    provider.add_fault(Slow(1e6))

    assert control.get("sessions").status_code == 200


# -- time --------------------------------------------------------------------------------------------------------------


def test_time_can_pass_faster(control: httpx.Client, ticks: list[float]) -> None:
    control.post("time", json={"pace": 60})
    ticks[0] += 2

    assert control.get("time").json() == {"now": "2026-01-15T12:02:00.000Z", "pace": 60.0}


@pytest.mark.parametrize(
    ("body", "now"),
    [
        ({"advance": 90}, "2026-01-15T12:01:30.000Z"),
        ({"jump_to": "2026-01-15T14:00:00+01:00"}, "2026-01-15T13:00:00.000Z"),
        ({"jump_to": "2020-01-01T00:00:00Z"}, "2026-01-15T12:00:00.000Z"),
        ({"jump_to_expiry_of": "one"}, "2026-01-17T11:00:06.000Z"),
    ],
)
def test_time_jumps_ahead_and_never_back(
    provider: Provider, control: httpx.Client, body: dict[str, Any], now: str
) -> None:
    provider.create(session_id="one")

    assert control.post("time", json=body).json()["now"] == now


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"pace": -1}, "pace=-1.0: give seconds"),
        ({"pace": 1e6}, "pace=1e+06: give at most 86400, a day in a second"),
        ({"advance": -1}, "advance=-1.0: give seconds"),
        ({"advance": 1e300}, "advance=1e+300: give at most 1e+09 seconds"),
        ({"jump_to": "soon"}, "jump_to='soon': give a date and time with its zone"),
        ({"jump_to": "2026-01-15T14:00:00"}, "jump_to='2026-01-15T14:00:00': give a date and time with its zone"),
        ({"jump_to": "9000-01-01T00:00:01Z"}, "jump_to=9000-01-01T00:00:01+00:00: give a date before 9000"),
        ({"speed": 2}, "speed is not known: the keys here are pace, advance, jump_to, jump_to_expiry_of"),
    ],
)
def test_an_impossible_time_changes_nothing(control: httpx.Client, body: dict[str, Any], complaint: str) -> None:
    before = control.get("time").json()

    code, error = refused(control.post("time", json=body))

    assert code == 400
    assert error.startswith(complaint)
    assert control.get("time").json() == before


def test_only_the_time_of_a_calendar_can_be_moved() -> None:
    provider = Provider(now=lambda: START)
    with serve(provider) as url:
        answer = httpx.post(f"{url}/simulator/time", json={"pace": 60}, trust_env=False)
        time = httpx.get(f"{url}/simulator/time", trust_env=False)

    assert refused(answer) == (400, "this provider's time cannot be moved: give it now=Calendar()")
    assert time.json() == {"now": "2026-01-15T12:00:00.000Z", "pace": None}


def test_a_calendar_begins_today() -> None:
    before = datetime.now(UTC)

    assert before <= Calendar()() <= datetime.now(UTC) + timedelta(seconds=1)


def test_a_calendar_jumps_to_dates_only() -> None:
    with pytest.raises(ConfigurationError, match="jump_to=5"):
        Calendar().jump(5)  # type: ignore[arg-type]  # the test is about this
