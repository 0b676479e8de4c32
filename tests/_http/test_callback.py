"""Callbacks are unsigned, repeated and sometimes empty: two ids are all that is taken from one."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpp_async import Callback, Completed, parse_callback
from hpp_async.testing import ScriptedProvider

NOTHING = Callback()
SESSION = {"session_id": "s-1", "status": "COMPLETED", "authorization_token": "secret"}
BOTH = Callback(event_id="e_1", session_id="s-1")


@pytest.mark.parametrize(
    ("body", "callback"),
    [
        # What the callbacks page shows, and repeats as they really came.
        (json.dumps({"event_id": "e_1", "session": SESSION}).encode(), BOTH),
        (b"{}", NOTHING),
        (b"", NOTHING),
        # Variations on it.
        (b'\xef\xbb\xbf{"event_id": "e_1", "session": {"session_id": "s-1"}}', BOTH),
        (b'{"event_id": "e_1", "session_id": "s-1", "new": [1, {"deep": null}]}', BOTH),
        (b'{"event_id": "e_1", "session": {"session_id": "s-1"}, "session_id": "other"}', BOTH),
        (b'{"event_id": "e_1", "session": {}, "session_id": "s-1"}', BOTH),
        (b'{"event_id": "e_1", "session": "{\\"session_id\\": \\"s-1\\"}"}', BOTH),
        (b'{"event_id": "e_1"}', Callback(event_id="e_1")),
        # Form-encoded, as a proxy or an older integration may send it.
        (urlencode({"event_id": "e_1", "session_id": "s-1", "new": "ä"}).encode(), BOTH),
        (urlencode({"event_id": "e_1", "session": json.dumps(SESSION)}).encode(), BOTH),
        (b"session_id=s-1&session_id=s-2", Callback(session_id="s-2")),
        (b"a=1&" * 99 + b"session_id=s-1", Callback(session_id="s-1")),
        (b"a=1&" * 100 + b"session_id=s-1", NOTHING),
        # Wrong types, and ids that would not be safe in a URL or a log.
        (b'{"event_id": 7, "session": {"session_id": 7}}', NOTHING),
        (b'{"event_id": ["e"], "session": ["s"]}', NOTHING),
        (b'{"event_id": null, "session": null}', NOTHING),
        (b'{"session": {"session_id": "../../orders"}}', NOTHING),
        (b'{"session": {"session_id": "s\\nforged log line"}}', NOTHING),
        (b'{"session": {"session_id": ""}, "event_id": ""}', NOTHING),
        (json.dumps({"event_id": "e" * 129}).encode(), NOTHING),
        (json.dumps({"event_id": "\uff45\uff11"}).encode(), NOTHING),
        # Junk.
        (b"[]", NOTHING),
        (b"null", NOTHING),
        (b"7", NOTHING),
        (b"<html>", NOTHING),
        (b"\xff\xfe\x00", NOTHING),
        (b"[" * 100_000, NOTHING),
        (b'{"a":' * 100_000, NOTHING),
        (b'{"session_id": "s-1", "padding": "' + b"x" * 1024 * 1024 + b'"}', NOTHING),
    ],
)
def test_two_ids_are_taken_and_nothing_else(body: bytes, callback: Callback) -> None:
    assert parse_callback(body) == callback


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("body", [json.dumps({"event_id": "e_1", "session": SESSION}), "event_id=e_1&session_id=s-1"])
def test_every_type_of_bytes_is_accepted(kind: type, body: str) -> None:
    assert parse_callback(kind(body.encode())) == BOTH


@pytest.mark.parametrize("body", ["{}", {"event_id": "e_1"}, None])
def test_what_is_not_bytes_is_refused(body: object) -> None:
    with pytest.raises(TypeError, match=f"body is a {type(body).__name__}: pass the callback's bytes"):
        parse_callback(body)  # type: ignore[arg-type]  # wrong on purpose


@given(st.binary(max_size=200))
def test_arbitrary_bytes_do_not_raise(body: bytes) -> None:
    parse_callback(body)


keys = st.sampled_from(["event_id", "session", "session_id"]) | st.text()


@given(st.recursive(st.none() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(keys, inner)))
def test_arbitrary_json_gives_ids_or_nothing(value: object) -> None:
    callback = parse_callback(json.dumps(value).encode())

    for found in (callback.event_id, callback.session_id):
        assert found is None or found.replace("-", "").replace("_", "").isalnum()


@pytest.mark.anyio
async def test_a_forged_callback_causes_a_read_and_no_outcome(provider: ScriptedProvider) -> None:
    session = provider.add([(60, "COMPLETED")])
    [session_id] = provider.model.sessions
    forged = json.dumps({"session": {"session_id": session_id, "status": "COMPLETED"}}).encode()
    client = provider.client()
    wait = client.wait_for_outcome(session)
    await anext(wait)
    named = parse_callback(forged).session_id
    assert named is not None
    client.notify(named)

    assert isinstance(await wait, Completed)
    assert provider.clock.now() >= 60
