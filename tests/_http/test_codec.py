"""Bytes to values: every answer of the table, through the client and straight into the codec, by both JSON readers."""

from __future__ import annotations

import copy
import json
import pickle
import random
import runpy
import sys
from collections.abc import Callable
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import CORRELATION_ID, DATE, SESSION_ID, SPECIMENS, Failure, Specimen, read

from hpp_async import Session, SessionStatus
from hpp_async._http import codec as _codec
from hpp_async._http.codec import UnreadableError, decode_error, decode_session


def _loads_without_orjson() -> Callable[[bytes], Any]:
    """Return the JSON reader of a machine without orjson: the module is run again while orjson cannot be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        loads: Callable[[bytes], Any] = runpy.run_path(str(_codec.__file__))["_fast_loads"]
    return loads


READERS: dict[str, Callable[[bytes], Any]] = {"installed": _codec._fast_loads, "json": _loads_without_orjson()}


@pytest.fixture(autouse=True, params=READERS)
def json_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpp_async._http.codec._fast_loads", READERS[request.param])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # other tests show that all loops do the same


def decode(body: bytes | str) -> Session:
    return decode_session(body.encode() if isinstance(body, str) else body, session_id=SESSION_ID)


# -- the table ----------------------------------------------------------------------------------------------------


def test_the_tables_names_are_distinct() -> None:
    names = [specimen.name for specimen in SPECIMENS]

    assert len(names) == len(set(names)) > 100


@pytest.mark.anyio
@pytest.mark.parametrize("specimen", SPECIMENS, ids=str)
async def test_every_answer_is_read_as_what_it_is(specimen: Specimen) -> None:
    assert await read(specimen) == specimen.expected


@pytest.mark.parametrize(
    "specimen", [s for s in SPECIMENS if s.status_code < 300 and not s.is_packed and len(s.body) < 1_000_000], ids=str
)
def test_every_2xx_body_decodes_to_what_it_is(specimen: Specimen) -> None:
    ours: dict[str, Any] = {"read_at": DATE, "correlation_id": specimen.expected.correlation_id}
    if isinstance(specimen.expected, Failure):
        with pytest.raises(UnreadableError, match=specimen.says.partition(" with ")[2] or specimen.says):
            decode_session(specimen.body, session_id=SESSION_ID, **ours)
    else:
        assert decode_session(specimen.body, session_id=SESSION_ID, **ours) == specimen.expected


@pytest.mark.parametrize("specimen", [s for s in SPECIMENS if s.status_code >= 400 and not s.is_packed], ids=str)
def test_every_error_body_decodes_to_what_it_says(specimen: Specimen) -> None:
    details = decode_error(specimen.body)

    assert isinstance(specimen.expected, Failure)
    if len(specimen.body) < 1_000_000:
        assert details.error_code == specimen.expected.error_code
    assert details.error_messages == specimen.expected.error_messages


# -- what a table cannot say --------------------------------------------------------------------------------------


def test_raw_is_what_was_received() -> None:
    body = {"status": "WAITING", "updated_at": "soon", "new": [1, {"deep": None}], "raw": 5}

    assert decode(json.dumps(body)).raw == body


def test_an_id_in_other_letters_is_the_same_session() -> None:
    body = json.dumps({"status": "WAITING", "session_id": SESSION_ID}).encode()

    assert decode_session(body, session_id=SESSION_ID.upper()).status == "WAITING"


def test_raw_survives_pickle_copy_and_change() -> None:
    body = {"status": "WAITING", "session_id": SESSION_ID.upper(), "new": [1], "customer": {"given_name": "Pelle"}}
    session = decode(json.dumps(body))
    changed = attrs.evolve(session, status=SessionStatus.ERROR)

    for twin in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session), copy.copy(session)):
        assert (twin, hash(twin), twin.raw) == (session, hash(session), body)
    assert (changed.status, changed.raw) == ("ERROR", body)
    assert attrs.evolve(session, raw={"other": 1}).raw == {"other": 1}


def test_a_change_of_raw_does_not_change_the_reading() -> None:
    session = decode('{"status": "WAITING", "new": [1]}')
    cast("dict[str, object]", session.raw).clear()

    assert session.raw == {"status": "WAITING", "new": [1]}


@pytest.mark.parametrize("body", ['{"status": "BACK", "a": 1}', '{"a": [{}], "status": "BACK"}', '{"status":"BACK"}'])
def test_readings_are_equal_whatever_raw_is(body: str) -> None:
    session = decode(body)

    assert session == decode('{"status": "BACK"}') == Session(status=SessionStatus.BACK, raw={"made": "by hand"})
    assert hash(session) == hash(decode('{"status": "BACK"}'))


def test_raw_has_a_body_that_only_the_lenient_reader_accepts() -> None:
    session = decode(b'\xef\xbb\xbf{"status": "WAITING", "note": "a\tb\xff"}')

    assert session.raw == {"status": "WAITING", "note": "a\tb\ufffd"}


def test_raw_is_not_in_the_repr_of_a_reading() -> None:
    assert "Marker" not in repr(decode('{"status": "WAITING", "new": "Marker"}'))


def test_a_lone_surrogate_in_a_name_does_not_hide_a_status() -> None:
    session = decode(rb'{"status": "COMPLETED", "customer": {"family_name": "\ud83d-\u00d6berg"}}')

    assert session.status == "COMPLETED"
    assert session.customer is not None
    assert str(session.customer.family_name).endswith("-Öberg")


def test_a_lone_surrogate_in_the_status_is_no_status() -> None:
    with pytest.raises(UnreadableError, match="no readable status"):
        decode(rb'{"status": "A\ud83d"}')


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_encodings_of_json_are_read(encoding: str) -> None:
    assert decode('{"status": "COMPLETED", "order_id": "Å"}'.encode(encoding)).order_id == "Å"


@pytest.mark.parametrize("odd", ["", "é", "\n", "a" * 5000, "<b>", "1" * 400])
def test_an_errors_repr_shows_no_message(odd: str) -> None:
    details = decode_error(json.dumps({"error_messages": [f"Marker{odd}"], "error_code": f"Mark er{odd}"}).encode())

    assert "Mark" not in repr(details)
    assert details.error_code is None
    assert details.error_messages == (f"Marker{odd}",)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ("session_id", "updated_at", "expires_at", "authorization_token", "order_id", "customer", "read_at", "raw")


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(FIELDS), documents))
def test_no_other_field_hides_a_status(fields: dict[str, Any]) -> None:
    """COMPLETED is read as COMPLETED whatever the other fields hold, unless the id is another session's."""
    fields.pop("session_id", None)
    session = decode(json.dumps({**fields, "status": "COMPLETED"}))

    assert session.status == SessionStatus.COMPLETED
    for moment in (session.updated_at, session.expires_at):
        assert moment is None or moment.utcoffset() is not None


@settings(max_examples=150)
@given(documents | st.dictionaries(st.sampled_from(("status", *FIELDS)), documents))
def test_arbitrary_json_is_a_reading_with_its_status_or_is_refused(document: object) -> None:
    """Any JSON is a reading with the status that it names, or is refused with a message that quotes nothing."""
    try:
        session = decode(json.dumps(document))
    except UnreadableError as error:
        said = str(error)
        assert said in ("a body that is not a JSON object", "no readable status", "an answer for another session")
        return

    assert isinstance(document, dict)
    assert session.status == document["status"]
    assert decode_error(json.dumps(document).encode()).error_code is None


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 2**31))
def test_arbitrary_bytes_are_read_or_refused(noise: bytes, seed: int) -> None:
    """Noise, and a reading with noise in it, are read or refused; as the body of an error they never raise."""
    chance = random.Random(seed)
    body = bytearray(b'{"session_id": "5b0e7c1d-ans-4f2a", "status": "COMPLETED", "order_id": "ord-42"}')
    start = chance.randrange(len(body))
    body[start : start + chance.randrange(4)] = noise
    for damaged in (noise, bytes(body)):
        decode_error(damaged)
        try:
            session = decode(damaged)
        except UnreadableError:
            continue
        assert session.status.isprintable()


def test_the_callers_values_go_before_keys_of_the_body() -> None:
    session = decode_session(
        b'{"status": "WAITING", "correlation_id": "theirs", "read_at": "2001-01-01T00:00:00Z"}',
        session_id=SESSION_ID,
        read_at=DATE,
        correlation_id=CORRELATION_ID,
    )

    assert (session.correlation_id, session.read_at) == (CORRELATION_ID, DATE)
