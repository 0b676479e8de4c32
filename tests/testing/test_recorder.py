"""A recorded wait, replayed in virtual time, goes as it went; nothing secret or personal is in the file."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpp_async import FINAL, HPPClient, HPPError, parse_callback
from hpp_async.testing import (
    Answered,
    Dropped,
    Foreign,
    Garbled,
    Hint,
    Missing,
    Recorder,
    Refused,
    Scenario,
    Script,
    ScriptedProvider,
    Slow,
    Stale,
    Stalled,
    Step,
    Throttled,
    Undated,
    VirtualClock,
    becomes,
    cancels,
    declines,
    errors,
    extends,
    goes_back,
    opens,
    pays,
    retries,
    returns,
    vanishes,
)

Seen = tuple[list[tuple[str, float]], str, int]


def client_of(provider: ScriptedProvider, transport: httpx.AsyncBaseTransport) -> HPPClient:
    """Return a client that draws the same numbers each time."""
    return HPPClient(
        auth=provider.auth,
        endpoint=provider.endpoint,
        http_client=httpx.AsyncClient(transport=transport),
        clock=provider.clock,
        _draw=random.Random(7).random,
    )


async def waited(provider: ScriptedProvider, session: str, transport: httpx.AsyncBaseTransport) -> Seen:
    """Wait; return which statuses were seen when, the ending, and the number of reads."""
    began, seen = provider.clock.now(), list[tuple[str, float]]()
    async with client_of(provider, transport) as client:
        wait = client.wait_for_outcome(session, stop_on=FINAL)
        try:
            async for transition in wait:
                seen.append((str(transition.status), round(provider.clock.now() - began, 3)))
            ending = type(wait.outcome).__name__
        except HPPError as error:
            ending = type(error).__name__
    return seen, ending, wait.reads


def recorded(prepare: Callable[[ScriptedProvider], str], *, later: float = 0.0, **options: Any) -> tuple[Seen, str]:
    """Record a wait that begins *later*; return what it saw, and the recording."""

    async def main() -> tuple[Seen, str]:
        provider = ScriptedProvider(VirtualClock(**options))
        session = prepare(provider)
        recorder = Recorder(provider, now=provider.clock.provider_time)
        if later:
            await provider.clock.sleep(later)
        return await waited(provider, session, recorder), recorder.text

    return anyio.run(main)


def replayed(text: str) -> Seen:
    """Replay a recording."""

    async def main() -> Seen:
        provider = ScriptedProvider(VirtualClock())
        (session,) = Scenario.parse(text).play(provider.model)
        return await waited(provider, session, provider)

    return anyio.run(main)


SECONDS = st.integers(0, 4_000).map(lambda number: number / 4)
MIDDLES = st.lists(
    st.sampled_from([[declines, retries], [errors, retries], [goes_back, returns], [extends(0, expires_in=7_200)]]),
    max_size=3,
)
SCRIPTS = st.builds(
    lambda middles, last, times: Script(
        *(act(next(times)) for act in [opens, *chain.from_iterable(middles), last]), lifetime=9_000
    ),
    MIDDLES,
    st.sampled_from([pays, cancels, vanishes, becomes("NEW_ONE")]),
    st.lists(SECONDS, min_size=8, max_size=8).map(iter),
)
KINDS = st.sampled_from(
    [
        Answered(503),
        Answered(500, {"Retry-After": "3"}),
        Throttled(3),
        Throttled(4, hint=Hint.RETRY_AFTER),
        Throttled(hint=Hint.NONE),
        Garbled(),
        Foreign(),
        Refused(),
        Stalled(5),
        Slow(1.5),
        Stale(40),
        Undated(),
        Missing(),
    ]
)
FAULTS = st.lists(st.tuples(KINDS, st.sampled_from([0.1, 0.3]), SECONDS), max_size=3)


@settings(max_examples=10)
@given(script=SCRIPTS, faults=FAULTS, later=st.sampled_from([0.0, 100.0]))
def test_a_recorded_wait_goes_the_same_way_when_it_is_replayed(
    script: Script, faults: list[tuple[Any, float, float]], later: float
) -> None:
    def prepare(provider: ScriptedProvider) -> str:
        for kind, share, start in faults:
            provider.trouble(kind, share=share, start=start, until=start + 500)
        return provider.add(script)

    seen, text = recorded(prepare, later=later)

    if seen[0]:  # a session that was never read leaves nothing to replay
        assert replayed(text) == seen


@pytest.mark.parametrize("kind", [Throttled(3), Throttled(4, hint=Hint.RETRY_AFTER), Throttled(0, hint=Hint.NONE)])
def test_a_pause_that_the_provider_asked_for_is_asked_for_again(kind: Throttled) -> None:
    def prepare(provider: ScriptedProvider) -> str:
        provider.trouble(kind, first=1)
        return provider.add(Script(opens(30), pays(60)))

    seen, text = recorded(prepare)

    assert Scenario.parse(text).faults[0].kind == kind
    assert replayed(text) == seen


# -- nothing secret ----------------------------------------------------------------------------------------------------

MARKED = st.from_regex(r"zq[a-z0-9]{8,20}", fullmatch=True)


@settings(max_examples=10)
@given(marks=st.lists(MARKED, min_size=6, max_size=6), status_code=st.sampled_from([200, 404, 429, 503, 600]))
def test_nothing_of_what_was_secret_or_personal_is_in_the_file(marks: list[str], status_code: int) -> None:
    session_id, token, name, reference, host, code = marks
    person = {"given_name": name, "date_of_birth": f"{name}-01-01"}
    secret = {"authorization_token": token, "customer": person, "order_id": reference, "order_amount": 716253849}
    secret |= {"klarna_reference": reference, "merchant_reference1": reference, "error_code": code, "x": host}

    def prepare(provider: ScriptedProvider) -> str:
        urls = {"status_update": f"https://{host}.example/{token}"}
        body = json.dumps({"status": f"{name} {token}", **secret})
        headers = {"Retry-After": name, "X-Ratelimit-Reset": token, "Date": name, "Location": f"https://{host}.example"}
        provider.answer_next(httpx.Response(200, text=body, headers=headers))
        provider.answer_next(httpx.Response(status_code, text=body, headers=headers))
        provider.answer_next(httpx.ConnectError(f"{host} {token}"))
        life = [Step(30, "IN_PROGRESS"), Step(90, "COMPLETED", secret)]
        return provider.add(life, session_id=session_id, merchant_urls=urls)

    (_, ending, _), text = recorded(prepare)

    assert ending in ("Completed", "SessionVanishedError")
    assert [mark for mark in (*marks, "716253849", "not-a-secret", "klarna.com", "PK00000") if mark in text] == []
    assert '"UNKNOWN"' in text


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_callbacks_come_when_they_came() -> None:
    times: list[list[float]] = []

    async def main(provider: ScriptedProvider, session: str, recorder: Recorder) -> None:
        came: list[float] = []
        times.append(came)

        async def shop(request: httpx.Request) -> httpx.Response:
            session_id = parse_callback(request.content).session_id
            assert session_id is not None
            came.append(provider.clock.now())
            recorder.notified(session_id)
            client.notify(session_id)
            return httpx.Response(204)

        async with (
            client_of(provider, recorder) as client,
            httpx.AsyncClient(transport=httpx.MockTransport(shop)) as to_the_shop,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(provider.post_callbacks, to_the_shop)
            await client.wait_for_outcome(session, stop_on=FINAL)
            tasks.cancel_scope.cancel()

    def run(text: str | None) -> str:
        provider = ScriptedProvider(VirtualClock())
        recorder = Recorder(provider, now=provider.clock.provider_time)
        if text is None:
            provider.trouble(Slow(7), on=["callback"], start=25, until=35)
            provider.trouble(Dropped(), on=["callback"], start=85, until=95)
            script = Script(opens(30), declines(60), retries(60), pays(60))
            session = provider.add(script, merchant_urls={"status_update": "https://shop.example/secret"})
        else:
            (session,) = Scenario.parse(text).play(provider.model)
        anyio.run(main, provider, session, recorder)
        return recorder.text

    text = run(None)
    run(text)

    assert times[0] == times[1] == [37.0, 150.0, 210.0]
    assert "secret" not in text


def test_only_reads_of_sessions_are_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        provider = ScriptedProvider(VirtualClock())
        recorder = Recorder(provider, now=provider.clock.provider_time)
        session = provider.add()
        async with httpx.AsyncClient(transport=recorder, auth=provider.auth) as http:
            await http.delete(session)
            await http.get(f"{session}/other")
        recorder.save(tmp_path / "wait.toml")

    anyio.run(main)

    assert Scenario.load(tmp_path / "wait.toml") == Scenario(quota=None)


@pytest.mark.parametrize("error", [httpx.ReadError("x"), httpx.RemoteProtocolError("x")])
def test_a_request_that_was_repeated_at_once_counts_as_one(error: Exception) -> None:
    def prepare(provider: ScriptedProvider) -> str:
        provider.answer_next(error)
        return provider.add(Script(opens(30), pays(60)), place_order_mode="CAPTURE_ORDER")

    seen, text = recorded(prepare)

    assert "[[fault]]" not in text
    assert replayed(text) == seen


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json={"session_id": "another", "status": "WAITING"}), Garbled),
        (httpx.Response(200, json={"status": 7}), Garbled),
        (httpx.Response(200, json=["WAITING"]), Garbled),
        (httpx.Response(200, text="<html>"), Garbled),
        (httpx.ReadTimeout("x"), Stalled),
        (httpx.ConnectError("x"), Refused),
    ],
)
def test_what_was_no_reading_is_recorded_as_its_fault(answer: httpx.Response | Exception, kind: type[object]) -> None:
    async def main() -> str:
        provider = ScriptedProvider(VirtualClock())
        recorder = Recorder(provider, now=provider.clock.provider_time)
        session = provider.add()
        async with httpx.AsyncClient(transport=recorder, auth=provider.auth) as http:
            await http.get(session)
            await provider.clock.sleep(10)
            provider.answer_next(answer)
            with contextlib.suppress(httpx.HTTPError):
                await http.get(session)
            await provider.clock.sleep(10)
            await http.get(session)
        return recorder.text

    faults = Scenario.parse(anyio.run(main)).faults

    assert [(type(fault.kind), round(fault.start), round(fault.until)) for fault in faults] == [(kind, 10, 20)]


# -- odd answers -------------------------------------------------------------------------------------------------------

NOON = "Thu, 15 Jan 2026 12:00:00 GMT"


class Bytes(httpx.AsyncByteStream):
    """A body as it comes from a network; it ends with *error*, if there is one."""

    def __init__(self, *chunks: bytes, error: BaseException | None = None) -> None:
        self.left = list(chunks)
        self.error = error
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left and not self.is_closed:
            yield self.left.pop(0)
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.is_closed = True


class Answering(httpx.AsyncBaseTransport):
    """Answers each request with what *answer* makes."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self.answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.answer()


def answer(body: bytes, status_code: int = 200, /, date: str = NOON, **headers: str) -> httpx.Response:
    """Return a response whose body has yet to be read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status_code, headers={"Date": date, **named}, stream=Bytes(body))


def reading(**fields: object) -> bytes:
    """Return the body of a reading."""
    dates = {"updated_at": "2026-01-15T12:00:00Z", "expires_at": "2026-01-17T12:00:00Z"}
    return json.dumps({"session_id": "abc", "status": "IN_PROGRESS", **dates, **fields}).encode()


def said(transport: httpx.AsyncBaseTransport) -> object:
    """Read the session once; return the reading, or the name of the error."""

    async def main() -> object:
        provider = ScriptedProvider(VirtualClock())
        async with client_of(provider, transport) as client:
            try:
                return await client.read_session("abc")
            except HPPError as error:
                return type(error).__name__

    return anyio.run(main)


def beside(make: Callable[[], httpx.Response]) -> tuple[object, object, str]:
    """Return what the client says without a recorder and with one, and the recording."""
    ticks = count()
    recorder = Recorder(Answering(make), now=lambda: VirtualClock().today() + timedelta(milliseconds=next(ticks)))
    alone, together = said(Answering(make)), said(recorder)
    make = partial(answer, reading(status="COMPLETED", updated_at="2026-01-15T12:00:01Z"))
    recorder._transport = Answering(make)  # so that there is a session in the recording
    said(recorder)
    return alone, together, recorder.text


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: answer(b"[" * 200_000), Garbled),
        (lambda: answer(b'{"status":"WAITING","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), Garbled),
        (lambda: answer(b"no gzip", Content_Encoding="gzip"), Garbled),
        (lambda: answer(b"no gzip", 404, Content_Encoding="gzip"), Missing),
        (lambda: answer(reading(), Content_Encoding="br"), Garbled),
        (lambda: answer(reading() + b" " * 2_000_000), Garbled),
        (lambda: answer(gzip.compress(reading() + b" " * 2_000_000), Content_Encoding="gzip"), Garbled),
        (lambda: httpx.Response(200, content=reading() + b" " * 2_000_000), Garbled),
        (lambda: httpx.Response(200, stream=Bytes(b"{", error=httpx.ReadError("x"))), Dropped),
    ],
)
def test_no_error_of_the_recorder_reaches_the_client(make: Callable[[], httpx.Response], kind: type[object]) -> None:
    alone, together, text = beside(make)

    assert isinstance(alone, str)
    assert together == alone
    assert kind in {type(fault.kind) for fault in Scenario.parse(text).faults}


def test_a_compressed_reading_is_recorded() -> None:
    alone, together, text = beside(lambda: answer(gzip.compress(reading()), Content_Encoding="gzip"))

    assert alone == together
    assert '"becomes" = "IN_PROGRESS"' in text


@pytest.mark.parametrize(
    "make",
    [
        lambda: answer(reading(updated_at="2026-01-15T12:00:00")),
        lambda: answer(reading(updated_at="2026-01-15t12:00:00z")),
        lambda: answer(reading(updated_at="2026-01-15T11:59:60Z")),
        lambda: answer(reading(updated_at="soon")),
        lambda: answer(reading(updated_at=17, expires_at=[])),
        lambda: answer(reading(updated_at="2038-01-01T00:00:00Z")),
        lambda: answer(reading(session_id=None)),
        lambda: answer(reading(session_id="")),
        lambda: answer(reading(session_id=5)),
        lambda: answer(reading(session_id="ABC")),
        lambda: answer(reading(), date="Thu, 45 Jan 2026 12:00:00 GMT"),
        lambda: answer(reading(), date="Thu, 15 Foo 2026 12:00:00 GMT"),
        lambda: answer(reading().replace(b"abc", b"abc\xe9").replace(b'"session_id"', b'"x"')),
        lambda: answer(reading(x=0).replace(b": 0", b": " + b"1" * 6_000)),
        lambda: answer(b"\xef\xbb\xbf" + reading()),
        lambda: answer(reading(), 201),
    ],
)
def test_what_the_client_believes_is_recorded_as_a_reading(make: Callable[[], httpx.Response]) -> None:
    alone, together, text = beside(make)
    kinds = {type(fault.kind) for fault in Scenario.parse(text).faults}

    assert not isinstance(alone, str)
    assert together == alone
    assert '"becomes" = "IN_PROGRESS"' in text
    assert kinds <= {Undated}


@pytest.mark.parametrize("status", ["", " ", "x" * 65, "IN\nPROGRESS", None])
def test_what_the_client_refuses_is_recorded_as_garbled(status: str | None) -> None:
    alone, together, text = beside(lambda: answer(reading(status=status)))

    assert alone == together == "UnexpectedPayloadError"
    assert [type(fault.kind) for fault in Scenario.parse(text).faults] == [Garbled]


def test_a_body_without_an_end_is_hung_up_as_without_a_recorder() -> None:
    bodies = [Bytes(*[b"x" * 1_000_000] * 9) for _ in range(2)]
    said(Answering(lambda: httpx.Response(404, stream=bodies[0])))
    said(Recorder(Answering(lambda: httpx.Response(404, stream=bodies[1]))))

    assert [len(body.left) for body in bodies] == [7, 7]


def test_a_client_of_httpx2_gets_streams_of_its_own_family() -> None:
    async def main() -> str:
        provider = ScriptedProvider(VirtualClock())
        body = httpx2.ByteStream(reading())
        transport: Any = Answering(lambda: httpx2.Response(200, stream=body))  # type: ignore[arg-type, return-value]
        recorder = Recorder(transport)
        of_httpx: Any = recorder
        async with provider.client(http_client=httpx2.AsyncClient(transport=of_httpx)) as client:
            await client.read_session("abc")
        return recorder.text

    assert "IN_PROGRESS" in anyio.run(main)


@pytest.mark.parametrize("name", ["updated_at", "expires_at"])
@pytest.mark.parametrize("year", ["0001", "9999"])
@pytest.mark.parametrize("zone", ["Z", "+14:00", "-14:00"])
def test_a_broken_date_makes_no_file_that_cannot_be_loaded(name: str, year: str, zone: str) -> None:
    day = "01-01T00:00:00" if year == "0001" else "12-31T23:59:59"
    alone, together, text = beside(lambda: answer(reading(**{name: f"{year}-{day}{zone}"})))
    (session,) = Scenario.parse(text).sessions

    assert together == alone
    assert session.life != Script()


def test_a_final_session_that_was_touched_once_more_makes_a_file_that_can_be_loaded() -> None:
    _, _, text = beside(lambda: answer(reading(status="COMPLETED", updated_at="2026-01-15T11:00:00Z")))
    (session,) = Scenario.parse(text).sessions

    assert isinstance(session.life, Script)
    assert [act.word for act in session.life.acts] == ["becomes"]


# -- other clocks ------------------------------------------------------------------------------------------------------


def test_a_calendar_that_is_wrong_shifts_no_change() -> None:
    async def main() -> str:
        provider = ScriptedProvider(VirtualClock())
        recorder = Recorder(provider, now=lambda: provider.clock.provider_time() + timedelta(hours=3))
        await waited(provider, provider.add(Script(opens(30), pays(60))), recorder)
        return recorder.text

    (session,) = Scenario.parse(anyio.run(main)).sessions

    assert isinstance(session.life, Script)
    assert [act.after for act in session.life.acts] == [0.0, 30.0, 60.0]


@pytest.mark.parametrize("back", [0.3, 60.0, 7_200.0])
@pytest.mark.parametrize("answers", [True, False])
def test_a_calendar_that_is_set_back_during_a_request_loses_no_recording(back: float, answers: bool) -> None:
    steps = iter([0.0, -back])

    async def main() -> str:
        provider = ScriptedProvider(VirtualClock())
        ahead = 0.0

        async def set_back(request: httpx.Request) -> httpx.Response:
            nonlocal ahead
            ahead += next(steps, 0.0)
            if ahead and not answers and provider.clock.now() < 60:
                raise httpx.ConnectError("x")
            return await provider.handle_async_request(request)

        recorder = Recorder(
            httpx.MockTransport(set_back), now=lambda: provider.clock.provider_time() + timedelta(seconds=ahead)
        )
        await waited(provider, provider.add(Script(opens(30), pays(60))), recorder)
        return recorder.text

    scenario = Scenario.parse(anyio.run(main))
    (session,) = scenario.sessions

    assert isinstance(session.life, Script)
    assert [act.after for act in session.life.acts] == [0.0, 30.0, 60.0]
    assert not {type(fault.kind) for fault in scenario.faults} - {Refused}


def test_a_read_that_was_given_up_stalls_unless_it_was_the_last() -> None:
    async def main() -> str:
        provider = ScriptedProvider(VirtualClock())
        recorder = Recorder(provider, now=provider.clock.provider_time)
        session = provider.add()
        async with httpx.AsyncClient(transport=recorder, auth=provider.auth) as http:
            for seconds in (0, 20, 0, 20):
                provider.latency = seconds
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(http.get, session)
                    await provider.clock.sleep(10)
                    tasks.cancel_scope.cancel()
        return recorder.text

    faults = Scenario.parse(anyio.run(main)).faults

    assert [(type(fault.kind), round(fault.start), round(fault.until)) for fault in faults] == [(Stalled, 10, 20)]


def test_by_default_the_time_is_that_of_this_machine() -> None:
    async def main() -> str:
        provider = ScriptedProvider(VirtualClock(datetime(2026, 1, 1).astimezone()))
        recorder = Recorder(provider)
        async with client_of(provider, recorder) as client:
            await client.read_session(provider.add())
        return recorder.text

    assert 'acts = [{ "becomes" = "WAITING", "after" =' in anyio.run(main)
