"""The file in which the simulator's sessions survive its end, whether that is orderly or not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from support.carts import CART

from hpp_async import ConfigurationError
from hpp_async._provider.state import dump, restore
from hpp_async.simulator import Calendar, serve
from hpp_async.simulator._state import state_file
from hpp_async.testing import (
    Callbacks,
    Consumer,
    Dropped,
    Fault,
    Operation,
    Provider,
    Scenario,
    Script,
    Slow,
    extends,
    forgotten,
    opens,
    pays,
    vanishes,
)

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


def made() -> Provider:
    return Provider(now=Calendar(), auth=AUTH, consumer=Consumer.NOBODY)


@contextmanager
def shop(provider: Provider, state: Path) -> Generator[httpx.Client]:
    """Serve *provider* from *state*; yield a merchant's HTTP client."""
    with serve(provider, state=state) as url, httpx.Client(base_url=url, auth=AUTH, trust_env=False) as client:
        yield client


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "simulator.db"


def rows(state: Path) -> dict[str, Any]:
    """Read the file as a simulator that was killed has left it."""
    copy = state.with_name("copy.db")
    copy.write_bytes(state.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM state")}


def test_a_shop_goes_on_after_a_restart(state: Path) -> None:
    with shop(made(), state) as before:
        payment_session = before.post("/payments/v1/sessions", json=CART).json()["session_id"]
        url = f"{before.base_url}/payments/v1/sessions/{payment_session}"
        request = {"payment_session_url": url, "options": {"page_title": "Shoes", "payment_method_category": "KLARNA"}}
        session = before.post("/hpp/v1/sessions", json=request).json()
        before.get(session["redirect_url"])
        reading = before.get(session["session_url"]).json()

    with shop(made(), state) as after:
        path = f"/hpp/v1/sessions/{session['session_id']}"
        again = after.get(path).json()
        page = after.get(httpx.URL(session["redirect_url"]).path)
        after.post(httpx.URL(session["redirect_url"]).path, data={"act": "pays"})
        token = after.get(path).json()["authorization_token"]
        order = after.post(f"/payments/v1/authorizations/{token}/order", json=CART)

    with shop(made(), state) as later:
        repeated = later.post(f"/payments/v1/authorizations/{token}/order", json=CART)

    assert again == reading
    assert "Running shoe" in page.text
    assert "Shoes" in page.text
    assert order.status_code == 200
    assert (repeated.status_code, repeated.json()) == (200, order.json())


def test_an_answer_is_sent_after_what_it_says_is_in_the_file(state: Path) -> None:
    provider = made()
    with shop(provider, state) as client:
        request = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}
        session_id = client.post("/hpp/v1/sessions", json=request).json()["session_id"]
        created = rows(state)
        client.delete(f"/hpp/v1/sessions/{session_id}")
        disabled = rows(state)
        provider.add_fault(Fault(Dropped(is_done=True)))
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/payments/v1/sessions", json=CART)
        dropped = rows(state)

    assert [step["status"] for step in created[f"session/{session_id}"]["steps"]] == ["WAITING"]
    assert disabled[f"session/{session_id}"]["steps"][-1]["status"] == "DISABLED"
    assert [key for key in dropped if key.startswith("payment-session/")] != []


def test_nothing_is_written_where_nothing_has_changed(state: Path) -> None:
    provider = made()
    with shop(provider, state) as client:
        session_id = provider.create()
        client.post("/simulator/time", json={"advance": 60})
        before = state.read_bytes()
        client.get(f"/hpp/v1/sessions/{session_id}")
        client.delete("/simulator/faults")

        assert state.read_bytes() == before


def test_a_reset_is_in_the_file(state: Path) -> None:
    provider = made()
    with shop(provider, state) as client:
        provider.create(session_id="one")
        client.post("/simulator/reset")
        kept = rows(state)
    with shop(again := made(), state):
        assert again.sessions == []

    assert "session/one" not in kept


def test_scripts_and_time_go_on_while_the_simulator_is_off(state: Path) -> None:
    real = [100.0]
    calendar = Calendar(START, clock=lambda: real[0])
    provider = Provider(now=calendar)
    with state_file(provider, state):
        calendar.pace = 60
        calendar.advance(3600)
        provider.create(Script(opens(after=10), pays(after=5000)), session_id="one")
    again = Provider(now=Calendar())
    with state_file(again, state):
        assert isinstance(again.now, Calendar)
        assert again.now.pace == 60
        assert START + timedelta(hours=1) <= again.now() < START + timedelta(hours=3)
        assert [step.status for step in again.life("one").steps] == ["WAITING", "IN_PROGRESS", "COMPLETED"]


def test_time_that_cannot_be_moved_is_not_kept(state: Path) -> None:
    provider = Provider(now=lambda: START)
    with state_file(provider, state):
        provider.create(session_id="one")
    assert "time" not in rows(state)
    with state_file(made(), state):
        pass
    again = Provider(now=lambda: START)
    with state_file(again, state):
        assert again.sessions == ["one"]


def test_everything_about_a_session_is_kept() -> None:
    provider = made()
    provider.create(
        Script(opens(after=1.5), extends(after=2, expires_in=90), vanishes, forgotten),
        session_id="one",
        lifetime=60,
        place_order_mode="PLACE_ORDER",
        merchant_urls={"status_update": "https://shop.example/?secret=1"},
    )
    provider.create([(0, "COMPLETED", {"order_id": "1", "more": [1, {"a": None}]})], session_id="two")
    provider.life("two").distributions.append("email")
    again = made()

    restore(again, dump(provider))

    assert again.sessions == ["one", "two"]
    assert again.lives == provider.lives


def test_callbacks_to_come_are_kept() -> None:
    moved = [0.0]
    provider = Provider(now=lambda: START + timedelta(seconds=moved[0]), callbacks=Callbacks(repeats_are_empty=True))
    provider.create([(1, "BACK"), (9, "WAITING")], merchant_urls={"status_update": "https://shop.example/"})
    provider.add_fault(Fault(Slow(5), on=Operation.CALLBACK))
    moved[0] = 2
    assert provider.due_callbacks() == []
    again = Provider(now=provider.now)

    restore(again, dump(provider))
    moved[0] = 7
    due, kept = provider.due_callbacks(), again.due_callbacks()

    assert kept == due
    assert [callback.due_at for callback in kept] == [START + timedelta(seconds=6)]
    assert again.callbacks.pending == []


def test_what_is_in_the_file_replaces_the_sessions_of_a_scenario_and_not_its_faults(state: Path) -> None:
    text = '[[session]]\nid = "one"\n[[fault]]\nkind = "slow"\nseconds = 0\n'
    scenario = Scenario.parse(text)
    before, after = (scenario.provider(now=Calendar(), auth=AUTH) for _ in range(2))
    with shop(before, state):
        before.change("one", "BACK")
        before.create()
    with shop(after, state):
        assert after.sessions == before.sessions
        assert after.status("one") == "BACK"
        assert len(after.faults.all) == 1


# -- files that cannot be used -----------------------------------------------------------------------------------------


def refusal(state: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        serve(made(), state=state).__enter__()
    return str(refused.value)


def test_a_file_in_use_is_refused(state: Path) -> None:
    with shop(made(), state):
        assert "database is locked: give a new file, or that of a simulator that has ended" in refusal(state)
    with shop(made(), state):
        pass


def test_a_file_that_is_no_database_is_refused(state: Path) -> None:
    state.write_text("my thesis " * 100)

    assert "file is not a database" in refusal(state)
    assert state.read_text() == "my thesis " * 100


@pytest.mark.parametrize("script", ["CREATE TABLE thesis (page)", "PRAGMA user_version = 2"])
def test_another_programs_database_is_refused(state: Path, script: str) -> None:
    with closing(sqlite3.connect(state)) as connection:
        connection.execute(script)
        connection.commit()

    assert "not a file of this version of the simulator" in refusal(state)


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "unable to open database file" in refusal(tmp_path / "nowhere" / "simulator.db")


@pytest.mark.parametrize("value", ["{", "{}", '{"session_id": "secret-token", "created_at": 1}'])
def test_stored_sessions_that_cannot_be_read_are_refused_without_being_shown(state: Path, value: str) -> None:
    with shop(made(), state):
        pass
    with closing(sqlite3.connect(state)) as connection:
        connection.execute("INSERT INTO state VALUES ('session/one', ?)", (value,))
        connection.commit()

    said = refusal(state)

    assert said == f"state={str(state)!r}: the stored sessions cannot be read; move the file away to begin anew"
