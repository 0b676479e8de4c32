"""A wait on a terminal, and as lines of text in virtual time."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Final

import httpx
import pytest
from rich.console import Console
from support.commands import run, terminal, text

from hpp_async import OutageError, Parked, PollSchedule
from hpp_async.cli._clients import OUTAGE_TOLERANCE
from hpp_async.cli._follow import follow
from hpp_async.cli._terminal import TerminalView
from hpp_async.cli._views import JSONView, PlainView, View
from hpp_async.testing import Answered, Provider, ScriptedProvider, VirtualClock


def test_a_terminal_gets_a_live_line(simulated: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    session_id = simulated.create([(2, "COMPLETED")])

    with terminal() as sent:
        assert run("wait", session_id, "--every", "1") == 0  # it mostly sleeps, and then the line counts seconds down

    screen = text(sent)
    assert f"session {session_id}" in screen
    assert re.search(r"WAITING for \d s · next read in 1 s · expires in 46 h 59 min", screen)
    assert re.search(r"COMPLETED after \d reads", screen)
    assert "Next: place the order" in screen


def test_a_dumb_terminal_gets_plain_lines(simulated: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    with terminal() as sent:
        assert run("wait", simulated.create([(0, "CANCELLED")])) == 4

    assert b"outcome: Cancelled" in b"".join(sent)
    assert b"\x1b" not in b"".join(sent)


@pytest.mark.anyio
async def test_the_live_line_shows_times_and_failures(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    session = provider.add([(3, "IN_PROGRESS"), (60, "CANCELLED")], lifetime=timedelta(minutes=2))
    provider.answer_next(503)
    client = provider.client(observers=[view.observe], attempts=1, schedule=PollSchedule.every(10))

    await follow(client, client.wait_for_outcome(session), view)

    assert isinstance(console.file, io.StringIO)
    screen = console.file.getvalue()
    assert re.search(
        r"not read yet · next read in [12] s · read failed: 503 TEMPORARILY_UNAVAILABLE: the provider could not answer",
        screen,
    )
    assert re.search(r"IN_PROGRESS for 1\d s · next read in \d+ s · expires in 1 min \d+ s", screen)
    assert "CANCELLED after" in screen


@pytest.mark.anyio
async def test_the_live_line_of_a_session_past_its_expiry(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    client = provider.client(observers=[view.observe])

    await follow(client, client.wait_for_outcome(provider.add([], lifetime=timedelta(seconds=30))), view)

    assert isinstance(console.file, io.StringIO)
    assert "· past its expiry" in console.file.getvalue()
    assert "EXPIRED after" in console.file.getvalue()


@pytest.mark.anyio
async def test_the_live_line_leaves_out_what_the_provider_left_out(
    provider: ScriptedProvider, clock: VirtualClock, anyio_backend_name: str
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    view = TerminalView(console, show_token=False, now=clock.now)
    provider.answer_next(httpx.Response(200, json={"status": "WAITING"}))
    client = provider.client(observers=[view.observe])

    await follow(client, client.wait_for_outcome(provider.add([(5, "DISABLED")])), view)

    assert isinstance(console.file, io.StringIO)
    assert re.search(r"-  WAITING\n", console.file.getvalue())
    assert re.search(r"WAITING · next read in 9 s\W", console.file.getvalue())


@pytest.mark.anyio
async def test_plain_lines_say_once_that_reads_fail(
    provider: ScriptedProvider, capsys: pytest.CaptureFixture[str], anyio_backend_name: str
) -> None:
    view = PlainView(show_token=False)
    session_url = provider.add([(40, "CANCELLED")])
    provider.answer_next(503, httpx.ConnectError("no"), httpx.ConnectError("no"))
    client = provider.client(observers=[view.observe], attempts=1)

    await follow(client, client.wait_for_outcome(session_url), view)

    session = f"session {session_url.rpartition('/')[2]}"
    first, second, _ = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"hpp-async: {session} could not be read: 503 .*: the provider could not answer .*; the wait goes on", first
    )
    assert second == f"hpp-async: {session} can be read again"


OUTAGE: Final = re.compile(
    r"hpp-async: session \S+ could not be read(?: for (.*?))?: 503 .*; the wait goes on(?:, for about (.*) at most)?"
)


def _seconds(said: str) -> int:
    minutes, seconds = re.fullmatch(r"(?:(\d+) min )?(\d+) s", said).groups("0")  # type: ignore[union-attr]  # or it fails
    return 60 * int(minutes) + int(seconds)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [PlainView, JSONView, TerminalView])
async def test_a_lasting_outage_is_said_at_growing_gaps_and_when_the_wait_gives_up(
    provider: ScriptedProvider, capsys: pytest.CaptureFixture[str], anyio_backend_name: str, kind: type[View]
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=40)
    view = TerminalView(screen, show_token=False) if kind is TerminalView else kind(show_token=False)
    session_url = provider.add([(5, "IN_PROGRESS")])
    provider.model.add_fault(Answered(503))
    client = provider.client(observers=[view.observe], attempts=1, outage_tolerance=OUTAGE_TOLERANCE)

    with pytest.raises(OutageError):
        await follow(client, client.wait_for_outcome(session_url), view)

    printed = capsys.readouterr()
    first, *later = [OUTAGE.fullmatch(line) for line in printed.err.splitlines()]
    assert first
    assert first.groups() == (None, None)
    said = [(_seconds(remark[1]), _seconds(remark[2])) for remark in later if remark]
    assert [lasted for lasted, _ in said] == pytest.approx([30, 60, 120, 240, 480], abs=10)
    assert [lasted + left for lasted, left in said] == pytest.approx([600] * 5, abs=1)
    assert len(printed.out.splitlines()) == (kind is JSONView)  # the line about the error


@pytest.mark.anyio
async def test_an_outage_before_the_wait_counts(
    provider: ScriptedProvider, capsys: pytest.CaptureFixture[str], anyio_backend_name: str
) -> None:
    session_url = provider.add([(5, "IN_PROGRESS")])
    provider.model.add_fault(Answered(503))
    async with provider.client(attempts=1) as client:
        parked = await client.step(session_url, hold=40)
        assert isinstance(parked, Parked)
    view = PlainView(show_token=False)
    client = provider.client(observers=[view.observe], attempts=1)
    wait = client.wait_for_outcome(session_url, since=parked.token)
    assert wait.failing_for is None

    with pytest.raises(OutageError):
        await follow(client, wait, view)

    first = OUTAGE.fullmatch(capsys.readouterr().err.splitlines()[0])
    assert first
    assert _seconds(first[1]) >= 30


@pytest.mark.anyio
async def test_the_next_read_is_known_between_reads(provider: ScriptedProvider, anyio_backend_name: str) -> None:
    async with provider.client(schedule=PollSchedule.every(7)) as client:
        wait = client.wait_for_outcome(provider.add([(60, "CANCELLED")]))
        known = [wait.next_read_in]
        await anext(wait)
        known.append(wait.next_read_in)
        await wait
        known.append(wait.next_read_in)

    assert known == [None, 7.0, None]
