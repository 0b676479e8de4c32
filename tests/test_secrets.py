"""No secret, token, body or personal data in a message, a repr or a log, whatever happens."""

from __future__ import annotations

import logging
import pickle
import traceback

import httpx
import pytest

from hpp_async import Event, HPPClient, HPPError
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

PASSWORD = "pw-4d1f9c"
TOKEN = "token-77aa31"
PERSON = {
    "given_name": "Gudrun-marker",
    "family_name": "Lind-marker",
    "date_of_birth": "1971-02-03",
    "national_identification_number": "197102031234",
    "title": "Dame-marker",
}
BODY = "body-marker-5b"
MARKERS = (PASSWORD, TOKEN, BODY, "UEs", *PERSON.values())  # UEs: how the encoded credentials begin

PAID = {
    "authorization_token": TOKEN,
    "customer": PERSON,
    "manual_identification": {"challenge": BODY, "customer": PERSON, "customer_obfuscated": PERSON},
    "something_new": BODY,
}
PROBLEM = {"error_code": "BAD_VALUE", "error_messages": [f"Bad value: {PERSON['given_name']} {BODY}"]}

ANSWERS: dict[str, httpx.Response | Exception] = {
    "400": httpx.Response(400, json=PROBLEM),
    "401": httpx.Response(401, json=PROBLEM),
    "403": httpx.Response(403, text=f"<html>{BODY}</html>"),
    "404": httpx.Response(404, json=PROBLEM),
    "404 completed": httpx.Response(404, json=PROBLEM | {"error_code": "SESSION_COMPLETED"}),
    "429": httpx.Response(429, json=PROBLEM),
    "500": httpx.Response(500, json=PROBLEM),
    "503": httpx.Response(503, text=BODY),
    "hostile code": httpx.Response(500, json={"error_code": f"{BODY} x", "correlation_id": f"{BODY} y"}),
    "302": httpx.Response(302, headers={"Location": f"https://elsewhere.example/{BODY}"}),
    "html": httpx.Response(200, text=BODY),
    "no status": httpx.Response(200, json={"customer": PERSON}),
    "odd status": httpx.Response(200, json={"status": f"{BODY}\n"}),
    "another session": httpx.Response(200, json=PAID | {"status": "COMPLETED", "session_id": BODY}),
    "broken": httpx.Response(200, content=f'{{"status": "COMPLETED", "x": "{BODY}'.encode()),
    "connect": httpx.ConnectError("refused"),
    "timeout": httpx.ReadTimeout("slow"),
}


class Ears:
    """Everything the library said: log records, events, and what the test hands over."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "hpp_async")
        self._caplog = caplog
        self.events: list[Event] = []
        self._heard: list[str] = []

    def hear(self, *things: object) -> None:
        self._heard += [f"{thing!r} {thing}" for thing in things]

    def hear_error(self, error: HPPError) -> None:
        self.hear(error, pickle.loads(pickle.dumps(error)))
        self._heard += traceback.format_exception(error)
        self._heard.append(repr({key: value for key, value in vars(error).items() if key != "error_messages"}))

    def assert_discreet(self) -> None:
        logs = [f"{record.getMessage()} {record.args}" for record in self._caplog.records]
        said = "\n".join(logs + self._heard + [repr(event) for event in self.events])
        assert logs
        assert [marker for marker in MARKERS if marker in said] == []


@pytest.fixture
def ears(caplog: pytest.LogCaptureFixture) -> Ears:
    return Ears(caplog)


@pytest.fixture
def client(provider: ScriptedProvider, ears: Ears) -> HPPClient:
    provider.model.auth = None
    return HPPClient(
        auth=("PK12345_abc", PASSWORD),
        endpoint=provider.endpoint,
        http_client=provider.http_client,
        clock=provider.clock,
        observers=[ears.events.append],
        attempts=2,
        outage_tolerance=60,
    )


async def test_a_payment_is_discreet(provider: ScriptedProvider, client: HPPClient, ears: Ears) -> None:
    session = provider.add([(5, "MANUAL_ID_CHECK", PAID), (60, "COMPLETED", PAID)])
    wait = client.wait_for_outcome(session)
    async for transition in wait:
        ears.hear(transition, transition.token)
    outcome = await wait

    assert outcome.session.authorization_token == TOKEN
    ears.hear(client, wait, outcome, outcome.session, outcome.session.customer, outcome.session.manual_identification)
    ears.assert_discreet()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_failure_is_discreet(provider: ScriptedProvider, client: HPPClient, ears: Ears, answer: str) -> None:
    session = provider.add([(0, "IN_PROGRESS", PAID)])
    wait = client.wait_for_outcome(session, timeout=300)
    await anext(wait)
    provider.answer_next(*[ANSWERS[answer]] * 200)

    with pytest.raises(HPPError) as read:
        await client.read_session(session)
    with pytest.raises(HPPError) as waited:
        await wait
    ears.hear_error(read.value)
    ears.hear_error(waited.value)
    ears.assert_discreet()


def test_refusals_are_discreet() -> None:
    refused: list[tuple[str, str] | str] = [
        PASSWORD + " ",
        ("PK1_a", PASSWORD + "\n"),
        ("a:b", PASSWORD),
        "klarna_live_" + PASSWORD,
    ]
    for auth in refused:
        with pytest.raises(HPPError) as caught:
            HPPClient(auth=auth, endpoint="EU_PLAYGROUND")

        assert PASSWORD not in f"{caught.value!r}"
