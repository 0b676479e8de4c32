"""Consumers as data: acts, scripts, and the lives of sessions that follow from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest

from hpp_async import ConfigurationError
from hpp_async.testing import (
    Act,
    Consumer,
    Life,
    Provider,
    Script,
    SessionOverError,
    Step,
    becomes,
    cancels,
    declines,
    disabled,
    extends,
    forgotten,
    goes_back,
    opens,
    pays,
    retries,
    returns,
    vanishes,
    waits,
)

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
HEADERS: Final = {"authorization": "Basic any"}


def provider_at(seconds: list[float], speed: float = 1.0) -> Provider:
    """Return a provider whose time is so many seconds after the start as the one number in *seconds*."""
    return Provider(now=lambda: START + timedelta(seconds=seconds[0]), quota=None, speed=speed)


def read(provider: Provider, session_id: str) -> int:
    return provider.answer("GET", f"/hpp/v1/sessions/{session_id}", HEADERS).status_code


def test_acts_happen_one_after_the_other() -> None:
    script = Script(opens(after=5), waits(after=10), declines(after=20), retries, pays(after=timedelta(seconds=30)))

    assert script.steps() == (
        Step(5, "IN_PROGRESS"),
        Step(35, "FAILED"),
        Step(38, "IN_PROGRESS"),
        Step(68, "COMPLETED"),
    )


def test_a_script_can_pass_faster() -> None:
    script = Script(opens(after=4), extends(after=4, expires_in=60), lifetime=30)

    assert script.steps(2.0) == (Step(2, "IN_PROGRESS"), Step(4, None, {}, expires_in=30))
    assert script.lifetime(2.0) == timedelta(seconds=15)


def test_acts_are_values_with_fields() -> None:
    paid = pays(after=3, order_id="1")(klarna_reference="2")

    assert paid == Act("pays", 3, "COMPLETED", fields={"order_id": "1", "klarna_reference": "2"})
    assert becomes("AWAITING_3DS", 1).step(4) == Step(4, "AWAITING_3DS")


def test_a_script_has_a_story() -> None:
    assert Script(opens, goes_back, returns, pays).story == "opens, goes back, returns, pays"
    assert Script(opens, story="looks").story == "looks"
    assert Script().story == "does not come"


@pytest.mark.parametrize("last", [vanishes, pays, cancels, disabled])
def test_no_act_of_the_consumer_follows_the_last_one(last: Act) -> None:
    with pytest.raises(ConfigurationError, match=f"'opens': nothing can follow '{last.word}'"):
        Script(last, opens)

    assert len(Script(last, waits).acts) == 2


def test_impossible_acts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"acts\[1\]=5: give an act"):
        Script(opens, 5)  # type: ignore[arg-type]  # the test is about this
    with pytest.raises(ConfigurationError, match="after=-1"):
        pays(after=-1)
    with pytest.raises(ConfigurationError, match=r"expires_in=1e\+10: give at most 1e\+09 seconds"):
        extends(expires_in=1e10)


def test_the_named_consumers_are_scripts() -> None:
    assert Consumer.DECLINE_AND_RETRY.script == Script(
        opens, declines, retries, pays(after=4), story="is declined, tries again and pays"
    )


@pytest.mark.parametrize(
    "life", [Script(opens(2), pays(3)), [opens(2), pays(3)], [(2, "IN_PROGRESS"), (5, "COMPLETED")]]
)
def test_a_life_is_given_by_a_script_acts_or_steps(life: Script) -> None:
    seconds = [0.0]
    provider = provider_at(seconds)
    session_id = provider.create(life)
    seen = []

    for seconds[0] in (0, 2, 4, 5):
        seen.append(provider.status(session_id))

    assert seen == ["WAITING", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]


def test_the_providers_speed_applies_to_scripts_and_not_to_steps() -> None:
    seconds = [0.0]
    provider = provider_at(seconds, speed=10.0)
    sessions = [provider.create(Script(opens(20))), provider.create([(20, "IN_PROGRESS")])]

    seconds[0] = 3

    assert [provider.status(session_id) for session_id in sessions] == ["IN_PROGRESS", "WAITING"]


def test_an_expiry_can_be_moved_by_acts_and_by_hand() -> None:
    seconds = [0.0]
    provider = provider_at(seconds)
    session_id = provider.create(Script(opens(5), extends(5, expires_in=60), lifetime=30))
    life = provider.life(session_id)

    assert life.expiry(START) == START + timedelta(seconds=30)
    assert life.expiry(START + timedelta(seconds=10)) == START + timedelta(seconds=70)
    seconds[0] = 20
    provider.move_expiry(session_id, START + timedelta(seconds=25))
    assert life.expiry(START + timedelta(seconds=20)) == START + timedelta(seconds=25)


def test_a_forgotten_session_is_not_found() -> None:
    seconds = [0.0]
    provider = provider_at(seconds)
    session_id = provider.create(Script(opens(1), forgotten(9)))

    codes = []
    for seconds[0] in (9, 10):
        codes.append(read(provider, session_id))

    assert codes == [200, 404]


def test_an_act_by_hand_ends_the_script() -> None:
    seconds = [3.0]
    provider = provider_at(seconds)
    session_id = provider.create(Consumer.PAY)

    provider.act(session_id, declines)
    seconds[0] = 60

    assert provider.status(session_id) == "FAILED"


def test_a_visitor_can_come_by_hand_and_change_the_expiry() -> None:
    seconds = [100.0]
    provider = provider_at(seconds, speed=2.0)
    session_id = provider.create()

    provider.visit(session_id, Consumer.VANISH)
    seconds[0] = 101

    assert provider.status(session_id) == "IN_PROGRESS"
    assert provider.life(session_id).expiry(provider.now()) == START + timedelta(seconds=115)


@pytest.mark.parametrize(
    ("script", "end"), [(Script(pays(0)), "is COMPLETED, which is final"), (Script(lifetime=5), "has expired")]
)
def test_no_act_happens_to_a_session_that_is_over(script: Script, end: str) -> None:
    seconds = [0.0]
    provider = provider_at(seconds)
    session_id = provider.create(script)
    seconds[0] = 5

    with pytest.raises(SessionOverError, match=end):
        provider.act(session_id, opens)


def test_the_steps_of_a_life_are_in_the_order_of_their_times() -> None:
    life = Life(session_id="one", created_at=START, lifetime=timedelta(hours=1), steps=[Step(0, "WAITING")])

    life.change([Step(20, "BACK"), Step(5, "IN_PROGRESS")], START + timedelta(seconds=10))

    assert [(step.after, step.status) for step in life.steps] == [(0, "WAITING"), (15, "IN_PROGRESS"), (30, "BACK")]


@pytest.mark.parametrize("session_id", ["a.b", "a/b", "", "x" * 129])
def test_a_session_id_that_every_client_would_refuse_is_refused(session_id: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a session id: ids are up to 128 letters, digits"):
        provider_at([0.0]).create(session_id=session_id)


def test_scripts_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Script(opens).acts = ()  # type: ignore[misc]  # the test is about this
