"""Resume tokens: what they carry, which text is refused, and which of two is newer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import OPEN, SESSION_ID, at, reading

from hpp_async import ConfigurationError, HPPClient, Session, is_newer, is_token, session_id_of
from hpp_async._core.history import History
from hpp_async._core.memory import Failing, Memory
from hpp_async._core.position import Position
from hpp_async._core.session import SessionStatus, status_of

OLD = f"hpp1:2:1772442001500000:1772442060000000:{SESSION_ID}:IN_PROGRESS"


def token(
    status: str | None = "IN_PROGRESS", *, updated: float | None = 9.0, sequence: int = 2, read: float = 10.0
) -> str:
    position = Position(
        session_id=SESSION_ID,
        status=None if status is None else status_of(status),
        updated_at=None if updated is None else at(updated),
        expires_at=at(900.0),
        sequence=sequence,
        memory=Memory(at=read),
    )
    return position.token


def history(*readings: Session, since: Position | None = None) -> History:
    seen = History(session_id=SESSION_ID, since=since)
    for heard in readings:
        seen.observe(heard, is_last=False)
    return seen


# -- what a token carries ---------------------------------------------------------------------------------------------

moments = st.none() | st.datetimes(timezones=st.just(UTC))
words = st.sampled_from(OPEN) | st.text(min_size=1, max_size=64).filter(
    lambda text: text.isprintable() and text.strip()
)
counts = st.integers(0, 10**6)
seconds = st.integers(0, 10**12).map(lambda number: number / 1e3)
signed = st.integers(-(10**14), 10**14).map(lambda number: number / 1e3)
failings = st.builds(
    Failing,
    lasted=st.none() | seconds,
    backoffs=counts,
    missing=st.integers(0, 3),
    refused=st.integers(0, 3),
    missing_at=st.none() | st.integers(-(10**9), 10**9).map(lambda number: at(float(number))),
)
memories = st.builds(
    Memory,
    at=signed,
    skew=signed,
    delay=st.none() | seconds,
    age=st.none() | seconds,
    unknown_for=st.none() | seconds,
    was_open=st.booleans(),
    late_readings=st.integers(0, 5),
    failing=st.none() | failings,
)
positions = st.builds(
    Position,
    session_id=st.just(SESSION_ID),
    status=st.none() | words.map(status_of),
    updated_at=moments,
    expires_at=moments,
    sequence=counts,
    memory=st.none() | memories,
)


@given(positions)
def test_a_token_becomes_the_position_it_came_from(position: Position) -> None:
    """Resume tokens survive the round trip through text, unknown statuses and all years included."""
    assert Position.of(position.token, session_id=SESSION_ID) == position
    assert is_token(position.token)


@given(positions)
def test_a_token_is_one_line_of_limited_length(position: Position) -> None:
    """It fits into a header, a log line or a database column."""
    assert position.token.isprintable()
    assert len(position.token) < 350


def test_a_token_of_a_reading_looks_like_this() -> None:
    position = Position.of(reading("AWAITING:3DS:", updated=1.5, expires=60.0), session_id=SESSION_ID)

    assert position.token == f"hpp2:n0:1772442001500000:1772442060000000:{SESSION_ID}:AWAITING:3DS:"
    assert Position.of(position.token, session_id=SESSION_ID) == position


def test_a_token_in_the_middle_of_an_outage_looks_like_this() -> None:
    position = Position(
        session_id=SESSION_ID,
        status=SessionStatus.WAITING,
        updated_at=None,
        expires_at=None,
        sequence=1,
        memory=Memory(
            at=1772442001.5,
            skew=-7200.25,
            delay=16.0,
            age=95.0,
            unknown_for=95.0,
            was_open=True,
            late_readings=1,
            failing=Failing(lasted=30.0, backoffs=4, missing=1, refused=2, missing_at=at(-3.0)),
        ),
    )
    numbers = "n1r1772442001500s-7200250d16000a95000x95000o1l1f30000b4m1u2t1772441997000"

    assert position.token == f"hpp2:{numbers}:-:-:{SESSION_ID}:WAITING"
    assert Position.of(position.token, session_id=SESSION_ID) == position


def test_a_token_of_a_session_that_was_never_seen_has_no_status() -> None:
    unseen = token(None, updated=None, sequence=0)

    assert unseen.endswith(f":{SESSION_ID}:")
    assert Position.of(unseen, session_id=SESSION_ID).status is None
    assert not history(since=Position.of(unseen, session_id=SESSION_ID)).is_seen


def test_a_token_of_the_first_version_is_read() -> None:
    position = Position.of(OLD, session_id=SESSION_ID)

    assert position == Position(
        session_id=SESSION_ID,
        status=SessionStatus.IN_PROGRESS,
        updated_at=at(1.5),
        expires_at=at(60.0),
        sequence=2,
    )
    assert position.token == OLD.replace("hpp1:2:", "hpp2:n2:")


def test_letters_of_a_later_version_are_ignored() -> None:
    later = token().replace(":n2", ":n2z17y-4")

    assert Position.of(later, session_id=SESSION_ID) == Position.of(token(), session_id=SESSION_ID)


def test_the_case_of_the_session_id_does_not_matter() -> None:
    token = Position.of(reading(), session_id=SESSION_ID).token

    assert Position.of(token, session_id=SESSION_ID.upper()).session_id == SESSION_ID.upper()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "hpp1",
        ":::::",
        f"hpp3:n1:-:-:{SESSION_ID}:WAITING",
        f"hpp2:1:-:-:{SESSION_ID}:WAITING",
        f"hpp2::-:-:{SESSION_ID}:WAITING",
        f"hpp2:r1:-:-:{SESSION_ID}:WAITING",
        f"hpp2:n-1:-:-:{SESSION_ID}:WAITING",
        f"hpp2:n1r1d-5:-:-:{SESSION_ID}:WAITING",
        f"hpp2:n1r1d:-:-:{SESSION_ID}:WAITING",
        f"hpp2:n1r{'9' * 16}:-:-:{SESSION_ID}:WAITING",
        f"hpp2:n1:-:-:{SESSION_ID}: ",
        f"hpp1:x:-:-:{SESSION_ID}:WAITING",
        f"hpp1:-1:-:-:{SESSION_ID}:WAITING",
        f"hpp1:1:-:{SESSION_ID}:WAITING",
        f"hpp1:1:soon:-:{SESSION_ID}:WAITING",
        f"hpp1:1:{10**30}:-:{SESSION_ID}:WAITING",
        f"hpp1:1:-:{'9' * 5000}:{SESSION_ID}:WAITING",
        "hpp1:1:-:-::WAITING",
        f"hpp1:1:-:-:{SESSION_ID}:",
        f"hpp1:1:-:-:{SESSION_ID}: ",
        f"hpp1:1:-:-:{SESSION_ID}:WAITING\nfaked log line",
        f"hpp1:1:-:-:{SESSION_ID}:{'A' * 65}",
        42,
        None,
        b"hpp1:1:-:-:id:WAITING",
        {"token": "hpp1"},
    ],
    ids=lambda token: repr(token)[:40],
)
def test_text_that_is_not_a_token_is_refused_with_a_sentence(token: object) -> None:
    with pytest.raises(ConfigurationError, match=f"session {SESSION_ID}.*pass the token of a Transition") as caught:
        Position.of(token, session_id=SESSION_ID)  # type: ignore[arg-type]  # what users may pass

    assert caught.value.__context__ is None
    assert not is_token(token)


NUMBERS = "hpp1:[0-9-]{1,6}|hpp2:n1(r[0-9-]{1,16})?([a-z][0-9-]{1,16})*"
TOKENS = rf"({NUMBERS}):[0-9-]{{1,25}}:[0-9-]{{1,25}}:{SESSION_ID}:.*"


@given(st.text(max_size=80) | st.from_regex(TOKENS))
def test_hostile_tokens_are_refused_or_harmless(token: str) -> None:
    """Any text is either refused, or taken as a position of this session without a transition."""
    try:
        position = Position.of(token, session_id=SESSION_ID)
    except ConfigurationError:
        return

    assert position.session_id == SESSION_ID
    assert position.status is None or position.status.isprintable()
    assert history(since=position).transitions == ()


@pytest.mark.parametrize("since", [reading(), Position.of(reading(), session_id=SESSION_ID).token], ids=type)
def test_a_since_of_another_session_is_refused(since: Session | str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"since belongs to session {SESSION_ID}, and the wait to session other"
    ):
        Position.of(since, session_id="other")


def test_the_client_refuses_a_bad_since_before_anything_is_sent() -> None:
    client = HPPClient(auth=("user", "secret"), endpoint="EU_PLAYGROUND")

    with pytest.raises(ConfigurationError, match="since is neither"):
        client.wait_for_outcome("session", since="yesterday")


def test_tokens_keep_microseconds() -> None:
    moment = datetime(2026, 3, 2, 9, 0, 0, 123_456, tzinfo=UTC)
    since = Position.of(attrs.evolve(reading(), updated_at=moment), session_id=SESSION_ID)

    assert Position.of(since.token, session_id=SESSION_ID).updated_at == moment
    assert moment - timedelta(microseconds=1) < moment


def test_a_token_tells_its_session() -> None:
    assert session_id_of(token()) == session_id_of(OLD) == SESSION_ID
    with pytest.raises(ConfigurationError, match="token is not a resume token"):
        session_id_of("yesterday")


# -- which of two is newer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (token(None, updated=None, sequence=0), token("WAITING", updated=None, sequence=1)),
        (token("WAITING", updated=None, sequence=1), token("WAITING", updated=0.0, sequence=1)),
        (token("WAITING", updated=0.0, sequence=1), token("IN_PROGRESS", updated=0.0, sequence=2)),
        (token("FAILED", updated=20.0, sequence=9), token("IN_PROGRESS", updated=30.0, sequence=3)),
        (token("FAILED", updated=20.0, sequence=9), token("COMPLETED", updated=10.0, sequence=2)),
        (OLD, token("IN_PROGRESS", updated=9.0)),
    ],
)
def test_a_token_that_knows_more_is_newer(older: str, newer: str) -> None:
    assert (is_newer(newer, older), is_newer(older, newer)) == (True, False)


@pytest.mark.parametrize(
    ("token", "other"),
    [
        (token(read=10.0), token(read=900.0)),
        (token("COMPLETED", updated=9.0, sequence=2), token("COMPLETED", updated=9.0, sequence=3)),
        (token("COMPLETED", updated=9.0, sequence=2), token("DISABLED", updated=99.0, sequence=3)),
        (token(None, updated=None, sequence=0, read=1.0), token(None, updated=None, sequence=0, read=9.0)),
        (OLD, token("IN_PROGRESS", updated=1.5, sequence=2)),
    ],
)
def test_tokens_that_know_the_same_are_equally_new(token: str, other: str) -> None:
    assert not is_newer(token, other)
    assert not is_newer(other, token)


tokens = positions.map(lambda position: position.token) | st.just(OLD)


@given(tokens, tokens, tokens)
def test_newer_is_an_order(one: str, two: str, three: str) -> None:
    """It is asymmetric, and neither "newer" nor "not newer" can go round in a circle."""
    assert not is_newer(one, one)
    assert not (is_newer(one, two) and is_newer(two, one))
    if is_newer(one, two):
        assert is_newer(one, three) or is_newer(three, two)


@given(
    st.lists(
        st.builds(
            reading,
            status=st.sampled_from([*OPEN, "COMPLETED"]),
            updated=st.none() | st.floats(0.0, 900.0),
        ),
        max_size=12,
    )
)
def test_each_transition_of_a_life_has_a_newer_token(readings: list[Session]) -> None:
    """Whatever comes in whichever order, restarts included, until the first final status."""
    given_out, since = list[str](), None
    for heard in readings:
        seen = history(heard, since=since)
        assert seen.position is not None
        since = Position.of(seen.position.token, session_id=SESSION_ID)
        given_out += [transition.token for transition in seen.transitions]
        assert not any(is_newer(earlier, seen.position.token) for earlier in given_out)

    assert all(is_newer(later, earlier) for number, later in enumerate(given_out) for earlier in given_out[:number])


def test_tokens_of_two_sessions_cannot_be_compared() -> None:
    other = token().replace(SESSION_ID, "other")

    with pytest.raises(ConfigurationError, match=f"token belongs to session {SESSION_ID}, and than to session other"):
        is_newer(token(), other)
    assert not is_newer(token(), token().replace(SESSION_ID, SESSION_ID.upper()))


@pytest.mark.parametrize(("one", "other", "name"), [("", OLD, "token"), (OLD, "hpp2:oops", "than")])
def test_broken_tokens_cannot_be_compared(one: str, other: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is not a resume token"):
        is_newer(one, other)
