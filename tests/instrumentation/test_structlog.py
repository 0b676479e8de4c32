"""structlog renders what the library logs, and its events: with the very functions of docs/observability.md."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "observability.md"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def documented() -> dict[str, Any]:
    [block] = re.findall(r"^```python\n([^`]*def configure_logging.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    exec(block, names)  # the block only defines functions
    return names


@pytest.fixture
def lines(documented: dict[str, Any]) -> Generator[Lines]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        documented["configure_logging"]()
    [ours] = set(root.handlers) - set(handlers)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(ours)
    root.setLevel(level)
    structlog.reset_defaults()


async def test_what_the_library_logs_is_rendered_with_what_the_caller_bound(
    provider: ScriptedProvider, lines: Lines
) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        async with provider.client() as client:
            await client.wait_for_outcome(provider.add([(5, "COMPLETED")], session_id="told"))

    said = {line["event"]: line for line in lines()}
    seen = said["session told: first seen -> WAITING"]
    assert (seen["logger"], seen["level"], seen["request_id"]) == ("hpp_async", "info", "r-1")
    assert "session told: the wait ended after 2 reads: Completed" in said


async def test_events_are_lines_with_fields(
    provider: ScriptedProvider, documented: dict[str, Any], lines: Lines
) -> None:
    async with provider.client(observers=[documented["log_event"]]) as client:
        await client.wait_for_outcome(provider.add([(0, "COMPLETED")], session_id="told"))

    [end] = [line for line in lines() if line["event"] == "WaitEnded"]
    assert (end["session_id"], end["ending"], end["logger"]) == ("told", "Completed", "payments")
