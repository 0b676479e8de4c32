"""Disabling a session: the DELETE, the possible answers, and the waits that are notified."""

from __future__ import annotations

import anyio
import httpx
import pytest
from support.servers import run

from hpp_async import (
    AuthenticationError,
    ClientClosedError,
    Completed,
    ConfigurationError,
    Disabled,
    Event,
    Failed,
    HPPClient,
    Outcome,
    PlacedOrder,
    ReadBudget,
    ResponseError,
    ServerError,
    SessionNotFoundError,
    TransportError,
)
from hpp_async.testing import ScriptedProvider, VirtualClock

pytestmark = pytest.mark.anyio


def asked(provider: ScriptedProvider) -> list[str]:
    return [request.method for request in provider.requests]


async def test_an_open_session_is_disabled(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "IN_PROGRESS")])
    client = provider.client()

    assert await client.disable_session(session) is None
    assert (await client.read_session(session)).status == "DISABLED"
    assert asked(provider) == ["DELETE", "GET"]
    assert "authorization" in provider.requests[0].headers


async def test_a_session_that_was_completed_meanwhile_gives_its_outcome(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")], place_order_mode="PLACE_ORDER")
    outcome = await provider.client().disable_session(session)

    assert isinstance(outcome, Completed)
    assert isinstance(outcome.payment, PlacedOrder)
    assert outcome.transitions == ()
    assert asked(provider) == ["DELETE", "GET"]


async def test_a_refusal_without_an_outcome_is_raised(provider: ScriptedProvider) -> None:
    provider.answer_next(400)
    with pytest.raises(ResponseError) as caught:
        await provider.client().disable_session(provider.add([(0, "IN_PROGRESS")]))

    assert (caught.value.status_code, caught.value.error_code) == (400, "BAD_VALUE")


async def test_a_read_that_fails_after_a_refusal_is_an_error(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")])
    provider.answer_next(400, 403)
    with pytest.raises(AuthenticationError):
        await provider.client().disable_session(session)


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (409, ResponseError)])
async def test_other_refusals_are_raised_at_once(
    provider: ScriptedProvider, status: int, kind: type[ResponseError]
) -> None:
    provider.answer_next(status)
    with pytest.raises(kind) as caught:
        await provider.client().disable_session(provider.add())

    assert caught.value.status_code == status
    assert asked(provider) == ["DELETE"]


async def test_an_unknown_session_is_not_found(provider: ScriptedProvider) -> None:
    with pytest.raises(SessionNotFoundError):
        await provider.client().disable_session("no-such-session")


async def test_a_bad_session_is_refused_before_anything_is_sent(provider: ScriptedProvider) -> None:
    with pytest.raises(ConfigurationError):
        await provider.client().disable_session("https://elsewhere.example/hpp/v1/sessions/s")

    assert asked(provider) == []


async def test_transient_failures_are_tried_again(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client()
    provider.answer_next(503, httpx.ConnectError("refused"))
    await client.disable_session(session)
    provider.answer_next(500, 502, 503)
    with pytest.raises(ServerError) as caught:
        await client.disable_session(session)

    assert caught.value.status_code == 503
    assert asked(provider) == ["DELETE"] * 6


async def test_a_dropped_connection_is_tried_again_at_once_and_succeeds(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client(attempts=1)
    provider.answer_next(httpx.RemoteProtocolError("gone"))

    assert await client.disable_session(session) is None
    assert asked(provider) == ["DELETE"] * 2


async def test_every_request_of_a_disable_is_counted_in_the_budget(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(0, "COMPLETED")])
    provider.answer_next(503)
    client = provider.client(budget=ReadBudget(0.1))
    await client.disable_session(session)

    assert clock.now() == pytest.approx(20.0)
    assert asked(provider) == ["DELETE", "DELETE", "GET"]


async def test_waits_on_the_session_end_as_disabled(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    client = provider.client()
    waits = [client.wait_for_outcome(session) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for wait in waits:
            tasks.start_soon(run, wait)
        await clock.sleep(4.0)
        await client.disable_session(session)

    assert [type(wait.outcome) for wait in waits] == [Disabled] * 3
    assert clock.now() == pytest.approx(4.0, abs=0.5)
    assert asked(provider) == ["GET", "DELETE", "GET"]


async def test_the_read_after_a_refusal_is_shared_with_the_waits(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add([(1, "COMPLETED")])
    client = provider.client(budget=ReadBudget(1.0))
    wait = client.wait_for_outcome(session)
    outcomes: list[Outcome | None] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, wait)
        await clock.sleep(4.0)
        outcomes.append(await client.disable_session(session))

    assert isinstance(wait.outcome, Completed)
    assert outcomes == [Completed(session=wait.outcome.session)]
    assert asked(provider) == ["GET", "DELETE", "GET"]


async def test_waits_are_notified_even_if_the_caller_was_cancelled(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add()
    client = provider.client()
    wait = client.wait_for_outcome(session)
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, wait)
        await clock.sleep(1.0)
        provider.latency = 2.0
        tasks.start_soon(_disable, client, session, scope)
        await clock.sleep(1.0)
        scope.cancel()

    assert isinstance(wait.outcome, Disabled)
    assert clock.now() == pytest.approx(5.1, abs=0.5)


async def test_waits_are_notified_even_if_the_answer_was_lost(provider: ScriptedProvider, clock: VirtualClock) -> None:
    session = provider.add()
    client = provider.client(attempts=1)
    wait = client.wait_for_outcome(session)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, wait)
        await clock.sleep(1.0)
        provider.model.change(provider.model.sessions[0], "DISABLED")
        provider.answer_next(httpx.ReadTimeout("lost"))
        with pytest.raises(TransportError):
            await client.disable_session(session)

    assert isinstance(wait.outcome, Disabled)
    assert clock.now() == pytest.approx(1.1, abs=0.5)


async def _disable(client: HPPClient, session: str, scope: anyio.CancelScope) -> None:
    with scope:
        await client.disable_session(session)


async def test_a_failed_session_can_still_be_disabled(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "FAILED")])
    client = provider.client()
    outcome = await client.wait_for_outcome(session)
    assert isinstance(outcome, Failed)

    assert await client.disable_session(session) is None
    assert isinstance(await client.wait_for_outcome(session), Disabled)


async def test_closing_the_client_ends_a_disable_in_flight_and_in_the_queue(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    provider.latency = 30.0
    client = provider.client(budget=ReadBudget(0.01))
    errors: list[BaseException] = []

    async def disable() -> None:
        try:
            await client.disable_session(provider.add())
        except ClientClosedError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(disable)
        await clock.sleep(1.0)
        await client.aclose()
    await disable()

    assert len(errors) == 4
    assert clock.now() == 1.0
    assert asked(provider) == ["DELETE"]


async def test_observers_get_events_of_reads_only(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    client = provider.client(observers=[events.append])
    await client.disable_session(provider.add())
    provider.answer_next(403)
    with pytest.raises(AuthenticationError):
        await client.disable_session(provider.add())

    assert events == []
