"""Scenario files: a provider is made from them, and refusals name the key."""

from __future__ import annotations

import inspect
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from hpp_async import ConfigurationError
from hpp_async.testing import (
    Consumer,
    Fault,
    Planned,
    Scenario,
    Script,
    ScriptedProvider,
    Throttled,
    VirtualClock,
    becomes,
    declines,
    extends,
    opens,
    pays,
    retries,
    vanishes,
)

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


def documented() -> str:
    """Return the example in the documentation."""
    text = inspect.getdoc(Scenario) or ""
    return textwrap.dedent(text.partition("::\n")[2])


def test_the_documented_example_is_read() -> None:
    hesitant = Script(opens(5), declines(20), retries, pays(30))

    assert Scenario.parse(documented()) == Scenario(
        seed=7,
        visitor=hesitant,
        speed=2.0,
        quota=50,
        creation_quota=5,
        repeats_are_empty=True,
        fraud_status="PENDING",
        fraud_decision="REJECTED",
        decided_after=timedelta(seconds=60),
        consumers={**Scenario().consumers, "hesitant": hesitant},
        faults=(Fault(Throttled(5), share=0.2, until=60),),
        sessions=(
            Planned(
                life=Script(opens(5), vanishes),
                session_id="0b6b8c1e-hesitates",
                lifetime=120.0,
                place_order_mode="CAPTURE_ORDER",
                merchant_urls={"status_update": "http://127.0.0.1:8000/callback/{{session_id}}"},
            ),
        ),
    )


def test_an_empty_file_is_the_default_provider() -> None:
    assert Scenario.parse("") == Scenario()


def test_a_quota_of_0_is_no_limit() -> None:
    assert Scenario.parse("quota = 0").quota is None
    assert Scenario.parse("creation_quota = 0").creation_quota is None


def test_every_way_to_write_an_act_is_read() -> None:
    acts = (
        '["opens", {extends = 3, expires_in = 60}, {becomes = "ODD", after = 2}, {pays = 1, fields = {order_id = "1"}}]'
    )
    [session] = Scenario.parse(f"[[session]]\nacts = {acts}\nstory = 'is odd'").sessions

    assert session.life == Script(
        opens, extends(3, expires_in=60), becomes("ODD", 2), pays(1, order_id="1"), story="is odd"
    )


def test_a_visitor_is_a_consumer_of_the_file_or_of_the_library() -> None:
    text = """
        visitor = "slow"
        [[consumer]]
        name = "slow"
        acts = [{ opens = 60 }]
        lifetime = 90
        [[session]]
        visitor = "slow"
        [[session]]
        visitor = "vanish"
        [[session]]
    """

    scenario = Scenario.parse(text)

    slow = Script(opens(60), lifetime=90)
    assert scenario.visitor == slow
    assert [session.life for session in scenario.sessions] == [slow, Consumer.VANISH, Script()]


def test_a_provider_is_made_from_a_scenario() -> None:
    scenario = Scenario.parse(documented())

    provider = scenario.provider(now=lambda: START + timedelta(seconds=3), auth=("PK1_a", "b"), speed=4)

    life = provider.life("0b6b8c1e-hesitates")
    assert provider.sessions == ["0b6b8c1e-hesitates"]
    assert provider.consumers["hesitant"] == provider.consumer
    assert (provider.speed, provider.faults.seed, provider.callbacks.repeats_are_empty) == (4, 7, True)
    assert provider.payments.fraud_status == "PENDING"
    assert list(provider.faults.all.values()) == list(scenario.faults)
    assert (life.steps[1].after, life.lifetime) == (5 / 4, timedelta(seconds=120))


@pytest.mark.anyio
async def test_a_scripted_provider_plays_a_scenario(provider: ScriptedProvider, clock: VirtualClock) -> None:
    [session_id] = Scenario.parse('[[session]]\nacts = ["opens", "pays"]').play(provider.model)

    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session_id)

    assert outcome.status == "COMPLETED"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("visitor = ", "not TOML: "),
        ("visitr = 'pay'", "visitr is not known: the keys here are visitor, acts, lifetime, story, seed, "),
        ("visitor = 'stranger'", "visitor='stranger': give one of pay, decline-and-retry, "),
        ("visitor = 5", "visitor=5: give text"),
        ("seed = 1.5", "seed=1.5: give a whole number"),
        ("quota = true", "quota=True: give a whole number"),
        ("speed = 0", "speed=0.0: give seconds"),
        ("speed = 'fast'", "speed='fast': give a number"),
        ("readable_for = -1", "readable_for=-1"),
        ("repeats_are_empty = 1", "repeats_are_empty=1: give true or false"),
        ('fraud_status = "OK"', "fraud_status='OK': give one of ACCEPTED, PENDING, REJECTED"),
        ('fraud_decision = "PENDING"', "fraud_decision='PENDING': give one of ACCEPTED, REJECTED"),
        ("decided_after = -1", "decided_after=-1.0: give seconds"),
        ("fault = 5", "fault=5: give a list"),
        ("fault = [5]", "fault[0]=5: give a table"),
        ("[[fault]]", "fault[0].kind=None: give one of slow, stalled, "),
        ("[[fault]]\nkind = 'odd'", "fault[0].kind='odd': give one of slow, stalled, "),
        ("[[fault]]\nkind = 'slow'", "fault[0].seconds is missing"),
        ("[[fault]]\nkind = 'cut'\n[[fault]]\nkind = 'slow'\nseconds = -1", "fault[1].seconds=-1: give seconds"),
        ("[[fault]]\nkind = 'cut'\nshare = 2", "fault[0].share=2: give a share from 0 to 1"),
        ("[[fault]]\nkind = 'cut'\nshar = 1", "fault[0].shar is not known: the keys here are kind, share, "),
        ("[[consumer]]\nacts = []", "consumer[0].name is missing"),
        ("[[consumer]]\nname = 'x'", "consumer[0].acts is missing"),
        ("[[consumer]]\nname = 'x'\nacts = 'pays'", "consumer[0].acts='pays': give a list"),
        ("[[consumer]]\nname = 'x'\nacts = []\nage = 5", "consumer[0].age is not known"),
        ("[[session]]\nacts = ['pays', 'opens']", "session[0].acts[1]='opens': nothing can follow 'pays'"),
        ("[[session]]\nacts = ['pay']", "session[0].acts[0]='pay': give an act, one of opens, waits, "),
        ("[[session]]\nacts = [5]", "session[0].acts[0]=5: give an act, one of opens, waits, "),
        ("[[session]]\nacts = [{pay = 1}]", "session[0].acts[0]={'pay': 1}: give an act, one of opens, "),
        ("[[session]]\nacts = ['becomes']", "session[0].acts[0].becomes is missing"),
        (
            "[[session]]\nacts = [{pays = 1, after = 2}]",
            "session[0].acts[0].after is not known: write {pays = seconds}",
        ),
        ("[[session]]\nid = 'a.b'", "session[0].id='a.b': give up to 128 letters, digits, '-' and '_'"),
        ("seed = 'x'\nspeed = 'y'", "seed='x': give a whole number; speed='y': give a number"),
        ("[[session]]\nacts = [{becomes = 5}]", "session[0].acts[0].becomes=5: give text"),
        ("[[session]]\nacts = [{pays = 'now'}]", "session[0].acts[0].after='now': give a number"),
        ("[[session]]\nacts = [{pays = -1}]", "session[0].acts[0].after=-1"),
        ("[[session]]\nacts = [{becomes = 'X', after = -1}]", "session[0].acts[0].after=-1"),
        ("[[session]]\nacts = [{extends = 1, expires_in = -1}]", "session[0].acts[0].expires_in=-1"),
        ("[[session]]\nacts = [{pays = 1, field = {}}]", "session[0].acts[0].field is not known"),
        ("[[session]]\nacts = []\nvisitor = 'pay'", "session[0].acts: give either acts or a visitor"),
        ("[[consumer]]\nname = 'x'\nacts = []\nlifetime = 0", "consumer[0].lifetime=0.0: give seconds"),
        ("[[session]]\nlifetime = -1", "session[0].lifetime=-1.0: give seconds"),
        ("[[session]]\nid = 'a/b'", "session[0].id='a/b': give up to 128 letters, digits, '-' and '_'"),
        ("[[session]]\nid = 'a'\n[[session]]\nid = 'a'", "session[1].id='a': another session has this id"),
        ("[[session]]\nplace_order_mode = 'MAYBE'", "session[0].place_order_mode='MAYBE': give one of PLACE_ORDER, "),
        ("[[session]]\nmerchant_urls = {back = 5}", "session[0].merchant_urls['back']=5: give text"),
    ],
)
def test_a_refusal_names_the_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Scenario.parse(text)

    assert str(refusal.value).startswith(complaint)


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("seed = 'x'", "utf-8")
    (tmp_path / "good.toml").write_text(documented(), "utf-8")

    assert Scenario.load(tmp_path / "good.toml").seed == 7
    with pytest.raises(ConfigurationError, match=r"wrong\.toml: seed='x': give a whole number"):
        Scenario.load(tmp_path / "wrong.toml")
    with pytest.raises(ConfigurationError, match=r"missing\.toml: No such file or directory"):
        Scenario.load(str(tmp_path / "missing.toml"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationError, match=r"binary\.toml: not TOML"):
        Scenario.load(tmp_path / "binary.toml")


def test_a_session_can_be_older_than_the_scenario() -> None:
    clock = VirtualClock(START)
    text = """
        [[session]]
        id = "old"
        acts = [{ opens = 5 }, { pays = 100 }]
        age = 60
        merchant_urls = { status_update = "http://127.0.0.1/" }
    """
    provider = Scenario.parse(text).provider(now=clock.provider_time)

    assert provider.life("old").reading(START)["updated_at"] == "2026-01-15T11:59:05.000Z"
    assert provider.due_callbacks() == []
    assert provider.next_callback_at == START + timedelta(seconds=45)
    with pytest.raises(ConfigurationError, match=r"session\[0\]\.age=-1"):
        Scenario.parse("[[session]]\nage = -1")
